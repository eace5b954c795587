package upstream

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(name string) routing.ObjectKey { return routing.ObjectKey{Namespace: "shop", Name: name} }

func newRegistry(t testing.TB, opts Options) *Registry {
	t.Helper()
	opts.Loopback = LoopbackAllow
	r := NewRegistry(opts)
	t.Cleanup(r.Close)
	return r
}

// service is an upstream with one Service for each of these weights: svc0, svc1 ...
func service(weights ...int32) routing.Upstream {
	u := routing.Upstream{Key: key("orders"), ConnectTimeout: time.Second, RequestTimeout: 5 * time.Second}
	for i, w := range weights {
		u.Backends = append(u.Backends, routing.Backend{Service: key("svc" + string(rune('0'+i))), Port: 80, Weight: w})
	}
	return u
}

func serve(t *testing.T, handler http.HandlerFunc) (*httptest.Server, netip.AddrPort) {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s, netip.MustParseAddrPort(s.Listener.Addr().String())
}

func ports(addrs ...netip.AddrPort) map[int32][]netip.AddrPort {
	return map[int32][]netip.AddrPort{80: addrs}
}

func lookup(t *testing.T, r *Registry) *Upstream {
	t.Helper()
	u, ok := r.Lookup(key("orders"))
	if !ok {
		t.Fatal("no upstream")
	}
	return u
}

func get(t *testing.T, path string) *http.Request {
	t.Helper()
	return (&http.Request{Method: http.MethodGet, URL: &url.URL{Opaque: path}, Header: http.Header{}}).WithContext(t.Context())
}

// send sends a GET and returns the body.
func send(t *testing.T, u *Upstream) string {
	t.Helper()
	resp, _, err := u.RoundTrip(get(t, "/"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func wantReason(t *testing.T, err error, want refusal.Reason) {
	t.Helper()
	var failed *Error
	if !errors.As(err, &failed) || failed.Reason != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

// TestApplyKeepsConnections: what does not concern a connection does not close it.
func TestApplyKeepsConnections(t *testing.T) {
	var connections atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		connections.Add(1)
		return ctx
	}
	s.Start()
	t.Cleanup(s.Close)
	addr := netip.MustParseAddrPort(s.Listener.Addr().String())

	cases := map[string]struct {
		change func(r *Registry, u *routing.Upstream)
		want   int32
	}{
		"nothing":         {func(*Registry, *routing.Upstream) {}, 1},
		"a new weight":    {func(_ *Registry, u *routing.Upstream) { u.Backends[0].Weight = 7 }, 1},
		"another backend": {func(_ *Registry, u *routing.Upstream) { u.Backends = append(u.Backends, service(0, 1).Backends...) }, 1},
		"same endpoints":  {func(r *Registry, _ *routing.Upstream) { r.SetEndpoints(key("svc0"), ports(addr, addr)) }, 1},
		"a new timeout":   {func(_ *Registry, u *routing.Upstream) { u.RequestTimeout = time.Hour }, 2},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			connections.Store(0)
			r := newRegistry(t, Options{})
			cfg := service(1)
			r.Apply([]routing.Upstream{cfg})
			r.SetEndpoints(key("svc0"), ports(addr))
			send(t, lookup(t, r))
			c.change(r, &cfg)
			r.Apply([]routing.Upstream{cfg})
			send(t, lookup(t, r))
			if got := connections.Load(); got != c.want {
				t.Errorf("%d connections, want %d", got, c.want)
			}
		})
	}
}

// TestRetiredConnectionsClose: connections of settings that are no more close when they fall idle, requests on them end
// as if nothing had happened, and whoever still has the old Upstream can use it.
func TestRetiredConnectionsClose(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	states := make(chan http.ConnState, 16)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = io.WriteString(w, "whole")
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) { states <- state }
	s.Start()
	t.Cleanup(s.Close)
	r := newRegistry(t, Options{})
	r.Apply([]routing.Upstream{service(1)})
	r.SetEndpoints(key("svc0"), ports(netip.MustParseAddrPort(s.Listener.Addr().String())))
	old := lookup(t, r)
	for range 2 { // before and after the old settings are gone
		done := make(chan string)
		go func() { done <- send(t, old) }()
		<-entered
		r.Apply(nil)
		leave <- struct{}{}
		if got := <-done; got != "whole" {
			t.Fatalf("body %q", got)
		}
		for state := range states {
			if state == http.StateClosed {
				break
			}
		}
	}
}

