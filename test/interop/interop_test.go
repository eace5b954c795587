package interop

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	now    = 1_800_000_000
	claims = `{"sub":"acme","aud":"orders-api","iat":1799999990,"exp":1800000300,"scope":"read write"}`
)

// minted is what mint.mjs writes of one token.
type minted struct {
	Library   string `json:"library"`
	Version   string `json:"version"`
	Algorithm string `json:"algorithm"`
	Token     string `json:"token"`
	Key       struct {
		Format string `json:"format"`
		Value  string `json:"value"`
	} `json:"key"`
}

// TestTokensOfOtherLibraries accepts a token of each library with each algorithm, and refuses its tampered twins.
func TestTokensOfOtherLibraries(t *testing.T) {
	seen := map[string][]string{}
	for _, m := range mint(t) {
		t.Run(m.Library+"/"+m.Algorithm, func(t *testing.T) {
			seen[m.Library] = append(seen[m.Library], m.Algorithm)
			policy := policyFor(t, m)
			allowed, refused := policy.Authenticate(t.Context(), bearer(m.Token), time.Unix(now, 0))
			if refused != nil {
				t.Fatalf("%s %s: refused as %v", m.Library, m.Version, refused.Reason)
			}
			if got := allowed.Identity().Consumer.Username; got != "acme" {
				t.Errorf("consumer %q", got)
			}
			if got := allowed.Identity().Scopes; !slices.Equal(got, []string{"read", "write"}) {
				t.Errorf("scopes %q", got)
			}
			for what, twin := range twins(t, m.Token) {
				allowed, refused := policy.Authenticate(t.Context(), bearer(twin), time.Unix(now, 0))
				switch {
				case refused == nil || allowed.Granted():
					t.Errorf("%s: accepted", what)
				case refused.Reason != refusal.SignatureInvalid:
					t.Errorf("%s: refused as %v, want %v", what, refused.Reason, refusal.SignatureInvalid)
				}
			}
			underTheOtherName(t, m)
		})
	}
	hmac, rsa, ec := []string{"HS256", "HS384", "HS512"}, []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, []string{"ES256", "ES384", "ES512"}
	for library, want := range map[string][]string{
		"jose":         slices.Concat(rsa, ec, []string{"EdDSA", "Ed25519"}, hmac),
		"jsonwebtoken": slices.Concat(rsa, ec, hmac),
	} {
		if !slices.Equal(seen[library], want) {
			t.Errorf("%s minted %q, want %q", library, seen[library], want)
		}
	}
}

// underTheOtherName asserts that a credential takes the name of an algorithm that it lists, although EdDSA and Ed25519 are
// the same signature by the same key.
func underTheOtherName(t *testing.T, m minted) {
	t.Helper()
	name, ok := map[string]string{"EdDSA": "Ed25519", "Ed25519": "EdDSA"}[m.Algorithm]
	if !ok {
		return
	}
	if keys, _, _ := jose.Parse([]byte(m.Key.Value), jose.Options{Algorithms: []jose.Algorithm{jose.Algorithm(name)}}); len(keys) > 0 {
		t.Errorf("a key that says %s is taken for %s", m.Algorithm, name)
	}
	m.Key.Value = strings.Replace(m.Key.Value, `"alg":"`+m.Algorithm+`"`, `"alg":"`+name+`"`, 1)
	m.Algorithm = name
	_, refused := policyFor(t, m).Authenticate(t.Context(), bearer(m.Token), time.Unix(now, 0))
	if refused == nil || refused.Reason != refusal.AlgorithmNotAllowed {
		t.Errorf("for a credential of %s: %+v, want %v", name, refused, refusal.AlgorithmNotAllowed)
	}
}

// twins are the token with its header, its payload or its signature changed, each well-formed.
func twins(t *testing.T, token string) map[string]string {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("a token of %d parts", len(parts))
	}
	octets := make([][]byte, len(parts))
	for i, part := range parts {
		var err error
		if octets[i], err = base64.RawURLEncoding.DecodeString(part); err != nil {
			t.Fatal(err)
		}
	}
	with := func(i int, changed []byte) string {
		out := slices.Clone(parts)
		out[i] = base64.RawURLEncoding.EncodeToString(changed)
		return strings.Join(out, ".")
	}
	member := func(object []byte) []byte { return append(bytes.TrimSuffix(object, []byte("}")), `,"x":1}`...) }
	signature := octets[2]
	all := map[string]string{
		"header with one more parameter": with(0, member(octets[0])),
		"payload with one more claim":    with(1, member(octets[1])),
		"another audience as well":       with(1, bytes.Replace(octets[1], []byte(`"orders-api"`), []byte(`["orders-api","x"]`), 1)),
		"a second more":                  with(1, bytes.Replace(octets[1], []byte("1800000300"), []byte("1800000301"), 1)),
		"signature one byte shorter":     with(2, signature[:len(signature)-1]),
		"signature one byte longer":      with(2, append(slices.Clone(signature), 0)),
		"signature of zeros":             with(2, make([]byte, len(signature))),
	}
	for _, at := range []int{0, len(signature) / 2, len(signature) - 1} {
		flipped := slices.Clone(signature)
		flipped[at] ^= 1
		all[fmt.Sprintf("signature with one bit flipped in byte %d", at)] = with(2, flipped)
	}
	for what, twin := range all {
		if twin == token {
			t.Fatalf("%s: the token is unchanged", what)
		}
	}
	return all
}

