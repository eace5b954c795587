package proxy_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// identityOf is every field of a request that a backend could take for who calls.
func identityOf(header http.Header) map[string][]string {
	found := map[string][]string{}
	for name, values := range header {
		folded := strings.NewReplacer("_", "-", ".", "-", "~", "-").Replace(strings.ToLower(name))
		if strings.HasPrefix(folded, "x-consumer-") || strings.HasPrefix(folded, "x-credential-") ||
			strings.HasPrefix(folded, "x-anonymous-") || strings.HasPrefix(folded, "eg-") {
			found[name] = values
		}
	}
	return found
}

// acme is what upstreams are told of the consumer of the tests.
func acme() map[string][]string {
	return map[string][]string{
		"X-Consumer-Username":  {"acme"},
		"X-Consumer-Namespace": {"shop"},
		"X-Consumer-Id":        {"7a1c"},
		"X-Consumer-Custom-Id": {"crm-4711"},
		"X-Consumer-Groups":    {"partners,gold"},
		"X-Credential-Id":      {"acme-orders"},
	}
}

// TestSpoofedIdentity sends every identity field in every spelling, on a public and on a protected route.
func TestSpoofedIdentity(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("public", "", "/public", nil), route("orders", "", "/orders", protected)},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	names := []string{
		head.HeaderUsername, head.HeaderNamespace, head.HeaderID, head.HeaderCustomID, head.HeaderGroups,
		head.HeaderCredential, head.HeaderAnonymous, head.HeaderExpressGateway,
	}
	spellings := map[string]func(name string) []string{
		"as documented":        func(n string) []string { return []string{n + ": admin"} },
		"lower case":           func(n string) []string { return []string{strings.ToLower(n) + ": admin"} },
		"upper case":           func(n string) []string { return []string{strings.ToUpper(n) + ": admin"} },
		"underscores":          func(n string) []string { return []string{strings.ReplaceAll(n, "-", "_") + ": admin"} },
		"one underscore":       func(n string) []string { return []string{strings.Replace(n, "-", "_", 1) + ": admin"} },
		"full stops":           func(n string) []string { return []string{strings.ReplaceAll(n, "-", ".") + ": admin"} },
		"one tilde":            func(n string) []string { return []string{strings.Replace(n, "-", "~", 1) + ": admin"} },
		"twice":                func(n string) []string { return []string{n + ": admin", n + ": root"} },
		"both spellings":       func(n string) []string { return []string{n + ": admin", strings.ReplaceAll(n, "-", "_") + ": root"} },
		"empty":                func(n string) []string { return []string{n + ":"} },
		"listed in Connection": func(n string) []string { return []string{n + ": admin", "Connection: " + n} },
		"only in Connection":   func(n string) []string { return []string{"Connection: " + strings.Join(names, ", ")} },
	}
	for spelling, lines := range spellings {
		t.Run(spelling, func(t *testing.T) {
			var fields []string
			for _, name := range names {
				fields = append(fields, lines(name)...)
			}
			head := "Host: app.test\r\n" + strings.Join(fields, "\r\n") + "\r\n"
			if resp, _, _ := b.raw(t, "GET /public HTTP/1.1\r\n"+head+"\r\n"); resp.StatusCode != http.StatusOK {
				t.Fatalf("public: status %d, want 200", resp.StatusCode)
			}
			if diff := cmp.Diff(map[string][]string{}, identityOf(up.one(t).Header)); diff != "" {
				t.Errorf("public: identity (-want +got):\n%s", diff)
			}
			if resp, _, _ := b.raw(t, "GET /orders HTTP/1.1\r\n"+head+"Authorization: Bearer "+token(t, nil)+"\r\n\r\n"); resp.StatusCode != http.StatusOK {
				t.Fatalf("protected: status %d, want 200", resp.StatusCode)
			}
			if diff := cmp.Diff(acme(), identityOf(up.one(t).Header)); diff != "" {
				t.Errorf("protected: identity (-want +got):\n%s", diff)
			}
		})
	}
}

