package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/controllers"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/proxy/routing"
)

// newClusterReader reads with the rights of the kubeconfig's user, each object when it is asked for.
func newClusterReader(kubeconfig, kubeContext string) (client.Reader, error) {
	cfg, err := clusterConfig(kubeconfig, kubeContext)
	if err != nil {
		return nil, err
	}
	cfg.QPS = -1 // the API server's own limits hold
	scheme, err := clusterScheme()
	if err != nil {
		return nil, err
	}
	reader, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return reader, nil
}

func clusterScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, fmt.Errorf("register kinds: %w", err)
	}
	return scheme, nil
}

// clusterSnapshot is everything that a request depends on, read once.
type clusterSnapshot struct {
	reader  client.Reader
	options controllers.Options
	objects []metav1.Object
	served  map[string]bool // namespaces, by name
	uids    map[routing.ObjectKey]types.UID
	kept    *controllers.Kept // nil: nothing is known of it
}

// readCluster reads what Ostiary reads: its own kinds and IngressClasses as a whole, Secrets, Services and EndpointSlices
// where something refers to them, and what the installation keeps of its own.
func readCluster(ctx context.Context, reader client.Reader, options controllers.Options) (*clusterSnapshot, error) {
	s := &clusterSnapshot{reader: reader, options: options, served: map[string]bool{}, uids: map[routing.ObjectKey]types.UID{}}
	var secrets, services []routing.ObjectKey
	err := errors.Join(
		readAll(ctx, s, &v1alpha1.PipelineList{}, func(p *v1alpha1.Pipeline) {
			secrets = append(secrets, compile.PipelineSecrets(p)...)
		}),
		readAll(ctx, s, &v1alpha1.ServiceEndpointList{}, func(e *v1alpha1.ServiceEndpoint) {
			secrets = append(secrets, compile.ServiceEndpointSecrets(e)...)
			services = append(services, compile.ServiceEndpointServices(e)...)
		}),
		readAll(ctx, s, &v1alpha1.ConsumerList{}, func(*v1alpha1.Consumer) {}),
		readAll(ctx, s, &v1alpha1.JWTCredentialList{}, func(c *v1alpha1.JWTCredential) {
			secrets = append(secrets, compile.CredentialSecrets(c)...)
		}),
		s.classes(ctx),
	)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(s.grants(ctx), s.secrets(ctx, secrets), s.services(ctx, services), s.keep(ctx)); err != nil {
		return nil, err
	}
	return s, nil
}

// world are the objects that were read.
func (s *clusterSnapshot) world() *filesource.World {
	return filesource.NewWorld(s.options.CompileOptions(), s.objects...)
}

// complete adds what the installation knows of a credential beside its objects.
func (s *clusterSnapshot) complete(now time.Time) func(*compile.CredentialInput) {
	return func(input *compile.CredentialInput) {
		if s.kept == nil {
			return
		}
		s.kept.Complete(input, func(secret string) types.UID {
			return s.uids[routing.ObjectKey{Namespace: input.Credential.Namespace, Name: secret}]
		}, now)
	}
}

// keep reads what the installation keeps.
func (s *clusterSnapshot) keep(ctx context.Context) error {
	if s.options.PodNamespace == "" {
		return nil
	}
	kept, err := controllers.ReadKept(ctx, s.reader, s.options)
	if err != nil {
		return fmt.Errorf("%w; write --pod-namespace= to judge as if no key had been replaced", err)
	}
	s.kept = kept
	return nil
}

