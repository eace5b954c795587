package proxy_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRedirect: clear text is sent to https with its host and target, before any policy.
func TestRedirect(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "", "/orders", func(p *routing.Pipeline) {
			protected(p)
			p.Insecure = routing.InsecureRedirect
		})},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	for name, c := range map[string]struct{ host, target, want string }{
		"plain":               {"app.test", "/orders", "https://app.test/orders"},
		"with a port":         {"app.test:8080", "/orders/7", "https://app.test/orders/7"},
		"upper case":          {"APP.Test.", "/orders?A=b%20c", "https://app.test/orders?A=b%20c"},
		"address":             {"[::1]:80", "/orders", "https://[::1]/orders"},
		"path to tidy up":     {"app.test", "/x/..//orders/%61", "https://app.test/orders/a"},
		"network-path target": {"app.test", "//orders", "https://app.test/orders"},
	} {
		t.Run(name, func(t *testing.T) {
			resp, _, _ := b.raw(t, "POST "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\nContent-Length: 0\r\n\r\n")
			if resp.StatusCode != http.StatusPermanentRedirect || resp.Header.Get("Location") != c.want {
				t.Errorf("status %d to %q, want 308 to %q", resp.StatusCode, resp.Header.Get("Location"), c.want)
			}
			if n := len(up.requests()); n > 0 {
				t.Errorf("the upstream saw %d requests", n)
			}
		})
	}
}

func TestTerminate(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("hello", "", "/", func(p *routing.Pipeline) {
		protected(p)
		p.Proxy = nil
		p.Terminate = &routing.Terminate{StatusCode: 418, Body: "short", ContentType: "text/plain"}
	})}})
	if resp, _, _ := b.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: status %d, want 401", resp.StatusCode)
	}
	for method, want := range map[string]string{"GET": "short", "HEAD": ""} {
		resp, body, _ := b.raw(t, method+" / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer "+token(t, nil)+"\r\n\r\n")
		got := []string{resp.Status, body, resp.Header.Get("Content-Type"), resp.Header.Get("Content-Length")}
		if diff := cmp.Diff([]string{"418 I'm a teapot", want, "text/plain", "5"}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", method, diff)
		}
	}
}

// TestMisdirected is F29: a connection for one certificate's hosts serves no other host, whatever the policy there.
func TestMisdirected(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	pair := b.certificate(t, "pair", "a.test", "*.a.test")
	b.serve(t, routing.Config{
		Pipelines:    []routing.Pipeline{route("public", "", "/", nil)},
		Upstreams:    []routing.Upstream{to(routing.UpstreamHTTP)},
		Certificates: []routing.Certificate{pair, b.certificate(t, "other", "b.test")},
	})
	for name, c := range map[string]struct {
		sni, host string
		want      int
	}{
		"same":                       {"a.test", "a.test", 200},
		"same, spelt differently":    {"A.test", "a.TEST.:443", 200},
		"another of the certificate": {"a.test", "x.a.test", 200},
		"another certificate":        {"a.test", "b.test", 421},
		"a host without certificate": {"a.test", "c.test", 421},
		"an address":                 {"a.test", "127.0.0.1", 421},
		"below the wildcard's label": {"x.a.test", "y.x.a.test", 421},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", b.https, &tls.Config{ServerName: c.sni, RootCAs: b.roots})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			resp, _, _ := exchange(t, conn, "GET / HTTP/1.1\r\nHost: "+c.host+"\r\n\r\n")
			if resp.StatusCode != c.want {
				t.Errorf("status %d, want %d", resp.StatusCode, c.want)
			}
			if seen := len(up.requests()); (c.want == 200) != (seen == 1) {
				t.Errorf("the upstream saw %d requests", seen)
			}
		})
	}
}

