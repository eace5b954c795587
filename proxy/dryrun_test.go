package proxy_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestDryRun: what would be refused goes on as anonymous, is counted and logged; what could be read in two ways is refused.
func TestDryRun(t *testing.T) {
	good := token(t, nil)
	bearer := func(token string) []string { return []string{"Authorization", "Bearer " + token} }
	preserve := func(p *routing.Pipeline) { p.JWT.TokenForwarding = routing.TokenPreserve }
	tests := map[string]struct {
		edit   func(*routing.Pipeline)
		header []string
		query  string

		status   int
		identity map[string][]string
		// spared is the reason that is counted and logged, reason that of an enforced refusal.
		spared, reason string
		consumer       string
		// forwarded is what the upstream sees of the Authorization field.
		forwarded string
	}{
		"a good token":                 {header: bearer(good), status: 200, identity: acme(), consumer: "shop/acme"},
		"no token":                     {status: 200, identity: anonymous(), spared: "token_missing"},
		"no token, where none need be": {edit: func(p *routing.Pipeline) { p.JWT.Mode = routing.ModeOptional }, status: 200, identity: anonymous()},
		"a spoofed identity":           {header: []string{"X-Consumer-Username", "root", "x_anonymous_consumer", "false"}, status: 200, identity: anonymous(), spared: "token_missing"},
		"no JWT":                       {header: bearer("x"), status: 200, identity: anonymous(), spared: "token_malformed"},
		"a forged token":               {header: bearer(good[:len(good)-4] + "AAAA"), status: 200, identity: anonymous(), spared: "signature_invalid"},
		"a forged token, preserved":    {edit: preserve, header: bearer(good[:len(good)-4] + "AAAA"), status: 200, identity: anonymous(), spared: "signature_invalid", forwarded: "Bearer " + good[:len(good)-4] + "AAAA"},
		"a good token, preserved":      {edit: preserve, header: bearer(good), status: 200, identity: acme(), consumer: "shop/acme", forwarded: "Bearer " + good},
		"an expired token":             {header: bearer(token(t, claims{"exp": 1})), status: 200, identity: anonymous(), spared: "token_expired"},
		"a token of nobody":            {header: bearer(token(t, claims{"sub": "x"})), status: 200, identity: anonymous(), spared: "credential_unknown"},
		"a token that is too long":     {edit: func(p *routing.Pipeline) { p.JWT.MaxTokenBytes = 64 }, header: bearer(good), status: 200, identity: anonymous(), spared: "token_too_large"},
		"a scope too few, policy":      {edit: func(p *routing.Pipeline) { p.JWT.RequiredScopes = []string{"a"} }, header: bearer(good), status: 200, identity: anonymous(), spared: "scope_missing", consumer: "shop/acme"},
		"a scope too few, match":       {edit: func(p *routing.Pipeline) { p.Matches[0].Scopes = []string{"a"} }, header: bearer(good), status: 200, identity: anonymous(), spared: "scope_missing", consumer: "shop/acme"},
		"a group that is denied, claims in headers": {edit: func(p *routing.Pipeline) {
			p.ACLs = []routing.ACL{{DenyGroups: []string{"gold"}}}
			p.JWT.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Consumer-Claim", Claim: "/sub"}}
		}, header: bearer(good), status: 200, identity: anonymous(), spared: "group_denied", consumer: "shop/acme"},
		"a group that is denied": {edit: func(p *routing.Pipeline) { p.ACLs = []routing.ACL{{DenyGroups: []string{"gold"}}} }, header: bearer(good), status: 200, identity: anonymous(), spared: "group_denied", consumer: "shop/acme"},
		"a query parameter, whatever is preserved": {
			edit: func(p *routing.Pipeline) {
				preserve(p)
				p.JWT.TokenSources = []routing.TokenSource{{Type: routing.SourceQuery, Name: "t"}}
			},
			query: "?a=1&t=" + good + "x", status: 200, identity: anonymous(), spared: "signature_invalid",
		},
		"an answer without an upstream": {
			edit:   func(p *routing.Pipeline) { p.Proxy, p.Terminate = nil, &routing.Terminate{StatusCode: 418} },
			status: 418, spared: "token_missing",
		},

		"two tokens":           {header: append(bearer(good), bearer(good)...), status: 400, reason: "token_ambiguous"},
		"a broken Pipeline":    {edit: func(p *routing.Pipeline) { p.Broken = "no key" }, header: bearer(good), status: 503, reason: "pipeline_not_ready"},
		"clear text not taken": {edit: func(p *routing.Pipeline) { p.Insecure = routing.InsecureRefuse }, status: 403, reason: "insecure_transport"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.credential(t)
			up := newBackend(t, nil)
			b.endpoints(up.addr)
			b.serve(t, routing.Config{
				Pipelines: []routing.Pipeline{route("orders", "", "/", func(p *routing.Pipeline) {
					protected(p)
					p.JWT.Enforcement = routing.EnforcementDryRun
					if tc.edit != nil {
						tc.edit(p)
					}
				})},
				Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
			})
			before := b.access.String()
			resp, _ := do(t, b.client(t, "http/1.1"), request(t, http.MethodGet, "http://app.test/"+tc.query, nil, tc.header...))
			if resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, tc.status)
			}
			record := b.record(t, before)
			want := map[string]any{"reason": tc.reason, "dryRunReason": tc.spared, "consumer": tc.consumer}
			maps.DeleteFunc(want, func(_ string, v any) bool { return v == "" })
			got := map[string]any{}
			for field := range map[string]any{"reason": nil, "dryRunReason": nil, "consumer": nil} {
				if value, ok := record[field]; ok {
					got[field] = value
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("access log (-want +got):\n%s", diff)
			}
			counted := map[string]float64{}
			if tc.spared != "" {
				counted[tc.spared] = 1
			}
			if diff := cmp.Diff(counted, b.reasons(t, "ostiary_dry_run_refusals_total")); diff != "" {
				t.Errorf("counted as spared (-want +got):\n%s", diff)
			}
			counted = map[string]float64{}
			if tc.reason != "" {
				counted[tc.reason] = 1
			}
			if diff := cmp.Diff(counted, b.reasons(t, "ostiary_refusals_total")); diff != "" {
				t.Errorf("counted as refused (-want +got):\n%s", diff)
			}
			if tc.identity == nil {
				if seen := up.requests(); len(seen) > 0 {
					t.Errorf("the upstream saw %d requests", len(seen))
				}
				return
			}
			saw := up.one(t)
			if diff := cmp.Diff(tc.identity, identityOf(saw.Header)); diff != "" {
				t.Errorf("identity (-want +got):\n%s", diff)
			}
			if got := saw.Header.Get("Authorization"); got != tc.forwarded {
				t.Errorf("forwarded Authorization %q, want %q", got, tc.forwarded)
			}
			if strings.Contains(saw.RequestURI, good) || strings.Contains(b.access.String(), good) {
				t.Error("the token got into a URL or the log")
			}
		})
	}
}

