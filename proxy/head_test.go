package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
)

// requestAs is a request for /a of app.test as net/http's server hands it over, with one change.
func requestAs(change func(*http.Request)) *http.Request {
	r := &http.Request{
		Method: http.MethodGet, RequestURI: "/a", URL: &url.URL{Path: "/a"}, Host: "app.test",
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, RemoteAddr: "192.0.2.1:4711",
	}
	if change != nil {
		change(r)
	}
	return r
}

func asHTTP2(r *http.Request) { r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0 }

// targets sets the request target, and what net/http makes of it.
func targets(target string) func(*http.Request) {
	return func(r *http.Request) {
		r.RequestURI = target
		if u, err := url.ParseRequestURI(target); err == nil {
			r.URL = u
		}
	}
}

func fields(lines ...string) func(*http.Request) {
	return func(r *http.Request) {
		for i := 0; i+1 < len(lines); i += 2 {
			r.Header.Add(lines[i], lines[i+1])
		}
	}
}

func both(first, second func(*http.Request)) func(*http.Request) {
	return func(r *http.Request) {
		first(r)
		second(r)
	}
}

// TestEachHeadIsRefused for what is wrong with it, whether or not net/http's server hands such a request over today.
func TestEachHeadIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*http.Request)
		want   refusal.Reason
	}{
		"CONNECT": {func(r *http.Request) { r.Method = http.MethodConnect }, refusal.MethodNotAllowed},
		"TRACE":   {func(r *http.Request) { r.Method = http.MethodTrace }, refusal.MethodNotAllowed},

		"a target without end":             {targets("/" + strings.Repeat("a", 1<<16)), refusal.TargetTooLarge},
		"no target":                        {targets(""), refusal.RequestMalformed},
		"the asterisk":                     {targets("*"), refusal.RequestMalformed},
		"a fragment":                       {targets("/a#b"), refusal.RequestMalformed},
		"a path without a slash":           {targets("a"), refusal.RequestMalformed},
		"a scheme and nothing else":        {both(targets("http://app.test"), func(r *http.Request) { r.RequestURI = "http" }), refusal.RequestMalformed},
		"another scheme":                   {targets("https://app.test/a"), refusal.RequestMalformed},
		"the scheme of clear text in TLS":  {both(targets("http://app.test/a"), func(r *http.Request) { r.TLS = &tls.ConnectionState{} }), refusal.RequestMalformed},
		"the absolute form in HTTP/2":      {both(targets("http://app.test/a"), asHTTP2), refusal.RequestMalformed},
		"an absolute form that is no URL":  {both(targets("http://app.test/a"), func(r *http.Request) { r.URL = nil }), refusal.RequestMalformed},
		"the absolute form with a user":    {targets("http://me@app.test/a"), refusal.RequestMalformed},
		"the absolute form without a host": {targets("http:///a"), refusal.RequestMalformed},
		"a space in the query":             {targets("/a?b c"), refusal.RequestMalformed},
		"a control character in the query": {targets("/a?b\x01c"), refusal.RequestMalformed},
		"DEL in the query":                 {targets("/a?b\x7fc"), refusal.RequestMalformed},
		"a byte above ASCII in the query":  {targets("/a?b\xffc"), refusal.RequestMalformed},

		"too many fields":        {fields(strings.Split(strings.Repeat("A,b,", 129), ",")...), refusal.HeadTooLarge},
		"a Host of another":      {fields("Host", "evil.test"), refusal.RequestMalformed},
		"a second Host":          {fields("Host", "app.test", "Host", "evil.test"), refusal.RequestMalformed},
		"an expectation of more": {fields("Expect", "200-ok"), refusal.RequestMalformed},

		"HTTP/2 with two lengths":            {both(asHTTP2, fields("Content-Length", "1", "Content-Length", "1")), refusal.RequestMalformed},
		"HTTP/2 with Connection":             {both(asHTTP2, fields("Connection", "close")), refusal.RequestMalformed},
		"HTTP/2 with Keep-Alive":             {both(asHTTP2, fields("Keep-Alive", "300")), refusal.RequestMalformed},
		"HTTP/2 with Proxy-Connection":       {both(asHTTP2, fields("Proxy-Connection", "close")), refusal.RequestMalformed},
		"HTTP/2 with Transfer-Encoding":      {both(asHTTP2, fields("Transfer-Encoding", "chunked")), refusal.RequestMalformed},
		"HTTP/2 with Upgrade":                {both(asHTTP2, fields("Upgrade", "h2c")), refusal.RequestMalformed},
		"HTTP/2 with TE other than trailers": {both(asHTTP2, fields("Te", "gzip")), refusal.RequestMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h requestHead
			if got := h.read(requestAs(tc.change)); got == nil || got.Reason != tc.want {
				t.Errorf("refused as %+v, want %s", got, tc.want)
			}
		})
	}
}