// TestBrokenKeepsItsMatch: a Pipeline that can't be built answers 503 in its place. It is not dropped, since the broader,
// public one would take its requests, and it is not served without its protection.
func TestBrokenKeepsItsMatch(t *testing.T) {
	for name, edit := range map[string]func(*routing.Pipeline){
		"found by the compiler":      func(p *routing.Pipeline) { p.Broken = "issuer's Secret is missing" },
		"policy without sources":     func(p *routing.Pipeline) { p.JWT.MaxTokenBytes = 0 },
		"policy of another future":   func(p *routing.Pipeline) { p.JWT.Lookup.Type = 99 },
		"no such upstream":           func(p *routing.Pipeline) { p.Proxy.Upstream = key2("nowhere") },
		"upstream with a broken CA":  func(p *routing.Pipeline) { p.Proxy.Upstream = key2("untrusted") },
		"neither proxy nor answer":   func(p *routing.Pipeline) { p.Proxy = nil },
		"both a proxy and an answer": func(p *routing.Pipeline) { p.Terminate = &routing.Terminate{StatusCode: 200} },
		"an ACL without a policy":    func(p *routing.Pipeline) { p.JWT, p.ACLs = nil, []routing.ACL{{DenyGroups: []string{"a"}}} },
		"an ACL without a group":     func(p *routing.Pipeline) { p.ACLs = []routing.ACL{{}} },
		"scopes without a policy":    func(p *routing.Pipeline) { p.JWT, p.Matches[0].Scopes = nil, []string{"admin"} },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.credential(t)
			up := newBackend(t, nil)
			b.endpoints(up.addr)
			problems := b.publish(t, routing.Config{
				Pipelines: []routing.Pipeline{
					route("admin", "", "/admin", func(p *routing.Pipeline) {
						protected(p)
						edit(p)
					}),
					route("public", "", "/", nil),
				},
				Upstreams: []routing.Upstream{to(routing.UpstreamHTTP), {
					Key: key2("untrusted"), Protocol: routing.UpstreamHTTPS, TLS: &routing.UpstreamTLS{RootCAs: "junk"},
					Backends: []routing.Backend{{Service: key2("svc"), Port: 80, Weight: 1, ServerName: "backend.test"}},
				}},
			})
			if reported := len(problems) > 0; reported != (name != "found by the compiler" && name != "scopes without a policy") {
				t.Errorf("problems: %v", problems)
			}
			resp, _, _ := b.raw(t, "GET /admin HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer "+token(t, nil)+"\r\n\r\n")
			if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || len(up.requests()) > 0 {
				t.Errorf("status %d, want 503 and nothing upstream", resp.StatusCode)
			}
			if resp, _, _ := b.raw(t, "GET /other HTTP/1.1\r\nHost: app.test\r\n\r\n"); resp.StatusCode != http.StatusOK {
				t.Errorf("the other Pipeline: status %d, want 200", resp.StatusCode)
			}
		})
	}
}

// TestHostOfTheBackend: what the upstream sees as Host.
func TestHostOfTheBackend(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("preserve", "", "/preserve", nil),
			route("backend", "", "/backend", func(p *routing.Pipeline) { p.Proxy.Host = routing.HostBackend }),
		},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	for target, want := range map[string]string{"/preserve": "app.test:81", "/backend": "svc.shop.svc"} {
		b.raw(t, "GET "+target+" HTTP/1.1\r\nHost: App.test:81\r\n\r\n")
		if saw := up.one(t); saw.Host != want || saw.Header.Get("X-Forwarded-Host") != "app.test:81" {
			t.Errorf("%s: host %q, forwarded host %q", target, saw.Host, saw.Header.Get("X-Forwarded-Host"))
		}
	}
}

// TestSlowBodyOfARefusedRequest: the answer does not wait for a body that nobody wants, and the connection not for long
// (slowhttptest -B).
func TestSlowBodyOfARefusedRequest(t *testing.T) {
	b := newBed(t)
	b.publish(t, routing.Config{})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, _, _ := exchange(t, conn, "POST /nowhere HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000\r\n\r\nfirst")
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", resp.StatusCode)
	}
	if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end of the connection", err)
	}
}

