package proxy_test

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// anonymous is what upstreams are told of a caller whom nobody knows.
func anonymous() map[string][]string { return map[string][]string{"X-Anonymous-Consumer": {"true"}} }

// TestOptional: without a token the upstream is told that nobody is known, whatever the client said; a bad token is refused.
func TestOptional(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	optional := func(edit func(*routing.Pipeline)) func(*routing.Pipeline) {
		return func(p *routing.Pipeline) {
			protected(p)
			p.JWT.Mode = routing.ModeOptional
			if edit != nil {
				edit(p)
			}
		}
	}
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("open", "", "/open", optional(nil)),
			route("required", "", "/required", optional(func(p *routing.Pipeline) { p.JWT.RequiredScopes = []string{"a"} })),
			route("matched", "", "/matched", optional(func(p *routing.Pipeline) { p.Matches[0].Scopes = []string{"a"} })),
		},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	good := token(t, nil)
	tests := map[string]struct {
		path   string
		header []string
		status int
		// identity is what the upstream is told, challenge what the client is told where it is refused.
		identity  map[string][]string
		challenge string
	}{
		"no token":                      {path: "/open", status: 200, identity: anonymous()},
		"no token, a claimed identity":  {path: "/open", header: []string{"X-Anonymous-Consumer", "false", "X-Consumer-Username", "root"}, status: 200, identity: anonymous()},
		"a good token":                  {path: "/open", header: []string{"Authorization", "Bearer " + good}, status: 200, identity: acme()},
		"a good token, claimed nobody":  {path: "/open", header: []string{"Authorization", "Bearer " + good, "X-Anonymous-Consumer", "true"}, status: 200, identity: acme()},
		"a bad token":                   {path: "/open", header: []string{"Authorization", "Bearer " + good + "x"}, status: 401, challenge: `Bearer realm="open", error="invalid_token", error_description="The token is not valid."`},
		"two tokens":                    {path: "/open", header: []string{"Authorization", "Bearer " + good, "Authorization", "Bearer " + good}, status: 400, challenge: `Bearer realm="open", error="invalid_request", error_description="The request carries more than one token."`},
		"no token, scopes required":     {path: "/required", status: 401, challenge: `Bearer realm="required"`},
		"no token, scopes of the match": {path: "/matched", status: 401, challenge: `Bearer realm="matched"`},
		"a good token without scopes":   {path: "/matched", header: []string{"Authorization", "Bearer " + good}, status: 403, challenge: `Bearer realm="matched", error="insufficient_scope", error_description="The token does not grant what this needs.", scope="a"`},
	}
	client := b.client(t, "http/1.1")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			resp, _ := do(t, client, request(t, http.MethodGet, "http://app.test"+tc.path, nil, tc.header...))
			if resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tc.status)
			}
			if got := resp.Header.Get("WWW-Authenticate"); got != tc.challenge {
				t.Errorf("challenge %q, want %q", got, tc.challenge)
			}
			if tc.status != http.StatusOK {
				if seen := up.requests(); len(seen) > 0 {
					t.Errorf("the upstream saw %d requests", len(seen))
				}
				return
			}
			if diff := cmp.Diff(tc.identity, identityOf(up.one(t).Header)); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}
