package compile_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// selfSigned is a certificate that expired long ago: whether it has is for clients to judge.
func selfSigned(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{"api.example.com"},
		NotBefore:    time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2002, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func block(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// certificateFor compiles a Pipeline with such a Secret.
func certificateFor(t *testing.T, secret compile.Secret) (routing.Certificate, compile.Condition) {
	t.Helper()
	config, report := compile.Compile(compile.Snapshot{
		Options: compile.Options{Classes: compile.ClassesAll},
		Secrets: map[routing.ObjectKey]compile.Secret{{Namespace: "shop", Name: "tls"}: secret},
		Pipelines: []*v1alpha1.Pipeline{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders"},
			Spec: v1alpha1.PipelineSpec{
				TLS:          []v1alpha1.PipelineTLS{{Hosts: []string{"api.example.com"}, SecretName: "tls"}},
				APIEndpoints: []v1alpha1.APIEndpoint{{Name: "all"}},
				Policies:     []v1alpha1.Policy{{Name: "a", Type: v1alpha1.PolicyTerminate, Terminate: &v1alpha1.TerminatePolicy{StatusCode: 204}}},
			},
		}},
	})
	if len(config.Certificates) != 1 {
		t.Fatalf("got %d certificates, want 1", len(config.Certificates))
	}
	for _, c := range report.Pipelines[routing.ObjectKey{Namespace: "shop", Name: "orders"}].Conditions {
		if c.Type == v1alpha1.ConditionResolvedRefs {
			return config.Certificates[0], c
		}
	}
	t.Fatal("no condition ResolvedRefs")
	return routing.Certificate{}, compile.Condition{}
}

func TestPrivateKeysOfEveryForm(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, sec1Err := x509.MarshalECPrivateKey(ec)
	pkcs8, pkcs8Err := x509.MarshalPKCS8PrivateKey(ed)
	parameters := []byte("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n")

	tests := map[string]struct {
		key        crypto.Signer
		pem        []byte
		wantReason v1alpha1.Reason
	}{
		"SEC 1, behind its parameters": {ec, append(parameters, block(t, "EC PRIVATE KEY", sec1, sec1Err)...), v1alpha1.ReasonResolvedRefs},
		"PKCS#1":                       {rsaKey, block(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey), nil), v1alpha1.ReasonResolvedRefs},
		"PKCS#8 with Ed25519":          {ed, block(t, "PRIVATE KEY", pkcs8, pkcs8Err), v1alpha1.ReasonResolvedRefs},
		"encrypted":                    {ec, block(t, "ENCRYPTED PRIVATE KEY", []byte("x"), nil), v1alpha1.ReasonInvalid},
		"the parameters alone":         {ec, parameters, v1alpha1.ReasonInvalid},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			certificate, resolved := certificateFor(t, compile.Secret{Type: corev1.SecretTypeTLS, Data: map[string]compile.SecretBytes{
				"tls.crt": selfSigned(t, tc.key), "tls.key": tc.pem,
			}})
			if resolved.Reason != tc.wantReason {
				t.Errorf("ResolvedRefs has the reason %s (%s), want %s", resolved.Reason, resolved.Message, tc.wantReason)
			}
			usable := len(certificate.Chain) > 0 && len(certificate.Key) > 0
			if want := tc.wantReason == v1alpha1.ReasonResolvedRefs; usable != want {
				t.Errorf("usable: %t, want %t", usable, want)
			}
		})
	}
}

// Some tools write the key into both entries; it must not leave the Secret as a part of the public chain.
func TestChainHoldsCertificatesOnly(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(ec)
	key := block(t, "EC PRIVATE KEY", der, err)
	certificate, resolved := certificateFor(t, compile.Secret{Data: map[string]compile.SecretBytes{
		"tls.crt": append(key, selfSigned(t, ec)...), "tls.key": compile.SecretBytes(key),
	}})
	if resolved.Reason != v1alpha1.ReasonResolvedRefs {
		t.Fatalf("ResolvedRefs: %s", resolved.Message)
	}
	if len(certificate.Chain) == 0 || strings.Contains(string(certificate.Chain), "PRIVATE KEY") {
		t.Errorf("the chain has %d bytes, or holds the private key", len(certificate.Chain))
	}
}