// TestRestOfABodyIsNoRequest: what follows an early response on the connection is the rest of a body, whatever it looks
// like and however late it comes.
func TestRestOfABodyIsNoRequest(t *testing.T) {
	for name, c := range map[string]struct {
		framing, first, rest string
		want                 int
	}{
		"refused":           {"Content-Length: 100", "", "", 404},
		"refused, chunked":  {"Transfer-Encoding: chunked", "5\r\nhello", "", 404},
		"answered too soon": {"Content-Length: 100", "", "/early", 200},
		"too soon, chunked": {"Transfer-Encoding: chunked", "5\r\nhello\r\n", "/early", 200},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				_, _ = io.Copy(io.Discard, r)
			}))
			b.serve(t, routing.Config{
				Pipelines: []routing.Pipeline{route("early", "", "/early", nil), route("smuggled", "", "/smuggled", nil)},
				Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
			})
			conn, err := net.Dial("tcp", b.http)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			target := "/nowhere"
			if c.rest != "" {
				target = c.rest
			}
			resp, _, closes := exchange(t, conn, "POST "+target+" HTTP/1.1\r\nHost: app.test\r\n"+c.framing+"\r\n\r\n"+c.first)
			if resp.StatusCode != c.want || !closes {
				t.Errorf("status %d, closes %t; want %d and the end", resp.StatusCode, closes, c.want)
			}
			_, _ = io.WriteString(conn, "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n")
			if rest, err := io.ReadAll(conn); len(rest) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("answered %q, %v; want the end of the connection", rest, err)
			}
		})
	}
}

// panicking is a ResponseWriter that fails as no writer should.
type panicking struct {
	http.ResponseWriter
	after int
}

func (p *panicking) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *panicking) WriteHeader(status int) {
	if p.after--; p.after < 0 {
		panic("secret " + secret)
	}
	p.ResponseWriter.WriteHeader(status)
}

func (p *panicking) Write(data []byte) (int, error) { panic("secret " + secret) }

// TestPanic is D17: a fault ends one request, is logged without what it was about, and lets nothing pass.
func TestPanic(t *testing.T) {
	b := newBed(t)
	b.publish(t, refusalConfig())
	handler := proxy.NewHandler(proxy.Options{Live: b.live, Log: slog.New(slog.NewTextHandler(b.access, nil))})
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler { //nolint:errorlint // a panic's value
				t.Errorf("panicked with %v, want http.ErrAbortHandler", p)
			}
		}()
		handler.ServeHTTP(&panicking{httptest.NewRecorder(), 1}, httptest.NewRequest(http.MethodGet, "http://app.test/nowhere", nil))
	}()
	if log := b.access.String(); strings.Contains(log, secret) || !strings.Contains(log, "panic") {
		t.Errorf("log %q", log)
	}

	b.live.Store(&proxy.Program{}) // what was not built decides nothing
	before := b.access.String()
	resp, body, closed := b.raw(t, "GET /public HTTP/1.1\r\nHost: app.test\r\n\r\n")
	if resp.StatusCode != http.StatusInternalServerError || !closed || body != `{"type":"about:blank","title":"Internal Server Error","status":500}` {
		t.Errorf("status %d, closed %t, body %s", resp.StatusCode, closed, body)
	}
	if record := b.record(t, before); record["reason"] != "internal" {
		t.Errorf("record %v", record)
	}
}