// namespaces are those that lists are read from; one without a name stands for all.
func (s *clusterSnapshot) namespaces() []string {
	if len(s.options.WatchNamespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return s.options.WatchNamespaces
}

// serves reports whether the objects of a namespace count.
func (s *clusterSnapshot) serves(ctx context.Context, namespace string) (bool, error) {
	served, known := s.served[namespace]
	if known {
		return served, nil
	}
	served, err := s.options.Serves(ctx, s.reader, namespace)
	if err != nil {
		return false, fmt.Errorf("select namespaces: %w", err)
	}
	s.served[namespace] = served
	return served, nil
}

// readAll reads the objects of one kind in the namespaces that are served. Credentials that are being deleted serve nothing
// any more and are left out.
func readAll[T client.Object](ctx context.Context, s *clusterSnapshot, kind client.ObjectList, take func(T)) error {
	for _, namespace := range s.namespaces() {
		list := kind.DeepCopyObject().(client.ObjectList) //nolint:forcetypeassert // a copy is of the same type
		if err := s.reader.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return fmt.Errorf("read the cluster: %w", err)
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object := item.(T) //nolint:forcetypeassert // the list is of that kind
			served, err := s.serves(ctx, object.GetNamespace())
			if _, credential := item.(*v1alpha1.JWTCredential); err != nil || !served || credential && object.GetDeletionTimestamp() != nil {
				return err
			}
			s.objects = append(s.objects, object)
			take(object)
			return nil
		})
		if err != nil {
			return fmt.Errorf("read the cluster: %w", err)
		}
	}
	return nil
}

// classes reads the IngressClasses, which are in no namespace.
func (s *clusterSnapshot) classes(ctx context.Context) error {
	var list networkingv1.IngressClassList
	if err := s.reader.List(ctx, &list); err != nil {
		return fmt.Errorf("read the cluster: %w", err)
	}
	for i := range list.Items {
		s.objects = append(s.objects, &list.Items[i])
	}
	return nil
}

// secrets reads those that exist. One that may not be read is an error: a verdict without it would be about another cluster.
func (s *clusterSnapshot) secrets(ctx context.Context, keys []routing.ObjectKey) error {
	for key := range unique(keys) {
		var secret corev1.Secret
		if err := s.get(ctx, key, &secret); err != nil {
			return fmt.Errorf("read Secret %q: %w", key.Namespace+"/"+key.Name, err)
		}
		s.uids[key] = secret.UID
	}
	return nil
}

// services reads those that exist, with their EndpointSlices. One in a namespace that is not watched does not, as far as
// the installation is concerned.
func (s *clusterSnapshot) services(ctx context.Context, keys []routing.ObjectKey) error {
	for key := range unique(keys) {
		if len(s.options.WatchNamespaces) > 0 && !slices.Contains(s.options.WatchNamespaces, key.Namespace) {
			continue
		}
		var service corev1.Service
		if err := s.get(ctx, key, &service); err != nil {
			return fmt.Errorf("read Service %q: %w", key.Namespace+"/"+key.Name, err)
		}
		var list discoveryv1.EndpointSliceList
		err := s.reader.List(ctx, &list, client.InNamespace(key.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: key.Name})
		if err != nil {
			return fmt.Errorf("read the EndpointSlices of Service %q: %w", key.Namespace+"/"+key.Name, err)
		}
		for i := range list.Items {
			s.objects = append(s.objects, &list.Items[i])
		}
	}
	return nil
}

// get reads an object; one that does not exist is left out.
func (s *clusterSnapshot) get(ctx context.Context, key routing.ObjectKey, object client.Object) error {
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: key.Namespace, Name: key.Name}, object)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	s.objects = append(s.objects, object)
	return nil
}

// grants reads ReferenceGrants of the Gateway API where the cluster has them: v1, else v1beta1, which has the same fields.
func (s *clusterSnapshot) grants(ctx context.Context) error {
	for _, version := range []string{"v1", "v1beta1"} {
		found, err := s.grantsOf(ctx, schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: version, Kind: "ReferenceGrantList"})
		if found || err != nil {
			return err
		}
	}
	return nil
}

// grantsOf reads ReferenceGrants of one version, and reports whether the cluster has that version.
func (s *clusterSnapshot) grantsOf(ctx context.Context, kind schema.GroupVersionKind) (bool, error) {
	for _, namespace := range s.namespaces() {
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(kind)
		err := s.reader.List(ctx, &list, client.InNamespace(namespace))
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read ReferenceGrants: %w", err)
		}
		for i := range list.Items {
			var grant gatewayv1.ReferenceGrant
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &grant); err != nil {
				continue // one that is not understood grants nothing, as in the controller
			}
			s.objects = append(s.objects, &grant)
		}
	}
	return true, nil
}

func unique(keys []routing.ObjectKey) map[routing.ObjectKey]struct{} {
	set := make(map[routing.ObjectKey]struct{}, len(keys))
	for _, key := range keys {
		set[key] = struct{}{}
	}
	return set
}