// policyFor is a policy over one credential with the token's key.
func policyFor(t *testing.T, m minted) *jwt.Policy {
	t.Helper()
	formats := map[string]jose.Format{"JWK": jose.FormatJWK, "PEM": jose.FormatPEM, "Octets": jose.FormatOctets}
	format, ok := formats[m.Key.Format]
	if !ok {
		t.Fatalf("format %q", m.Key.Format)
	}
	keys, problems, _ := jose.Parse([]byte(m.Key.Value), jose.Options{Format: format, Algorithms: []jose.Algorithm{jose.Algorithm(m.Algorithm)}})
	if len(keys) != 1 {
		t.Fatalf("%d keys: %v", len(keys), problems)
	}
	ring := keyring.New()
	key := routing.ObjectKey{Namespace: "shop", Name: "acme"}
	ring.Set(&keyring.Entry{
		Key: key, KeyID: "acme", State: keyring.StateActive, Keys: keyring.Keys(keys...),
		Consumer: &keyring.Consumer{Key: key, Username: "acme", State: keyring.StateActive},
	})
	policy, err := jwt.NewPolicy(routing.JWT{
		Namespace:     "shop",
		Lookup:        routing.Lookup{Type: routing.LookupClaim, Name: "sub"},
		Audiences:     []string{"orders-api"},
		TokenSources:  []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
		MaxTokenBytes: 8192,
	}, jwt.Deps{Keyring: ring})
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// mint runs mint.mjs, and skips the test where the libraries can't be had.
func mint(t *testing.T) []minted {
	t.Helper()
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: tokens of other libraries were not verified: %v", err)
		}
	}
	dir := install(t)
	cmd := exec.CommandContext(t.Context(), "node", filepath.Join(dir, "mint.mjs"), claims)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("mint tokens: %v\n%s", err, stderr.Bytes())
	}
	var tokens []minted
	if err := json.Unmarshal(out, &tokens); err != nil {
		t.Fatalf("read the tokens: %v", err)
	}
	return tokens
}

// install puts the libraries into the user's cache, once for each content of this folder, and returns where.
func install(t *testing.T) string {
	t.Helper()
	files := []string{"package.json", "package-lock.json", "mint.mjs"}
	sum := sha256.New()
	content := map[string][]byte{}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		content[name] = data
		sum.Write(data)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	parent := filepath.Join(cache, "ostiary")
	dir := filepath.Join(parent, "interop-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	temporary, err := os.MkdirTemp(parent, "interop-new-") //nolint:usetesting // what is renamed must be on the same file system
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temporary) })
	for name, data := range content {
		if err := os.WriteFile(filepath.Join(temporary, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	cmd.Dir = temporary
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: tokens of other libraries were not verified, since these could not be installed: %v\n%s", err, out)
	}
	// Whole or not at all: another run may have been faster.
	if err := os.Rename(temporary, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return dir
}

// request is a head with one token.
type request struct{ authorization string }

var _ head.Head = request{}

func bearer(token string) request { return request{"Bearer " + token} }

func (request) Method() string               { return "GET" }
func (request) Scheme() string               { return "https" }
func (request) Authority() string            { return "api.example.com" }
func (request) Path() string                 { return "/orders" }
func (request) Query() string                { return "" }
func (request) ClientAddr() netip.AddrPort   { return netip.AddrPort{} }
func (request) ServerName() string           { return "" }
func (request) SetPath(string)               {}
func (request) SetQuery(string)              {}
func (request) Set(string, string)           {}
func (request) Delete(string)                {}
func (request) DeleteFunc(func(string) bool) {}
func (request) DeleteIdentity()              {}
func (request) Put(head.Block)               {}

func (r request) Names(yield func(string) bool) { yield("Authorization") }

func (r request) Values(name string) []string {
	if name == "Authorization" {
		return []string{r.authorization}
	}
	return nil
}