// TestCertificatesSurviveSwaps: a certificate that did not change is not parsed again.
func TestCertificatesSurviveSwaps(t *testing.T) {
	chain, key := newCertificate(t, "app.test")
	otherChain, otherKey := newCertificate(t, "app.test")
	certificate := routing.Certificate{Pipeline: key2("a"), Secret: key2("a"), Hosts: []string{"app.test"}, Chain: chain, Key: key}
	first, problems := proxy.NewProgram(routing.Config{Certificates: []routing.Certificate{certificate}}, proxy.Deps{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	same, _ := proxy.NewProgram(routing.Config{Certificates: []routing.Certificate{certificate}}, proxy.Deps{Previous: first})
	want, _ := first.Certificate("app.test")
	if got, ok := same.Certificate("app.test"); !ok || got != want {
		t.Error("the certificate was parsed again")
	}
	certificate.Key = otherKey // belongs to another chain
	mixed, problems := proxy.NewProgram(routing.Config{Certificates: []routing.Certificate{certificate}}, proxy.Deps{Previous: first})
	if _, ok := mixed.Certificate("app.test"); ok || len(problems) != 1 || problems[0].Pipeline != key2("a") {
		t.Errorf("a key of another certificate was taken, problems %v", problems)
	}
	certificate.Chain = otherChain
	replaced, problems := proxy.NewProgram(routing.Config{Certificates: []routing.Certificate{certificate}}, proxy.Deps{Previous: first})
	if got, ok := replaced.Certificate("app.test"); !ok || got == want || len(problems) > 0 {
		t.Errorf("the certificate was not replaced: %v", problems)
	}
}

// TestMetrics counts by Pipeline, and forgets Pipelines that are no more.
func TestMetrics(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.publish(t, refusalConfig())
	for _, target := range []string{"/public", "/public", "/orders", "/empty", "/nowhere"} {
		before := b.access.String()
		b.raw(t, "GET "+target+" HTTP/1.1\r\nHost: app.test\r\n\r\n")
		b.record(t, before)
	}
	names := []string{"ostiary_refusals_total", "ostiary_upstream_errors_total"}
	if err := testutil.GatherAndCompare(b.metrics, strings.NewReader(`
# HELP ostiary_refusals_total Requests that were refused, by Pipeline and reason.
# TYPE ostiary_refusals_total counter
ostiary_refusals_total{namespace="",pipeline="",reason="no_route"} 1
ostiary_refusals_total{namespace="shop",pipeline="empty",reason="no_endpoints"} 1
ostiary_refusals_total{namespace="shop",pipeline="orders",reason="token_missing"} 1
# HELP ostiary_upstream_errors_total Requests that an upstream failed, by ServiceEndpoint and reason; response_cut is a body that ended early.
# TYPE ostiary_upstream_errors_total counter
ostiary_upstream_errors_total{namespace="shop",reason="no_endpoints",serviceendpoint="empty"} 1
`), names...); err != nil {
		t.Error(err)
	}
	if got := requestsOf(t, b, "public", "2xx"); got != 2 {
		t.Errorf("%v requests of the public Pipeline, want 2", got)
	}
	b.publish(t, routing.Config{})
	metrics, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range metrics {
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "pipeline" && label.GetValue() != "" {
					t.Errorf("%s still has a series of %s", family.GetName(), label.GetValue())
				}
			}
		}
	}
}

func requestsOf(t *testing.T, b *bed, pipeline, code string) float64 {
	t.Helper()
	metrics, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range metrics {
		if family.GetName() != "ostiary_requests_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range m.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["pipeline"] == pipeline && labels["code"] == code {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// TestTunnelsEndWithTheProcess is W11: tunnels are waited for, and closed in order when time is up.
func TestTunnelsEndWithTheProcess(t *testing.T) {
	b := newBed(t)
	b.endpoints(rawUpstream(t, echoTunnel("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept(webSocketKey)+"\r\n")))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, _, _ := exchange(t, conn, handshake(""))
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, want 101", resp.StatusCode)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.handler.Shutdown(ctx) }()
	echo := make([]byte, 4)
	fmt.Fprint(conn, "ping")
	if _, err := io.ReadFull(conn, echo); err != nil || string(echo) != "ping" {
		t.Fatalf("the tunnel went before its time: %q, %v", echo, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if _, err := conn.Read(echo); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end", err)
	}
	if resp, _, _ := b.raw(t, handshake("")); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a new tunnel: status %d, want 503", resp.StatusCode)
	}
}
