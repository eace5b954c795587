package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

func shop(names ...string) []routing.ObjectKey {
	var keys []routing.ObjectKey
	for _, name := range names {
		keys = append(keys, routing.ObjectKey{Namespace: "shop", Name: name})
	}
	return keys
}

func TestReferencesAreSortedAndUnique(t *testing.T) {
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "orders"}
	proxyTo := func(name string) v1alpha1.Policy {
		return v1alpha1.Policy{Proxy: &v1alpha1.ProxyPolicy{ServiceEndpointRef: v1alpha1.LocalObjectReference{Name: name}}}
	}
	key := func(name string) v1alpha1.CredentialKey {
		return v1alpha1.CredentialKey{SecretKeyRef: v1alpha1.SecretKeyReference{Name: name, Key: "k"}}
	}
	pipeline := &v1alpha1.Pipeline{ObjectMeta: meta, Spec: v1alpha1.PipelineSpec{
		TLS:      []v1alpha1.PipelineTLS{{SecretName: "z"}, {SecretName: "a"}, {SecretName: "z"}},
		Policies: []v1alpha1.Policy{{Type: v1alpha1.PolicyJWT}, proxyTo("y"), proxyTo("b"), proxyTo("y")},
	}}
	endpoint := &v1alpha1.ServiceEndpoint{ObjectMeta: meta, Spec: v1alpha1.ServiceEndpointSpec{
		BackendRefs: []v1alpha1.BackendRef{{Name: "s", Port: 1}, {Name: "s", Port: 2}, {Name: "r", Namespace: new("store")}, {Name: "e", Namespace: new("")}},
		TLS:         &v1alpha1.BackendTLS{CACertificateRef: &v1alpha1.SecretKeyReference{Name: "ca", Key: "ca.crt"}},
	}}
	credential := &v1alpha1.JWTCredential{ObjectMeta: meta, Spec: v1alpha1.JWTCredentialSpec{
		ConsumerRef: v1alpha1.LocalObjectReference{Name: "acme"},
		Keys:        []v1alpha1.CredentialKey{key("z"), key("a"), key("a")},
	}}
	empty := metav1.ObjectMeta{Namespace: "shop", Name: "empty"}

	tests := map[string]struct{ got, want []routing.ObjectKey }{
		"the certificates of a Pipeline":          {compile.PipelineSecrets(pipeline), shop("a", "z")},
		"no certificates":                         {compile.PipelineSecrets(&v1alpha1.Pipeline{ObjectMeta: empty}), nil},
		"the ServiceEndpoints of a Pipeline":      {compile.PipelineServiceEndpoints(pipeline), shop("b", "y")},
		"no ServiceEndpoint":                      {compile.PipelineServiceEndpoints(&v1alpha1.Pipeline{ObjectMeta: empty}), nil},
		"the Services of two namespaces":          {compile.ServiceEndpointServices(endpoint), append(shop("e", "s"), routing.ObjectKey{Namespace: "store", Name: "r"})},
		"the authorities of a ServiceEndpoint":    {compile.ServiceEndpointSecrets(endpoint), shop("ca")},
		"no authorities":                          {compile.ServiceEndpointSecrets(&v1alpha1.ServiceEndpoint{ObjectMeta: empty}), nil},
		"the keys of a credential":                {compile.CredentialSecrets(credential), shop("a", "z")},
		"the consumer of a credential":            {[]routing.ObjectKey{compile.CredentialConsumer(credential)}, shop("acme")},
		"a Service in an empty namespace is ours": {compile.ServiceEndpointServices(&v1alpha1.ServiceEndpoint{ObjectMeta: meta, Spec: v1alpha1.ServiceEndpointSpec{BackendRefs: []v1alpha1.BackendRef{{Name: "e", Namespace: new("")}}}}), shop("e")},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestNamesDefaultToTheObjects(t *testing.T) {
	meta := metav1.ObjectMeta{Name: "acme"}
	if got := compile.KeyID(&v1alpha1.JWTCredential{ObjectMeta: meta}); got != "acme" {
		t.Errorf("KeyID is %q, want the object's name", got)
	}
	if got := compile.KeyID(&v1alpha1.JWTCredential{ObjectMeta: meta, Spec: v1alpha1.JWTCredentialSpec{KeyID: "k"}}); got != "k" {
		t.Errorf("KeyID is %q, want what is stated", got)
	}
	if got := compile.Username(&v1alpha1.Consumer{ObjectMeta: meta}); got != "acme" {
		t.Errorf("Username is %q, want the object's name", got)
	}
	if got := compile.Username(&v1alpha1.Consumer{ObjectMeta: meta, Spec: v1alpha1.ConsumerSpec{Username: "u"}}); got != "u" {
		t.Errorf("Username is %q, want what is stated", got)
	}
}
