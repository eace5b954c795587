package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	audience = "bench"
	host     = "bench.test"
)

// keys are made for one run.
type keys struct {
	secret    string // of HS256
	rsaPublic string // PEM
	chain     string // of the server certificate, PEM
	key       string
	hs256     string // a token
	rs256     string
}

func issuer(algorithm string) string { return "https://" + algorithm + ".bench.test/" }

func newKeys() (keys, error) {
	k := keys{secret: rand.Text() + rand.Text()}
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return k, fmt.Errorf("make the RSA key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return k, fmt.Errorf("encode the RSA key: %w", err)
	}
	k.rsaPublic = encode("PUBLIC KEY", public)
	if k.hs256, err = token(jwt.SigningMethodHS256, []byte(k.secret)); err != nil {
		return k, err
	}
	if k.rs256, err = token(jwt.SigningMethodRS256, private); err != nil {
		return k, err
	}
	err = k.certify()
	return k, err
}

// token is one as identity providers make them, good for an hour.
func token(method jwt.SigningMethod, key any) (string, error) {
	now := time.Now()
	signed, err := jwt.NewWithClaims(method, jwt.MapClaims{
		"iss": issuer(method.Alg()), "sub": "user-0000000001", "aud": audience, "jti": rand.Text(), "scope": "read:orders write:orders",
		"exp": now.Add(time.Hour).Unix(), "nbf": now.Unix(), "iat": now.Unix(),
	}).SignedString(key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return signed, nil
}

// certify makes the server certificate.
func (k *keys) certify() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the certificate's key: %w", err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}, &x509.Certificate{Subject: pkix.Name{CommonName: host}}, private.Public(), private)
	if err != nil {
		return fmt.Errorf("make the certificate: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encode the certificate's key: %w", err)
	}
	k.chain, k.key = encode("CERTIFICATE", der), encode("PRIVATE KEY", pkcs8)
	return nil
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
