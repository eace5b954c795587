package compile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRemoteKeysReady: what KeysReady says of a key set that someone else publishes.
func TestRemoteKeysReady(t *testing.T) {
	credential := &v1alpha1.JWTCredential{Spec: v1alpha1.JWTCredentialSpec{
		Algorithms: []v1alpha1.Algorithm{"ES256"}, RemoteJWKS: &v1alpha1.RemoteJWKS{URI: "https://acme.example/keys"},
		Revocation: &v1alpha1.Revocation{KeyIDs: []string{"cut", "t-cut"}},
	}}
	credential.Name = "acme"
	source := routing.RemoteKeys{URI: "https://acme.example/keys"}
	tests := map[string]struct {
		state *compile.RemoteState
		want  string
	}{
		"nobody fetches it": {nil, "Unknown Pending: the key set is not fetched yet: until then its tokens are answered 503 keys_unavailable"},
		"another set's state": {
			&compile.RemoteState{Source: routing.RemoteKeys{URI: "https://old.example"}, Keys: remoteKeys(3), Fetched: compile.FetchedOnce},
			"Unknown Pending: the key set is not fetched yet: until then its tokens are answered 503 keys_unavailable",
		},
		"never fetched": {
			&compile.RemoteState{Source: source, Problem: "the server answers 404 for the key set"},
			"False FetchFailed: the key set can't be fetched: the server answers 404 for the key set. Until it can, its tokens are answered 503 keys_unavailable",
		},
		"fetched": {
			&compile.RemoteState{Source: source, Keys: remoteKeys(2), Fetched: compile.FetchedOnce},
			"True KeysReady: 2 keys of the remote key set can verify tokens",
		},
		"of other algorithms": {
			&compile.RemoteState{Source: source, Fetched: compile.FetchedOnce, Keys: []compile.RemoteKey{{KID: "a", Thumbprint: "t-a", Algorithms: []jose.Algorithm{jose.RS256}}}},
			"False AlgorithmMismatch: no key of the remote key set is for the algorithms of spec.algorithms: tokens are refused",
		},
		"all revoked": {
			&compile.RemoteState{Source: source, Fetched: compile.FetchedOnce, Keys: []compile.RemoteKey{
				{KID: "cut", Thumbprint: "t-a", Algorithms: []jose.Algorithm{jose.ES256}}, {KID: "b", Thumbprint: "t-cut", Algorithms: []jose.Algorithm{jose.ES256}},
			}},
			"False NoUsableKey: spec.revocation.keyIDs revokes every key of the remote key set: tokens are refused",
		},
		"stale": {
			&compile.RemoteState{Source: source, Keys: remoteKeys(1), Fetched: compile.FetchedOnce, Problem: "the server can't be reached"},
			"True StaleKeys: 1 key verifies tokens still. The key set can't be fetched: the server can't be reached",
		},
		"too old": {
			&compile.RemoteState{Source: source, Fetched: compile.FetchedOnce, Problem: "the server can't be reached"},
			"False StaleKeys: the key set can't be fetched for 24 hours: the server can't be reached. Until it can, its tokens are answered 503 keys_unavailable",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			entry, verdict := compile.Credential(compile.CredentialInput{Credential: credential, Remote: tc.state})
			if entry == nil || entry.Remote == nil || entry.Remote.Source != source {
				t.Fatalf("entry %+v", entry)
			}
			for _, c := range verdict.Conditions {
				if c.Type != v1alpha1.ConditionKeysReady {
					continue
				}
				if diff := cmp.Diff(tc.want, fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)); diff != "" {
					t.Errorf("KeysReady (-want +got):\n%s", diff)
				}
			}
		})
	}
}

// remoteKeys are that many keys for ES256.
func remoteKeys(n int) []compile.RemoteKey {
	keys := make([]compile.RemoteKey, n)
	for i := range keys {
		keys[i] = compile.RemoteKey{KID: fmt.Sprintf("k%d", n-i), Thumbprint: fmt.Sprintf("t%d", n-i), Algorithms: []jose.Algorithm{jose.ES256}}
	}
	return keys
}

// TestRemoteKeyReports: the keys of a remote set that are for the credential are reported, in an order that doesn't depend
// on how the set was written.
func TestRemoteKeyReports(t *testing.T) {
	credential := &v1alpha1.JWTCredential{Spec: v1alpha1.JWTCredentialSpec{
		Algorithms: []v1alpha1.Algorithm{"ES256", "PS256"}, RemoteJWKS: &v1alpha1.RemoteJWKS{URI: "https://acme.example/keys"},
		Revocation: &v1alpha1.Revocation{KeyIDs: []string{"t1"}},
	}}
	credential.Name = "acme"
	state := &compile.RemoteState{Source: routing.RemoteKeys{URI: "https://acme.example/keys"}, Fetched: compile.FetchedOnce, Keys: append(remoteKeys(2),
		compile.RemoteKey{KID: "all", Thumbprint: "t3", Algorithms: []jose.Algorithm{jose.RS256, jose.PS256, jose.PS384}},
		compile.RemoteKey{KID: "foreign", Thumbprint: "t4", Algorithms: []jose.Algorithm{jose.EdDSA}},
	)}
	_, verdict := compile.Credential(compile.CredentialInput{Credential: credential, Remote: state})
	report := func(kid, thumbprint string, state v1alpha1.KeyState, algorithm v1alpha1.Algorithm) compile.KeyReport {
		return compile.KeyReport{
			Name: "remoteJWKS", Source: "remoteJWKS", KID: kid, Thumbprint: thumbprint, State: state, Algorithms: []v1alpha1.Algorithm{algorithm},
		}
	}
	want := []compile.KeyReport{
		report("all", "t3", v1alpha1.KeyStateActive, "PS256"),
		report("k1", "t1", v1alpha1.KeyStateRevoked, "ES256"),
		report("k2", "t2", v1alpha1.KeyStateActive, "ES256"),
	}
	if diff := cmp.Diff(want, verdict.Keys); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

// TestFetchProblemsAreTold: a Pipeline says why the keys of an issuer can't be fetched, and is served all the same.
func TestFetchProblemsAreTold(t *testing.T) {
	f := loadFixture(t, "testdata/jwt-issuers")
	f.FetchProblems = map[routing.RemoteKeys]string{{Issuer: "https://tenant.auth0.com/"}: "the server can't be reached"}
	_, report := compile.Compile(f.Snapshot)
	verdict := report.Pipelines[routing.ObjectKey{Namespace: "shop", Name: "issuers"}]
	want := `every reference is resolved. the keys of issuer "https://tenant.auth0.com/" can't be fetched: the server can't be reached`
	for _, c := range verdict.Conditions {
		if c.Type == v1alpha1.ConditionResolvedRefs && c.Message != want {
			t.Errorf("ResolvedRefs says %q, want %q", c.Message, want)
		}
	}
	if verdict.Serving != compile.ServingAll {
		t.Errorf("serving %v", verdict.Serving)
	}
}