// TestEndpointsChange takes effect with the next request.
func TestEndpointsChange(t *testing.T) {
	_, one := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "one") })
	_, two := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "two") })
	r := newRegistry(t, Options{})
	r.SetEndpoints(key("svc0"), ports(one)) // endpoints may be known before the upstream
	r.Apply([]routing.Upstream{service(1)})
	u := lookup(t, r)
	if got := send(t, u); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	r.SetEndpoints(key("svc0"), ports(two))
	if got := send(t, u); got != "two" {
		t.Errorf("got %q, want two", got)
	}
	r.DeleteEndpoints(key("svc0"))
	_, _, err := u.RoundTrip(get(t, "/"))
	wantReason(t, err, refusal.NoEndpoints)
	r.Apply([]routing.Upstream{service(1)}) // an empty pool that is in use is not forgotten
	r.SetEndpoints(key("svc0"), ports(one))
	if got := send(t, u); got != "one" {
		t.Errorf("got %q, want one again", got)
	}
}

// TestWeights shares requests out, and to nobody who has no endpoint or no weight.
func TestWeights(t *testing.T) {
	addr := make([]netip.AddrPort, 4)
	for i := range addr {
		_, addr[i] = serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, string(rune('0'+i))) })
	}
	r := newRegistry(t, Options{})
	r.Apply([]routing.Upstream{service(9, 1, 5, 0)})
	r.SetEndpoints(key("svc0"), ports(addr[0]))
	r.SetEndpoints(key("svc1"), ports(addr[1]))
	r.SetEndpoints(key("svc3"), ports(addr[3]))
	u := lookup(t, r)
	const total = 2000
	got := map[string]int{}
	for range total {
		got[send(t, u)]++
	}
	// 200 of 2000 are expected for svc1; five standard deviations are 67.
	if got["1"] < 133 || got["1"] > 267 || got["0"]+got["1"] != total {
		t.Errorf("requests by backend: %v, want about 1800 and 200", got)
	}
}

// TestEjection: an endpoint that can't be connected to is left out for a while, then tried again; where all are, all
// are tried.
func TestEjection(t *testing.T) {
	_, good := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "good") })
	dead := httptest.NewServer(http.NotFoundHandler())
	deadAddr := netip.MustParseAddrPort(dead.Listener.Addr().String())
	dead.Close()
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixNano())
	r := newRegistry(t, Options{Now: func() time.Time { return time.Unix(0, now.Load()) }})
	r.Apply([]routing.Upstream{service(1)})
	r.SetEndpoints(key("svc0"), ports(deadAddr))
	u := lookup(t, r)
	for range 2 { // the second time it is ejected, and tried all the same
		_, _, err := u.RoundTrip(get(t, "/"))
		wantReason(t, err, refusal.UpstreamConnect)
	}
	r.SetEndpoints(key("svc0"), ports(deadAddr, good))
	if total, healthy := r.Endpoints(key("orders")); total != 2 || healthy != 1 {
		t.Errorf("%d of %d healthy, want 1 of 2", healthy, total)
	}
	for range 20 {
		if got := send(t, u); got != "good" {
			t.Fatalf("got %q", got)
		}
	}
	now.Add(int64(2 * time.Second)) // two failures in a row are worth 2 s
	if _, healthy := r.Endpoints(key("orders")); healthy != 2 {
		t.Errorf("%d healthy after the ejection, want 2", healthy)
	}
	for range 20 { // one of these meets it again, and goes to the other
		if got := send(t, u); got != "good" {
			t.Fatalf("got %q", got)
		}
	}
}

// TestLeastRequest: the endpoint that is busy gets fewer of the requests.
func TestLeastRequest(t *testing.T) {
	p := &pool{}
	p.set([]netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:80"), netip.MustParseAddrPort("192.0.2.2:80")})
	p.list()[0].inflight.Store(10)
	for range 100 {
		if e := p.pick(time.Now, nil); e != p.list()[1] {
			t.Fatal("the busy one of two was picked")
		}
	}
	if e := p.pick(time.Now, []*endpoint{p.list()[1]}); e != p.list()[0] {
		t.Error("the one that was not tried must be picked")
	}
	if e := p.pick(time.Now, p.list()); e != nil {
		t.Error("all were tried")
	}
}

// TestURLs: the URL's path goes in front, and its host is what the backend sees.
func TestURLs(t *testing.T) {
	seen := make(chan string, 1)
	s, _ := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Host + r.RequestURI })
	host := s.Listener.Addr().String()
	r := newRegistry(t, Options{})
	r.Apply([]routing.Upstream{{Key: key("orders"), URLs: []routing.UpstreamURL{{Scheme: "http", Host: host, Path: "/base"}}}})
	req := get(t, "/orders/7;v=1%2C")
	req.URL.RawQuery = "a=b&c"
	resp, address, err := lookup(t, r).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := <-seen; got != host+"/base/orders/7;v=1%2C?a=b&c" || address != host {
		t.Errorf("backend saw %q by %q", got, address)
	}
}

