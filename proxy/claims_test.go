package proxy_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestClaimRules: conditions see the canonical request, the log always has their message, the client has it where reasons
// are told.
func TestClaimRules(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	rules := func(detail routing.Detail) func(*routing.Pipeline) {
		return func(p *routing.Pipeline) {
			protected(p)
			p.JWT.Detail = detail
			p.JWT.ClaimRules = []routing.ClaimRule{
				{Claim: "/realm_access/roles", Operator: routing.ClaimContains, Values: []string{"trader"}},
				{
					Expression: "claims.tenant == request.headers['x-tenant'] && request.host == 'app.test' && request.path.endsWith('/a/b')",
					Message:    "100% wrong tenant",
				},
			}
		}
	}
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("told", "", "/told", rules(routing.DetailReason)),
			route("quiet", "", "/quiet", rules(routing.DetailStandard)),
		},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	roles := map[string]any{"roles": []string{"viewer", "trader"}}
	tests := map[string]struct {
		path      string
		claims    claims
		status    int
		challenge string
		detail    string
		logged    any
	}{
		"all hold":              {path: "/told//a/%62;v=1", claims: claims{"realm_access": roles, "tenant": "acme"}, status: 200},
		"no message":            {path: "/told/a/b", claims: claims{"tenant": "acme"}, status: 401, challenge: `Bearer realm="told", error="invalid_token", error_description="claim_mismatch"`, detail: detailInvalid},
		"a message":             {path: "/told/a/b", claims: claims{"realm_access": roles, "tenant": "bob"}, status: 401, challenge: `Bearer realm="told", error="invalid_token", error_description="claim_mismatch: 100% wrong tenant"`, detail: "100% wrong tenant", logged: "100% wrong tenant"},
		"another path":          {path: "/told/a", claims: claims{"realm_access": roles, "tenant": "acme"}, status: 401, challenge: `Bearer realm="told", error="invalid_token", error_description="claim_mismatch: 100% wrong tenant"`, detail: "100% wrong tenant", logged: "100% wrong tenant"},
		"a message nobody sees": {path: "/quiet/a/b", claims: claims{"realm_access": roles, "tenant": "bob"}, status: 401, challenge: `Bearer realm="quiet", error="invalid_token", error_description="The token is not valid."`, detail: detailInvalid, logged: "100% wrong tenant"},
	}
	client := b.client(t, "http/1.1")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			before := b.access.String()
			resp, body := do(t, client, request(t, http.MethodGet, "http://app.test"+tc.path, nil,
				"Authorization", "Bearer "+token(t, tc.claims), "X-Tenant", "acme"))
			if resp.StatusCode != tc.status || resp.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("status %d, challenge %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
			}
			if tc.status != 200 {
				var told struct{ Detail string }
				if err := json.Unmarshal([]byte(body), &told); err != nil || told.Detail != tc.detail {
					t.Errorf("detail %q (%v), want %q", told.Detail, err, tc.detail)
				}
			}
			if diff := cmp.Diff(tc.logged, b.record(t, before)["message"]); diff != "" {
				t.Errorf("logged message (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClaimHeaders: an upstream sees claims in the fields for them, and never what a client sent there, on any route of the
// namespace.
func TestClaimHeaders(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("claims", "", "/claims", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.ClaimHeaders = []routing.ClaimHeader{
					{Header: "X-Roles", Claim: "/roles"},
					{Header: "X-Address", Claim: "/address", Encoding: routing.ClaimJSON},
				}
			}),
			route("public", "", "/public", nil),
			route("elsewhere", "", "/elsewhere", func(p *routing.Pipeline) { p.Key.Namespace = "other" }),
		},
		Upstreams:       []routing.Upstream{to(routing.UpstreamHTTP)},
		ReservedHeaders: []routing.ReservedHeaders{{Namespace: "shop", Names: []string{"x-address", "x-roles"}}},
	})
	spoofed := []string{"X-Roles", "admin", "x-ROLES", "root", "X_Roles", "admin", "X-Address", "{}", "X-Role", "kept", "Connection", "X-Roles"}
	tests := map[string]struct {
		path   string
		claims claims
		want   map[string][]string
	}{
		"claims are set": {
			path: "/claims", claims: claims{"roles": []string{"a", "b\r\nX-Consumer-Username: root"}, "address": map[string]any{"city": "Köln"}},
			want: map[string][]string{"X-Roles": {"a,b%0D%0AX-Consumer-Username: root"}, "X-Address": {`{"city":"K\u00f6ln"}`}, "X-Role": {"kept"}},
		},
		"absent claims leave no header": {path: "/claims", want: map[string][]string{"X-Role": {"kept"}}},
		"nor on a public route":         {path: "/public", want: map[string][]string{"X-Role": {"kept"}}},
		"another namespace's own": {
			path: "/elsewhere", want: map[string][]string{"X-Role": {"kept"}, "X-Address": {"{}"}},
		},
	}
	client := b.client(t, "http/1.1")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			resp, _ := do(t, client, request(t, http.MethodGet, "http://app.test"+tc.path, nil,
				append([]string{"Authorization", "Bearer " + token(t, tc.claims)}, spoofed...)...))
			if resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d", resp.StatusCode)
			}
			got := map[string][]string{}
			for name, values := range up.one(t).Header {
				if len(name) > 5 && name[:3] == "X-R" && name != "X-Request-Id" || name == "X-Address" || name == "X_Roles" {
					got[name] = values
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("fields (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReservedTrailers: a trailer section is no way around.
func TestReservedTrailers(t *testing.T) {
	b := newBed(t)
	trailers := make(chan http.Header, 1)
	up := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines:       []routing.Pipeline{route("public", "", "/", nil)},
		Upstreams:       []routing.Upstream{to(routing.UpstreamHTTP)},
		ReservedHeaders: []routing.ReservedHeaders{{Namespace: "shop", Names: []string{"x-roles"}}},
	})
	resp, _, _ := b.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nTrailer: X-Roles, X-Kept\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Roles: admin\r\nX-Kept: 1\r\n\r\n")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("status %d", resp.StatusCode)
	}
	if diff := cmp.Diff(http.Header{"X-Kept": {"1"}}, <-trailers); diff != "" {
		t.Errorf("trailers (-want +got):\n%s", diff)
	}
}

