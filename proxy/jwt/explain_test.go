package jwt

import (
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// checkExplanation has a request explained that was judged before: the explanation decides the same, its last step failed
// where the request is refused and passed where it is not, and it tells nothing of a token.
func checkExplanation(t testing.TB, p *Policy, h *testHead, want refusal.Reason) {
	t.Helper()
	var tr trace.Trace
	got := accepted
	if _, refused := p.Explain(t.Context(), h, now(), &tr); refused != nil {
		got = refused.Reason
	}
	if got != want {
		t.Errorf("explained as %s, judged as %s", word(got), word(want))
	}
	lines := tr.Lines()
	if len(lines) == 0 {
		t.Fatal("nothing is explained")
	}
	if last := lines[len(lines)-1]; (last.Mark == trace.Fail) != (want != accepted) {
		t.Errorf("%s ends with %q", word(want), last.Text)
	}
	for _, field := range h.fields {
		for part := range strings.FieldsFuncSeq(field[1], func(r rune) bool { return strings.ContainsRune(". ;=", r) }) {
			for _, line := range lines {
				if len(part) > 16 && strings.Contains(line.Text, part) {
					t.Errorf("%q tells a part of a token", line.Text)
				}
			}
		}
	}
}

// TestExplainTellsWhatToCorrect: what a line says is of the configuration, and enough to know where to look.
func TestExplainTellsWhatToCorrect(t *testing.T) {
	w := newWorld(t)
	rs := func(changes map[string]any) string { return mint(t, "RS256", w.newKey, nil, claims(changes)) }
	tests := map[string]struct {
		change func(*routing.JWT)
		token  string
		tells  string
	}{
		"the policy's audiences":     {token: rs(map[string]any{"aud": "other"}), tells: `the policy's ["orders-api"]`},
		"no audiences at all":        {change: func(cfg *routing.JWT) { cfg.Audiences = nil }, token: rs(nil), tells: "neither the policy nor the credential"},
		"the claim that names":       {change: func(cfg *routing.JWT) { cfg.Lookup.Name = "azp" }, token: rs(nil), tells: `no claim "azp" that is a string`},
		"the header that names":      {change: func(cfg *routing.JWT) { cfg.Lookup = routing.Lookup{Type: routing.LookupKID} }, token: rs(nil), tells: "the header's kid names none"},
		"labels that aren't there":   {change: func(cfg *routing.JWT) { cfg.Selector = []routing.LabelRequirement{{Key: "x"}} }, token: rs(nil), tells: "JWTCredential shop/acme-orders has the name"},
		"the limit":                  {change: func(cfg *routing.JWT) { cfg.MaxTokenBytes = 256 }, token: rs(nil), tells: "maxTokenBytes (256)"},
		"keys that were tried":       {token: tamper(rs(nil)), tells: `key "old" does not verify`},
		"a key of another algorithm": {token: mint(t, "PS256", w.newKey, nil, claims(nil)), tells: `key "new" is not for the token's algorithm but for [RS256]`},
		"the clock skew":             {change: func(cfg *routing.JWT) { cfg.ClockSkew = 3e9 }, token: rs(map[string]any{"exp": 1}), tells: "clockSkew is 3s"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var tr trace.Trace
			if _, refused := w.policy(t, tc.change).Explain(t.Context(), bearer(tc.token), now(), &tr); refused == nil {
				t.Fatal("not refused")
			}
			var told strings.Builder
			if err := tr.Write(&told, "token"); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(told.String(), tc.tells) {
				t.Errorf("%s\ndoes not tell %q", told.String(), tc.tells)
			}
		})
	}
}

// TestExplainTellsOfBodies: why no token was found in a body is told, and nothing that is in it.
func TestExplainTellsOfBodies(t *testing.T) {
	w := newWorld(t)
	token := mint(t, "RS256", w.newKey, nil, claims(nil))
	p := w.policy(t, func(cfg *routing.JWT) { cfg.TokenSources, cfg.MaxBodyBytes = bodySources(), 4096 })
	get := posted(typeForm, "access_token="+token)
	get.method = "GET"
	slow := posted(typeForm, "access_token="+token)
	slow.err = head.ErrBodyTimeout
	for name, tc := range map[string]struct {
		head  *bodyHead
		tells string
	}{
		"found":        {posted(typeForm, "access_token="+token), "one, looked for in Authorization: Bearer, query parameter access_token, form body's access_token, JSON body's /access_token"},
		"another type": {posted("text/plain", "access_token="+token), "must be of POST, PUT or PATCH, with the Content-Type of a form or of JSON"},
		"no method":    {get, "must be of POST, PUT or PATCH"},
		"twice":        {posted(typeForm, "access_token="+token+"&access_token="+token), "more than one, looked for"},
		"too long":     {posted(typeForm, "access_token="+token+repeat("&", 4096)), "longer than maxBodyBytes (4096)"},
		"not read":     {slow, "can't be read"},
	} {
		var tr trace.Trace
		p.Explain(t.Context(), tc.head, now(), &tr)
		var told strings.Builder
		if err := tr.Write(&told, "token"); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(told.String(), tc.tells) || strings.Contains(told.String(), token[:20]) {
			t.Errorf("%s: %s\ndoes not tell %q, or tells the token", name, told.String(), tc.tells)
		}
	}
}
