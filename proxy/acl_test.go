package proxy_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestACL: acme is in the groups partners and gold.
func TestACL(t *testing.T) {
	tests := map[string]struct {
		acls   []routing.ACL
		detail routing.Detail
		mode   routing.Mode
		token  bool

		status    int
		reason    string
		challenge string
		told      string
	}{
		"a group that is allowed":                 {acls: []routing.ACL{{AllowGroups: []string{"silver", "gold"}}}, token: true, status: 200},
		"no group that is allowed":                {acls: []routing.ACL{{AllowGroups: []string{"silver", "Gold", "gol"}}}, token: true, status: 403, reason: "group_denied"},
		"a group that is denied":                  {acls: []routing.ACL{{DenyGroups: []string{"trial", "gold"}}}, token: true, status: 403, reason: "group_denied"},
		"no group that is denied":                 {acls: []routing.ACL{{DenyGroups: []string{"trial"}}}, token: true, status: 200},
		"one that is allowed, one that is denied": {acls: []routing.ACL{{AllowGroups: []string{"partners"}, DenyGroups: []string{"gold"}}}, token: true, status: 403, reason: "group_denied"},
		"two, both let through":                   {acls: []routing.ACL{{AllowGroups: []string{"partners"}}, {AllowGroups: []string{"gold"}}}, token: true, status: 200},
		"two, the first doesn't":                  {acls: []routing.ACL{{AllowGroups: []string{"silver"}}, {AllowGroups: []string{"gold"}}}, token: true, status: 403, reason: "group_denied"},
		"two, the second doesn't":                 {acls: []routing.ACL{{AllowGroups: []string{"gold"}}, {DenyGroups: []string{"partners"}}}, token: true, status: 403, reason: "group_denied"},
		"denied, reasons told":                    {acls: []routing.ACL{{AllowGroups: []string{"silver"}}}, detail: routing.DetailReason, token: true, status: 403, reason: "group_denied", told: "group_denied"},
		"no token":                                {acls: []routing.ACL{{AllowGroups: []string{"gold"}}}, status: 401, reason: "token_missing", challenge: `Bearer realm="orders"`},
		"anonymous":                               {acls: []routing.ACL{{AllowGroups: []string{"gold"}}}, mode: routing.ModeOptional, status: 401, reason: "token_missing", challenge: `Bearer realm="orders"`},
		"anonymous, where groups are only denied": {acls: []routing.ACL{{DenyGroups: []string{"trial"}}}, mode: routing.ModeOptional, status: 401, reason: "token_missing", challenge: `Bearer realm="orders"`},
		"not anonymous, where nobody need say it": {acls: []routing.ACL{{AllowGroups: []string{"gold"}}}, mode: routing.ModeOptional, token: true, status: 200},
	}
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	client := b.client(t, "http/1.1")
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b.serve(t, routing.Config{
				Pipelines: []routing.Pipeline{route("orders", "", "/", func(p *routing.Pipeline) {
					protected(p)
					p.ACLs, p.JWT.Mode, p.JWT.Detail = tc.acls, tc.mode, tc.detail
				})},
				Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
			})
			req := request(t, http.MethodGet, "http://app.test/", nil)
			if tc.token {
				req.Header.Set("Authorization", "Bearer "+token(t, nil))
			}
			before := b.access.String()
			resp, body := do(t, client, req)
			if resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tc.status)
			}
			if got := resp.Header.Get("WWW-Authenticate"); got != tc.challenge {
				t.Errorf("challenge %q, want %q", got, tc.challenge)
			}
			record := b.record(t, before)
			if got, _ := record["reason"].(string); got != tc.reason {
				t.Errorf("logged reason %q, want %q", got, tc.reason)
			}
			if tc.status == http.StatusForbidden {
				if record["consumer"] != "shop/acme" {
					t.Errorf("logged consumer %v, want the one that was denied", record["consumer"])
				}
				var got map[string]any
				if err := json.Unmarshal([]byte(body), &got); err != nil {
					t.Fatal(err)
				}
				if told, _ := got["reason"].(string); told != tc.told || got["detail"] != nil {
					t.Errorf("told %v, want the reason %q and no more", got, tc.told)
				}
			}
			if tc.status != http.StatusOK {
				if seen := up.requests(); len(seen) > 0 {
					t.Errorf("the upstream saw %d requests", len(seen))
				}
				return
			}
			if diff := cmp.Diff(acme(), identityOf(up.one(t).Header)); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
		})
	}
}
