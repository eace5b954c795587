package jose

import (
	"math/big"
	"os"
	"path/filepath"
	"testing"
)

func newInt(data []byte) *big.Int { return new(big.Int).SetBytes(data) }

// FuzzParseKeys holds for any bytes: no panic, a key or a problem, keys for the asked algorithms alone, and no text that
// looks like another format becomes a secret unless its format says so.
func FuzzParseKeys(f *testing.F) {
	k := keysOf(f)
	seeds := []string{
		"", "hunter2", string(secret(64)), "-----BEGIN PUBLIC KEY-----", `{"keys":[]}`, `{"kty":"oct","k":"AA"}`, "<html>", "[]",
		spki(f, k.p256.Public()), spki(f, k.ed.Public()), spki(f, k.rsa.Public()), certificate(f, k.p256),
		jwkOf(f, k.p256.Public(), nil), jwkOf(f, k.ed.Public(), nil), jwkOf(f, secret(64), map[string]any{"kid": "a"}),
		set(jwkOf(f, k.p384.Public(), nil), jwkOf(f, k.rsa.Public(), map[string]any{"use": "enc"}), `{"kty":"X"}`),
		set(jwkOf(f, k.p256.Public(), map[string]any{"kid": "a"}), jwkOf(f, k.ed.Public(), map[string]any{"kid": "a"})),
		certificate(f, k.p256) + certificate(f, k.p384), spki(f, k.p521.Public()) + "junk", spki(f, k.p224.Public()),
	}
	paths, err := filepath.Glob(filepath.Join("testdata", "cookbook", "jwk", "*.json"))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no examples: %v", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(data))
	}
	for _, seed := range seeds {
		for format := range uint8(5) {
			f.Add([]byte(seed), format, false)
			f.Add([]byte(seed), format, true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, format uint8, secrets bool) {
		opts := Options{Format: Format(format), Algorithms: []Algorithm{RS256, PS256, ES256, ES384, ES512, EdDSA}}
		if secrets {
			opts.Algorithms = []Algorithm{HS256, HS384, HS512}
		}
		keys, problems, _ := Parse(data, opts)
		if len(keys)+len(problems) == 0 {
			t.Fatal("neither a key nor a problem")
		}
		if len(keys) > maxKeysInSet {
			t.Fatalf("%d keys", len(keys))
		}
		for _, key := range keys {
			if len(key.Algorithms()) == 0 {
				t.Fatal("a key that permits nothing")
			}
			for _, a := range key.Algorithms() {
				if (a.family() == familyHMAC) != secrets {
					t.Fatalf("a key permits %s", a)
				}
				if key.Verify(a, "header.payload", make([]byte, 64)) == nil {
					t.Fatal("zeros verify")
				}
			}
			if (key.Thumbprint() == "") != secrets {
				t.Fatal("a thumbprint of a secret, or none of a key")
			}
		}
		text := trim(data)
		if secrets && opts.Format == FormatAuto && len(keys) > 0 && len(text) > 0 && text[0] != '{' {
			if text[0] == '[' || looksPublic(data, text) {
				t.Fatal("text of another format became a secret")
			}
		}
	})
}
