package jwt

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestNewPolicyRefusesWhatHasNoMeaning(t *testing.T) {
	source := func(s routing.TokenSource) func(*routing.JWT) {
		return func(cfg *routing.JWT) { cfg.TokenSources = []routing.TokenSource{s} }
	}
	for name, tc := range map[string]struct {
		change func(*routing.JWT)
		want   string
	}{
		"no namespace":               {func(cfg *routing.JWT) { cfg.Namespace = "" }, "namespace"},
		"an unknown mode":            {func(cfg *routing.JWT) { cfg.Mode = 9 }, "mode 9"},
		"an unknown enforcement":     {func(cfg *routing.JWT) { cfg.Enforcement = 9 }, "enforcement 9"},
		"an unknown lookup":          {func(cfg *routing.JWT) { cfg.Lookup.Type = 9 }, "lookup type 9"},
		"a lookup by no claim":       {func(cfg *routing.JWT) { cfg.Lookup.Name = "" }, "no claim"},
		"a lookup by jku":            {func(cfg *routing.JWT) { cfg.Lookup = routing.Lookup{Type: routing.LookupKID, Name: "jku"} }, "jku"},
		"an unknown audience match":  {func(cfg *routing.JWT) { cfg.AudienceMatch = 9 }, "audience"},
		"no limit of tokens":         {func(cfg *routing.JWT) { cfg.MaxTokenBytes = 0 }, "0 bytes"},
		"a negative clock skew":      {func(cfg *routing.JWT) { cfg.ClockSkew = -1 }, "clock skew"},
		"an hour of clock skew":      {func(cfg *routing.JWT) { cfg.ClockSkew = time.Hour }, "clock skew"},
		"an unknown expiration":      {func(cfg *routing.JWT) { cfg.Expiration = 9 }, "expiration"},
		"a negative lifetime":        {func(cfg *routing.JWT) { cfg.MaxLifetime = -1 }, "lifetime"},
		"a type in upper case":       {func(cfg *routing.JWT) { cfg.TokenTypes = []string{"application/JWT"} }, "token type"},
		"a type of one word":         {func(cfg *routing.JWT) { cfg.TokenTypes = []string{"jwt"} }, "token type"},
		"a claim without a name":     {func(cfg *routing.JWT) { cfg.RequiredClaims = []string{"jti", ""} }, "required claim"},
		"an unknown constraint":      {func(cfg *routing.JWT) { cfg.SenderConstraint = 9 }, "sender constraint"},
		"an unknown scope match":     {func(cfg *routing.JWT) { cfg.ScopeMatch = 9 }, "scope match"},
		"an unknown forwarding":      {func(cfg *routing.JWT) { cfg.TokenForwarding = 9 }, "forwarding"},
		"an unknown end of tunnels":  {func(cfg *routing.JWT) { cfg.Tunnels.OnExpiry = 9 }, "at expiry"},
		"tunnels of negative age":    {func(cfg *routing.JWT) { cfg.Tunnels.MaxAge = -1 }, "tunnels"},
		"an unknown label operator":  {func(cfg *routing.JWT) { cfg.Selector = []routing.LabelRequirement{{Key: "a", Operator: 9}} }, "label operator"},
		"no token source":            {func(cfg *routing.JWT) { cfg.TokenSources = nil }, "no token source"},
		"an unknown token source":    {source(routing.TokenSource{Type: 9, Name: "x"}), "type 9"},
		"a scheme without a name":    {source(routing.TokenSource{}), "no name"},
		"a scheme with a space":      {source(routing.TokenSource{Name: "Bearer "}), "no name"},
		"a cookie with a separator":  {source(routing.TokenSource{Type: routing.SourceCookie, Name: "a;b"}), "no name"},
		"a cookie with a prefix":     {source(routing.TokenSource{Type: routing.SourceCookie, Name: "a", Prefix: "b"}), "prefix"},
		"a header outside ASCII":     {source(routing.TokenSource{Type: routing.SourceHeader, Name: "é"}), "no name"},
		"a parameter without a name": {source(routing.TokenSource{Type: routing.SourceQuery}), "no name"},
		"Authorization as a header":  {source(routing.TokenSource{Type: routing.SourceHeader, Name: "authorization", Prefix: "Bearer "}), "type of its own"},
		"Cookie as a header":         {source(routing.TokenSource{Type: routing.SourceHeader, Name: "COOKIE"}), "type of its own"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := basePolicy()
			tc.change(&cfg)
			p, err := NewPolicy(cfg, Deps{Keyring: keyring.New()})
			if p != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("policy %v, error %v, want one that says %q", p, err, tc.want)
			}
		})
	}
	if p, err := NewPolicy(basePolicy(), Deps{}); p != nil || err == nil {
		t.Error("a policy without a keyring")
	}
}