// TestErrorResponse: no body where none is wanted, and where the resource's metadata are in every challenge.
func TestErrorResponse(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	const metadata = "https://api.example.com/.well-known/oauth-protected-resource"
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{
			route("bare", "", "/bare", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.Body, p.JWT.ResourceMetadata = routing.ErrorBodyNone, metadata
			}),
			route("full", "", "/full", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.ResourceMetadata, p.JWT.RequiredScopes = metadata, []string{"a"}
			}),
		},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	good := "Bearer " + token(t, nil)
	tests := map[string]struct {
		path, authorization string
		status              int
		challenge           string
		bodyType            string
	}{
		"no token, no body":  {"/bare", "", 401, `Bearer realm="bare", resource_metadata="` + metadata + `"`, ""},
		"bad token, no body": {"/bare", good + "x", 401, `Bearer realm="bare", error="invalid_token", error_description="The token is not valid.", resource_metadata="` + metadata + `"`, ""},
		"no token":           {"/full", "", 401, `Bearer realm="full", resource_metadata="` + metadata + `"`, "application/problem+json"},
		"no scope":           {"/full", good, 403, `Bearer realm="full", error="insufficient_scope", error_description="The token does not grant what this needs.", scope="a", resource_metadata="` + metadata + `"`, "application/problem+json"},
	}
	client := b.client(t, "http/1.1")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var header []string
			if tc.authorization != "" {
				header = []string{"Authorization", tc.authorization}
			}
			resp, body := do(t, client, request(t, http.MethodGet, "http://app.test"+tc.path, nil, header...))
			if resp.StatusCode != tc.status || resp.Header.Get("WWW-Authenticate") != tc.challenge {
				t.Errorf("status %d, challenge %q", resp.StatusCode, resp.Header.Get("WWW-Authenticate"))
			}
			if (body == "") != (tc.bodyType == "") || resp.Header.Get("Content-Type") != tc.bodyType {
				t.Errorf("body %q of type %q", body, resp.Header.Get("Content-Type"))
			}
		})
	}
}
