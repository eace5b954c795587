package compile_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRemoteKeysReady: what KeysReady says of a key set that someone else publishes.
func TestRemoteKeysReady(t *testing.T) {
	credential := &v1alpha1.JWTCredential{Spec: v1alpha1.JWTCredentialSpec{
		Algorithms: []v1alpha1.Algorithm{"ES256"}, RemoteJWKS: &v1alpha1.RemoteJWKS{URI: "https://acme.example/keys"},
	}}
	credential.Name = "acme"
	source := routing.RemoteKeys{URI: "https://acme.example/keys"}
	tests := map[string]struct {
		state *compile.RemoteState
		want  string
	}{
		"nobody fetches it": {nil, "Unknown Pending: the key set is not fetched yet: until then its tokens are answered 503 keys_unavailable"},
		"another set's state": {
			&compile.RemoteState{Source: routing.RemoteKeys{URI: "https://old.example"}, Keys: 3, Fetched: compile.FetchedOnce},
			"Unknown Pending: the key set is not fetched yet: until then its tokens are answered 503 keys_unavailable",
		},
		"never fetched": {
			&compile.RemoteState{Source: source, Problem: "the server answers 404 for the key set"},
			"False FetchFailed: the key set can't be fetched: the server answers 404 for the key set. Until it can, its tokens are answered 503 keys_unavailable",
		},
		"fetched": {
			&compile.RemoteState{Source: source, Keys: 2, Fetched: compile.FetchedOnce},
			"True KeysReady: 2 keys of the remote key set can verify tokens",
		},
		"stale": {
			&compile.RemoteState{Source: source, Keys: 1, Fetched: compile.FetchedOnce, Problem: "the server can't be reached"},
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
