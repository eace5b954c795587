package proxy_test

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
)

// wireBed is a bed of package http1, the upstream of which notes what arrives. The tests of this file look at what that
// engine refuses, and at what it passes on, byte by byte; those of net/http's are in head_test.go.
func wireBed(t *testing.T) (*bed, *backend) {
	t.Helper()
	if engine != server.EngineHTTP1 {
		t.Skip("heads of net/http are judged in head_test.go")
	}
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("public", "", "/", nil),
			route("orders", "", "/orders", protected),
			route("secure", "secure.test", "/", nil),
		},
		Upstreams:       []routing.Upstream{to(routing.UpstreamHTTP)},
		Certificates:    []routing.Certificate{b.certificate(t, "secure", "secure.test")},
		ReservedHeaders: []routing.ReservedHeaders{{Namespace: "shop", Names: []string{"X-Roles"}}},
	})
	return b, up
}

// overTLS is raw on a connection with TLS.
func (b *bed) overTLS(t *testing.T, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", b.https)
	if err != nil {
		t.Fatal(err)
	}
	secured := tls.Client(conn, &tls.Config{RootCAs: b.roots, ServerName: "secure.test", NextProtos: []string{"http/1.1"}})
	defer secured.Close()
	resp, _, _ := exchange(t, secured, request)
	return resp
}

