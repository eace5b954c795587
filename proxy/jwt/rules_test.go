package jwt

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestClaimRules(t *testing.T) {
	const (
		in, notIn, contains, containsAny = routing.ClaimIn, routing.ClaimNotIn, routing.ClaimContains, routing.ClaimContainsAny
		exists, absent                   = routing.ClaimExists, routing.ClaimDoesNotExist
	)
	operator := func(claim string, operator routing.ClaimOperator, values ...string) routing.ClaimRule {
		return routing.ClaimRule{Claim: claim, Operator: operator, Values: values}
	}
	expression := func(text string) routing.ClaimRule { return routing.ClaimRule{Expression: text} }
	claim := func(v any) map[string]any { return map[string]any{"x": v} }
	list := func(v ...any) []any { return v }
	for name, tc := range map[string]struct {
		rule   routing.ClaimRule
		claims map[string]any
		holds  bool
	}{
		"in: equal":                          {operator("/x", in, "a", "b"), claim("b"), true},
		"in: another":                        {operator("/x", in, "a", "b"), claim("c"), false},
		"in: another case":                   {operator("/x", in, "a"), claim("A"), false},
		"in: a longer one":                   {operator("/x", in, "a"), claim("aa"), false},
		"in: absent":                         {operator("/x", in, "a", ""), nil, false},
		"in: null":                           {operator("/x", in, "null", ""), claim(rawNull{}), false},
		"in: empty":                          {operator("/x", in, ""), claim(""), true},
		"in: a number":                       {operator("/x", in, "3"), claim(3), true},
		"in: another number":                 {operator("/x", in, "3"), claim(30), false},
		"in: a boolean":                      {operator("/x", in, "true"), claim(true), true},
		"in: another boolean":                {operator("/x", in, "true"), claim(false), false},
		"in: an array":                       {operator("/x", in, "a"), claim(list("a")), false},
		"in: an object":                      {operator("/x", in, "a"), claim(map[string]any{"a": "a"}), false},
		"in: an element":                     {operator("/x/1", in, "b"), claim(list("a", "b")), true},
		"in: a member":                       {operator("/x/a", in, "b"), claim(map[string]any{"a": "b"}), true},
		"in: an escaped character":           {operator("/x", in, "é"), claim("\u00e9"), true},
		"not in: another":                    {operator("/x", notIn, "a"), claim("b"), true},
		"not in: equal":                      {operator("/x", notIn, "a"), claim("a"), false},
		"not in: absent":                     {operator("/x", notIn, "a"), nil, true},
		"not in: null":                       {operator("/x", notIn, "a"), claim(rawNull{}), true},
		"not in: an array without it":        {operator("/x", notIn, "a"), claim(list("b", "c")), true},
		"not in: an array with it":           {operator("/x", notIn, "a"), claim(list("b", "a")), false},
		"not in: an array with an object":    {operator("/x", notIn, "a"), claim(list("b", map[string]any{})), false},
		"not in: an object":                  {operator("/x", notIn, "a"), claim(map[string]any{"a": "a"}), false},
		"contains: one of many":              {operator("/x", contains, "a"), claim(list("b", "a")), true},
		"contains: all of two":               {operator("/x", contains, "a", "b"), claim(list("b", "c", "a")), true},
		"contains: one of two":               {operator("/x", contains, "a", "b"), claim(list("a", "c")), false},
		"contains: nothing":                  {operator("/x", contains, "a"), claim(list()), false},
		"contains: absent":                   {operator("/x", contains, "a"), nil, false},
		"contains: a string":                 {operator("/x", contains, "a"), claim("a"), true},
		"contains: a string of words":        {operator("/x", contains, "a"), claim("a b"), false},
		"contains: an element of an element": {operator("/x", contains, "a"), claim(list(list("a"))), false},
		"contains: a member's name":          {operator("/x", contains, "a"), claim(map[string]any{"a": true}), false},
		"contains: a number":                 {operator("/x", contains, "1"), claim(list(1, 2)), true},
		"contains any: one of two":           {operator("/x", containsAny, "a", "b"), claim(list("c", "b")), true},
		"contains any: none of two":          {operator("/x", containsAny, "a", "b"), claim(list("c")), false},
		"contains any: null":                 {operator("/x", containsAny, "a", ""), claim(rawNull{}), false},
		"exists: empty":                      {operator("/x", exists), claim(""), true},
		"exists: false":                      {operator("/x", exists), claim(false), true},
		"exists: null":                       {operator("/x", exists), claim(rawNull{}), false},
		"exists: absent":                     {operator("/x", exists), nil, false},
		"exists: below a string":             {operator("/x/0", exists), claim("abc"), false},
		"does not exist: absent":             {operator("/x", absent), nil, true},
		"does not exist: null":               {operator("/x", absent), claim(rawNull{}), true},
		"does not exist: there":              {operator("/x", absent), claim(0), false},
		"a claim that is a URL":              {operator("/https:~1~1example.com~1roles", contains, "a"), map[string]any{"https://example.com/roles": list("a")}, true},
		"an expression":                      {expression("claims.x == 'a'"), claim("a"), true},
		"an expression that is false":        {expression("claims.x == 'a'"), claim("b"), false},
		"an expression that fails":           {expression("claims.x == 'a'"), nil, false},
		"an expression of another type":      {expression("claims.x"), claim("true"), false},
		"an expression that is a claim":      {expression("claims.x"), claim(true), true},
		"an expression on the request":       {expression("claims.x == request.headers['x-tenant']"), claim("acme"), true},
		"an expression on another request":   {expression("claims.x == request.headers['x-tenant']"), claim("bob"), false},
		"an expression without a header":     {expression("claims.x != request.headers['x-absent']"), claim("acme"), false},
		"an expression on path and host":     {expression("request.path == '/orders' && request.host == 'api.example.com' && request.method == 'GET'"), nil, true},
		"an expression that costs too much":  {expression("claims.x.exists(a, claims.x.exists(b, a != b))"), claim(make([]int, 500)), false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.policy(t, func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{tc.rule} })
			h := bearer(mint(t, "RS256", w.newKey, nil, claims(tc.claims)))
			h.Set("X-Tenant", "acme")
			got, _ := judge(t, p, h)
			want := refusal.ClaimMismatch
			if tc.holds {
				want = accepted
			}
			if got != want {
				t.Errorf("%s, want %s", word(got), word(want))
			}
		})
	}
}

