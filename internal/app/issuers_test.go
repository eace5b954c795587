package app

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/ostiary/ostiary/internal/mint"
	"github.com/ostiary/ostiary/proxy/jwks"
)

// identityProvider is a real HTTPS server with the metadata of OpenID Connect and a JWK Set.
type identityProvider struct {
	*httptest.Server
	fetches atomic.Int64 // of the set

	mu   sync.Mutex
	keys josev4.JSONWebKeySet
	fail bool
}

func newIdentityProvider(t *testing.T) *identityProvider {
	t.Helper()
	p := &identityProvider{}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.URL + "/", "jwks_uri": p.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.fail {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(p.keys)
	})
	p.Server = httptest.NewTLSServer(mux)
	t.Cleanup(p.Close)
	return p
}

// publish adds a new key and returns its private half.
func (p *identityProvider) publish(t *testing.T, kid string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys.Keys = append(p.keys.Keys, josev4.JSONWebKey{Key: key.Public(), KeyID: kid, Use: "sig"})
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// withdraw takes a key away.
func (p *identityProvider) withdraw(kid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kept []josev4.JSONWebKey
	for _, key := range p.keys.Keys {
		if key.KeyID != kid {
			kept = append(kept, key)
		}
	}
	p.keys.Keys = kept
}

func (p *identityProvider) token(t *testing.T, private []byte, kid string, claims map[string]any) string {
	t.Helper()
	all := map[string]any{"iss": p.URL + "/", "aud": "orders-api", "sub": "user-7", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, claims)
	token, err := mint.Token("ES256", private, kid, all)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (p *identityProvider) manifests() string {
	var ca strings.Builder
	for line := range strings.Lines(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}))) {
		ca.WriteString("    " + line)
	}
	return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: idp-ca}
stringData:
  ca.crt: |
%[2]s
---
apiVersion: ostiary.dev/v1alpha1
kind: Consumer
metadata: {name: acme}
spec:
  identities: [{issuer: "%[1]s/", claim: azp, value: acme-app}]
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: orders}
spec:
  apiEndpoints: [{name: all, paths: [{type: PathPrefix, value: /orders}]}]
  policies:
  - name: auth
    type: JWT
    jwt:
      audiences: [orders-api]
      issuers:
      - issuer: "%[1]s/"
        algorithms: [ES256]
        keys: {type: Discovery, discovery: {caCertificateRef: {name: idp-ca, key: ca.crt}}}
        consumer: Optional
      - issuer: dead
        algorithms: [ES256]
        keys: {type: RemoteJWKS, remoteJWKS: {uri: "%[1]s/nothing", caCertificateRef: {name: idp-ca, key: ca.crt}}}
  - {name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: api}}}
---
apiVersion: ostiary.dev/v1alpha1
kind: JWTCredential
metadata: {name: acme-remote}
spec:
  consumerRef: {name: acme}
  algorithms: [ES256]
  remoteJWKS: {uri: "%[1]s/keys", caCertificateRef: {name: idp-ca, key: ca.crt}}
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: partners}
spec:
  apiEndpoints: [{name: all, paths: [{type: PathPrefix, value: /partners}]}]
  policies:
  - {name: auth, type: JWT, jwt: {audiences: [orders-api]}}
  - {name: answer, type: Terminate, terminate: {statusCode: 204}}
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: required}
spec:
  apiEndpoints: [{name: all, paths: [{type: PathPrefix, value: /required}]}]
  policies:
  - name: auth
    type: JWT
    jwt:
      audiences: [orders-api]
      issuers:
      - issuer: "%[1]s/"
        algorithms: [ES256]
        keys: {type: Discovery, discovery: {caCertificateRef: {name: idp-ca, key: ca.crt}}}
  - {name: answer, type: Terminate, terminate: {statusCode: 204}}
