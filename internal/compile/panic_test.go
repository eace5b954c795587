package compile_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/randfill"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// filled returns some objects of random content, nil among them.
func filled[T any](f *randfill.Filler) []*T {
	objects := []*T{nil}
	for range 3 {
		object := new(T)
		f.Fill(object)
		objects = append(objects, object)
	}
	return objects
}

// FuzzAnyObject compiles objects that no schema would let through. There are no expectations but that it ends, and that
// what comes out is well formed.
func FuzzAnyObject(f *testing.F) {
	for seed := range int64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed int64) {
		filler := randfill.NewWithSeed(seed).NilChance(.3).NumElements(0, 3).MaxDepth(12)
		s := compile.Snapshot{
			Options:          compile.Options{Classes: compile.ClassesAll},
			Pipelines:        filled[v1alpha1.Pipeline](filler),
			ServiceEndpoints: filled[v1alpha1.ServiceEndpoint](filler),
			Consumers:        filled[v1alpha1.Consumer](filler),
			Services:         filled[corev1.Service](filler),
			IngressClasses:   filled[networkingv1.IngressClass](filler),
		}
		config, report := compile.Compile(s)
		if got := len(report.Pipelines); got != 3 {
			t.Errorf("%d of 3 Pipelines have a verdict", got)
		}
		if _, problems := routing.Build(config); len(problems) > 0 {
			t.Errorf("the router finds problems in what was compiled: %v", problems)
		}
		slices := filled[discoveryv1.EndpointSlice](filler)
		for _, svc := range s.Services {
			compile.Endpoints(svc, slices)
		}
		for _, c := range filled[v1alpha1.JWTCredential](filler) {
			entry, verdict := compile.Credential(compile.CredentialInput{
				Credential: c, Consumer: s.Consumers[1], SameUsername: s.Consumers, SameKeyID: []*v1alpha1.JWTCredential{nil, c},
			})
			if (entry == nil) != (verdict.Serving == compile.ServingNothing) {
				t.Error("the entry and the verdict disagree")
			}
		}
	})
}

// Credential changes nothing of its input and shares no memory with it.
func TestCredentialChangesNothing(t *testing.T) {
	f := loadFixture(t, "testdata/credential-every-field")
	in := f.credentialInput(f.Credentials[0])
	credential, consumer := in.Credential.DeepCopy(), in.Consumer.DeepCopy()
	entry, _ := compile.Credential(in)
	if entry == nil {
		t.Fatal("the credential is not accepted")
	}
	entry.Audiences[0], entry.Scopes[0], entry.Labels["tier"] = "scribbled", "scribbled", "scribbled"
	if diff := cmp.Diff(credential, in.Credential); diff != "" {
		t.Errorf("the credential changed (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(consumer, in.Consumer); diff != "" {
		t.Errorf("the Consumer changed (-want +got):\n%s", diff)
	}
}

// A Consumer of another name or namespace is not the one that the credential refers to.
func TestCredentialTakesNoOtherConsumer(t *testing.T) {
	f := loadFixture(t, "testdata/credential-every-field")
	for name, change := range map[string]func(*v1alpha1.Consumer){
		"another name":      func(c *v1alpha1.Consumer) { c.Name = "other" },
		"another namespace": func(c *v1alpha1.Consumer) { c.Namespace = "other" },
	} {
		t.Run(name, func(t *testing.T) {
			in := f.credentialInput(f.Credentials[0])
			in.Consumer = in.Consumer.DeepCopy()
			change(in.Consumer)
			entry, _ := compile.Credential(in)
			if entry == nil || entry.Consumer != nil {
				t.Errorf("got %+v, want an entry without a consumer", entry)
			}
		})
	}
}