// TestEachHeadIsRefusedOnTheWire for what is wrong with it, and the upstream sees nothing of it.
func TestEachHeadIsRefusedOnTheWire(t *testing.T) {
	b, up := wireBed(t)
	const (
		one = " HTTP/1.1\r\nHost: app.test\r\n\r\n"
		get = "GET /a HTTP/1.1\r\nHost: app.test\r\n"
	)
	for name, tc := range map[string]struct {
		request string
		tls     bool
		status  int
		reason  string
	}{
		"CONNECT to an authority":   {"CONNECT app.test:443" + one, false, 405, "method_not_allowed"},
		"CONNECT to a path":         {"CONNECT /a" + one, false, 405, "method_not_allowed"},
		"CONNECT to a whole URL":    {"CONNECT http://app.test/a" + one, false, 405, "method_not_allowed"},
		"TRACE":                     {"TRACE /a" + one, false, 405, "method_not_allowed"},
		"the asterisk":              {"OPTIONS *" + one, false, 400, "request_malformed"},
		"the asterisk, with GET":    {"GET *" + one, false, 400, "request_malformed"},
		"no target":                 {"GET " + one, false, 400, "request_malformed"},
		"a fragment":                {"GET /a#b" + one, false, 400, "request_malformed"},
		"a fragment and nothing":    {"GET #" + one, false, 400, "request_malformed"},
		"a fragment in the query":   {"GET /a?b#c" + one, false, 400, "request_malformed"},
		"a target without end":      {"GET /" + strings.Repeat("a", routing.MaxTargetBytes) + one, false, 414, "target_too_large"},
		"a query without end":       {"GET /?" + strings.Repeat("a", routing.MaxTargetBytes) + one, false, 414, "target_too_large"},
		"a path without a slash":    {"GET a" + one, false, 400, "request_malformed"},
		"the authority form":        {"GET app.test:80" + one, false, 400, "request_malformed"},
		"a scheme and nothing else": {"GET http" + one, false, 400, "request_malformed"},
		"a scheme without slashes":  {"GET http:/a" + one, false, 400, "request_malformed"},
		"a space in the query":      {"GET /a?b c" + one, false, 400, "request_malformed"},
		"a tab in the query":        {"GET /a?b\tc" + one, false, 400, "request_malformed"},
		"NUL in the query":          {"GET /a?b\x00c" + one, false, 400, "request_malformed"},
		"a control character":       {"GET /a?b\x01c" + one, false, 400, "request_malformed"},
		"DEL in the query":          {"GET /a?b\x7fc" + one, false, 400, "request_malformed"},
		"a byte above ASCII":        {"GET /a?b\xffc" + one, false, 400, "request_malformed"},

		"the scheme of TLS in clear text":   {"GET https://app.test/a" + one, false, 400, "request_malformed"},
		"the scheme of clear text in TLS":   {"GET http://secure.test/a" + one, true, 400, "request_malformed"},
		"another scheme":                    {"GET ftp://app.test/a" + one, false, 400, "request_malformed"},
		"no scheme":                         {"GET ://app.test/a" + one, false, 400, "request_malformed"},
		"user information":                  {"GET http://me@app.test/a" + one, false, 400, "request_malformed"},
		"user information with a secret":    {"GET http://me:80@app.test/a" + one, false, 400, "request_malformed"},
		"user information, empty":           {"GET http://@app.test/a" + one, false, 400, "request_malformed"},
		"user information before brackets":  {"GET http://me@[::1]/a" + one, false, 400, "request_malformed"},
		"an at sign behind brackets":        {"GET http://[::1]@app.test/a" + one, false, 400, "request_malformed"},
		"the absolute form without a host":  {"GET http:///a" + one, false, 400, "request_malformed"},
		"the absolute form of a query":      {"GET http://?a" + one, false, 400, "request_malformed"},
		"the absolute form of a port":       {"GET http://:80/a" + one, false, 400, "request_malformed"},
		"the absolute form of nothing":      {"GET http://" + one, false, 400, "request_malformed"},
		"HTTP/1.0 without a host":           {"GET /a HTTP/1.0\r\n\r\n", false, 400, "request_malformed"},
		"an expectation of something else":  {get + "Expect: 200-ok\r\n\r\n", false, 400, "request_malformed"},
		"one more expectation":              {get + "Expect: 100-continue\r\nExpect: x\r\n\r\n", false, 400, "request_malformed"},
		"too many fields":                   {get + strings.Repeat("A: b\r\n", 128) + "\r\n", false, 431, "head_too_large"},
		"a token that Connection lists":     {"GET /orders HTTP/1.1\r\nHost: app.test\r\nConnection: authorization\r\nAuthorization: Bearer a.b.c\r\n\r\n", false, 401, "token_malformed"},
		"a token that is misread":           {"GET /orders HTTP/1.1\r\nHost: app.test\r\nAuthorization_: Bearer a.b.c\r\n\r\n", false, 401, "token_missing"},
		"an identity in place of the token": {"GET /orders HTTP/1.1\r\nHost: app.test\r\nX-Consumer-ID: 7a1c\r\n\r\n", false, 401, "token_missing"},
	} {
		t.Run(name, func(t *testing.T) {
			before := b.access.String()
			var resp *http.Response
			if tc.tls {
				resp = b.overTLS(t, tc.request)
			} else {
				resp, _, _ = b.raw(t, tc.request)
			}
			reason, _ := b.record(t, before)["reason"].(string)
			if resp.StatusCode != tc.status || reason != tc.reason {
				t.Errorf("status %d, reason %q, want %d, %q", resp.StatusCode, reason, tc.status, tc.reason)
			}
			if allow := resp.Header.Get("Allow"); (tc.status == http.StatusMethodNotAllowed) != (allow == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT") {
				t.Errorf("Allow: %q", allow)
			}
			if seen := up.requests(); len(seen) != 0 {
				t.Errorf("the upstream saw %s %s of %s", seen[0].Method, seen[0].RequestURI, seen[0].Host)
			}
		})
	}
}