// TestHeadsThatAreTaken are just this side of those that are refused.
func TestHeadsThatAreTaken(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change      func(*http.Request)
		path, query string
	}{
		"plain":                       {nil, "/a", ""},
		"a query":                     {targets("/a?b=!~"), "/a", "b=!~"},
		"the absolute form":           {targets("HTTP://app.test/a?b"), "/a", "b"},
		"the absolute form of root":   {targets("http://app.test?b"), "/", "b"},
		"as many fields as there may": {fields(strings.Split(strings.Repeat("A,b,", 128), ",")...), "/a", ""},
		"its Host beside":             {both(asHTTP2, fields("Host", "app.test")), "/a", ""},
		"100-continue":                {fields("Expect", "100-Continue"), "/a", ""},
		"HTTP/2 with one length":      {both(asHTTP2, fields("Content-Length", "1")), "/a", ""},
		"HTTP/2 with trailers":        {both(asHTTP2, fields("Te", "Trailers")), "/a", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h requestHead
			if got := h.read(requestAs(tc.change)); got != nil {
				t.Fatalf("refused as %s", got.Reason)
			}
			if h.path != tc.path || h.query != tc.query {
				t.Errorf("path %q, query %q, want %q, %q", h.path, h.query, tc.path, tc.query)
			}
		})
	}
}

// TestFieldsThatGoNoFurther: what belongs to the connection, what says where a request came from, and what other servers
// would take for something else.
func TestFieldsThatGoNoFurther(t *testing.T) {
	t.Parallel()
	var h requestHead
	refused := h.read(requestAs(fields(
		"Accept", "a/b", "Connection", "close, X-Listed", "X-Listed", "1", "Keep-Alive", "300", "Proxy-Authorization", "x", "Te", "trailers",
		"X-Forwarded-For", "10.0.0.1", "X_real_ip", "10.0.0.1", "X-Consumer-Id", "admin", "Expect", "100-continue",
	)))
	if refused != nil {
		t.Fatalf("refused as %s", refused.Reason)
	}
	want := http.Header{"Accept": {"a/b"}, "X-Consumer-Id": {"admin"}} // which the gate removes
	if diff := cmp.Diff(want, h.header); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(http.Header{"X-Listed": {"1"}}, h.judged); diff != "" {
		t.Errorf("judged fields (-want +got):\n%s", diff)
	}
}

