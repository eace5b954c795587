package jwt

import (
	"crypto/rsa"
	"encoding/json"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestOneKIDOfSeveral: two issuers and a credential have a key of the same kid. Each kid is looked up among the keys of who
// the token says it is of, never by itself.
func TestOneKIDOfSeveral(t *testing.T) {
	w := newIssuedWorld(t, false)
	const kid = "ec" // of testIssuer's set
	farm, acme := stranger(t), stranger(t)
	set, err := json.Marshal(josev4.JSONWebKeySet{Keys: []josev4.JSONWebKey{{Key: farm.Public(), KeyID: kid}}})
	if err != nil {
		t.Fatal(err)
	}
	w.acme.Keys = keyring.Keys(parseKey(t, spki(t, acme.Public()), kid, jose.ES256))
	w.set(&w.acme)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.Issuers[0] = routing.Issuer{Issuer: buildIssuer, Algorithms: []string{"ES256"}, Keys: set, Consumer: routing.ConsumerOptional}
	})
	signers := map[string]any{"the provider": w.ec, "the build farm": farm, "the credential": acme}
	issuers := map[string]string{"the provider": testIssuer, "the build farm": buildIssuer, "the credential": ""}
	for signer, key := range signers {
		for named, issuer := range issuers {
			t.Run("Q28 signed by "+signer+" in the name of "+named, func(t *testing.T) {
				c := claims(nil)
				if issuer != "" {
					c["iss"] = issuer
				}
				want := refusal.SignatureInvalid
				if signer == named {
					want = accepted
				}
				if got, _ := judge(t, p, bearer(mint(t, "ES256", key, map[string]any{"kid": kid}, c))); got != want {
					t.Errorf("%s, want %s", word(got), word(want))
				}
			})
		}
	}
}

// TestWindowsAgainstTheClock moves the clock over a token of one key: the key is used in [notBefore, notAfter).
func TestWindowsAgainstTheClock(t *testing.T) {
	// The end of the last leap second so far. Unix time has none: the second before is twice as long, and the bound is where
	// it always was.
	leap := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
	day := 24 * time.Hour
	w := newWorld(t)
	for name, tc := range map[string]struct {
		from, until time.Time
		at          time.Time
		want        refusal.Reason
	}{
		"Q10 before it begins":           {leap, leap.Add(day), leap.Add(-1), refusal.KeyUnknown},
		"Q10 as it begins":               {leap, leap.Add(day), leap, accepted},
		"Q10 before it ends":             {leap, leap.Add(day), leap.Add(day - 1), accepted},
		"Q10 as it ends":                 {leap, leap.Add(day), leap.Add(day), refusal.KeyUnknown},
		"Q10 long after":                 {leap, leap.Add(day), leap.Add(1000 * day), refusal.KeyUnknown},
		"Q10 as an empty window begins":  {leap, leap, leap, refusal.KeyUnknown},
		"Q10 before an empty window":     {leap, leap, leap.Add(-1), refusal.KeyUnknown},
		"Q10 after an empty window":      {leap, leap, leap.Add(1), refusal.KeyUnknown},
		"Q10 in the leap second":         {time.Time{}, leap, leap.Add(-time.Second / 2), accepted},
		"Q10 after the leap second":      {time.Time{}, leap, leap, refusal.KeyUnknown},
		"Q10 without any bound":          {time.Time{}, time.Time{}, leap, accepted},
		"Q10 a clock of before all this": {leap, time.Time{}, time.Unix(0, 0), refusal.KeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			entry := w.acme
			entry.Keys = keyring.Keys(parseKey(t, w.newPEM, "new", jose.RS256))
			entry.Keys[0].NotBefore, entry.Keys[0].NotAfter = tc.from, tc.until
			w.set(&entry)
			if got := at(t, w, w.newKey, tc.at); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// at judges a token that is good at a moment, then.
func at(t *testing.T, w *world, key *rsa.PrivateKey, now time.Time) refusal.Reason {
	t.Helper()
	token := mint(t, "RS256", key, map[string]any{"kid": "new"}, claims(map[string]any{
		"iat": now.Unix() - 1, "nbf": nil, "exp": now.Unix() + 60,
	}))
	_, refused := w.policy(t, nil).Authenticate(t.Context(), bearer(token), now)
	if refused == nil {
		return accepted
	}
	return refused.Reason
}
