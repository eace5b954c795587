package jwt

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestIdentityValues: a name out of the configuration never splits a field (T10).
func TestIdentityValues(t *testing.T) {
	identity := func(username string) map[string]*Allowed {
		consumer := &keyring.Consumer{Key: routing.ObjectKey{Namespace: "shop", Name: "c"}, Username: username, Groups: []string{"a", "b"}}
		return map[string]*Allowed{
			"of a credential": {by: &Policy{}, lease: Lease{entry: &keyring.Entry{KeyID: "k", Consumer: consumer}, consumer: consumer}},
			"of an issuer":    {by: &Policy{}, lease: Lease{issuer: &issuer{}, consumer: consumer}},
		}
	}
	want := [][2]string{{"X-Consumer-Username", "ädmin"}, {"X-Consumer-Namespace", "shop"}, {"X-Consumer-Groups", "a,b"}}
	for name, a := range identity("ädmin") {
		h := &testHead{}
		if !a.SetIdentity(h) {
			t.Errorf("%s: a good name was refused", name)
		}
		if diff := cmp.Diff(append(want, [2]string{"X-Credential-ID", "k"})[:len(h.fields)], h.fields); diff != "" || len(h.fields) < len(want) {
			t.Errorf("%s: fields (-want +got):\n%s", name, diff)
		}
	}
	for _, bad := range []string{"a\r\nX: 1", "a\nb", "a\x00", "a\x7f"} {
		for name, a := range identity(bad) {
			if h := (&testHead{}); a.SetIdentity(h) || len(h.fields) > 0 {
				t.Errorf("%s: %q was taken", name, bad)
			}
		}
	}
	for name, a := range map[string]*Allowed{
		"nobody's":                    {},
		"an entry without a Consumer": {by: &Policy{}, lease: Lease{entry: &keyring.Entry{KeyID: "k"}}},
	} {
		if a.SetIdentity(&testHead{}) {
			t.Errorf("%s: was taken", name)
		}
	}
	if h := (&testHead{}); !(&Allowed{by: &Policy{}, lease: Lease{issuer: &issuer{}}}).SetIdentity(h) || len(h.fields) > 0 {
		t.Errorf("an issuer's token of no Consumer: %v", h.fields)
	}
}
