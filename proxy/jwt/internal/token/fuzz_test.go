package token

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/ostiary/proxy/jose"
)

// FuzzAgainstGolangJWT compares what is read of a token with what golang-jwt's parser reads of it. Whatever is taken here
// it takes too, and reads the same in it. It is laxer, and that is meant, in that it takes
//
//   - members that are there twice or differ in nothing but case, and takes the last of them;
//   - text that is no UTF-8, or has half a surrogate pair, and replaces it;
//   - base64url with bits behind the last octet, and with line breaks in it;
//   - objects and arrays within each other without a bound of 32;
//   - crit, b64 and a cty of JWT, none of which it looks at, and a kid, typ or cty that is no string;
//   - dates in any range, negative ones and those after the year 9999 among them; these are judged behind the signature.
//
// TestStricterThanGolangJWT holds the list. The other way round, it does not know the algorithm Ed25519 (RFC 9864) by that name.
func FuzzAgainstGolangJWT(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"alg":"HS256"}`, `{"sub":"a"}`},
		{`{"alg":"HS256","kid":"k","typ":"at+jwt"}`, `{"iss":"i","sub":"s","aud":["a","b"],"exp":1800000300.5,"nbf":0,"iat":1e9,"jti":"j"}`},
		{`{"alg":"HS256","kid":"\u00e9\ud83d\ude00"}`, `{"iss":"https:\/\/i","aud":"a","n":{"x":[1,2.5,-0,"\n",null,true]}}`},
		{`{"alg":"HS256","alg":"HS512"}`, `{"sub":"a","SUB":"b"}`},
		{`{"alg":"RS256","jku":"https://a"}`, ` { "a" : [ ] } `},
		{`{"alg":"ES256","kid":null}`, `{"n":{"a":1,"a":2}}`},
		{`{"alg":"EdDSA","crit":["exp"]}`, `{"exp":1e400}`},
		{`{"alg":"PS256"}`, "{\"a\":\"\xff\"}"},
		{`{"alg":"Ed25519"}`, `{"":""}`},
	} {
		f.Add(seed[0], seed[1], "")
	}
	good := compact(f, `{"alg":"HS256","kid":"k"}`, `{"sub":"acme","exp":1800000300}`)
	for _, text := range []string{good, good + "=", "a.b.c", "..", good + ".", good[:30] + "\n" + good[30:], good[:len(good)-1] + "B"} {
		f.Add("", "", text)
	}
	key := keyOf(f, 0)
	parser := jwt.NewParser()
	f.Fuzz(func(t *testing.T, header, payload, text string) {
		if text == "" {
			text = compact(t, header, payload)
		}
		u, err := Parse(text, "sub")
		if err != nil {
			if !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrAlgorithm) {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		if u.Algorithm() == "Ed25519" {
			return
		}
		theirs := jwt.MapClaims{}
		parsed, parts, err := parser.ParseUnverified(text, theirs)
		if err != nil {
			t.Fatalf("%q is taken apart, and golang-jwt says %v", text, err)
		}
		if got, want := parts[0]+"."+parts[1], u.parts.signingInput; got != want {
			t.Fatalf("%q is signed, golang-jwt says %q", want, got)
		}
		if parsed.Method.Alg() != string(u.Algorithm()) {
			t.Fatalf("algorithm %s, golang-jwt says %s", u.Algorithm(), parsed.Method.Alg())
		}
		kid, named := u.KID()
		if theirKID, ok := parsed.Header["kid"].(string); ok != named || theirKID != kid {
			t.Fatalf("kid %q, golang-jwt says %q", kid, theirKID)
		}
		compareClaims(t, &u, theirs)
		if u.Algorithm() != jose.HS256 {
			return
		}
		_, theirErr := jwt.NewParser(jwt.WithoutClaimsValidation(), jwt.WithValidMethods([]string{"HS256"})).
			Parse(text, func(*jwt.Token) (any, error) { return secret(0), nil })
		verified, err := u.Verify(key)
		if (err == nil) != (theirErr == nil) {
			t.Fatalf("%q: signature %v, golang-jwt says %v", text, err, theirErr)
		}
		if err == nil {
			compareRegistered(t, &verified, theirs)
		}
	})
}

func TestStricterThanGolangJWT(t *testing.T) {
	const header, payload = `{"alg":"HS256"}`, `{"sub":"acme"}`
	good := compact(t, header, payload)
	deep := strings.Repeat(`[`, 40) + strings.Repeat(`]`, 40)
	for name, text := range map[string]string{
		"a claim twice":               compact(t, header, `{"sub":"a","sub":"b"}`),
		"a claim in two cases":        compact(t, header, `{"sub":"a","SUB":"b"}`),
		"a parameter twice":           compact(t, `{"alg":"none","alg":"HS256"}`, payload),
		"no UTF-8":                    compact(t, header, "{\"sub\":\"\xff\"}"),
		"half a surrogate pair":       compact(t, header, `{"sub":"\ud800"}`),
		"bits behind the last octet":  good[:len(good)-1] + string(good[len(good)-1]+1),
		"a line break in a segment":   good[:30] + "\n" + good[30:],
		"arrays in forty arrays":      compact(t, header, `{"sub":`+deep+`}`),
		"critical extensions":         compact(t, `{"alg":"HS256","crit":["exp"]}`, payload),
		"a payload that is not coded": compact(t, `{"alg":"HS256","b64":false}`, payload),
		"a token in a token":          compact(t, `{"alg":"HS256","cty":"JWT"}`, payload),
		"a kid that is a number":      compact(t, `{"alg":"HS256","kid":1}`, payload),
		"a typ that is a number":      compact(t, `{"alg":"HS256","typ":1}`, payload),
	} {
		if _, err := Parse(text, "sub"); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, want ErrMalformed", name, err)
		}
		if _, _, err := jwt.NewParser().ParseUnverified(text, jwt.MapClaims{}); err != nil {
			t.Errorf("%s: golang-jwt is as strict: %v", name, err)
		}
	}
}

// compareClaims compares all claims, as JSON has them.
func compareClaims(t *testing.T, u *Unverified, theirs jwt.MapClaims) {
	t.Helper()
	payload := u.parts.payload
	for name, want := range theirs {
		value, ok := payload.Get(name)
		if !ok {
			t.Fatalf("no claim %q, which golang-jwt reads", name)
		}
		var got any
		if err := json.Unmarshal([]byte(value.Raw()), &got); err != nil {
			t.Fatalf("claim %q: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("claim %q (-golang-jwt +ours):\n%s", name, diff)
		}
		if text, ok := value.Text(); ok && text != want {
			t.Fatalf("claim %q is %q, golang-jwt says %q", name, text, want)
		}
	}
	if native, ok := payload.Native(); ok && len(native) != len(theirs) {
		t.Fatalf("%d claims, golang-jwt reads %d", len(native), len(theirs))
	}
	if sub, ok := u.Claim(); ok && sub != theirs["sub"] {
		t.Fatalf("sub %q, golang-jwt says %q", sub, theirs["sub"])
	}
}

// compareRegistered compares the registered claims, which golang-jwt cuts to seconds.
func compareRegistered(t *testing.T, v *Verified, theirs jwt.MapClaims) {
	t.Helper()
	c, err := v.Claims()
	if err != nil {
		return
	}
	type registered struct {
		Issuer                       string
		Audience                     []string
		Expires, NotBefore, IssuedAt int64
	}
	var want registered
	want.Issuer, err = theirs.GetIssuer()
	if err != nil {
		t.Fatalf("iss: golang-jwt says %v", err)
	}
	audience, err := theirs.GetAudience()
	if err != nil {
		t.Fatalf("aud: golang-jwt says %v", err)
	}
	want.Audience = audience
	for claim, date := range map[string]struct {
		get func() (*jwt.NumericDate, error)
		to  *int64
	}{"exp": {theirs.GetExpirationTime, &want.Expires}, "nbf": {theirs.GetNotBefore, &want.NotBefore}, "iat": {theirs.GetIssuedAt, &want.IssuedAt}} {
		at, err := date.get()
		if err != nil {
			t.Fatalf("%s: golang-jwt says %v", claim, err)
		}
		if at != nil {
			*date.to = at.Unix()
		}
	}
	got := registered{Audience: c.Audience}
	if c.Issuer != nil {
		got.Issuer = *c.Issuer
	}
	if !c.Expires.IsZero() {
		got.Expires = c.Expires.Unix()
	}
	if !c.NotBefore.IsZero() {
		got.NotBefore = c.NotBefore.Unix()
	}
	if !c.IssuedAt.IsZero() {
		got.IssuedAt = c.IssuedAt.Unix()
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("registered claims (-golang-jwt +ours):\n%s", diff)
	}
}