func TestPolicyKeepsNoMemoryOfItsConfig(t *testing.T) {
	w := newWorld(t)
	cfg := basePolicy()
	cfg.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: []string{"gold"}}}
	p, err := NewPolicy(cfg, Deps{Keyring: w.ring, Cache: w.cache})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Selector[0].Values[0], cfg.Audiences[0] = "partner", "x"
	if got, _ := judge(t, p, bearer(mint(t, "RS256", w.newKey, nil, claims(nil)))); got != refusal.CredentialUnknown {
		t.Errorf("%s, want credential_unknown", word(got))
	}
}

func TestSelector(t *testing.T) {
	in, out := routing.LabelIn, routing.LabelNotIn
	for name, tc := range map[string]struct {
		selector []routing.LabelRequirement
		labels   map[string]string
		want     bool
	}{
		"none":                     {nil, nil, true},
		"in":                       {[]routing.LabelRequirement{{Key: "a", Operator: in, Values: []string{"x", "y"}}}, map[string]string{"a": "y"}, true},
		"in another":               {[]routing.LabelRequirement{{Key: "a", Operator: in, Values: []string{"x"}}}, map[string]string{"a": "y"}, false},
		"in, absent":               {[]routing.LabelRequirement{{Key: "a", Operator: in, Values: []string{"", "x"}}}, nil, false},
		"in, empty":                {[]routing.LabelRequirement{{Key: "a", Operator: in, Values: []string{""}}}, map[string]string{"a": ""}, true},
		"not in":                   {[]routing.LabelRequirement{{Key: "a", Operator: out, Values: []string{"x"}}}, map[string]string{"a": "y"}, true},
		"not in, but it is":        {[]routing.LabelRequirement{{Key: "a", Operator: out, Values: []string{"x"}}}, map[string]string{"a": "x"}, false},
		"not in, absent":           {[]routing.LabelRequirement{{Key: "a", Operator: out, Values: []string{""}}}, nil, true},
		"exists":                   {[]routing.LabelRequirement{{Key: "a", Operator: routing.LabelExists}}, map[string]string{"a": ""}, true},
		"exists, absent":           {[]routing.LabelRequirement{{Key: "a", Operator: routing.LabelExists}}, map[string]string{"b": "a"}, false},
		"does not exist":           {[]routing.LabelRequirement{{Key: "a", Operator: routing.LabelDoesNotExist}}, map[string]string{"b": ""}, true},
		"does not exist, but does": {[]routing.LabelRequirement{{Key: "a", Operator: routing.LabelDoesNotExist}}, map[string]string{"a": ""}, false},
		"all of several": {
			[]routing.LabelRequirement{{Key: "a", Operator: routing.LabelExists}, {Key: "b", Operator: out, Values: []string{"x"}}},
			map[string]string{"a": "1", "b": "x"},
			false,
		},
	} {
		p := &Policy{selector: tc.selector}
		if got := p.selects(tc.labels); got != tc.want {
			t.Errorf("%s: selects %t, want %t", name, got, tc.want)
		}
		if allocs := testing.AllocsPerRun(100, func() { p.selects(tc.labels) }); allocs != 0 {
			t.Errorf("%s: %v allocations", name, allocs)
		}
	}
}

