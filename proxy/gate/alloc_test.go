//go:build !race

package gate

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestDecideAllocatesNothing for a token that was seen before, whatever its algorithm and whatever the policy asks of it.
func TestDecideAllocatesNothing(t *testing.T) {
	for name, change := range map[string]func(*routing.JWT){
		"a policy": nil,
		"a policy with everything but expressions": func(cfg *routing.JWT) {
			cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Tenant", Claim: "/tenant"}}
			cfg.ClaimRules = []routing.ClaimRule{{Claim: "/tenant", Operator: routing.ClaimIn, Values: []string{"acme"}}}
			cfg.RequiredClaims = []string{"tenant"}
			cfg.TokenTypes = []string{"application/jwt"}
			cfg.TokenSources = append(cfg.TokenSources,
				routing.TokenSource{Type: routing.SourceHeader, Name: "X-Token"},
				routing.TokenSource{Type: routing.SourceCookie, Name: "session"},
				routing.TokenSource{Type: routing.SourceQuery, Name: "access_token"})
		},
	} {
		d := newDoor(t, change)
		for algorithm, token := range d.tokens {
			h := &plainHead{}
			authorization := "Bearer " + token
			judge := func() {
				h.load("/guarded/orders/4711", plainField{"Host", "app.test"}, plainField{"Accept", "*/*"},
					plainField{"Authorization", authorization}, plainField{"Cookie", "a=b; c=d"},
					plainField{"x_consumer_id", "root"}, plainField{"X-Tenant", "other"})
				h.query = "page=1&order=asc"
				if v := decide(t.Context(), d.gate, h, clock()); v.Outcome != Forward {
					t.Fatal(v.Refusal.Reason)
				}
			}
			for range 3 { // verify, then note what follows from the claims
				judge()
			}
			if allocs := testing.AllocsPerRun(200, judge); allocs != 0 {
				t.Errorf("%s, %s: %v allocations, want 0", name, algorithm, allocs)
			}
		}
	}
}
