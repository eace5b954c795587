package proxy_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// explained reads a request as net/http's server does and has it explained.
func (b *bed) explained(t *testing.T, method, target string, header []string) (status int, reason, challenge, tree string) {
	t.Helper()
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: app.test\r\n", method, target)
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&head, "%s: %s\r\n", header[i], header[i+1])
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head.String() + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	e := b.live.Load().Explain(r, clock())
	var text strings.Builder
	if err := e.Trace.Write(&text, method); err != nil {
		t.Fatal(err)
	}
	if e.Admitted && e.Reason != "" {
		t.Errorf("admitted and refused %s", e.Reason)
	}
	return e.Status, e.Reason, e.Challenge, text.String()
}

// TestExplainSaysWhatTheHandlerDoes: every refusal is explained as what it is when it is served, with a step that failed.
func TestExplainSaysWhatTheHandlerDoes(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.publish(t, refusalConfig())
	for name, c := range refusalCases(t) {
		t.Run(name, func(t *testing.T) {
			switch {
			case strings.HasPrefix(c.wantReason, "upstream_"), c.wantReason == "no_endpoints":
				t.Skip("upstreams are not asked")
			case c.method == "":
				c.method = http.MethodGet
			}
			status, reason, challenge, tree := b.explained(t, c.method, c.target, c.header)
			want := []any{c.wantStatus, c.wantReason, c.wantChallenge}
			if diff := cmp.Diff(want, []any{status, reason, challenge}); diff != "" {
				t.Errorf("explained (-want +got):\n%s", diff)
			}
			if !strings.Contains(tree, "✗") {
				t.Errorf("no step failed:\n%s", tree)
			}
			for i := 1; i < len(c.header); i += 2 {
				if value := strings.TrimPrefix(c.header[i], "Bearer "); len(value) > 16 && strings.Contains(tree, value) {
					t.Errorf("the token is told:\n%s", tree)
				}
			}
		})
	}
}

// TestExplainChangesNothing: a request that is explained is not sent, counted or logged.
func TestExplainChangesNothing(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "", "/", protected)},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	status, reason, _, tree := b.explained(t, http.MethodGet, "/", []string{"Authorization", "Bearer " + token(t, nil)})
	if status != 0 || reason != "" || !strings.Contains(tree, "forwarded to ServiceEndpoint shop/backend") {
		t.Errorf("status %d, reason %q:\n%s", status, reason, tree)
	}
	if seen := up.requests(); len(seen) > 0 || len(b.reasons(t, "ostiary_refusals_total")) > 0 || b.access.String() != "" {
		t.Errorf("the upstream saw %d requests; the log says %q", len(seen), b.access)
	}
}

// TestExplainTLS: the handshake comes first.
func TestExplainTLS(t *testing.T) {
	b := newBed(t)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "", "/", func(p *routing.Pipeline) {
			p.Insecure, p.Proxy, p.Terminate = routing.InsecureRedirect, nil, &routing.Terminate{StatusCode: 204}
		})},
		Certificates: []routing.Certificate{b.certificate(t, "orders", "app.test")},
	})
	for name, tc := range map[string]struct {
		tls      *tls.ConnectionState
		status   int
		reason   string
		admitted bool
		tells    string
	}{
		"in clear text":         {status: 308, tells: "redirected to https"},
		"by TLS":                {tls: &tls.ConnectionState{ServerName: "app.test"}, status: 204, admitted: true, tells: "a certificate"},
		"by TLS to other hosts": {tls: &tls.ConnectionState{ServerName: "other.test"}, tells: "the handshake fails"},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, http.MethodGet, "http://app.test/", nil)
			r.RequestURI, r.TLS = "/", tc.tls
			e := b.live.Load().Explain(r, clock())
			var tree strings.Builder
			if err := e.Trace.Write(&tree, "GET /"); err != nil {
				t.Fatal(err)
			}
			if e.Status != tc.status || e.Reason != tc.reason || e.Admitted != tc.admitted || !strings.Contains(tree.String(), tc.tells) {
				t.Errorf("status %d, reason %q, admitted %t:\n%s", e.Status, e.Reason, e.Admitted, tree.String())
			}
		})
	}
}
