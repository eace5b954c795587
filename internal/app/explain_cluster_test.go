package app

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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
	"github.com/ostiary/ostiary/controllers"
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
func clusterOf(t *testing.T, read func(name string) error, more ...client.Object) client.Reader {
	t.Helper()
	scheme, err := clusterScheme()
	if err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(append(clusterObjects(), more...)...).WithInterceptorFuncs(interceptor.Funcs{
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
				var asked client.ListOptions
				asked.ApplyOptions(opts)
				if asked.Namespace != "ostiary-system" || asked.LabelSelector.Empty() {
					t.Error("all Secrets are read")
				}
			}
			return c.List(ctx, list, opts...)
		},
	}).Build()
}

// ours are the options of the installation whose cluster it is.
func ours() controllers.Options {
	return controllers.Options{ControllerName: "example.com/ours", Instance: "ostiary", PodNamespace: "ostiary-system"}
}

// onlySecrets is told of every Secret that is read by name.
func onlySecrets(t *testing.T, names ...string) func(string) error {
	t.Helper()
	return func(name string) error {
		if !slices.Contains(names, name) {
			t.Errorf("Secret %q is read", name)
		}
		return nil
	}
}

// TestReadCluster: what is read decides as in the cluster: the older object wins, classes count, what is being deleted does
// not, and of Secrets only those that something refers to are read, and the installation's own.
func TestReadCluster(t *testing.T) {
	snapshot, err := readCluster(t.Context(), clusterOf(t, onlySecrets(t, "keys", "ostiary-salt")), ours())
	if err != nil {
		t.Fatal(err)
	}
	if !snapshot.kept.Empty() {
		t.Error("a salt is found where there is none")
	}
	outcome := filesource.CheckWith(snapshot.world(), snapshot.complete(time.Now()))
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

// TestReadClusterOfNamespaces: what the controller was not told to serve is not there.
func TestReadClusterOfNamespaces(t *testing.T) {
	labelled := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: map[string]string{"tier": "gold"}}}
	for name, tc := range map[string]struct {
		change func(*controllers.Options)
		served int
	}{
		"the namespace":         {func(o *controllers.Options) { o.WatchNamespaces = []string{"empty", "shop"} }, 1},
		"another namespace":     {func(o *controllers.Options) { o.WatchNamespaces = []string{"empty"} }, 0},
		"labels that it has":    {func(o *controllers.Options) { o.NamespaceSelector = "tier=gold" }, 1},
		"labels that it hasn't": {func(o *controllers.Options) { o.NamespaceSelector = "tier!=gold" }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			options := ours()
			tc.change(&options)
			snapshot, err := readCluster(t.Context(), clusterOf(t, func(string) error { return nil }, labelled), options)
			if err != nil {
				t.Fatal(err)
			}
			outcome := filesource.Check(snapshot.world())
			if got := []int{len(outcome.Config.Pipelines), len(outcome.Entries), len(outcome.Endpoints)}; !slices.Equal(got, []int{tc.served, tc.served, tc.served}) {
				t.Errorf("%v Pipelines, credentials and Services, want %d of each", got, tc.served)
			}
		})
	}
}

// TestReadClusterWithRetainedKeys: a key that was replaced verifies as it does in the cluster, until its time is over, and
// nothing of it is told.
func TestReadClusterWithRetainedKeys(t *testing.T) {
	until := time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)
	jwk := `{"kty":"oct","kid":"before","k":"` + base64.RawURLEncoding.EncodeToString([]byte(canary+"-secret-of-before-0123456789")) + `"}`
	entry := fmt.Sprintf(`{"namespace":"shop","name":"current","uid":"uid-1","keys":[{"name":"a","secret":"keys","secretUID":"uid-1","entry":"acme","jwk":%s,
		"firstSeen":"2026-01-01T00:00:00Z","replaced":"2026-01-02T00:00:00Z","retainUntil":%q}]}`, jwk, until.Format(time.RFC3339))
	sum := sha256.Sum256([]byte("shop/current"))
	stored := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ostiary-system", Name: fmt.Sprintf("ostiary-keys-%02x", sum[0]),
			Labels: map[string]string{"app.kubernetes.io/name": "ostiary", "app.kubernetes.io/instance": "ostiary", "app.kubernetes.io/component": "keys"},
		},
		Data: map[string][]byte{hex.EncodeToString(sum[:20]): []byte(entry)},
	}
	salt := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ostiary-system", Name: "ostiary-salt"},
		Data:       map[string][]byte{"salt": []byte(strings.Repeat("s", 32))},
	}
	for name, tc := range map[string]struct {
		now     time.Time
		options func(*controllers.Options)
		keys    []string
	}{
		"while it is retained":      {now: until.Add(-time.Second), keys: []string{"", "before"}},
		"once its time is over":     {now: until, keys: []string{""}},
		"of another installation":   {now: until.Add(-time.Second), options: func(o *controllers.Options) { o.Instance = "other" }, keys: []string{""}},
		"where it is not asked for": {now: until.Add(-time.Second), options: func(o *controllers.Options) { o.PodNamespace = "" }, keys: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			options := ours()
			if tc.options != nil {
				tc.options(&options)
			}
			snapshot, err := readCluster(t.Context(), clusterOf(t, func(string) error { return nil }, stored, salt), options)
			if err != nil {
				t.Fatal(err)
			}
			outcome := filesource.CheckWith(snapshot.world(), snapshot.complete(tc.now))
			if len(outcome.Entries) != 1 {
				t.Fatalf("%d credentials", len(outcome.Entries))
			}
			var kids []string
			for _, key := range outcome.Entries[0].Keys {
				kids = append(kids, key.KID())
			}
			if diff := cmp.Diff(tc.keys, kids); diff != "" {
				t.Errorf("keys by kid (-want +got):\n%s", diff)
			}
			if told := fmt.Sprintf("%v %+v %#v", snapshot.kept, snapshot.kept, snapshot.kept); snapshot.kept != nil && (strings.Contains(told, "sss") || strings.Contains(told, "before")) {
				t.Errorf("what is kept is told: %s", told)
			}
		})
	}
}

// TestReadClusterWithoutRights: a Secret that may not be read is no Secret that does not exist.
func TestReadClusterWithoutRights(t *testing.T) {
	for _, secret := range []string{"shop/keys", "ostiary-system/ostiary-salt"} {
		_, forbidden, _ := strings.Cut(secret, "/")
		_, err := readCluster(t.Context(), clusterOf(t, func(name string) error {
			if name != forbidden {
				return nil
			}
			return apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, name, nil)
		}), ours())
		if err == nil || !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `Secret "`+secret+`"`) {
			t.Errorf("error %v, want one that names the Secret", err)
		}
	}
}
