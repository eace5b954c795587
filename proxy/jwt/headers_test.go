package jwt

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestClaimHeaders(t *testing.T) {
	const commas, asJSON = routing.ClaimCommaSeparated, routing.ClaimJSON
	claim := func(v any) map[string]any { return map[string]any{"x": v} }
	list := func(v ...any) []any { return v }
	none, mismatch := []string(nil), []string{"refused"}
	for name, tc := range map[string]struct {
		encoding routing.ClaimEncoding
		claims   map[string]any
		want     []string
	}{
		"a string":                  {commas, claim("a b"), []string{"a b"}},
		"a number":                  {commas, claim(json.Number("1.50")), []string{"1.50"}},
		"a boolean":                 {commas, claim(false), []string{"false"}},
		"absent":                    {commas, nil, none},
		"null":                      {commas, claim(rawNull{}), none},
		"empty":                     {commas, claim(""), none},
		"no elements":               {commas, claim(list()), none},
		"elements":                  {commas, claim(list("a", 1, true, "b c")), []string{"a,1,true,b c"}},
		"an element with a comma":   {commas, claim(list("a,admin", "b")), []string{"a%2Cadmin,b"}},
		"a percent sign":            {commas, claim("a%2Cb"), []string{"a%252Cb"}},
		"a new line":                {commas, claim("a\r\nX-Consumer-Username: root"), []string{"a%0D%0AX-Consumer-Username: root"}},
		"controls":                  {commas, claim("\x00\t\x1f\x7f\u0085"), []string{"%00%09%1F%7F%C2%85"}},
		"spaces at the ends":        {commas, claim(" a "), []string{"%20a%20"}},
		"a space":                   {commas, claim(" "), []string{"%20"}},
		"not ASCII":                 {commas, claim("Zoë €"), []string{"Zo%C3%AB %E2%82%AC"}},
		"an object":                 {commas, claim(map[string]any{"a": 1}), mismatch},
		"an object in an array":     {commas, claim(list("a", map[string]any{})), mismatch},
		"as long as allowed":        {commas, claim(strings.Repeat("a", maxHeaderValue)), []string{strings.Repeat("a", maxHeaderValue)}},
		"too long":                  {commas, claim(strings.Repeat("a", maxHeaderValue+1)), mismatch},
		"too long when encoded":     {commas, claim(strings.Repeat("é", maxHeaderValue/4)), mismatch},
		"JSON: a string":            {asJSON, claim("a\"b\\"), []string{`"a\"b\\"`}},
		"JSON: an empty string":     {asJSON, claim(""), []string{`""`}},
		"JSON: null":                {asJSON, claim(rawNull{}), none},
		"JSON: not ASCII":           {asJSON, claim("Zoë 😀\u007f"), []string{`"Zo\u00eb \ud83d\ude00\u007f"`}},
		"JSON: white space":         {asJSON, claim(json.RawMessage(`{ "a" : [ 1 , 2.50 ] }`)), []string{`{"a":[1,2.50]}`}},
		"JSON: a new line":          {asJSON, claim("a\r\nb"), []string{`"a\r\nb"`}},
		"JSON: read in two ways":    {asJSON, claim(json.RawMessage(`[{"a":1,"a":2}]`)), mismatch},
		"JSON: an array of nothing": {asJSON, claim([]any{}), []string{"[]"}},
		"JSON: too long":            {asJSON, claim(list(strings.Repeat("a", maxHeaderValue))), mismatch},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			p := w.policy(t, func(cfg *routing.JWT) {
				cfg.MaxTokenBytes = 32 << 10
				cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Claim", Claim: "/x", Encoding: tc.encoding}}
			})
			payload := encode(t, claims(nil))
			if tc.claims != nil { // raw, so that encoding/json does not tidy it up
				raw, ok := tc.claims["x"].(json.RawMessage)
				if !ok {
					raw = encode(t, tc.claims["x"])
				}
				payload = append(append([]byte(`{"x":`), raw...), append([]byte(","), payload[1:]...)...)
			}
			h := bearer(sign(t, "RS256", w.newKey, `{"alg":"RS256"}`, string(payload)))
			reason, allowed := judge(t, p, h)
			var got []string
			switch reason {
			case accepted:
				p.SetClaims(h, &allowed)
				got = h.Values("X-Claim")
			case refusal.ClaimMismatch:
				got = mismatch
			default:
				t.Fatal(word(reason))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("values (-want +got):\n%s", diff)
			}
		})
	}
}

// TestClaimsAreThePolicysOwn: what another policy allowed, or nothing did, sets no header.
func TestClaimsAreThePolicysOwn(t *testing.T) {
	w := newWorld(t)
	with := func(cfg *routing.JWT) { cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Sub", Claim: "/sub"}} }
	p, other := w.policy(t, with), w.policy(t, with)
	_, allowed := judge(t, p, bearer(mint(t, "RS256", w.newKey, nil, claims(nil))))
	h := &testHead{}
	other.SetClaims(h, &allowed)
	p.SetClaims(h, &Allowed{})
	if len(h.fields) > 0 {
		t.Errorf("fields %v", h.fields)
	}
	if p.SetClaims(h, &allowed); len(h.fields) != 1 {
		t.Errorf("fields %v", h.fields)
	}
}

func TestNewClaimHeadersRefusesWhatHasNoMeaning(t *testing.T) {
	for name, header := range map[string]routing.ClaimHeader{
		"no name":             {Claim: "/a"},
		"a name with a colon": {Header: "X-A:", Claim: "/a"},
		"no pointer":          {Header: "X-A", Claim: "a"},
		"an unknown encoding": {Header: "X-A", Claim: "/a", Encoding: 9},
	} {
		cfg := basePolicy()
		cfg.ClaimHeaders = []routing.ClaimHeader{header}
		if p, err := NewPolicy(cfg, Deps{Keyring: keyring.New()}); p != nil || err == nil {
			t.Errorf("%s: a policy", name)
		}
	}
}

// FuzzClaimHeaders: whatever a claim holds, its field value is printable ASCII that means the same.
func FuzzClaimHeaders(f *testing.F) {
	for _, seed := range []string{`"a"`, `["a","b,c",1,true,null]`, `"\r\n"`, `{"a":"\u0000😀"}`, `"%41"`, `" "`, `[" a","b "]`, `1e400`, `{"a":1,"A":2}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := strictjson.Parse([]byte(`{"x":` + text + `}`))
		if err != nil {
			return
		}
		claim, ok := o.Get("x")
		if !ok {
			return
		}
		for _, encoding := range []routing.ClaimEncoding{routing.ClaimCommaSeparated, routing.ClaimJSON} {
			value, ok := (&claimHeader{encoding: encoding}).encode(claim)
			if !ok {
				continue
			}
			if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Trim(value, " ") != value {
				t.Fatalf("value %q", value)
			}
			if encoding == routing.ClaimJSON {
				var got, want any
				if json.Unmarshal([]byte(value), &got) != nil || json.Unmarshal([]byte(claim.Raw()), &want) != nil || !cmp.Equal(want, got) {
					t.Fatalf("%q for %q", value, text)
				}
				continue
			}
			texts, _ := scalars(claim)
			var got []string
			for part := range strings.SplitSeq(value, ",") {
				decoded, err := url.PathUnescape(part)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, decoded)
			}
			if len(texts) > 0 && !cmp.Equal(texts, got) {
				t.Fatalf("%q, want %q", got, texts)
			}
		}
	})
}
