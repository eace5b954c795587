package proxy_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	detailMissing = "A token is required."
	detailInvalid = "The token is not valid."
	detailExpired = "The token has expired."
	detailScope   = "The token does not grant what this needs."
	detailSeveral = "The request carries more than one token."
)

// refusalConfig has a Pipeline for each kind of refusal.
func refusalConfig() routing.Config {
	withDetail := func(d routing.Detail) func(*routing.Pipeline) {
		return func(p *routing.Pipeline) {
			protected(p)
			p.JWT.Detail = d
		}
	}
	return routing.Config{
		Pipelines: []routing.Pipeline{
			route("public", "app.test", "/public", nil),
			route("orders", "app.test", "/orders", protected),
			route("told", "app.test", "/told", withDetail(routing.DetailReason)),
			route("silent", "app.test", "/silent", withDetail(routing.DetailNone)),
			route("quoted", "app.test", "/quoted", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.Realm = "a \"b\" \\ c\r\nX: 1\u00e9"
			}),
			route("scoped", "app.test", "/scoped", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.RequiredScopes = []string{"orders.read", "orders.write"}
			}),
			route("small", "app.test", "/small", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.MaxTokenBytes = 64
			}),
			route("broken", "app.test", "/broken", func(p *routing.Pipeline) { p.Broken = "Secret shop/ca is missing" }),
			route("tls-only", "app.test", "/tls-only", func(p *routing.Pipeline) { p.Insecure = routing.InsecureRefuse }),
			route("gets", "app.test", "/gets", func(p *routing.Pipeline) { p.Matches[0].Methods = []string{"GET", "HEAD"} }),
			route("empty", "app.test", "/empty", func(p *routing.Pipeline) { p.Proxy.Upstream = key2("empty") }),
			route("dead", "app.test", "/dead", func(p *routing.Pipeline) { p.Proxy.Upstream = key2("dead") }),
			// The trap: whatever falls through a protected Pipeline would land here.
			route("catch-all", "other.test", "/", nil),
		},
		Upstreams: []routing.Upstream{
			to(routing.UpstreamHTTP),
			{Key: key2("dead"), Backends: []routing.Backend{{Service: key2("dead"), Port: 80, Weight: 1}}},
			{Key: key2("empty"), Backends: []routing.Backend{{Service: key2("empty"), Port: 80, Weight: 1}}},
		},
	}
}

type refusalCase struct {
	method string // GET
	target string
	header []string

	wantStatus    int
	wantReason    string
	wantChallenge string
	wantDetail    string
	wantTold      string // the body's reason
	wantHeader    map[string]string
	wantPipeline  string
	wantClosed    bool
}