// TestAmbiguousClaims: what two readers could read in two ways fulfils no rule, not even one that wants it absent.
func TestAmbiguousClaims(t *testing.T) {
	w := newWorld(t)
	token := sign(t, "RS256", w.newKey, `{"alg":"RS256"}`,
		`{"sub":"acme","aud":"orders-api","exp":1800000300,"x":{"role":"user","role":"admin"},"y":{"role":"user","Role":"admin"}}`)
	for name, rule := range map[string]routing.ClaimRule{
		"in":              {Claim: "/x/role", Operator: routing.ClaimIn, Values: []string{"user", "admin"}},
		"not in":          {Claim: "/x/role", Operator: routing.ClaimNotIn, Values: []string{"root"}},
		"does not exist":  {Claim: "/x/other", Operator: routing.ClaimDoesNotExist},
		"exists":          {Claim: "/x/role", Operator: routing.ClaimExists},
		"another case":    {Claim: "/y/role", Operator: routing.ClaimIn, Values: []string{"user"}},
		"an expression":   {Expression: "claims.x.role == 'user'"},
		"another claim's": {Expression: "claims.sub == 'acme'"},
	} {
		p := w.policy(t, func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{rule} })
		if got, _ := judge(t, p, bearer(token)); got != refusal.ClaimMismatch {
			t.Errorf("%s: %s, want claim_mismatch", name, word(got))
		}
	}
	if got, _ := judge(t, w.policy(t, nil), bearer(token)); got != accepted {
		t.Errorf("a policy that does not look: %s", word(got))
	}
}

