package jwt

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// now is the time of all tests.
func now() time.Time { return time.Unix(1_800_000_000, 0) }

var rsaKeys = sync.OnceValues(func() ([2]*rsa.PrivateKey, error) {
	var keys [2]*rsa.PrivateKey
	for i := range keys {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			return keys, err
		}
		keys[i] = key
	}
	return keys, nil
})

// world has two consumers: acme signs with RS256 (keys "new" and "old") and is the credential "acme-orders"; bob signs with HS256.
type world struct {
	ring         *keyring.Keyring
	cache        *Cache
	newKey, old  *rsa.PrivateKey
	bobSecret    []byte
	newPEM       []byte
	acme, bob    keyring.Entry
	ed           ed25519.PrivateKey
	renamed, pss *jose.Key // old under the name "new", new for PS256 alone
	acmeConsumer keyring.Consumer
}

func newWorld(t testing.TB) *world {
	t.Helper()
	keys, err := rsaKeys()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{ring: keyring.New(), cache: NewCache(CacheOptions{Bytes: 1 << 20}), newKey: keys[0], old: keys[1], bobSecret: make([]byte, 32)}
	for i := range w.bobSecret {
		w.bobSecret[i] = byte(i*13 + 1)
	}
	if _, w.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	w.newPEM = spki(t, w.newKey.Public())
	w.renamed, w.pss = parseKey(t, spki(t, w.old.Public()), "new", jose.RS256), parseKey(t, w.newPEM, "new", jose.PS256)
	w.acmeConsumer = keyring.Consumer{
		Key: routing.ObjectKey{Namespace: "shop", Name: "acme"}, UID: "uid-acme", Username: "acme", CustomID: "crm-4711",
		Groups: []string{"partners"}, State: keyring.StateActive,
	}
	w.acme = keyring.Entry{
		Key: routing.ObjectKey{Namespace: "shop", Name: "acme-orders"}, Created: time.Unix(100, 0), KeyID: "acme",
		Labels: map[string]string{"tier": "partner"}, State: keyring.StateActive, Consumer: &w.acmeConsumer,
		Keys: keyring.Keys(
			parseKey(t, w.newPEM, "new", jose.RS256),
			parseKey(t, spki(t, w.old.Public()), "old", jose.RS256),
		),
	}
	w.bob = keyring.Entry{
		Key: routing.ObjectKey{Namespace: "shop", Name: "bob"}, Created: time.Unix(200, 0), KeyID: "bob", State: keyring.StateActive,
		Consumer: &keyring.Consumer{Key: routing.ObjectKey{Namespace: "shop", Name: "bob"}, Username: "bob", State: keyring.StateActive},
		Keys:     keyring.Keys(parseKey(t, w.bobSecret, "", jose.HS256)),
	}
	w.set(&w.acme)
	w.set(&w.bob)
	return w
}

// set puts a copy, so that a test can go on changing its own.
func (w *world) set(e *keyring.Entry) {
	entry := *e
	if e.Consumer != nil {
		consumer := *e.Consumer
		entry.Consumer = &consumer
	}
	w.ring.Set(&entry)
}

func (w *world) policy(t testing.TB, change func(*routing.JWT)) *Policy {
	t.Helper()
	cfg := basePolicy()
	if change != nil {
		change(&cfg)
	}
	p, err := NewPolicy(cfg, Deps{Keyring: w.ring, Cache: w.cache})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func basePolicy() routing.JWT {
	return routing.JWT{
		Namespace:     "shop",
		Lookup:        routing.Lookup{Type: routing.LookupClaim, Name: "sub"},
		Audiences:     []string{"orders-api"},
		TokenSources:  []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
		MaxTokenBytes: 8192,
	}
}

func parseKey(t testing.TB, data []byte, kid string, a ...jose.Algorithm) *jose.Key {
	t.Helper()
	keys, problems, _ := jose.Parse(data, jose.Options{KID: kid, Algorithms: a})
	if len(keys) != 1 {
		t.Fatalf("%d keys, problems %v", len(keys), problems)
	}
	return keys[0]
}

func spki(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// claims are acme's usual ones with changes over them; nil leaves a claim out.
func claims(changes map[string]any) map[string]any {
	c := map[string]any{"sub": "acme", "aud": "orders-api", "exp": now().Unix() + 300, "iat": now().Unix() - 10}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// mint signs a token; header parameters go over alg and typ.
func mint(t testing.TB, a string, key any, header, payload map[string]any) string {
	t.Helper()
	h := map[string]any{"alg": a, "typ": "JWT"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	return sign(t, a, key, string(encode(t, h)), string(encode(t, payload)))
}

// sign signs header and payload texts as they are.
func sign(t testing.TB, a string, key any, header, payload string) string {
	t.Helper()
	input := b64([]byte(header)) + "." + b64([]byte(payload))
	signature, err := jwt.GetSigningMethod(a).Sign(input, key)
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + b64(signature)
}

func encode(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// accepted stands for no refusal in tables.
const accepted = refusal.Reason(255)

// judge authenticates and returns the reason, or accepted. What is decided once the token was seen, and what is explained,
// must agree with it.
func judge(t testing.TB, p *Policy, h *testHead) (refusal.Reason, Allowed) {
	t.Helper()
	allowed, refused := p.Authenticate(t.Context(), h, now())
	for range 2 {
		again, refusedAgain := p.Authenticate(t.Context(), h, now())
		if diff := cmp.Diff(refused, refusedAgain) + cmp.Diff(allowed.Identity(), again.Identity(), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(keyring.Consumer{})) +
			cmp.Diff(allowed.fields, again.fields, cmp.AllowUnexported(claimField{}), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("decided otherwise once the token was seen (-first +again):\n%s", diff)
		}
	}
	switch {
	case allowed.Granted() != (refused == nil):
		t.Fatalf("granted %t with refusal %v", allowed.Granted(), refused)
	case refused == nil:
		checkExplanation(t, p, h, accepted)
		return accepted, allowed
	case allowed.Identity().Consumer != nil:
		t.Fatal("a refused request has an identity")
	}
	checkExplanation(t, p, h, refused.Reason)
	return refused.Reason, allowed
}

func word(r refusal.Reason) string {
	if r == accepted {
		return "accepted"
	}
	return r.String()
}
