package routing

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// request makes a Request from "METHOD host path" and headers.
func request(t testing.TB, line string, headers map[string]string) *Request {
	t.Helper()
	var method, host, path string
	if _, err := fmt.Sscan(line, &method, &host, &path); err != nil {
		t.Fatalf("request %q: %v", line, err)
	}
	return &Request{Host: host, Path: path, Method: method, Fields: oneLineEach(headers)}
}

// fields are the lines of header fields by lower-case name.
type fields map[string][]string

func (f fields) Values(name string) []string { return f[name] }

func oneLineEach(headers map[string]string) fields {
	f := fields{}
	for name, value := range headers {
		f[name] = []string{value}
	}
	return f
}

// TestLinesOfAFieldAreJoined compares what several lines say together (RFC 9110 section 5.3).
func TestLinesOfAFieldAreJoined(t *testing.T) {
	table, problems := Build(Config{Pipelines: []Pipeline{
		pipeline("joined", Match{Path: prefix("/"), Headers: []HeaderMatch{header("x-a", "one, two")}}),
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for name, tc := range map[string]struct {
		lines []string
		want  Status
	}{
		"two lines":      {[]string{"one", "two"}, Found},
		"one line":       {[]string{"one, two"}, Found},
		"the first":      {[]string{"one"}, NoRoute},
		"another order":  {[]string{"two", "one"}, NoRoute},
		"an empty third": {[]string{"one", "two", ""}, NoRoute},
		"none":           {nil, NoRoute},
	} {
		r := Request{Host: "a.test", Path: "/", Method: "GET", Fields: fields{"x-a": tc.lines}}
		if got := table.Match(&r).Status; got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// describe returns the endpoint that was found, or else the status.
func describe(r Result) string {
	switch r.Status {
	case Found:
		return r.Route.Match.Endpoint
	case MethodNotAllowed:
		return r.Status.String() + ", allow " + r.Allow
	default:
		return r.Status.String()
	}
}

func pipeline(name string, matches ...Match) Pipeline {
	for i := range matches {
		if matches[i].Endpoint == "" {
			matches[i].Endpoint = name
		}
	}
	return Pipeline{Key: ObjectKey{Namespace: "shop", Name: name}, Matches: matches, Terminate: &Terminate{StatusCode: 200}}
}

func exact(value string) PathMatch   { return PathMatch{Type: PathExact, Value: value} }
func prefix(value string) PathMatch  { return PathMatch{Type: PathPrefix, Value: value} }
func matches(value string) PathMatch { return PathMatch{Type: PathRegularExpression, Value: value} }

func header(name, value string) HeaderMatch {
	return HeaderMatch{Name: name, Type: HeaderExact, Value: value}
}

func TestMatch(t *testing.T) {
	tests := map[string]struct {
		pipelines []Pipeline
		headers   map[string]string
		want      map[string]string // by "METHOD host path"
	}{
		"nothing is configured": {
			want: map[string]string{"GET a.test /": "no route"},
		},
		"an exact host wins over a wildcard, a wildcard over none": {
			pipelines: []Pipeline{
				pipeline("any", Match{Path: prefix("/")}),
				pipeline("wildcard", Match{Host: "*.test", Path: prefix("/")}),
				pipeline("exact", Match{Host: "a.test", Path: prefix("/")}),
			},
			want: map[string]string{
				"GET a.test /":        "exact",
				"GET b.test /":        "wildcard",
				"GET test /":          "any",
				"GET a.b.test /":      "any",
				"GET other.example /": "any",
				"GET [::1] /":         "any",
			},
		},
		"the host is never reconsidered": {
			pipelines: []Pipeline{
				pipeline("any", Match{Path: prefix("/")}),
				pipeline("wildcard", Match{Host: "*.test", Path: prefix("/wild")}),
				pipeline("exact", Match{Host: "a.test", Path: prefix("/orders")}),
			},
			want: map[string]string{
				"GET a.test /orders": "exact",
				"GET a.test /wild":   "no route",
				"GET a.test /":       "no route",
				"GET b.test /":       "no route",
				"GET b.test /wild":   "wildcard",
			},
		},
		"a prefix is made of whole segments": {
			pipelines: []Pipeline{pipeline("orders", Match{Path: prefix("/orders")})},
			want: map[string]string{
				"GET a.test /orders":      "orders",
				"GET a.test /orders/":     "orders",
				"GET a.test /orders/7/x":  "orders",
				"GET a.test /orders2":     "no route",
				"GET a.test /order":       "no route",
				"GET a.test /x/orders":    "no route",
				"GET a.test /":            "no route",
				"GET a.test /Orders":      "no route",
				"GET a.test /orders%20":   "no route",
				"GET a.test orders":       "no route",
				"GET other.test /orders/": "orders",
			},
		},
		"a slash at the end of a prefix means nothing": {
			pipelines: []Pipeline{pipeline("orders", Match{Path: prefix("/orders/")})},
			want: map[string]string{
				"GET a.test /orders":   "orders",
				"GET a.test /orders/7": "orders",
				"GET a.test /orders2":  "no route",
			},
		},
		"the longest prefix wins": {
			pipelines: []Pipeline{
				pipeline("root", Match{Path: prefix("/")}),
				pipeline("a", Match{Path: prefix("/a")}),
				pipeline("abc", Match{Path: prefix("/a/b/c")}),
			},
			want: map[string]string{
				"GET a.test /":        "root",
				"GET a.test /x/b/c":   "root",
				"GET a.test /a":       "a",
				"GET a.test /a/b":     "a",
				"GET a.test /a/b/c":   "abc",
				"GET a.test /a/b/c/d": "abc",
				"GET a.test /a/b/cd":  "a",
			},
		},
		"exact wins over an expression, an expression over a prefix": {
			pipelines: []Pipeline{
				pipeline("prefix", Match{Path: prefix("/orders/7")}),
				pipeline("expression", Match{Path: matches("/orders/[0-9]+")}),
				pipeline("exact", Match{Path: exact("/orders/7")}),
			},
			want: map[string]string{
				"GET a.test /orders/7":  "exact",
				"GET a.test /orders/7/": "prefix",
				"GET a.test /orders/8":  "expression",
				"GET a.test /orders/x":  "no route",
			},
		},
		"an expression matches the whole path": {
			pipelines: []Pipeline{pipeline("expression", Match{Path: matches("/a|/b")})},
			want: map[string]string{
				"GET a.test /a":   "expression",
				"GET a.test /b":   "expression",
				"GET a.test /a/b": "no route",
				"GET a.test /ab":  "no route",
				"GET a.test /x/b": "no route",
			},
		},
		"an expression that quotes to its end is still whole": {
			pipelines: []Pipeline{pipeline("expression", Match{Path: matches(`/a\Q.b`)})},
			want: map[string]string{
				"GET a.test /a.b":  "expression",
				"GET a.test /a.bc": "no route",
				"GET a.test /axb":  "no route",
			},
		},
		"the expression with the longer literal prefix wins, then the older": {
			pipelines: []Pipeline{
				pipeline("short", Match{Path: matches("/.*/x")}),
				pipeline("older", Match{Path: matches("/api/[a-z]+/.*")}),
				pipeline("newer", Match{Path: matches("/api/[a-z]*/.*")}),
				pipeline("long", Match{Path: matches("/api/v1/.*")}),
			},
			want: map[string]string{
				"GET a.test /b/x":       "short",
				"GET a.test /api/abc/x": "older",
				"GET a.test /api//x":    "newer",
				"GET a.test /api/v1/x":  "long",
			},
		},
		"a match that names the method wins over one for every method": {
			pipelines: []Pipeline{
				pipeline("every", Match{Path: prefix("/a")}),
				pipeline("post", Match{Path: prefix("/a"), Methods: []string{"POST"}}),
			},
			want: map[string]string{
				"GET a.test /a":  "every",
				"POST a.test /a": "post",
				"post a.test /a": "every",
			},
		},
		"more headers win, then the older Pipeline": {
			headers: map[string]string{"x-a": "1", "x-b": "2"},
			pipelines: []Pipeline{
				pipeline("none", Match{Path: prefix("/a")}),
				pipeline("one", Match{Path: prefix("/a"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("two", Match{Path: prefix("/a"), Headers: []HeaderMatch{header("x-a", "1"), header("x-b", "2")}}),
				pipeline("late", Match{Path: prefix("/a"), Headers: []HeaderMatch{header("x-b", "2"), header("x-a", "1")}}),
			},
			want: map[string]string{"GET a.test /a": "two"},
		},
		"the method comes before the headers": {
			headers: map[string]string{"x-a": "1"},
			pipelines: []Pipeline{
				pipeline("headers", Match{Path: prefix("/a"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("method", Match{Path: prefix("/a"), Methods: []string{"GET"}}),
			},
			want: map[string]string{"GET a.test /a": "method", "PUT a.test /a": "headers"},
		},
		"the older Pipeline wins, then the earlier match": {
			pipelines: []Pipeline{
				pipeline("older", Match{Path: prefix("/a"), Endpoint: "first"}, Match{Path: prefix("/a"), Endpoint: "second"}),
				pipeline("newer", Match{Path: prefix("/a")}),
			},
			want: map[string]string{"GET a.test /a": "first"},
		},
		"headers must be equal, in case too": {
			headers: map[string]string{"x-a": "One, Two"},
			pipelines: []Pipeline{
				pipeline("joined", Match{Path: exact("/joined"), Headers: []HeaderMatch{header("x-a", "One, Two")}}),
				pipeline("case", Match{Path: exact("/case"), Headers: []HeaderMatch{header("x-a", "one, two")}}),
				pipeline("absent", Match{Path: exact("/absent"), Headers: []HeaderMatch{header("x-b", "")}}),
				pipeline("whole", Match{Path: exact("/whole"), Headers: []HeaderMatch{{Name: "x-a", Type: HeaderRegularExpression, Value: "One"}}}),
				pipeline("expr", Match{Path: exact("/expr"), Headers: []HeaderMatch{{Name: "X-A", Type: HeaderRegularExpression, Value: "One.*"}}}),
			},
			want: map[string]string{
				"GET a.test /joined": "joined",
				"GET a.test /case":   "no route",
				"GET a.test /absent": "no route",
				"GET a.test /whole":  "no route",
				"GET a.test /expr":   "expr",
			},
		},
		"headers that don't match lead to the next less specific path of the host": {
			pipelines: []Pipeline{
				pipeline("exact", Match{Host: "a.test", Path: exact("/a/b"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("expression", Match{Host: "a.test", Path: matches("/a/.*"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("long", Match{Host: "a.test", Path: prefix("/a/b"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("short", Match{Host: "a.test", Path: prefix("/a")}),
				pipeline("lonely", Match{Host: "b.test", Path: prefix("/"), Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("any", Match{Path: prefix("/")}),
			},
			want: map[string]string{"GET a.test /a/b": "short", "GET b.test /": "no route"},
		},
		"a method that is left out is not allowed, whatever broader paths allow": {
			pipelines: []Pipeline{
				pipeline("root", Match{Path: prefix("/")}),
				pipeline("read", Match{Path: prefix("/a"), Methods: []string{"GET", "HEAD"}}),
				pipeline("write", Match{Path: prefix("/a"), Methods: []string{"PUT", "GET"}}),
			},
			want: map[string]string{
				"GET a.test /a":    "read",
				"PUT a.test /a":    "write",
				"DELETE a.test /a": "method not allowed, allow GET, HEAD, PUT",
				"DELETE a.test /":  "root",
			},
		},
		"only matches with the right headers say what is allowed": {
			headers: map[string]string{"x-a": "1"},
			pipelines: []Pipeline{
				pipeline("root", Match{Path: prefix("/")}),
				pipeline("get", Match{Path: prefix("/a"), Methods: []string{"GET"}, Headers: []HeaderMatch{header("x-a", "1")}}),
				pipeline("put", Match{Path: prefix("/a"), Methods: []string{"PUT"}, Headers: []HeaderMatch{header("x-a", "2")}}),
			},
			want: map[string]string{
				"GET a.test /a":  "get",
				"PUT a.test /a":  "method not allowed, allow GET",
				"POST a.test /a": "method not allowed, allow GET",
			},
		},
		"a path whose headers don't match allows nothing and forbids nothing": {
			pipelines: []Pipeline{
				pipeline("root", Match{Path: prefix("/")}),
				pipeline("get", Match{Path: prefix("/a"), Methods: []string{"GET"}, Headers: []HeaderMatch{header("x-a", "1")}}),
			},
			want: map[string]string{"PUT a.test /a": "root"},
		},
		"values are never patterns": {
			pipelines: []Pipeline{
				pipeline("dot", Match{Host: "a.test", Path: exact("/a.b")}),
				pipeline("star", Match{Host: "a.test", Path: prefix("/*")}),
			},
			want: map[string]string{
				"GET a.test /axb": "no route",
				"GET aXtest /a.b": "no route",
				"GET a.test /x":   "no route",
				"GET a.test /*/x": "star",
			},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			table, problems := Build(Config{Pipelines: tc.pipelines})
			if len(problems) > 0 {
				t.Fatalf("problems: %+v", problems)
			}
			got := map[string]string{}
			for line := range tc.want {
				got[line] = describe(table.Match(request(t, line, tc.headers)))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("matches (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRouteTellsPipelineAndMatch(t *testing.T) {
	cfg := Config{Pipelines: []Pipeline{
		pipeline("a", Match{Path: exact("/a")}),
		pipeline("b", Match{Path: exact("/b")}, Match{Path: exact("/c"), Scopes: []string{"orders.read"}}),
	}}
	table, _ := Build(cfg)
	result := table.Match(request(t, "GET a.test /c", nil))
	if result.Status != Found {
		t.Fatal(result.Status)
	}
	if diff := cmp.Diff(Route{Pipeline: 1, Match: &cfg.Pipelines[1].Matches[1]}, *result.Route); diff != "" {
		t.Errorf("route (-want +got):\n%s", diff)
	}
	if got := table.Pipeline(1).Key.Name; got != "b" {
		t.Errorf("pipeline 1 is %q", got)
	}
}

func TestCertificate(t *testing.T) {
	shared := ObjectKey{"shop", "shared"}
	table, _ := Build(Config{Certificates: []Certificate{
		{Secret: ObjectKey{"shop", "wild"}, Hosts: []string{"*.shop.test"}},
		{Secret: shared, Hosts: []string{"a.test", "b.test"}},
		{Secret: ObjectKey{"shop", "exact"}, Hosts: []string{"pay.shop.test", "a.test"}},
		{Secret: shared, Hosts: []string{"c.test"}},
		{Secret: ObjectKey{"shop", "bad"}, Hosts: []string{"no host", "*.[::1]", "d.test:443"}},
	}})
	want := map[string]int{
		"a.test": 1, "A.Test": 1, "a.test.": 1, "b.test": 1, "c.test": 3,
		"x.shop.test": 0, "pay.shop.test": 2,
	}
	for name, index := range want {
		if got, ok := table.Certificate(name); !ok || got != index {
			t.Errorf("certificate of %q: %d, %v; want %d", name, got, ok, index)
		}
	}
	for _, name := range []string{"", "shop.test", "x.y.shop.test", "*.shop.test", "other.test", "a.test:443", "no host", "127.0.0.1", "d.test"} {
		if got, ok := table.Certificate(name); ok {
			t.Errorf("certificate of %q: %d, want none", name, got)
		}
	}
	if got := len(table.Certificates()); got != 5 {
		t.Errorf("%d certificates", got)
	}

	misdirected := map[[2]string]bool{
		{"a.test", "a.test"}:               false,
		{"A.test.", "a.test"}:              false,
		{"gone.test", "gone.test"}:         false, // the certificate went after the handshake
		{"a.test", "b.test"}:               false,
		{"a.test", "c.test"}:               false, // another entry with the same Secret
		{"x.shop.test", "y.shop.test"}:     false,
		{"x.shop.test", "pay.shop.test"}:   true,
		{"pay.shop.test", "x.shop.test"}:   true,
		{"a.test", "x.shop.test"}:          true,
		{"a.test", "unknown.test"}:         true,
		{"unknown.test", "a.test"}:         true,
		{"", "a.test"}:                     true,
		{"unknown.test", "unknown2.test"}:  true,
		{"not a name", "not a name"}:       true,
		{"x.shop.test", "x.y.shop.test"}:   true,
		{"x.shop.test", "shop.test"}:       true,
		{"x.shop.test", "other.shop.test"}: false,
	}
	for names, want := range misdirected {
		if got := table.Misdirected(names[0], names[1]); got != want {
			t.Errorf("misdirected with SNI %q and host %q: %v, want %v", names[0], names[1], got, want)
		}
	}
}

func TestStatusString(t *testing.T) {
	for status, want := range map[Status]string{
		NoRoute: "no route", Found: "found", MethodNotAllowed: "method not allowed", 9: "unknown",
	} {
		if got := status.String(); got != want {
			t.Errorf("status %d is %q, want %q", status, got, want)
		}
	}
}
