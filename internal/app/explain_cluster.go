package app

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
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
	objects []metav1.Object
}

// readCluster reads what Ostiary reads: its own kinds and IngressClasses as a whole, Secrets, Services and EndpointSlices
// where something refers to them.
func readCluster(ctx context.Context, reader client.Reader, options compile.Options) (*filesource.World, error) {
	s := &clusterSnapshot{reader: reader}
	var secrets, services []routing.ObjectKey

	var pipelines v1alpha1.PipelineList
	var endpoints v1alpha1.ServiceEndpointList
	var consumers v1alpha1.ConsumerList
	var credentials v1alpha1.JWTCredentialList
	var classes networkingv1.IngressClassList
	for _, list := range []client.ObjectList{&pipelines, &endpoints, &consumers, &credentials, &classes} {
		if err := reader.List(ctx, list); err != nil {
			return nil, fmt.Errorf("read the cluster: %w", err)
		}
	}
	for i := range pipelines.Items {
		s.objects = append(s.objects, &pipelines.Items[i])
		secrets = append(secrets, compile.PipelineSecrets(&pipelines.Items[i])...)
	}
	for i := range endpoints.Items {
		s.objects = append(s.objects, &endpoints.Items[i])
		secrets = append(secrets, compile.ServiceEndpointSecrets(&endpoints.Items[i])...)
		services = append(services, compile.ServiceEndpointServices(&endpoints.Items[i])...)
	}
	for i := range consumers.Items {
		s.objects = append(s.objects, &consumers.Items[i])
	}
	for i := range credentials.Items {
		if credentials.Items[i].DeletionTimestamp.IsZero() { // one that is being deleted serves nothing any more
			s.objects = append(s.objects, &credentials.Items[i])
			secrets = append(secrets, compile.CredentialSecrets(&credentials.Items[i])...)
		}
	}
	for i := range classes.Items {
		s.objects = append(s.objects, &classes.Items[i])
	}
	if err := errors.Join(s.grants(ctx), s.secrets(ctx, secrets), s.services(ctx, services)); err != nil {
		return nil, err
	}
	return filesource.NewWorld(options, s.objects...), nil
}

// secrets reads those that exist. One that may not be read is an error: a verdict without it would be about another cluster.
func (s *clusterSnapshot) secrets(ctx context.Context, keys []routing.ObjectKey) error {
	for key := range unique(keys) {
		var secret corev1.Secret
		if err := s.get(ctx, key, &secret); err != nil {
			return fmt.Errorf("read Secret %q: %w", key.Namespace+"/"+key.Name, err)
		}
	}
	return nil
}

// services reads those that exist, with their EndpointSlices.
func (s *clusterSnapshot) services(ctx context.Context, keys []routing.ObjectKey) error {
	for key := range unique(keys) {
		var service corev1.Service
		if err := s.get(ctx, key, &service); err != nil {
			return fmt.Errorf("read Service %q: %w", key.Namespace+"/"+key.Name, err)
		}
		var slices discoveryv1.EndpointSliceList
		err := s.reader.List(ctx, &slices, client.InNamespace(key.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: key.Name})
		if err != nil {
			return fmt.Errorf("read the EndpointSlices of Service %q: %w", key.Namespace+"/"+key.Name, err)
		}
		for i := range slices.Items {
			s.objects = append(s.objects, &slices.Items[i])
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
		var list unstructured.UnstructuredList
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: gatewayv1.GroupName, Version: version, Kind: "ReferenceGrantList"})
		err := s.reader.List(ctx, &list)
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read ReferenceGrants: %w", err)
		}
		for i := range list.Items {
			var grant gatewayv1.ReferenceGrant
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.Items[i].Object, &grant); err != nil {
				continue // one that is not understood grants nothing, as in the controller
			}
			s.objects = append(s.objects, &grant)
		}
		return nil
	}
	return nil
}

func unique(keys []routing.ObjectKey) map[routing.ObjectKey]struct{} {
	set := make(map[routing.ObjectKey]struct{}, len(keys))
	for _, key := range keys {
		set[key] = struct{}{}
	}
	return set
}
