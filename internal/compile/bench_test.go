package compile_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// largeSnapshot has Pipelines in a hundred namespaces, each with a host of its own, two endpoints, a token policy, a
// certificate shared by its namespace and a ServiceEndpoint of its own.
func largeSnapshot(b *testing.B, pipelines int) compile.Snapshot {
	b.Helper()
	f := loadFixture(b, "testdata/tls-redirects-clear-text")
	certificate := f.Secrets[routing.ObjectKey{Namespace: "shop", Name: "api-tls"}]
	s := compile.Snapshot{Options: compile.Options{Classes: compile.ClassesAll}, Secrets: map[routing.ObjectKey]compile.Secret{}}
	for i := range pipelines {
		meta := metav1.ObjectMeta{
			Namespace:         fmt.Sprintf("team-%02d", i%100),
			Name:              fmt.Sprintf("p-%05d", i),
			CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0)),
		}
		host := fmt.Sprintf("api-%05d.example.com", i)
		s.Secrets[routing.ObjectKey{Namespace: meta.Namespace, Name: "tls"}] = certificate
		s.Services = append(s.Services, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}})
		s.ServiceEndpoints = append(s.ServiceEndpoints, &v1alpha1.ServiceEndpoint{
			ObjectMeta: meta,
			Spec:       v1alpha1.ServiceEndpointSpec{BackendRefs: []v1alpha1.BackendRef{{Name: meta.Name, Port: 80}}},
		})
		s.Pipelines = append(s.Pipelines, &v1alpha1.Pipeline{ObjectMeta: meta, Spec: v1alpha1.PipelineSpec{
			TLS: []v1alpha1.PipelineTLS{{Hosts: []string{host}, SecretName: "tls"}},
			APIEndpoints: []v1alpha1.APIEndpoint{
				{Name: "read", Hosts: []string{host}, Paths: []v1alpha1.PathMatch{{Value: "/orders"}, {Value: "/stock"}}, Methods: []string{"GET", "HEAD"}, Scopes: []string{"read"}},
				{Name: "write", Hosts: []string{host}, Paths: []v1alpha1.PathMatch{{Type: v1alpha1.PathMatchRegularExpression, Value: "/orders/[0-9]+"}}, Methods: []string{"POST"}},
			},
			Policies: []v1alpha1.Policy{
				{Name: "auth", Type: v1alpha1.PolicyJWT, JWT: &v1alpha1.JWTPolicy{Audiences: []string{"orders"}}},
				{Name: "backend", Type: v1alpha1.PolicyProxy, Proxy: &v1alpha1.ProxyPolicy{ServiceEndpointRef: v1alpha1.LocalObjectReference{Name: meta.Name}}},
			},
		}})
	}
	return s
}

func BenchmarkCompile(b *testing.B) {
	for _, pipelines := range []int{100, 1_000, 10_000} {
		b.Run(fmt.Sprintf("pipelines=%d", pipelines), func(b *testing.B) {
			s := largeSnapshot(b, pipelines)
			b.ReportAllocs()
			for b.Loop() {
				config, _ := compile.Compile(s)
				if len(config.Pipelines) != pipelines {
					b.Fatalf("%d Pipelines are served", len(config.Pipelines))
				}
			}
		})
	}
}

// The cost of one credential must not depend on how many there are; this compiles them all, as at the start.
func BenchmarkCredential(b *testing.B) {
	f := loadFixture(b, "testdata/everything-together")
	for _, credentials := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("credentials=%d", credentials), func(b *testing.B) {
			all := make([]compile.CredentialInput, credentials)
			for i := range all {
				all[i] = f.credentialInput(f.Credentials[0])
				all[i].Credential = f.Credentials[0].DeepCopy()
				all[i].Credential.Name = fmt.Sprintf("c-%06d", i)
				all[i].SameKeyID = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				for i := range all {
					if entry, _ := compile.Credential(all[i]); entry == nil {
						b.Fatal("a credential is not accepted")
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(credentials), "ns/credential")
		})
	}
}
