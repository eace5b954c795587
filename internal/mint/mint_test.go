package mint

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/jose"
)

func TestTokensVerifyWithTheirVerifier(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			key, err := NewKey(algorithm)
			if err != nil {
				t.Fatal(err)
			}
			token, err := Token(algorithm, key.Private, "k1", map[string]any{"sub": "acme"})
			if err != nil {
				t.Fatal(err)
			}
			keys, problems, _ := jose.Parse(key.Verifier, jose.Options{Algorithms: []jose.Algorithm{jose.Algorithm(algorithm)}})
			if len(keys) != 1 {
				t.Fatalf("read the verifier: %v", problems)
			}
			parts := strings.Split(token, ".")
			if len(parts) != 3 {
				t.Fatalf("a token of %d parts", len(parts))
			}
			var header struct{ Alg, KID string }
			var claims struct{ Sub string }
			signature, err := base64.RawURLEncoding.DecodeString(parts[2])
			if err := errors.Join(err, decode(parts[0], &header), decode(parts[1], &claims)); err != nil {
				t.Fatal(err)
			}
			if err := keys[0].Verify(jose.Algorithm(algorithm), parts[0]+"."+parts[1], signature); err != nil {
				t.Errorf("verify the token: %v", err)
			}
			if header.Alg != algorithm || header.KID != "k1" || claims.Sub != "acme" {
				t.Errorf("header %+v, claims %+v", header, claims)
			}
		})
	}
}

func decode(part string, into any) error {
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func TestMistakesAreExplained(t *testing.T) {
	ecKey, err := NewKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		algorithm string
		key       []byte
		want      string
	}{
		"unknown algorithm":             {"none", nil, "use one of HS256"},
		"no PEM":                        {"ES256", []byte("secret"), "private key in PEM form"},
		"key of another algorithm":      {"RS256", ecKey.Private, "give a key made for that algorithm"},
		"public key instead of private": {"ES256", ecKey.Verifier, "parse the private key"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Token(tc.algorithm, tc.key, "", nil); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := NewKey("none"); err == nil {
		t.Error("NewKey made a key for the algorithm none")
	}
}
