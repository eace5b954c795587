package proxy_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// BenchmarkHandler is one request through the handler to an upstream on loopback; the rows share everything but what is
// named, so that their ratios tell what a part costs.
func BenchmarkHandler(b *testing.B) {
	up := newBackend(b, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	live := &proxy.Live{}
	bed := &bed{live: live, ring: keyring.New(), upstreams: upstream.NewRegistry(upstream.Options{Loopback: upstream.LoopbackAllow})}
	defer bed.upstreams.Close()
	bed.credential(b)
	bed.endpoints(up.addr)
	bed.serve(b, routing.Config{
		Pipelines: []routing.Pipeline{
			route("public", "app.test", "/public", nil),
			route("orders", "app.test", "/orders", protected),
			route("hello", "app.test", "/hello", func(p *routing.Pipeline) {
				p.Proxy, p.Terminate = nil, &routing.Terminate{StatusCode: 200, Body: "hello"}
			}),
		},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	handler := proxy.NewHandler(proxy.Options{Live: live, Now: clock})
	target, err := url.Parse("http://" + up.addr.String())
	if err != nil {
		b.Fatal(err)
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	defer transport.CloseIdleConnections()
	plain := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.SetXForwarded()
	}}
	bearer := "Bearer " + token(b, nil)
	for _, c := range []struct {
		name    string
		handler http.Handler
		path    string
	}{
		{"reverse-proxy", plain, "/public"},
		{"public", handler, "/public"},
		{"token", handler, "/orders"},
		{"terminate", handler, "/hello"},
		{"no-route", handler, "/nowhere"},
		{"no-token", handler, "/orders"},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(context.Background(), "GET", "http://app.test"+c.path, nil)
				r.RequestURI = c.path
				if c.name == "token" {
					r.Header.Set("Authorization", bearer)
				}
				r.Header.Set("Accept", "*/*")
				c.handler.ServeHTTP(&discard{header: http.Header{}}, r)
			}
		})
	}
}

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}