func refusalCases(t *testing.T) map[string]refusalCase {
	t.Helper()
	bearer := func(with claims) []string { return []string{"Authorization", "Bearer " + token(t, with)} }
	good, expired := bearer(nil), bearer(claims{"exp": clock().Unix() - 1})
	tampered := []string{"Authorization", good[1][:len(good[1])-4] + "AAAA"}
	const invalid = `Bearer realm="orders", error="invalid_token", error_description="The token is not valid."`
	return map[string]refusalCase{
		"no token": {
			target: "/orders", wantStatus: 401, wantReason: "token_missing", wantPipeline: "orders",
			wantChallenge: `Bearer realm="orders"`, wantDetail: detailMissing,
		},
		"another scheme": {
			target: "/orders", header: []string{"Authorization", "Basic YTpi"}, wantStatus: 401, wantReason: "token_missing",
			wantPipeline: "orders", wantChallenge: `Bearer realm="orders"`, wantDetail: detailMissing,
		},
		"malformed token": {
			target: "/orders", header: []string{"Authorization", "Bearer a.b.c"}, wantStatus: 401, wantReason: "token_malformed",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"bad signature": {
			target: "/orders", header: tampered, wantStatus: 401, wantReason: "signature_invalid",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"unknown credential": {
			target: "/orders", header: bearer(claims{"sub": "nobody"}), wantStatus: 401, wantReason: "credential_unknown",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"another audience": {
			target: "/orders", header: bearer(claims{"aud": "billing"}), wantStatus: 401, wantReason: "audience_mismatch",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"not valid yet": {
			target: "/orders", header: bearer(claims{"nbf": clock().Unix() + 60}), wantStatus: 401, wantReason: "token_not_yet_valid",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"bound to a key": {
			target: "/orders", header: bearer(claims{"cnf": map[string]any{"jkt": "x"}}), wantStatus: 401, wantReason: "binding_failed",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"no expiration": {
			target: "/orders", header: bearer(claims{"exp": nil}), wantStatus: 401, wantReason: "claim_missing",
			wantPipeline: "orders", wantChallenge: invalid, wantDetail: detailInvalid,
		},
		"expired": {
			target: "/orders", header: expired, wantStatus: 401, wantReason: "token_expired", wantPipeline: "orders",
			wantChallenge: `Bearer realm="orders", error="invalid_token", error_description="The token has expired."`,
			wantDetail:    detailExpired,
		},
		"expired, reasons told": {
			target: "/told", header: expired, wantStatus: 401, wantReason: "token_expired", wantPipeline: "told",
			wantChallenge: `Bearer realm="told", error="invalid_token", error_description="token_expired"`,
			wantDetail:    detailExpired, wantTold: "token_expired",
		},
		"unknown credential, reasons told": {
			target: "/told", header: bearer(claims{"sub": "nobody"}), wantStatus: 401, wantReason: "credential_unknown", wantPipeline: "told",
			wantChallenge: `Bearer realm="told", error="invalid_token", error_description="credential_unknown"`,
			wantDetail:    detailInvalid, wantTold: "credential_unknown",
		},
		"expired, nothing told": {
			target: "/silent", header: expired, wantStatus: 401, wantReason: "token_expired", wantPipeline: "silent",
			wantChallenge: `Bearer realm="silent", error="invalid_token"`,
		},
		"no token, nothing told": {
			target: "/silent", wantStatus: 401, wantReason: "token_missing", wantPipeline: "silent",
			wantChallenge: `Bearer realm="silent"`,
		},
		"realm with quotes, controls and letters that are not ASCII": {
			target: "/quoted", wantStatus: 401, wantReason: "token_missing", wantPipeline: "quoted",
			wantChallenge: `Bearer realm="a \"b\" \\ c??X: 1??"`, wantDetail: detailMissing,
		},
		"two Authorization lines": {
			target: "/orders", header: append(bearer(nil), good...), wantStatus: 400, wantReason: "token_ambiguous", wantPipeline: "orders",
			wantChallenge: `Bearer realm="orders", error="invalid_request", error_description="The request carries more than one token."`,
			wantDetail:    detailSeveral,
		},
		"scope missing": {
			target: "/scoped", header: bearer(claims{"scope": "orders.read"}), wantStatus: 403, wantReason: "scope_missing", wantPipeline: "scoped",
			wantChallenge: `Bearer realm="scoped", error="insufficient_scope", error_description="The token does not grant what this needs.", scope="orders.read orders.write"`,
			wantDetail:    detailScope,
		},
		"token too large": {
			target: "/small", header: good, wantStatus: 431, wantReason: "token_too_large", wantPipeline: "small",
		},
		"protection is broken": {
			target: "/broken", header: good, wantStatus: 503, wantReason: "pipeline_not_ready", wantPipeline: "broken",
			wantHeader: map[string]string{"Retry-After": "1"},
		},
		"clear text where TLS is asked for": {
			target: "/tls-only", wantStatus: 403, wantReason: "insecure_transport", wantPipeline: "tls-only",
		},
		"no such path": {
			target: "/nowhere", wantStatus: 404, wantReason: "no_route",
		},
		"another method": {
			method: "POST", target: "/gets", wantStatus: 405, wantReason: "method_not_allowed",
			wantHeader: map[string]string{"Allow": "GET, HEAD"},
		},
		"TRACE": {
			method: "TRACE", target: "/public", wantStatus: 405, wantReason: "method_not_allowed",
			wantHeader: map[string]string{"Allow": "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"},
		},
		"encoded slash": {
			target: "/public%2f..%2forders", wantStatus: 400, wantReason: "path_ambiguous", wantClosed: true,
		},
		"fragment": {
			target: "/public#/orders", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"asterisk": {
			method: "OPTIONS", target: "*", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"absolute form of another scheme": {
			target: "https://app.test/public", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"absolute form without a host": {
			target: "http:///public", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"gRPC over HTTP/1.1, which there is not": {
			target: "/orders", header: []string{"Content-Type", "application/grpc"}, wantStatus: 401, wantReason: "token_missing",
			wantPipeline: "orders", wantChallenge: `Bearer realm="orders"`, wantDetail: detailMissing,
		},
		"user information in the target": {
			target: "http://a:b@app.test/public", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"query with bytes that are not ASCII": {
			target: "/public?a=\xff", wantStatus: 400, wantReason: "request_malformed", wantClosed: true,
		},
		"target of more than 8 KiB": {
			target: "/public?" + strings.Repeat("a", routing.MaxTargetBytes), wantStatus: 414, wantReason: "target_too_large", wantClosed: true,
		},
		"more than 128 fields": {
			target: "/public", header: strings.Split(strings.Repeat("X-A,1,", 130)+"X-B,1", ","), wantStatus: 431, wantReason: "head_too_large", wantClosed: true,
		},
		"no endpoints": {
			target: "/empty", wantStatus: 503, wantReason: "no_endpoints", wantPipeline: "empty",
			wantHeader: map[string]string{"Retry-After": "1"},
		},
		"endpoint refuses connections": {
			target: "/dead", wantStatus: 502, wantReason: "upstream_connect", wantPipeline: "dead",
		},
	}
}

func TestRefusals(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.upstreams.SetEndpoints(key2("dead"), map[int32][]netip.AddrPort{80: {refusingAddress(t)}})
	b.publish(t, refusalConfig())
	for name, c := range refusalCases(t) {
		t.Run(name, func(t *testing.T) {
			method := c.method
			if method == "" {
				method = "GET"
			}
			var head strings.Builder
			fmt.Fprintf(&head, "%s %s HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: %s\r\n", method, c.target, strings.ReplaceAll(t.Name(), ",", "."))
			for i := 0; i+1 < len(c.header); i += 2 {
				fmt.Fprintf(&head, "%s: %s\r\n", c.header[i], c.header[i+1])
			}
			before := b.access.String()
			resp, body, closed := b.raw(t, head.String()+"\r\n")
			if resp.StatusCode != c.wantStatus || closed != c.wantClosed {
				t.Errorf("status %d, closed %t, want %d, %t", resp.StatusCode, closed, c.wantStatus, c.wantClosed)
			}
			if diff := cmp.Diff(c.wantChallenge, resp.Header.Get("WWW-Authenticate")); diff != "" {
				t.Errorf("challenge (-want +got):\n%s", diff)
			}
			for name, want := range c.wantHeader {
				if got := resp.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := resp.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q, want no-store", got)
			}
			want := map[string]any{"type": "about:blank", "title": http.StatusText(c.wantStatus), "status": float64(c.wantStatus)}
			if c.wantDetail != "" {
				want["detail"] = c.wantDetail
			}
			if c.wantTold != "" {
				want["reason"] = c.wantTold
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(body), &got); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("body %q of type %q: %v", body, resp.Header.Get("Content-Type"), err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problem (-want +got):\n%s", diff)
			}
			if seen := up.requests(); len(seen) > 0 {
				t.Errorf("the upstream saw %s %s", seen[0].Method, seen[0].RequestURI)
			}
			checkRecord(t, b, before, c)
		})
	}
}

// checkRecord waits for the access log's record and compares what it says of the refusal.
func checkRecord(t *testing.T, b *bed, before string, c refusalCase) {
	t.Helper()
	record := b.record(t, before)
	pipeline := ""
	if c.wantPipeline != "" {
		pipeline = "shop/" + c.wantPipeline
	}
	want := map[string]any{"status": float64(c.wantStatus), "reason": c.wantReason, "pipeline": pipeline}
	got := map[string]any{"status": record["status"], "reason": record["reason"], "pipeline": ""}
	if p, ok := record["pipeline"]; ok {
		got["pipeline"] = p
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("access log (-want +got):\n%s", diff)
	}
}

// TestOracle: what is wrong with a token beyond its expiry must not be told apart from outside, to the byte.
func TestOracle(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.publish(t, refusalConfig())
	cases := refusalCases(t)
	var first string
	for _, name := range []string{"malformed token", "bad signature", "unknown credential", "another audience", "not valid yet", "bound to a key", "no expiration"} {
		c := cases[name]
		resp, body, _ := b.raw(t, "GET "+c.target+" HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: same\r\n"+c.header[0]+": "+c.header[1]+"\r\n\r\n")
		resp.Header.Del("Date")
		got := fmt.Sprint(resp.Status, resp.Header, body)
		if first == "" {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("%s is told apart (-want +got):\n%s", name, diff)
		}
	}
}

func TestRefusalOfHEADHasNoBody(t *testing.T) {
	b := newBed(t)
	b.publish(t, refusalConfig())
	resp, body, _ := b.raw(t, "HEAD /nowhere HTTP/1.1\r\nHost: app.test\r\n\r\n")
	if resp.StatusCode != http.StatusNotFound || body != "" || resp.ContentLength <= 0 {
		t.Errorf("status %d, body %q, length %d; want 404 without body but with the length of one", resp.StatusCode, body, resp.ContentLength)
	}
}

// TestGRPCRefusals: gRPC clients look at grpc-status, in a response of one HEADERS frame.
func TestGRPCRefusals(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.upstreams.SetEndpoints(key2("dead"), map[int32][]netip.AddrPort{80: {refusingAddress(t)}})
	b.publish(t, refusalConfig())
	for target, want := range map[string]struct {
		status, message, challenge string
	}{
		"/orders":  {"16", detailMissing, `Bearer realm="orders"`},
		"/scoped":  {"7", detailScope, `Bearer realm="scoped", error="insufficient_scope", error_description="The token does not grant what this needs.", scope="orders.read orders.write"`},
		"/broken":  {"14", "Service Unavailable", ""},
		"/dead":    {"14", "Bad Gateway", ""},
		"/nowhere": {"12", "Not Found", ""},
	} {
		t.Run(target, func(t *testing.T) {
			req := request(t, "POST", "http://app.test"+target, strings.NewReader("\x00\x00\x00\x00\x00"), "Content-Type", "application/grpc+proto", "TE", "trailers")
			if target == "/scoped" {
				req.Header.Set("Authorization", "Bearer "+token(t, claims{"scope": "other"}))
			}
			resp, body := do(t, b.client(t, "h2c"), req)
			got := []string{resp.Status, body, resp.Header.Get("Content-Type"), resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message"), resp.Header.Get("WWW-Authenticate")}
			if diff := cmp.Diff([]string{"200 OK", "", "application/grpc", want.status, want.message, want.challenge}, got); diff != "" {
				t.Errorf("response (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingLive: before there is a configuration, everything is refused.
func TestNothingLive(t *testing.T) {
	b := newBed(t)
	resp, _, _ := b.raw(t, "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
	if resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", resp.StatusCode)
	}
}
