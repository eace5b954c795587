package jwt

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/expr"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRulesDenyWhatTheyCannotRead: a rule that is met by the absence of something is not met by what can't be read.
func TestRulesDenyWhatTheyCannotRead(t *testing.T) {
	ambiguous := `{"sub":"acme","aud":"orders-api","exp":1800000300,"n":{"a":1,"A":2}}`
	for name, tc := range map[string]struct {
		rule    routing.ClaimRule
		payload string
		want    refusal.Reason
	}{
		"an expression over claims with an ambiguous object": {
			routing.ClaimRule{Expression: `!has(claims.blocked)`}, ambiguous, refusal.ClaimMismatch,
		},
		"the same without one": {
			routing.ClaimRule{Expression: `!has(claims.blocked)`}, `{"sub":"acme","aud":"orders-api","exp":1800000300}`, accepted,
		},
		"in: an object is no empty text": {
			routing.ClaimRule{Claim: "/x", Operator: routing.ClaimIn, Values: []string{""}},
			`{"sub":"acme","aud":"orders-api","exp":1800000300,"x":{}}`, refusal.ClaimMismatch,
		},
		"not in: null beside others": {
			routing.ClaimRule{Claim: "/x", Operator: routing.ClaimNotIn, Values: []string{"a"}},
			`{"sub":"acme","aud":"orders-api","exp":1800000300,"x":[null,"b"]}`, accepted,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.policy(t, func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{tc.rule} })
			token := sign(t, "RS256", w.newKey, `{"alg":"RS256","kid":"new"}`, tc.payload)
			if got, _ := judge(t, p, bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
	payload, err := strictjson.Parse([]byte(`{"x":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	unknown := rule{operator: 99, values: []string{"a"}}
	if unknown.holds(payload, expr.Variables{}) {
		t.Error("a rule of an unknown operator holds")
	}
}
