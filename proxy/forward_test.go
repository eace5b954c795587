package proxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestProtocols sends a request through every combination of protocols in front and behind.
func TestProtocols(t *testing.T) {
	for front, scheme := range map[string]string{"http/1.1": "http", "h2c": "http", "h2": "https"} {
		for back, protocol := range map[string]routing.UpstreamProtocol{"http/1.1": routing.UpstreamHTTP, "h2c": routing.UpstreamH2C} {
			t.Run(front+" to "+back, func(t *testing.T) {
				b := newBed(t)
				b.credential(t)
				up := newBackend(t, nil)
				b.endpoints(up.addr)
				b.serve(t, routing.Config{
					Pipelines:    []routing.Pipeline{route("orders", "app.test", "/orders", protected)},
					Upstreams:    []routing.Upstream{to(protocol)},
					Certificates: []routing.Certificate{b.certificate(t, "orders", "app.test")},
				})
				client := b.client(t, front)
				resp, body := do(t, client, request(t, "POST", scheme+"://app.test/orders/7;v=1?a=b", strings.NewReader("hello"),
					"Authorization", "Bearer "+token(t, nil)))
				if resp.StatusCode != http.StatusOK || body != "hello" {
					t.Fatalf("got %d %q, want 200 \"hello\"", resp.StatusCode, body)
				}
				saw := up.one(t)
				got := map[string]string{
					"method": saw.Method, "target": saw.RequestURI, "host": saw.Host,
					"proto": saw.Header.Get("X-Forwarded-Proto"), "for": saw.Header.Get("X-Forwarded-For"),
					"consumer": saw.Header.Get("X-Consumer-Username"), "token": saw.Header.Get("Authorization"),
				}
				want := map[string]string{
					"method": "POST", "target": "/orders/7;v=1?a=b", "host": "app.test",
					"proto": scheme, "for": "127.0.0.1", "consumer": "acme", "token": "",
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("upstream saw (-want +got):\n%s", diff)
				}
				if want := map[string]int{"http/1.1": 1, "h2c": 2}[back]; saw.ProtoMajor != want {
					t.Errorf("upstream was spoken to in HTTP/%d, want HTTP/%d", saw.ProtoMajor, want)
				}
			})
		}
	}
}
