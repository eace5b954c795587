//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/ostiary/ostiary/internal/mint"
)

// demoLifetime is that of the demo's token and certificates: longer than a shell
// is left open.
const demoLifetime = 7 * 24 * time.Hour

// demoKeys are the keys that config/samples expects in Secrets, fresh each time.
type demoKeys struct {
	consumer, server pair   // the consumer acme's key, and that of api.example.com
	batch            []byte // a shared secret
	token            string // of the consumer

	privateKeyFile  string // the consumer's
	certificateFile string // the server's, for clients to trust
}

// pair is a key with its certificate, both as PEM.
type pair struct{ key, certificate []byte }

func newDemoKeys(dir string) (*demoKeys, error) {
	k := &demoKeys{
		privateKeyFile:  filepath.Join(dir, "acme.key"),
		certificateFile: filepath.Join(dir, "api-tls.crt"),
	}
	var err error
	if k.consumer, err = newPair("acme"); err != nil {
		return nil, err
	}
	if k.server, err = newPair(demoHost); err != nil {
		return nil, err
	}
	shared, err := mint.NewKey("HS256")
	if err != nil {
		return nil, fmt.Errorf("make a shared secret: %w", err)
	}
	k.batch = shared.Verifier
	now := time.Now()
	k.token, err = mint.Token("ES256", k.consumer.key, "", map[string]any{
		"sub": "acme-orders", "iss": "https://acme.example", "aud": "orders-api", "scope": "orders.read",
		"iat": now.Unix(), "exp": now.Add(demoLifetime).Unix(),
	})
	if err != nil {
		return nil, fmt.Errorf("sign a token: %w", err)
	}
	for file, content := range map[string][]byte{k.privateKeyFile: k.consumer.key, k.certificateFile: k.server.certificate} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			return nil, fmt.Errorf("write a key: %w", err)
		}
	}
	return k, nil
}

// newPair makes a key for ES256 with a self-signed certificate.
func newPair(name string) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("generate the key of %s: %w", name, err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(demoLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return pair{}, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encode the key of %s: %w", name, err)
	}
	return pair{
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
	}, nil
}

// manifest is the YAML of the Secrets.
func (k *demoKeys) manifest() (string, error) {
	var all []byte
	for _, secret := range []corev1.Secret{
		{
			ObjectMeta: metav1.ObjectMeta{Name: "acme-jwt"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: k.consumer.certificate, corev1.TLSPrivateKeyKey: k.consumer.key},
		},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "api-tls"}, Type: corev1.SecretTypeTLS,
			Data: map[string][]byte{corev1.TLSCertKey: k.server.certificate, corev1.TLSPrivateKeyKey: k.server.key},
		},
		{ObjectMeta: metav1.ObjectMeta{Name: "batch-jwt"}, Data: map[string][]byte{"secret": k.batch}},
		{ObjectMeta: metav1.ObjectMeta{Name: "legacy-ca"}, Data: map[string][]byte{"ca.crt": k.server.certificate}},
	} {
		secret.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
		secret.Namespace = demoNamespace
		content, err := yaml.Marshal(secret)
		if err != nil {
			return "", fmt.Errorf("encode a Secret: %w", err)
		}
		all = append(append(all, "---\n"...), content...)
	}
	return string(all), nil
}