// TestAllRulesMustHold: and the first that does not says why.
func TestAllRulesMustHold(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.ClaimRules = []routing.ClaimRule{
			{Claim: "/a", Operator: routing.ClaimExists, Message: "no a"},
			{Expression: "claims.b == 1", Message: "wrong b"},
			{Claim: "/c", Operator: routing.ClaimExists},
		}
	})
	for message, present := range map[string]map[string]any{
		"no a":     {"b": 1, "c": 1},
		"wrong b":  {"a": 1, "b": 2, "c": 1},
		"":         {"a": 1, "b": 1},
		"accepted": {"a": 1, "b": 1, "c": 1},
	} {
		_, refused := p.Authenticate(t.Context(), bearer(mint(t, "RS256", w.newKey, nil, claims(present))), now())
		if refused == nil {
			refused = &Refused{Message: noRefusal}
		}
		want := &Refused{Reason: refusal.ClaimMismatch, Message: message}
		if message == noRefusal {
			want.Reason = refusal.Internal
		}
		if diff := cmp.Diff(want, refused); diff != "" {
			t.Errorf("refusal (-want +got):\n%s", diff)
		}
	}
}

// noRefusal is the message of no refusal.
const noRefusal = "accepted"

func TestNewRulesRefusesWhatHasNoMeaning(t *testing.T) {
	for name, tc := range map[string]struct {
		rule routing.ClaimRule
		want string
	}{
		"nothing":                 {routing.ClaimRule{}, "empty"},
		"both":                    {routing.ClaimRule{Claim: "/a", Expression: "true"}, "both"},
		"no pointer":              {routing.ClaimRule{Claim: "a", Values: []string{"b"}}, "slash"},
		"an unknown operator":     {routing.ClaimRule{Claim: "/a", Operator: 9}, "operator 9"},
		"in nothing":              {routing.ClaimRule{Claim: "/a"}, "0 values"},
		"exists with a value":     {routing.ClaimRule{Claim: "/a", Operator: routing.ClaimExists, Values: []string{"b"}}, "1 values"},
		"an expression's mistake": {routing.ClaimRule{Expression: "clams.a"}, "column 1"},
	} {
		cfg := basePolicy()
		cfg.ClaimRules = []routing.ClaimRule{tc.rule}
		p, err := NewPolicy(cfg, Deps{Keyring: keyring.New()})
		if p != nil || err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: policy %v, error %v, want one that says %q", name, p, err, tc.want)
		}
	}
}

// FuzzClaimRules: whatever a token says, rules neither panic nor hold where what they look at is ambiguous.
func FuzzClaimRules(f *testing.F) {
	for _, seed := range []string{
		`{"x":"a"}`, `{"x":["a","b"]}`, `{"x":{"a":1,"A":2}}`, `{"x":null}`, `{"x":1e400}`, `{"x":[[[{}]]],"y":-0.0}`, `{}`, `{"x":{"x":{"x":"a"}}}`,
	} {
		f.Add(seed)
	}
	w := newWorld(f)
	rules := []routing.ClaimRule{
		{Claim: "/x", Operator: routing.ClaimIn, Values: []string{"a"}},
		{Claim: "/x/0", Operator: routing.ClaimNotIn, Values: []string{"a"}},
		{Claim: "/x/x/x", Operator: routing.ClaimContains, Values: []string{"a"}},
		{Claim: "/x", Operator: routing.ClaimContainsAny, Values: []string{"a", "b"}},
		{Claim: "/y", Operator: routing.ClaimDoesNotExist},
		{Expression: "has(claims.x) && claims.x == 'a'"},
		{Expression: "claims.exists(k, claims[k] == 'a')"},
	}
	policies := make([]*Policy, 0, len(rules))
	for _, rule := range rules {
		policies = append(policies, w.policy(f, func(cfg *routing.JWT) {
			cfg.ClaimRules = []routing.ClaimRule{rule}
			cfg.AudienceMatch, cfg.Audiences, cfg.Expiration = routing.AudienceIgnore, nil, routing.ExpirationOptional
		}))
	}
	f.Fuzz(func(t *testing.T, payload string) {
		rest, ok := strings.CutPrefix(payload, "{")
		if !ok {
			return
		}
		if !strings.HasPrefix(strings.TrimLeft(rest, " \t\r\n"), "}") {
			rest = "," + rest
		}
		token := sign(t, "HS256", w.bobSecret, `{"alg":"HS256"}`, `{"sub":"bob"`+rest)
		for i, p := range policies {
			got, _ := judge(t, p, bearer(token))
			if got.Status() >= 500 && got != accepted {
				t.Errorf("rule %d: %s", i, word(got))
			}
		}
	})
}
