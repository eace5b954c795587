package mint

import (
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
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
			verifier := any(key.Verifier)
			if block, _ := pem.Decode(key.Verifier); block != nil {
				if verifier, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
					t.Fatal(err)
				}
			}
			parsed, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return verifier, nil }, jwt.WithValidMethods([]string{algorithm}))
			if err != nil {
				t.Fatalf("parse the token: %v", err)
			}
			if parsed.Header["kid"] != "k1" {
				t.Errorf("got kid %v, want k1", parsed.Header["kid"])
			}
			if subject, _ := parsed.Claims.GetSubject(); subject != "acme" {
				t.Errorf("got sub %q, want acme", subject)
			}
		})
	}
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