`, p.URL, ca.String())
}

// TestIdentityProvider goes from manifests to answers with a provider that is discovered, rotates its keys, is flooded and
// goes away.
func TestIdentityProvider(t *testing.T) {
	idp := newIdentityProvider(t)
	first := idp.publish(t, "first")
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "consumer=%q anonymous=%q token=%q", r.Header.Get("X-Consumer-Username"), r.Header.Get("X-Anonymous-Consumer"), r.Header.Get("Authorization"))
	}))
	defer upstream.Close()
	directory := newDirectory(t, map[string]string{
		"idp.yaml": idp.manifests(),
		"api.yaml": fmt.Sprintf("apiVersion: ostiary.dev/v1alpha1\nkind: ServiceEndpoint\nmetadata: {name: api}\nspec: {urls: [%q]}\n", upstream.URL),
	})
	c := startCommand(t, append(listenAnywhere(), "serve", "--manifests="+directory)...)
	base := "http://" + c.screen.find(t, `ready: http +(\S+)`)
	url := base + "/orders"

	wantStatus(t, url, idp.token(t, first, "first", nil), http.StatusOK) // once the keys are fetched
	if _, body := get(t, url, idp.token(t, first, "first", nil)); body != `consumer="" anonymous="" token=""` {
		t.Errorf("nobody's token: the upstream sees %s", body)
	}
	mapped := idp.token(t, first, "first", map[string]any{"azp": "acme-app"})
	if _, body := get(t, url, mapped); body != `consumer="acme" anonymous="" token=""` {
		t.Errorf("a consumer's token: the upstream sees %s", body)
	}
	remote := func(kid string, private []byte) string {
		return idp.token(t, private, kid, map[string]any{"sub": "acme-remote"})
	}
	wantStatus(t, base+"/partners", remote("first", first), http.StatusNoContent) // a credential with keys of its own set
	for name, tc := range map[string]struct {
		url, token string
		want       int
	}{
		"a consumer is required and known":   {base + "/required", mapped, http.StatusNoContent},
		"a consumer is required and unknown": {base + "/required", idp.token(t, first, "first", nil), http.StatusUnauthorized},
		"an issuer that nobody named":        {url, idp.token(t, first, "first", map[string]any{"iss": idp.URL}), http.StatusUnauthorized},
		"another audience":                   {url, idp.token(t, first, "first", map[string]any{"aud": "else"}), http.StatusUnauthorized},
		"no token":                           {url, "", http.StatusUnauthorized},
		"keys that were never fetched":       {url, idp.token(t, first, "first", map[string]any{"iss": "dead"}), http.StatusServiceUnavailable},
	} {
		if status, body := get(t, tc.url, tc.token); status != tc.want {
			t.Errorf("%s: %d, want %d: %s", name, status, tc.want, body)
		}
	}

	t.Run("Q22 a flood of unknown kids", func(t *testing.T) {
		before := idp.fetches.Load()
		for i := range 300 {
			if status, _ := get(t, url, idp.token(t, first, fmt.Sprint("unknown-", i), nil)); status != http.StatusUnauthorized {
				t.Fatalf("an unknown kid is answered %d", status)
			}
		}
		if status, _ := get(t, url, mapped); status != http.StatusOK {
			t.Errorf("a good token in the flood is answered %d", status)
		}
		if got := idp.fetches.Load() - before; got > 1 { // of the one set that is asked for
			t.Errorf("300 unknown kids caused %d fetches", got)
		}
	})
	t.Run("Q25 a withdrawn key", func(t *testing.T) {
		if testing.Short() {
			t.Skip("waits for the cool-down")
		}
		second := idp.publish(t, "second")
		idp.withdraw("first")
		token, began := idp.token(t, second, "second", nil), time.Now()
		within := time.After(jwks.CoolDown + patience)
		again := time.NewTicker(100 * time.Millisecond)
		defer again.Stop()
		for {
			status, _ := get(t, url, token)
			if status == http.StatusOK {
				break
			}
			if status != http.StatusUnauthorized {
				t.Fatalf("a key that is not fetched yet is answered %d", status)
			}
			select {
			case <-again.C:
			case <-within:
				t.Fatal("a new key is never accepted")
			}
		}
		t.Logf("a key that was published right after a fetch is accepted after %v", time.Since(began))
		if status, _ := get(t, url, mapped); status != http.StatusUnauthorized {
			t.Errorf("a withdrawn key is answered %d", status)
		}
		wantStatus(t, base+"/partners", remote("second", second), http.StatusNoContent)
		if status, _ := get(t, base+"/partners", remote("first", first)); status != http.StatusUnauthorized {
			t.Errorf("a credential's withdrawn key is answered %d", status)
		}
		mapped = idp.token(t, second, "second", map[string]any{"azp": "acme-app"})
	})
	t.Run("Q20 an outage", func(t *testing.T) {
		idp.mu.Lock()
		idp.fail = true
		idp.mu.Unlock()
		if status, _ := get(t, url, mapped); status != http.StatusOK {
			t.Errorf("a known key is answered %d while the provider is away", status)
		}
	})
	t.Run("metrics", func(t *testing.T) {
		_, body := get(t, "http://"+c.screen.find(t, `ready: admin +(\S+)`)+"/metrics", "")
		for _, want := range []string{
			`ostiary_refusals_total{namespace="default",pipeline="orders",reason="keys_unavailable"} `,
			`ostiary_jwks_keys{`, `result="failure",source="` + idp.URL + `/nothing"`,
		} {
			if !strings.Contains(body, want) {
				t.Errorf("/metrics has no %s", want)
			}
		}
	})
}
