package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// provider is an identity provider: a real HTTPS server, over connections in memory, so that it runs in a synctest bubble.
type provider struct {
	server  *http.Server
	conns   chan net.Conn
	done    chan struct{}
	rootCAs string

	fetches  atomic.Int64 // of the set
	metadata atomic.Int64

	mu      sync.Mutex
	handler http.HandlerFunc // of the set; nil answers with the keys
	keys    []string
	header  http.Header
	issuer  string // that the metadata states
	pipes   []net.Conn
}

// Addr and Network are of the listener.
func (p *provider) Network() string { return "pipe" }
func (p *provider) String() string  { return "pipe" }

func (p *provider) Addr() net.Addr { return p }
func (p *provider) Close() error   { return nil }
func (p *provider) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// dial connects to the provider, whatever the address.
func (p *provider) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.mu.Lock()
	p.pipes = append(p.pipes, ours, theirs)
	p.mu.Unlock()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

const (
	testIssuer = "https://example.com/tenant"
	testURI    = "https://example.com/keys"
)

func newProvider(t *testing.T, kids ...string) *provider {
	t.Helper()
	p := &provider{conns: make(chan net.Conn), done: make(chan struct{}), issuer: testIssuer, header: http.Header{}}
	p.rotate(t, kids...)
	certificate := testCertificate(t)
	p.rootCAs = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))
	mux := http.NewServeMux()
	mux.HandleFunc("/tenant/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		p.metadata.Add(1)
		p.mu.Lock()
		defer p.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": p.issuer, "jwks_uri": testURI})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		p.fetches.Add(1)
		p.mu.Lock()
		handler := p.handler
		p.mu.Unlock()
		if handler != nil {
			handler(w, r)
			return
		}
		p.serveKeys(w, r)
	})
	p.server = &http.Server{Handler: mux, TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.server.ServeTLS(p, "", "")
	}()
	t.Cleanup(func() {
		close(p.done)
		// Both ends of a TLS connection say goodbye. Nobody reads a pipe then, and the server waits with its lock held: in
		// the bubble, time would stand still. A closed pipe fails at once.
		p.mu.Lock()
		for _, c := range p.pipes {
			_ = c.Close()
		}
		p.mu.Unlock()
		_ = p.server.Close()
		<-ended
		pass(time.Minute)
	})
	return p
}

// testCertificate is that of net/http/httptest, which is for example.com and valid from 1970 on.
func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	return s.TLS.Certificates[0]
}

func (p *provider) serveKeys(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(w.Header(), p.header)
	raw := make([]json.RawMessage, 0, len(p.keys))
	for _, k := range p.keys {
		raw = append(raw, json.RawMessage(k))
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"keys": raw})
}

// rotate replaces the provider's keys.
func (p *provider) rotate(t *testing.T, kids ...string) {
	t.Helper()
	keys := make([]string, 0, len(kids))
	for _, kid := range kids {
		keys = append(keys, newJWK(t, kid))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *provider) handle(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = h
}

func newJWK(t *testing.T, kid string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text, err := json.Marshal(map[string]string{
		"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": encode(point[1:33]), "y": encode(point[33:]),
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// direct is the source of the provider's set, discovered that of its issuer.
func (p *provider) direct() routing.RemoteKeys {
	return routing.RemoteKeys{URI: testURI, RootCAs: p.rootCAs}
}

func (p *provider) discovered() routing.RemoteKeys {
	return routing.RemoteKeys{Issuer: testIssuer, RootCAs: p.rootCAs}
}

// pass lets time pass in a synctest bubble, whose clock moves when everyone waits.
func pass(d time.Duration) { time.Sleep(d) } //nolint:forbidigo // nobody waits for it