// TestHeadsThatAreTakenOffTheWire are just this side of those that are refused.
func TestHeadsThatAreTakenOffTheWire(t *testing.T) {
	b, up := wireBed(t)
	const one = " HTTP/1.1\r\nHost: app.test\r\n\r\n"
	for name, tc := range map[string]struct {
		request          string
		tls              bool
		host, wantTarget string
	}{
		"plain":                             {"GET /a" + one, false, "app.test", "/a"},
		"a query":                           {"GET /a?b=!~" + one, false, "app.test", "/a?b=!~"},
		"the longest query":                 {"GET /?" + strings.Repeat("a", routing.MaxTargetBytes-2) + one, false, "app.test", "/?" + strings.Repeat("a", routing.MaxTargetBytes-2)},
		"the absolute form":                 {"GET HTTP://app.test/a?b" + one, false, "app.test", "/a?b"},
		"the absolute form of another host": {"GET http://Other.test:8080/a" + one, false, "other.test:8080", "/a"},
		"the absolute form of an address":   {"GET http://[::1]:8080/a" + one, false, "[::1]:8080", "/a"},
		"the absolute form of root":         {"GET http://app.test" + one, false, "app.test", "/"},
		"the absolute form of a query":      {"GET http://app.test?b" + one, false, "app.test", "/?b"},
		"the absolute form in TLS":          {"GET https://secure.test/a" + one, true, "secure.test", "/a"},
		"an address in the query":           {"GET /a?http://me@other.test/" + one, false, "app.test", "/a?http://me@other.test/"},
		"HTTP/1.0":                          {"GET /a HTTP/1.0\r\nHost: app.test\r\n\r\n", false, "app.test", "/a"},
		"HTTP/1.0 with a whole URL":         {"GET http://app.test/a HTTP/1.0\r\n\r\n", false, "app.test", "/a"},
		"100-continue":                      {"GET /a HTTP/1.1\r\nHost: app.test\r\nExpect: 100-Continue\r\n\r\n", false, "app.test", "/a"},
		"as many fields as there may be":    {"GET /a HTTP/1.1\r\nHost: app.test\r\n" + strings.Repeat("A: b\r\n", 127) + "\r\n", false, "app.test", "/a"},
	} {
		t.Run(name, func(t *testing.T) {
			var resp *http.Response
			if tc.tls {
				resp = b.overTLS(t, tc.request)
			} else {
				resp, _, _ = b.raw(t, tc.request)
			}
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d", resp.StatusCode)
			}
			if saw := up.one(t); saw.Host != tc.host || saw.RequestURI != tc.wantTarget {
				t.Errorf("the upstream saw %s of %s, want %s of %s", saw.RequestURI, saw.Host, tc.wantTarget, tc.host)
			}
		})
	}
}

// TestMalformedTargetWithNothingLive: what is malformed stays so when there is no configuration that could tell.
func TestMalformedTargetWithNothingLive(t *testing.T) {
	b := newBed(t)
	if resp, _, _ := b.raw(t, "GET https://app.test/a HTTP/1.1\r\nHost: app.test\r\n\r\n"); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("status %d, want 400", resp.StatusCode)
	}
}

