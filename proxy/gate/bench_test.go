package gate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

func clock() time.Time { return time.Unix(1_800_000_000, 0) }

// door is a Gate with one credential for each algorithm, whose keyID and kid are the algorithm's name.
type door struct {
	gate   *Gate
	tokens map[string]string
}

func newDoor(tb testing.TB, change func(*routing.JWT)) *door {
	tb.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		tb.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	secret[0] = 0xff // so that it never looks like a document
	ring := keyring.New()
	d := &door{tokens: map[string]string{}}
	for algorithm, private := range map[jose.Algorithm]any{jose.HS256: secret, jose.RS256: rsaKey, jose.ES256: ecKey, jose.EdDSA: edKey} {
		name := string(algorithm)
		material := secret
		if signer, ok := private.(crypto.Signer); ok {
			der, err := x509.MarshalPKIXPublicKey(signer.Public())
			if err != nil {
				tb.Fatal(err)
			}
			material = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
		keys, problems, _ := jose.Parse(material, jose.Options{KID: name, Algorithms: []jose.Algorithm{algorithm}})
		if len(keys) != 1 {
			tb.Fatal(problems)
		}
		ring.Set(&keyring.Entry{
			Key: key(name), KeyID: name, State: keyring.StateActive, Keys: keyring.Keys(keys...), Scopes: []string{"read", "write", "admin"},
			Consumer: keyring.NewConsumer(keyring.Consumer{
				Key: key(name), UID: "7c0c7f1e-6f0b-4f4e-9f0e-0c9f5d0a1b2c", Username: name, CustomID: "crm-4711",
				Groups: []string{"partners", "readers", "writers"}, Scopes: []string{"read", "write"}, State: keyring.StateActive,
			}),
		})
		token := gojwt.NewWithClaims(gojwt.GetSigningMethod(name), gojwt.MapClaims{
			"sub": name, "aud": "orders-api", "exp": clock().Unix() + 300, "iat": clock().Unix(), "iss": "https://idp.example.com",
			"jti": "0b6e1a5e-8f64-4f46-8a2b-6f2c4c1d1f11", "scope": "read write admin", "tenant": "acme",
		})
		token.Header["kid"] = name
		compact, err := token.SignedString(private)
		if err != nil {
			tb.Fatal(err)
		}
		d.tokens[name] = compact
	}
	policy := routing.JWT{
		Namespace: "shop", Lookup: routing.Lookup{Name: "sub"}, Audiences: []string{"orders-api"}, MaxTokenBytes: 8192, Realm: "r",
		TokenSources: []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}}, RequiredScopes: []string{"read"},
	}
	if change != nil {
		change(&policy)
	}
	guarded := pipeline("guarded", "/guarded")
	guarded.JWT = &policy
	guarded.ACLs = []routing.ACL{{AllowGroups: []string{"writers"}, DenyGroups: []string{"banned"}}}
	guarded.Matches[0].Scopes = []string{"write"}
	upstreams := upstream.NewRegistry(upstream.Options{})
	tb.Cleanup(upstreams.Close)
	upstreams.Apply([]routing.Upstream{{Key: key("backend"), Backends: []routing.Backend{{Service: key("svc"), Port: 80, Weight: 1}}}})
	g, problems := New(routing.Config{
		Pipelines:       []routing.Pipeline{guarded, pipeline("public", "/public")},
		ReservedHeaders: []routing.ReservedHeaders{{Namespace: "shop", Names: []string{"X-Tenant"}}},
	}, Deps{Keyring: ring, Upstreams: upstreams, TokenCache: jwt.NewCache(jwt.CacheOptions{Bytes: jwt.DefaultCacheBytes})})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	d.gate = g
	return d
}

func BenchmarkDecide(b *testing.B) {
	d := newDoor(b, nil)
	bench := func(name, path, token string) {
		b.Run(name, func(b *testing.B) {
			h := &plainHead{}
			authorization := "Bearer " + token
			b.ReportAllocs()
			for b.Loop() {
				h.load(path, plainField{"Host", "app.test"}, plainField{"User-Agent", "curl/8.5.0"}, plainField{"Accept", "*/*"},
					plainField{"Authorization", authorization}, plainField{"Accept-Encoding", "gzip, deflate, br"},
					plainField{"X-Correlation", "0123456789abcdef"})
				if v := decide(b.Context(), d.gate, h, clock()); v.Outcome != Forward {
					b.Fatal(v.Refusal.Reason)
				}
			}
		})
	}
	bench("public", "/public/orders/4711", "")
	for _, name := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		bench(name, "/guarded/orders/4711", d.tokens[name])
	}
}
