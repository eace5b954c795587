package jwt

import (
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

func BenchmarkAuthenticate(b *testing.B) {
	for _, a := range []jose.Algorithm{jose.HS256, jose.RS256, jose.EdDSA} {
		b.Run(string(a), func(b *testing.B) {
			w := newWorld(b)
			keys := map[jose.Algorithm]any{jose.HS256: w.bobSecret, jose.RS256: w.newKey, jose.EdDSA: w.ed}
			key := w.acme.Keys[0]
			switch a {
			case jose.HS256:
				key = keyring.Key{Key: parseKey(b, w.bobSecret, "new", a)}
			case jose.EdDSA:
				key = keyring.Key{Key: parseKey(b, spki(b, w.ed.Public()), "new", a)}
			default:
			}
			w.set(&keyring.Entry{
				Key: routing.ObjectKey{Namespace: "shop", Name: "bench"}, KeyID: "bench", State: keyring.StateActive,
				Consumer: w.acme.Consumer, Keys: []keyring.Key{key},
			})
			h := bearer(mint(b, string(a), keys[a], map[string]any{"kid": "new"}, jwt.MapClaims{
				"sub": "bench", "aud": "orders-api", "exp": now().Unix() + 300, "iat": now().Unix(), "scope": "orders.read orders.write",
			}))
			p := w.policy(b, nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, refused := p.Authenticate(b.Context(), h, now()); refused != nil {
					b.Fatal(refused.Reason)
				}
			}
		})
	}
}