func TestEffectiveScopes(t *testing.T) {
	list := func(s ...string) []string { return s }
	none := []string{}
	for name, tc := range map[string]struct {
		claims               map[string]any
		consumer, credential []string
		want                 []string
	}{
		"nothing anywhere":                   {nil, nil, nil, nil},
		"the token's":                        {map[string]any{"scope": "a b"}, nil, nil, list("a", "b")},
		"the token's, limited by consumer":   {map[string]any{"scope": "a b c"}, list("b", "c", "d"), nil, list("b", "c")},
		"the token's, limited by credential": {map[string]any{"scope": "a b c"}, nil, list("c"), list("c")},
		"the token's, limited by both":       {map[string]any{"scope": "a b c"}, list("a", "b"), list("b", "c"), list("b")},
		"a consumer with none limits to it":  {map[string]any{"scope": "a"}, none, nil, none},
		"a token with none has none":         {map[string]any{"scope": ""}, list("a"), list("b"), none},
		"spaces make no scopes":              {map[string]any{"scope": "  a  b "}, nil, nil, list("a", "b")},
		"scp as an array":                    {map[string]any{"scp": list("a", "b")}, list("a"), nil, list("a")},
		"scp as a string":                    {map[string]any{"scp": "a b"}, list("b"), nil, list("b")},
		"scope as an array":                  {map[string]any{"scope": list("a", "b c")}, nil, nil, list("a", "b", "c")},
		"scope before scp":                   {map[string]any{"scope": "a", "scp": list("b")}, nil, nil, list("a")},
		"an empty scp":                       {map[string]any{"scp": none}, list("a"), nil, none},
		"the consumer's":                     {nil, list("a"), nil, list("a")},
		"the credential's":                   {nil, nil, list("a"), list("a")},
		"the union of both":                  {nil, list("a", "b"), list("b", "c"), list("a", "b", "c")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.acme.Consumer.Scopes, w.acme.Scopes = tc.consumer, tc.credential
			w.set(&w.acme)
			got, allowed := judge(t, w.policy(t, nil), bearer(mint(t, "RS256", w.newKey, nil, claims(tc.claims))))
			if got != accepted {
				t.Fatal(word(got))
			}
			if diff := cmp.Diff(tc.want, allowed.Identity().Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAuthorize(t *testing.T) {
	list := func(s ...string) []string { return s }
	for name, tc := range map[string]struct {
		scope           string
		required, match []string
		how             routing.ScopeMatch
		needed          []string // nil: authorized
	}{
		"nothing required":             {"", nil, nil, routing.ScopeMatchAll, nil},
		"nothing required, any of it":  {"", nil, nil, routing.ScopeMatchAny, nil},
		"all present":                  {"a b c", list("a", "b"), list("c"), routing.ScopeMatchAll, nil},
		"one missing":                  {"a", list("a", "b"), nil, routing.ScopeMatchAll, list("a", "b")},
		"any present":                  {"b", list("a", "b"), nil, routing.ScopeMatchAny, nil},
		"none of any present":          {"c", list("a", "b"), nil, routing.ScopeMatchAny, list("a", "b")},
		"the match's missing":          {"a", list("a"), list("b"), routing.ScopeMatchAll, list("a", "b")},
		"any is not the match's any":   {"a b", list("a"), list("b", "c"), routing.ScopeMatchAny, list("a", "b", "c")},
		"the match's alone":            {"", nil, list("b", "c"), routing.ScopeMatchAny, list("b", "c")},
		"needed scopes are named once": {"", list("a", "b"), list("b", "c"), routing.ScopeMatchAll, list("a", "b", "c")},
		"another case":                 {"A", list("a"), nil, routing.ScopeMatchAll, list("a")},
		"a longer scope":               {"aa", list("a"), nil, routing.ScopeMatchAll, list("a")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.policy(t, func(cfg *routing.JWT) { cfg.RequiredScopes, cfg.ScopeMatch = tc.required, tc.how })
			_, allowed := judge(t, p, bearer(mint(t, "RS256", w.newKey, nil, claims(map[string]any{"scope": tc.scope}))))
			refused := p.Authorize(&allowed, tc.match)
			if tc.needed == nil {
				if refused != nil {
					t.Errorf("refused: %+v", refused)
				}
				return
			}
			if diff := cmp.Diff(&Refused{Reason: refusal.ScopeMissing, Scopes: tc.needed}, refused); diff != "" {
				t.Errorf("refusal (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingIsAllowedByDefault: what the policy did not allow itself never passes.
func TestNothingIsAllowedByDefault(t *testing.T) {
	w := newWorld(t)
	p, other := w.policy(t, nil), w.policy(t, nil)
	_, allowed := judge(t, other, bearer(mint(t, "RS256", w.newKey, nil, claims(nil))))
	if !allowed.Granted() || (&Allowed{}).Granted() {
		t.Fatal("granted is not what Authenticate says")
	}
	for name, a := range map[string]Allowed{"the zero value": {}, "another policy's": allowed} {
		if refused := p.Authorize(&a, nil); refused == nil || refused.Reason != refusal.Internal {
			t.Errorf("%s: %+v, want internal", name, refused)
		}
	}
	var none *Policy
	if refused := none.Authorize(&Allowed{}, nil); refused == nil {
		t.Error("no policy authorizes the zero value")
	}
}
