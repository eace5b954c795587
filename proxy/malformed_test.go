package proxy_test

import (
	"net/http"
	"testing"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestMalformedTrailerName: a name that no field can have is left out, and never blamed on the upstream.
func TestMalformedTrailerName(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	for _, name := range []string{"X Y", "a(b", "a\tb"} {
		t.Run(name, func(t *testing.T) {
			resp, _, _ := b.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: "+name+"\r\n\r\n0\r\n\r\n")
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d, want 200", resp.StatusCode)
			}
			if saw := up.one(t); len(saw.Trailer) > 0 {
				t.Errorf("upstream saw trailers %v announced", saw.Trailer)
			}
		})
	}
}
