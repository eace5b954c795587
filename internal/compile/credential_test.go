package compile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/keyring"
)

// TestRevokedInOnePlace: a key that is revoked in one place is revoked in all, whatever the others say and in whatever
// order.
func TestRevokedInOnePlace(t *testing.T) {
	t.Parallel()
	item := func(name, entry string, state v1alpha1.KeyState) v1alpha1.CredentialKey {
		return v1alpha1.CredentialKey{Name: name, State: state, SecretKeyRef: v1alpha1.SecretKeyReference{Name: "k", Key: entry}}
	}
	for name, tc := range map[string]struct {
		keys       []v1alpha1.CredentialKey
		revocation *v1alpha1.Revocation
		want       []string
		revoked    []string
	}{
		"by the second of two items": {
			keys:    []v1alpha1.CredentialKey{item("a", "es256.pem", ""), item("b", "es256.pem", v1alpha1.KeyStateRevoked)},
			revoked: []string{thumbprintA},
		},
		"by the first of two items": {
			keys:    []v1alpha1.CredentialKey{item("a", "es256.pem", v1alpha1.KeyStateRevoked), item("b", "es256.pem", "")},
			revoked: []string{thumbprintA},
		},
		"by its item beside a revocation of others": {
			keys:       []v1alpha1.CredentialKey{item("a", "es256.pem", v1alpha1.KeyStateRevoked), item("b", "es256b.pem", "")},
			revocation: &v1alpha1.Revocation{KeyIDs: []string{"another"}},
			want:       []string{thumbprintB}, revoked: []string{thumbprintA, "another"},
		},
		"by both": {
			keys:       []v1alpha1.CredentialKey{item("a", "es256.pem", v1alpha1.KeyStateRevoked), item("b", "es256b.pem", "")},
			revocation: &v1alpha1.Revocation{KeyIDs: []string{thumbprintB}},
			revoked:    []string{thumbprintA, thumbprintB},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, secrets := rotating(t)
			c.Spec.Keys, c.Spec.Revocation = tc.keys, tc.revocation
			entry, _ := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets})
			var got []string
			for _, key := range entry.Keys {
				got = append(got, key.KID())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(keyring.NewNames(tc.revoked...), entry.Revocation.KeyIDs); diff != "" {
				t.Errorf("revoked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRetainedKeyThatIsThereStill verifies without end, and once.
func TestRetainedKeyThatIsThereStill(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	retained := before(t, c, secrets, "es256.pem", time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC))
	entry, verdict := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets, Retained: []compile.RetainedKey{retained}})
	if len(entry.Keys) != 1 || !entry.Keys[0].NotAfter.IsZero() {
		t.Errorf("%d keys, want the one without an end", len(entry.Keys))
	}
	if len(verdict.Keys) != 1 || verdict.Keys[0].Retained {
		t.Errorf("reported are %+v", verdict.Keys)
	}
}

// TestOwnerOfAnotherName: whoever is not the owner that a Consumer names does not vouch for it.
func TestOwnerOfAnotherName(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	consumer := &v1alpha1.Consumer{ObjectMeta: metav1.ObjectMeta{Namespace: c.Namespace, Name: c.Spec.ConsumerRef.Name}}
	consumer.Spec.OwnerRef = &v1alpha1.LocalObjectReference{Name: "alice"}
	for name, tc := range map[string]struct {
		owner metav1.ObjectMeta
		want  keyring.State
	}{
		"the owner":                     {metav1.ObjectMeta{Namespace: c.Namespace, Name: "alice"}, keyring.StateActive},
		"another":                       {metav1.ObjectMeta{Namespace: c.Namespace, Name: "bob"}, keyring.StateSuspended},
		"a namesake in other namespace": {metav1.ObjectMeta{Namespace: "billing", Name: "alice"}, keyring.StateSuspended},
	} {
		owner := &v1alpha1.Consumer{ObjectMeta: tc.owner, Spec: v1alpha1.ConsumerSpec{Type: v1alpha1.ConsumerUser}}
		entry, _ := compile.Credential(compile.CredentialInput{Credential: c, Consumer: consumer, Owner: owner, Secrets: secrets})
		if entry == nil || entry.Consumer == nil || entry.Consumer.State != tc.want {
			t.Errorf("%s: %+v, want a consumer of state %d", name, entry, tc.want)
		}
	}
}

// TestEndOfACredential is in its entry and in its Verdict.
func TestEndOfACredential(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	end := time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)
	c.Spec.ExpirationTime = ptr.To(metav1.NewTime(end))
	entry, verdict := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets})
	if !entry.NotAfter.Equal(end) || !verdict.NotAfter.Equal(end) {
		t.Errorf("the entry ends at %s, the Verdict says %s, want %s", entry.NotAfter, verdict.NotAfter, end)
	}
}

// TestEmptyListsStateNothing, like absent ones.
func TestEmptyListsStateNothing(t *testing.T) {
	t.Parallel()
	c, secrets := rotating(t)
	c.Spec.Audiences, c.Spec.Scopes = []string{}, []string{}
	entry, _ := compile.Credential(compile.CredentialInput{Credential: c, Secrets: secrets})
	if entry.Audiences != nil || entry.Scopes != nil {
		t.Errorf("audiences %#v, scopes %#v, want none stated", entry.Audiences, entry.Scopes)
	}
}