// TestFieldsOffTheWire: what upstreams get of a head, and of nothing else.
func TestFieldsOffTheWire(t *testing.T) {
	b, up := wireBed(t)
	for name, tc := range map[string]struct {
		method  string
		lines   []string
		body    string
		want    http.Header
		trailer http.Header
	}{
		"of the client": {
			lines: []string{"Accept: a/b", "accept: c/d", "Date: Sat, 21 Nov 2026 12:00:00 GMT", "Authorization: Basic YTpi", "Cookie: a=b"},
			want: http.Header{
				"Accept": {"a/b", "c/d"}, "Date": {"Sat, 21 Nov 2026 12:00:00 GMT"}, "Authorization": {"Basic YTpi"}, "Cookie": {"a=b"},
			},
		},
		"of the connection": {
			lines: []string{
				"A: 1", "Keep-Alive: 300", "Proxy-Connection: keep-alive", "Proxy-Authorization: Basic YTpi", "Proxy-Authenticate: Basic",
				"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Upgrade: h2c", "TE: gzip", "Trailer: A", "Expect: 100-continue", "Connection: Upgrade, HTTP2-Settings", "B: 2",
			},
			want: http.Header{"A": {"1"}, "B": {"2"}},
		},
		"that Connection lists": {
			lines: []string{"A: 1", "X-Listed: 1", "x-listed: 2", "X-Also: 3", "Connection: x-LISTED", "Connection: keep-alive ,\tX-Also", "X-Listed-Not: 4", "Authorization: x", "Connection: authorization"},
			want:  http.Header{"A": {"1"}, "X-Listed-Not": {"4"}},
		},
		"that others misread": {
			lines: []string{"A: 1", "X_Forwarded_For: 10.0.0.1", "X.Real.IP: 10.0.0.1", "x_consumer_id: admin", "Access_Token: x", "X~Listed: 1", "B: 2"},
			want:  http.Header{"A": {"1"}, "B": {"2"}},
		},
		"that tell who calls": {
			lines: []string{
				"A: 1", "X-Consumer-Username: x", "X-Consumer-Namespace: x", "x-consumer-id: x", "X-CONSUMER-CUSTOM-ID: x", "X-Consumer-Groups: x",
				"X-Credential-ID: x", "X-Anonymous-Consumer: x", "eg-consumer-id: x", "X-Roles: admin", "x-roles: root", "B: 2",
			},
			want: http.Header{"A": {"1"}, "B": {"2"}},
		},
		"that ask for trailers": {
			lines: []string{"TE: gzip, Trailers", "Connection: TE"},
			want:  http.Header{"Te": {"trailers"}, "Connection": {"TE"}},
		},
		"that announce trailers": {
			method:  http.MethodPost,
			lines:   []string{"Transfer-Encoding: chunked", "Trailer: X-Sum, X-Consumer-ID, X-Roles", "Trailer: Authorization"},
			body:    "1\r\na\r\n0\r\nX-Sum: 1\r\nX-Consumer-ID: admin\r\nX-Roles: admin\r\nAuthorization: x\r\n\r\n",
			want:    http.Header{},
			trailer: http.Header{"X-Sum": nil}, // nothing of a value, since the body is not read yet
		},
	} {
		t.Run(name, func(t *testing.T) {
			method := http.MethodGet
			if tc.method != "" {
				method = tc.method
			}
			resp, _, _ := b.raw(t, method+" /a HTTP/1.1\r\nHost: app.test\r\n"+strings.Join(tc.lines, "\r\n")+"\r\n\r\n"+tc.body)
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d", resp.StatusCode)
			}
			saw := up.one(t)
			for _, name := range []string{"X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
				if values := saw.Header[name]; len(values) != 1 {
					t.Errorf("%s: %q, want one that the engine wrote", name, values)
				}
				delete(saw.Header, name)
			}
			if diff := cmp.Diff(tc.want, saw.Header); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.trailer, saw.Trailer); diff != "" {
				t.Errorf("announced trailers (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoOtherUpgradeOffTheWire: a handshake with one thing wrong is a request like any other, and the upstream is not asked
// to switch protocols.
func TestNoOtherUpgradeOffTheWire(t *testing.T) {
	b, up := wireBed(t)
	const key = "Sec-WebSocket-Key: " + webSocketKey + "\r\n"
	instead := func(old, replacement string) string {
		return strings.Replace(handshake(""), old, replacement, 1)
	}
	for name, tc := range map[string]struct {
		request string
		want    bool
	}{
		"a handshake":                   {handshake(""), true},
		"in other letters":              {instead("Upgrade: websocket", "uPGRADE: WebSocket"), true},
		"in HTTP/1.0":                   {instead("HTTP/1.1", "HTTP/1.0"), false},
		"with another method":           {instead("GET", "POST"), false},
		"with a body":                   {handshake("Content-Length: 3\r\n") + "abc", false},
		"with a body of unknown length": {handshake("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n", false},
		"of no protocol":                {instead("Upgrade: websocket\r\n", ""), false},
		"of another protocol":           {instead("websocket", "h2c"), false},
		"of two protocols in one line":  {instead("websocket", "h2c, websocket"), false},
		"of two protocols":              {handshake("Upgrade: websocket\r\n"), false},
		"of h2c before":                 {instead("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"), false},
		"that Connection does not list": {instead("keep-alive, Upgrade", "keep-alive"), false},
		"without Connection":            {instead("Connection: keep-alive, Upgrade\r\n", ""), false},
		"without a key":                 {instead(key, ""), false},
		"with two keys":                 {handshake(key), false},
		"with a key that is too short":  {instead(webSocketKey, webSocketKey[1:]), false},
		"with a key that is too long":   {instead(webSocketKey, "a"+webSocketKey), false},
		"with an empty key":             {instead(webSocketKey, ""), false},
	} {
		t.Run(name, func(t *testing.T) {
			resp, _, _ := b.raw(t, tc.request)
			if resp.StatusCode != http.StatusOK { // what this upstream answers, whatever it is asked
				t.Fatalf("status %d", resp.StatusCode)
			}
			saw := up.one(t)
			if upgrade := saw.Header.Get("Upgrade"); (upgrade != "") != tc.want || tc.want && upgrade != "websocket" {
				t.Errorf("the upstream saw Upgrade: %q", upgrade)
			}
			if !tc.want && saw.Header.Get("Connection") != "" {
				t.Errorf("the upstream saw Connection: %q", saw.Header.Get("Connection"))
			}
		})
	}
}