// TestFieldsForUpstreamsAlone: responses keep nothing of the upstream's connection, nor what tells who calls.
func TestFieldsForUpstreamsAlone(t *testing.T) {
	t.Parallel()
	got := http.Header{}
	copyResponseFields(got, http.Header{
		"Content-Type": {"a/b"}, "Set-Cookie": {"a", "b"},
		"Connection": {"close, x-listed"}, "X-Listed": {"1"}, "Keep-Alive": {"timeout=5"}, "Upgrade": {"h2c"}, "Proxy-Authenticate": {"Basic"},
		"X-Consumer-Id": {"7a1c"}, "X_consumer_groups": {"gold"},
	})
	if diff := cmp.Diff(http.Header{"Content-Type": {"a/b"}, "Set-Cookie": {"a", "b"}}, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestNoOtherUpgrade: a handshake with one thing wrong is a request like any other.
func TestNoOtherUpgrade(t *testing.T) {
	t.Parallel()
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	handshake := func(r *http.Request) {
		r.Header = http.Header{"Upgrade": {"WebSocket"}, "Connection": {"keep-alive, Upgrade"}, "Sec-Websocket-Key": {key}}
	}
	for name, tc := range map[string]struct {
		change func(*http.Request)
		want   bool
	}{
		"a handshake":                   {func(*http.Request) {}, true},
		"in HTTP/2":                     {func(r *http.Request) { r.ProtoMajor, r.ProtoMinor = 2, 1 }, false},
		"in HTTP/1.0":                   {func(r *http.Request) { r.ProtoMinor = 0 }, false},
		"with another method":           {func(r *http.Request) { r.Method = http.MethodPost }, false},
		"with a body":                   {func(r *http.Request) { r.ContentLength = 3 }, false},
		"with a body of unknown length": {func(r *http.Request) { r.ContentLength = -1 }, false},
		"of no protocol":                {func(r *http.Request) { delete(r.Header, "Upgrade") }, false},
		"of another protocol":           {func(r *http.Request) { r.Header["Upgrade"] = []string{"h2c"} }, false},
		"of two protocols in one line":  {func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket, h2c"} }, false},
		"of two protocols":              {func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket", "h2c"} }, false},
		"that Connection does not list": {func(r *http.Request) { r.Header["Connection"] = []string{"keep-alive"} }, false},
		"without a key":                 {func(r *http.Request) { delete(r.Header, "Sec-Websocket-Key") }, false},
		"with two keys":                 {func(r *http.Request) { r.Header["Sec-Websocket-Key"] = []string{key, key} }, false},
		"with a key of another length":  {func(r *http.Request) { r.Header["Sec-Websocket-Key"] = []string{key[1:]} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := requestHead{r: requestAs(both(handshake, tc.change))}
			h.readUpgrade()
			if h.upgrade != tc.want || (h.key != "") != tc.want {
				t.Errorf("upgrade %t, key %q, want %t", h.upgrade, h.key, tc.want)
			}
		})
	}
}

// TestBodyIsReadOnce: whoever asks for it again gets an error, not what is left of it.
func TestBodyIsReadOnce(t *testing.T) {
	t.Parallel()
	budget := &bodyBudget{most: 64, timeout: time.Minute}
	h := requestHead{
		r:       requestAs(func(r *http.Request) { r.Body, r.ContentLength = io.NopCloser(strings.NewReader("token=a")), 7 }),
		control: http.NewResponseController(httptest.NewRecorder()), budget: budget,
	}
	if body, err := h.ReadBody(64); err != nil || string(body) != "token=a" {
		t.Fatalf("read %q, %v", body, err)
	}
	if body, err := h.ReadBody(64); !errors.Is(err, head.ErrBodyCut) || body != nil {
		t.Errorf("read again %q, %v, want %v", body, err, head.ErrBodyCut)
	}
	h.releaseBody()
	if held := budget.held.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}

// TestRequestIDs: one that could be taken for something else in a log or a header is replaced.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	for id, kept := range map[string]bool{
		"4f/a-b.c_d:+=@~":        true,
		strings.Repeat("a", 128): true,
		strings.Repeat("a", 129): false,
		"":                       false,
		"a b":                    false,
		`a"b`:                    false,
		"a,b":                    false,
		"a\x7f":                  false,
		"\xffa":                  false,
	} {
		got := requestID(http.Header{"X-Request-Id": {id}})
		if (got == id) != kept || got == "" {
			t.Errorf("%q became %q", id, got)
		}
	}
	if got := requestID(http.Header{"X-Request-Id": {"a", "b"}}); got == "a" || got == "b" {
		t.Errorf("two became %q", got)
	}
}
