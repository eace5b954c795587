package gate

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"testing"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestACLDeniesWhoIsNoConsumer: nobody knows which groups the bearer of a good token is in that stands for no Consumer,
// also where groups are only denied.
func TestACLDeniesWhoIsNoConsumer(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	issued := func(name string, acls ...routing.ACL) routing.Pipeline {
		p := pipeline(name, "/"+name)
		p.JWT = &routing.JWT{
			Namespace: "shop", Lookup: routing.Lookup{Name: "sub"}, MaxTokenBytes: 4096, Realm: "r",
			TokenSources: []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
			Issuers: []routing.Issuer{{
				Issuer: "idp", Algorithms: []string{"EdDSA"}, Audiences: []string{"api"}, Consumer: routing.ConsumerOptional,
				Keys: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}),
			}},
		}
		p.ACLs = acls
		return p
	}
	g := newGate(t, issued("open"), issued("denied", routing.ACL{DenyGroups: []string{"trial"}}), issued("allowed", routing.ACL{AllowGroups: []string{"gold"}}))
	now := time.Unix(1_800_000_000, 0)
	token, err := jwtlib.NewWithClaims(jwtlib.SigningMethodEdDSA, jwtlib.MapClaims{"iss": "idp", "sub": "x", "aud": "api", "exp": now.Unix() + 60}).SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Outcome{"/open": Forward, "/denied": Refuse, "/allowed": Refuse} {
		r := get(path)
		r.header = http.Header{"Authorization": {"Bearer " + token}}
		v := decide(t.Context(), g, r, now)
		if v.Outcome != want || want == Refuse && v.Refusal.Reason != refusal.GroupDenied {
			t.Errorf("%s: outcome %v, %v", path, v.Outcome, v.Refusal.Reason)
		}
	}
}