// TestForwardedFields: where a request came from is our word, not the client's.
func TestForwardedFields(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("public", "", "/", nil)},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	cases := map[string]struct {
		lines []string
		want  map[string][]string
	}{
		"spoofed": {
			lines: []string{
				"X-Forwarded-For: 10.0.0.1", "X-Forwarded-Host: evil.test", "X-Forwarded-Proto: https", "X-Forwarded-Prefix: /admin",
				"X-Forwarded-Client-Cert: x", "Forwarded: for=10.0.0.1", "X-Real-IP: 10.0.0.1", "X-Original-URL: /admin",
				"X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "X_Forwarded_For: 10.0.0.1", "X.Forwarded.For: 10.0.0.1", "X~Real~IP: 10.0.0.1", "Accept: a/b", "Cookie: a=b",
			},
			want: map[string][]string{"Accept": {"a/b"}, "Cookie": {"a=b"}, "X-Request-Id": nil},
		},
		"request ID of the client": {
			lines: []string{"X-Request-ID: 4f/a-b.c_d"},
			want:  map[string][]string{"X-Request-Id": {"4f/a-b.c_d"}},
		},
		"request ID that could split a log": {
			lines: []string{`X-Request-ID: a" b`},
			want:  map[string][]string{"X-Request-Id": nil},
		},
		"two request IDs": {
			lines: []string{"X-Request-ID: a", "X-Request-ID: b"},
			want:  map[string][]string{"X-Request-Id": nil},
		},
		"request ID without end": {
			lines: []string{"X-Request-ID: " + strings.Repeat("a", 129)},
			want:  map[string][]string{"X-Request-Id": nil},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			resp, _, _ := b.raw(t, "GET /a HTTP/1.1\r\nHost: App.Test.:8080\r\n"+strings.Join(c.lines, "\r\n")+"\r\n\r\n")
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d, want 200", resp.StatusCode)
			}
			saw := up.one(t)
			c.want["X-Forwarded-For"] = []string{"127.0.0.1"}
			c.want["X-Forwarded-Proto"] = []string{"http"}
			c.want["X-Forwarded-Host"] = []string{"app.test:8080"}
			if c.want["X-Request-Id"] == nil { // one of our own
				if id := saw.Header["X-Request-Id"]; len(id) != 1 || len(id[0]) != 26 || slices.ContainsFunc(c.lines, func(l string) bool { return strings.Contains(l, id[0]) }) {
					t.Errorf("X-Request-ID %q, want a new one", id)
				}
				c.want["X-Request-Id"] = saw.Header["X-Request-Id"]
			}
			if diff := cmp.Diff(c.want, map[string][]string(saw.Header)); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
			if saw.Host != "app.test:8080" {
				t.Errorf("host %q, want the canonical one with its port", saw.Host)
			}
		})
	}
}

// TestTokenInQueryIsNotForwarded, nor logged, nor repeated.
func TestTokenInQueryIsNotForwarded(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "", "/orders", func(p *routing.Pipeline) {
			protected(p)
			p.JWT.TokenSources = []routing.TokenSource{{Type: routing.SourceQuery, Name: "access_token"}}
		})},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	good := token(t, nil)
	for _, target := range []string{"/orders?a=1&access_token=" + good + "&b=2", "/orders?a=1&access_token=" + good + "x&b=2"} {
		before := b.access.String()
		resp, body, _ := b.raw(t, "GET "+target+" HTTP/1.1\r\nHost: app.test\r\n\r\n")
		record := b.record(t, before)
		if strings.Contains(b.access.String(), good) || strings.Contains(body, good) {
			t.Error("the token got out")
		}
		if record["path"] != "/orders" {
			t.Errorf("logged path %q, want /orders", record["path"])
		}
		if resp.StatusCode == http.StatusOK {
			if saw := up.one(t); saw.RequestURI != "/orders?a=1&b=2" {
				t.Errorf("forwarded %q, want /orders?a=1&b=2", saw.RequestURI)
			}
			if record["consumer"] != "shop/acme" || record["credential"] != "shop/acme-orders" {
				t.Errorf("logged consumer %q, credential %q", record["consumer"], record["credential"])
			}
		} else if seen := up.requests(); len(seen) > 0 || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("status %d, upstream saw %d requests, want 401 and none", resp.StatusCode, len(seen))
		}
	}
}
