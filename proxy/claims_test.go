package proxy_test

import (
	"encoding/json"
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
