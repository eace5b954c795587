package app

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/proxy/routing"
)

// born is metadata of an object that is that many hours old.
func born(name string, hoursAgo int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace: "shop", Name: name, UID: "uid-1", Generation: 1,
		CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Add(-time.Duration(hoursAgo) * time.Hour)),
	}
}

func clusterObjects() []client.Object {
	class := "ours"
	pipeline := func(name string, hoursAgo int) *v1alpha1.Pipeline {
		return &v1alpha1.Pipeline{ObjectMeta: born(name, hoursAgo), Spec: v1alpha1.PipelineSpec{
			IngressClassName: &class,
			APIEndpoints:     []v1alpha1.APIEndpoint{{Name: "all"}},
			Policies: []v1alpha1.Policy{
				{Name: "auth", Type: v1alpha1.PolicyJWT, JWT: &v1alpha1.JWTPolicy{Audiences: []string{"a"}}},
				{Name: "backend", Type: v1alpha1.PolicyProxy, Proxy: &v1alpha1.ProxyPolicy{ServiceEndpointRef: v1alpha1.LocalObjectReference{Name: "backend"}}},
			},
		}}
	}
	credential := func(name string, hoursAgo int) *v1alpha1.JWTCredential {
		return &v1alpha1.JWTCredential{ObjectMeta: born(name, hoursAgo), Spec: v1alpha1.JWTCredentialSpec{
			ConsumerRef: v1alpha1.LocalObjectReference{Name: "acme"}, KeyID: "acme", Algorithms: []v1alpha1.Algorithm{"HS256"},
			Keys: []v1alpha1.CredentialKey{{Name: "a", SecretKeyRef: v1alpha1.SecretKeyReference{Name: "keys", Key: "acme"}}},
		}}
	}
	leaving := credential("leaving", 5)
	leaving.Finalizers = []string{"example.com/wait"}
	leaving.DeletionTimestamp = new(metav1.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)))
	other := "other"
	foreign := pipeline("foreign", 9)
	foreign.Spec.IngressClassName = &other
	port, number := "", int32(8080)
	return []client.Object{
		pipeline("a-younger", 1), pipeline("z-older", 2), foreign,
		&v1alpha1.ServiceEndpoint{ObjectMeta: born("backend", 1), Spec: v1alpha1.ServiceEndpointSpec{BackendRefs: []v1alpha1.BackendRef{{Name: "svc", Port: 80}}}},
		&v1alpha1.Consumer{ObjectMeta: born("acme", 1)},
		credential("current", 1), leaving,
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: class}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/ours"}},
		&networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: other}, Spec: networkingv1.IngressClassSpec{Controller: "example.com/other"}},
		&corev1.Secret{ObjectMeta: born("keys", 1), Data: map[string][]byte{"acme": []byte(canary + "-secret-of-acme-0123456789")}},
		&corev1.Secret{ObjectMeta: born("unrelated", 1), Data: map[string][]byte{"a": []byte("b")}},
		&corev1.Service{ObjectMeta: born("svc", 1), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}},
		&discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "svc-1", Labels: map[string]string{discoveryv1.LabelServiceName: "svc"}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		},
	}
}

// clusterOf is an API server without the Gateway API. read is told of every Secret that is read.
func clusterOf(t *testing.T, read func(name string) error) client.Reader {
	t.Helper()
	scheme, err := clusterScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(clusterObjects()...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, ok := object.(*corev1.Secret); ok {
				if err := read(key.Name); err != nil {
					return err
				}
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			switch list.(type) {
			case *unstructured.UnstructuredList:
				return &meta.NoKindMatchError{GroupKind: schema.GroupKind{Kind: "ReferenceGrant"}}
			case *corev1.SecretList:
				t.Error("all Secrets are read")
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
}

// TestReadCluster: what is read decides as in the cluster: the older object wins, classes count, what is being deleted does
// not, and of Secrets only those that something refers to are read.
func TestReadCluster(t *testing.T) {
	options := compile.Options{Classes: compile.ClassesOfController, ControllerName: "example.com/ours"}
	world, err := readCluster(t.Context(), clusterOf(t, func(name string) error {
		if name != "keys" {
			t.Errorf("Secret %q is read", name)
		}
		return nil
	}), options)
	if err != nil {
		t.Fatal(err)
	}
	outcome := filesource.Check(world)
	if got := outcome.Config.Pipelines; len(got) != 1 || got[0].Key.Name != "z-older" {
		t.Errorf("served Pipelines %+v, want the older one of our class", got)
	}
	if got := outcome.Entries; len(got) != 1 || got[0].Key.Name != "current" || len(got[0].Keys) != 1 {
		t.Errorf("credentials %+v, want the one that is not being deleted, with its key", got)
	}
	if got := outcome.Endpoints[routing.ObjectKey{Namespace: "shop", Name: "svc"}][80]; len(got) != 1 || got[0].String() != "10.0.0.1:8080" {
		t.Errorf("endpoints %v", got)
	}
}

// TestReadClusterWithoutRights: a Secret that may not be read is no Secret that does not exist.
func TestReadClusterWithoutRights(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "keys", nil)
	_, err := readCluster(t.Context(), clusterOf(t, func(string) error { return forbidden }), compile.Options{})
	if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `Secret "shop/keys"`) {
		t.Errorf("error %v, want one that names the Secret", err)
	}
}