// reasons are the values of a counter by its label "reason".
func (b *bed) reasons(t *testing.T, metric string) map[string]float64 {
	t.Helper()
	families, err := b.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]float64{}
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, label := range m.GetLabel() {
				if label.GetName() == "reason" {
					counts[label.GetValue()] += m.GetCounter().GetValue()
				}
			}
		}
	}
	return counts
}

// TestDryRunSparesNoFaultOfOurs: an identity that can't be sent refuses the request whatever the enforcement.
func TestDryRunSparesNoFaultOfOurs(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	entry := *b.ring.Namespace("shop").ByKeyID("acme-orders")
	consumer := *entry.Consumer
	consumer.Username = "a\r\nb"
	entry.Consumer = &consumer
	b.ring.Set(&entry)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "", "/", func(p *routing.Pipeline) {
			protected(p)
			p.JWT.Enforcement = routing.EnforcementDryRun
		})},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	resp, _ := do(t, b.client(t, "http/1.1"), request(t, http.MethodGet, "http://app.test/", nil, "Authorization", "Bearer "+token(t, nil)))
	if seen := up.requests(); resp.StatusCode != http.StatusInternalServerError || len(seen) > 0 {
		t.Errorf("status %d, upstream saw %d requests, want 500 and none", resp.StatusCode, len(seen))
	}
}