// TestTLS is R21: a backend is verified, and nothing makes that weaker.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	past := httptest.NewUnstartedServer(http.NotFoundHandler())
	past.TLS = &tls.Config{Certificates: []tls.Certificate{expired(t, "example.com")}}
	past.StartTLS()
	t.Cleanup(past.Close)
	ca := pemOf(s.Certificate().Raw)
	cases := map[string]struct {
		server *httptest.Server
		name   string
		roots  string
		want   refusal.Reason
		broken bool
	}{
		"verified":            {server: s, name: "example.com", roots: ca},
		"wrong name":          {server: s, name: "other.test", roots: ca, want: refusal.UpstreamConnect},
		"unknown CA":          {server: s, name: "example.com", want: refusal.UpstreamConnect},
		"expired":             {server: past, name: "example.com", roots: pemOf(past.Certificate().Raw), want: refusal.UpstreamConnect},
		"TLS 1.1 only":        {server: old, name: "example.com", roots: pemOf(old.Certificate().Raw), want: refusal.UpstreamConnect},
		"CA that is no PEM":   {server: s, name: "example.com", roots: "junk", want: refusal.PipelineNotReady, broken: true},
		"no name to check by": {server: s, roots: ca, want: refusal.PipelineNotReady, broken: true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := service(1)
			cfg.Protocol, cfg.TLS = routing.UpstreamHTTPS, &routing.UpstreamTLS{RootCAs: c.roots}
			cfg.Backends[0].ServerName = c.name
			r := newRegistry(t, Options{})
			r.Apply([]routing.Upstream{cfg})
			r.SetEndpoints(key("svc0"), ports(netip.MustParseAddrPort(c.server.Listener.Addr().String())))
			u := lookup(t, r)
			if (u.Broken() != nil) != c.broken {
				t.Errorf("broken: %v, want %t", u.Broken(), c.broken)
			}
			resp, _, err := u.RoundTrip(get(t, "/"))
			if err == nil {
				_ = resp.Body.Close()
			}
			switch {
			case c.want != 0:
				wantReason(t, err, c.want)
			case err != nil:
				t.Error(err)
			case resp.ProtoMajor != 2:
				t.Errorf("HTTP/%d, want HTTP/2 by ALPN", resp.ProtoMajor)
			}
		})
	}
}

// expired is a certificate that was valid until a minute ago.
func expired(t *testing.T, host string) tls.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{host},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(-time.Minute),
		IsCA:                  true,
		BasicConstraintsValid: true,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

// TestUpgradeOverTLS speaks HTTP/1.1 to a backend that would rather speak HTTP/2, since that has no Upgrade.
func TestUpgradeOverTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := service(1)
	cfg.Protocol, cfg.TLS = routing.UpstreamHTTPS, &routing.UpstreamTLS{RootCAs: pemOf(s.Certificate().Raw)}
	cfg.Backends[0].ServerName = "example.com"
	r := newRegistry(t, Options{})
	r.Apply([]routing.Upstream{cfg})
	r.SetEndpoints(key("svc0"), ports(netip.MustParseAddrPort(s.Listener.Addr().String())))
	req := get(t, "/")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, _, err := lookup(t, r).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "HTTP/1.1" {
		t.Errorf("spoke %q, %v", body, err)
	}
}

func TestClosedRegistry(t *testing.T) {
	r := newRegistry(t, Options{})
	r.Close()
	r.Apply([]routing.Upstream{service(1)})
	r.SetEndpoints(key("svc0"), ports(netip.MustParseAddrPort("192.0.2.1:80")))
	if _, ok := r.Lookup(key("orders")); ok {
		t.Error("a closed registry took an upstream")
	}
}
