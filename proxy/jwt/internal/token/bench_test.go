package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"hash/maphash"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/proxy/jose"
)

// BenchmarkFirstSight is a token that nobody has seen: taken apart, verified and its claims read. Beside it what golang-jwt
// takes for the same, and the standard library for the signature alone.
func BenchmarkFirstSight(b *testing.B) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	public, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	for _, row := range []struct {
		algorithm      jose.Algorithm
		private, check any
		crypto         func(input, signature []byte) bool
	}{
		{jose.HS256, secret(0), secret(0), func(input, signature []byte) bool {
			mac := hmac.New(sha256.New, secret(0))
			_, _ = mac.Write(input)
			return hmac.Equal(mac.Sum(nil), signature)
		}},
		{jose.RS256, rsaKey, rsaKey.Public(), func(input, signature []byte) bool {
			sum := sha256.Sum256(input)
			return rsa.VerifyPKCS1v15(&rsaKey.PublicKey, crypto.SHA256, sum[:], signature) == nil
		}},
		{jose.ES256, ecKey, ecKey.Public(), nil},
		{jose.EdDSA, edKey, public, func(input, signature []byte) bool { return ed25519.Verify(public, input, signature) }},
	} {
		material := secret(0)
		if signer, ok := row.private.(crypto.Signer); ok {
			der, err := x509.MarshalPKIXPublicKey(signer.Public())
			if err != nil {
				b.Fatal(err)
			}
			material = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
		}
		keys, problems, _ := jose.Parse(material, jose.Options{Algorithms: []jose.Algorithm{row.algorithm}})
		if len(keys) != 1 {
			b.Fatal(problems)
		}
		signing := jwt.NewWithClaims(jwt.GetSigningMethod(string(row.algorithm)), jwt.MapClaims{
			"sub": "bench", "aud": "orders-api", "exp": start().Unix() + 300, "iat": start().Unix(), "iss": "https://idp.example.com",
			"jti": "0b6e1a5e-8f64-4f46-8a2b-6f2c4c1d1f11", "scope": "orders.read orders.write",
		})
		signing.Header["kid"] = "k"
		text, err := signing.SignedString(row.private)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(string(row.algorithm)+"/ours", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				u, err := Parse(text, "sub")
				if err != nil {
					b.Fatal(err)
				}
				v, err := u.Verify(keys[0])
				if err != nil {
					b.Fatal(err)
				}
				if _, err := v.Claims(); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(row.algorithm)+"/golang-jwt", func(b *testing.B) {
			parser := jwt.NewParser(jwt.WithTimeFunc(start), jwt.WithValidMethods([]string{string(row.algorithm)}))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parser.Parse(text, func(*jwt.Token) (any, error) { return row.check, nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
		if row.crypto == nil {
			continue
		}
		u, err := Parse(text, "sub")
		if err != nil {
			b.Fatal(err)
		}
		input := []byte(u.parts.signingInput)
		b.Run(string(row.algorithm)+"/signature-alone", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !row.crypto(input, u.parts.signature) {
					b.Fatal("does not verify")
				}
			}
		})
	}
}

// BenchmarkSeenBefore is a token that the cache knows, one of that many.
func BenchmarkSeenBefore(b *testing.B) {
	key := keyOf(b, 0)
	for name, tokens := range map[string]int{"one": 1, "10000": 10_000} {
		b.Run(name, func(b *testing.B) {
			c := NewCache(64 << 20)
			texts := make([]string, 0, tokens)
			for i := 0; len(texts) < tokens; i++ {
				text := numbered(b, i, start())
				// A set that is full already would forget one of ours.
				if s := c.set(maphash.Comparable(c.seed, text)); s.empty() >= 0 {
					take(b, c, text, key, start())
					texts = append(texts, text)
				}
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				u, err := c.Parse(texts[i*7919%tokens], "sub", start())
				if err != nil {
					b.Fatal(err)
				}
				if _, known := u.Known(key); !known {
					b.Fatal("not known")
				}
			}
		})
	}
}
