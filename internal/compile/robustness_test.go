package compile_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"
	"sigs.k8s.io/randfill"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/keyring"
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
		endpointSlices := filled[discoveryv1.EndpointSlice](filler)
		for _, svc := range s.Services {
			compile.Endpoints(svc, endpointSlices)
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

// A Secret that was damaged yields no key that was not in it before. (Elliptic curves can tell; any odd number can be an
// RSA modulus.)
func TestDamagedSecretsYieldNoOtherKeys(t *testing.T) {
	for _, fixture := range []string{"credential-every-field", "credential-jwks"} {
		t.Run(fixture, func(t *testing.T) {
			f := loadFixture(t, "testdata/"+fixture)
			intact, _ := compile.Credential(f.credentialInput(f.Credentials[0]))
			rapid.Check(t, func(t *rapid.T) {
				in := f.credentialInput(f.Credentials[0])
				for key, secret := range in.Secrets {
					in.Secrets[key] = damage(t, secret)
				}
				entry, _ := compile.Credential(in)
				if entry == nil {
					t.Fatal("damage to a Secret took the credential's place in the keyring away")
				}
				for _, key := range entry.Keys {
					// A set's key may change its name; what it verifies stays the same.
					if !slices.ContainsFunc(intact.Keys, func(k keyring.Key) bool { return k.Thumbprint() == key.Thumbprint() }) {
						t.Fatalf("the key %q was not there before", key.KID())
					}
				}
			})
		})
	}
}

// damage changes, drops or cuts the entries of a Secret.
func damage(t *rapid.T, secret compile.Secret) compile.Secret {
	damaged := compile.Secret{Type: secret.Type, Data: map[string]compile.SecretBytes{}}
	for _, name := range slices.Sorted(maps.Keys(secret.Data)) {
		data := slices.Clone(secret.Data[name])
		at := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		switch rapid.IntRange(0, 3).Draw(t, "damage") {
		case 0:
			data[at] = rapid.Byte().Draw(t, "byte")
		case 1:
			data = data[:at]
		case 2:
			continue
		default:
		}
		damaged.Data[name] = data
	}
	return damaged
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
