// Package mint makes keys and tokens for people who try Ostiary out or test what they configured. The proxy never uses
// it: Ostiary verifies tokens, it does not issue them.
package mint

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithms are the JWS algorithms that keys can be made for.
func Algorithms() []string {
	return []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
}

// Key is a freshly made key.
type Key struct {
	// Private signs tokens: a PKCS#8 PEM block, or a random secret for HS algorithms.
	Private []byte
	// Verifier is what a JWTCredential's Secret holds: the public half as a PEM block, or the same secret.
	Verifier []byte
}

// NewKey makes a key for an algorithm: RSA keys have 2048 bits, HMAC secrets as many bits as the hash, written as
// base64url text so that they survive editors and shells.
func NewKey(algorithm string) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case "HS256", "HS384", "HS512":
		size := map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}[algorithm]
		secret := make([]byte, size)
		rand.Read(secret) // it never returns an error
		text := []byte(base64.RawURLEncoding.EncodeToString(secret))
		return Key{Private: text, Verifier: text}, nil
	case "RS256", "RS384", "RS512", "PS256", "PS384", "PS512":
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA", "Ed25519":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		return Key{}, unknownAlgorithm(algorithm)
	}
	if err != nil {
		return Key{}, fmt.Errorf("generate a key for %s: %w", algorithm, err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, fmt.Errorf("encode the private key: %w", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return Key{}, fmt.Errorf("encode the public key: %w", err)
	}
	return Key{
		Private:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privateDER}),
		Verifier: pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER}),
	}, nil
}

// Token signs claims with a private key as NewKey makes them; kid, when not empty, goes into the header.
func Token(algorithm string, private []byte, kid string, claims map[string]any) (string, error) {
	if !slices.Contains(Algorithms(), algorithm) {
		return "", unknownAlgorithm(algorithm)
	}
	key, err := signingKey(algorithm, private)
	if err != nil {
		return "", err
	}
	method := jwt.GetSigningMethod(algorithm)
	if algorithm == "Ed25519" {
		method = jwt.SigningMethodEdDSA // the same signatures under another name (RFC 9864 section 2.2)
	}
	token := jwt.NewWithClaims(method, jwt.MapClaims(claims))
	token.Header["alg"] = algorithm
	if kid != "" {
		token.Header["kid"] = kid
	}
	signed, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign with %s: %w; give a key made for that algorithm", algorithm, err)
	}
	return signed, nil
}

func signingKey(algorithm string, private []byte) (any, error) {
	if strings.HasPrefix(algorithm, "HS") {
		return private, nil
	}
	block, _ := pem.Decode(private)
	if block == nil {
		return nil, errors.New("the key file holds no PEM block; for " + algorithm + " give a private key in PEM form")
	}
	switch block.Type {
	case "RSA PRIVATE KEY":
		return x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		return x509.ParseECPrivateKey(block.Bytes)
	default:
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("parse the private key: %w", err)
		}
		return key, nil
	}
}

func unknownAlgorithm(algorithm string) error {
	return fmt.Errorf("algorithm %q is unknown; use one of %s", algorithm, strings.Join(Algorithms(), ", "))
}
