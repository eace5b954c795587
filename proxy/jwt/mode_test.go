package jwt

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestOptional: only a request without any token is anonymous. Everything that could be a token is judged.
func TestOptional(t *testing.T) {
	w := newWorld(t)
	good := mint(t, "RS256", w.newKey, nil, claims(nil))
	p := w.policy(t, func(cfg *routing.JWT) { cfg.Mode = routing.ModeOptional })
	authorization := func(value string) *testHead { return &testHead{fields: [][2]string{{"Authorization", value}}} }
	twice := bearer(good)
	twice.fields = append(twice.fields, twice.fields[0])
	tests := map[string]struct {
		request   *testHead
		want      refusal.Reason
		anonymous bool
	}{
		"no token": {request: &testHead{}, want: accepted, anonymous: true},
		"credentials of a scheme that is none of ours": {request: authorization("Basic YTpi"), want: accepted, anonymous: true},
		"a scheme without a token":                     {request: authorization("Bearer"), want: accepted, anonymous: true},
		"a good token":                                 {request: bearer(good), want: accepted},
		"a forged token":                               {request: bearer(good[:len(good)-8] + "AAAAAAAA"), want: refusal.SignatureInvalid},
		"an expired token":                             {request: bearer(mint(t, "RS256", w.newKey, nil, claims(map[string]any{"exp": 1}))), want: refusal.TokenExpired},
		"something that is no token":                   {request: bearer("x"), want: refusal.TokenMalformed},
		"a token of nobody":                            {request: bearer(mint(t, "RS256", w.newKey, nil, claims(map[string]any{"sub": "x"}))), want: refusal.CredentialUnknown},
		"two tokens":                                   {request: twice, want: refusal.TokenAmbiguous},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, allowed := judge(t, p, tc.request)
			if got != tc.want || allowed.Anonymous() != tc.anonymous {
				t.Fatalf("%s, anonymous %t; want %s, %t", word(got), allowed.Anonymous(), word(tc.want), tc.anonymous)
			}
			if known := allowed.Identity().Consumer != nil; got == accepted && known == tc.anonymous {
				t.Errorf("the caller is known: %t", known)
			}
		})
	}
	if got, _ := judge(t, w.policy(t, nil), &testHead{}); got != refusal.TokenMissing {
		t.Errorf("the default mode answers %s to a request without a token", word(got))
	}
	if (&Allowed{}).Anonymous() {
		t.Error("the zero Allowed is anonymous instead of a denial")
	}
	if (&Allowed{anonymous: true}).Anonymous() {
		t.Error("a caller whom no policy let through is anonymous instead of denied")
	}
}

// TestAnonymousHasNoScopes: who is not known is told to come with a token, not that it may never (RFC 9110 section 15.5.4).
func TestAnonymousHasNoScopes(t *testing.T) {
	w := newWorld(t)
	tests := map[string]struct {
		required, match []string
		scopeMatch      routing.ScopeMatch
		want            refusal.Reason
	}{
		"none asked for":      {want: accepted},
		"by the policy":       {required: []string{"a"}, want: refusal.TokenMissing},
		"any by the policy":   {required: []string{"a", "b"}, scopeMatch: routing.ScopeMatchAny, want: refusal.TokenMissing},
		"by the match":        {match: []string{"a"}, want: refusal.TokenMissing},
		"any, none asked for": {scopeMatch: routing.ScopeMatchAny, want: accepted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			p := w.policy(t, func(cfg *routing.JWT) {
				cfg.Mode, cfg.RequiredScopes, cfg.ScopeMatch = routing.ModeOptional, tc.required, tc.scopeMatch
			})
			_, allowed := judge(t, p, &testHead{})
			got := accepted
			if refused := p.Authorize(&allowed, tc.match); refused != nil {
				got = refused.Reason
			}
			if got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}
