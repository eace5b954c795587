package jwt

import (
	"encoding/base64"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/ostiary/ostiary/proxy/internal/jwtcases"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/routing"
)

// FuzzParseToken signs any header and payload, sends any text as a token, and compares with golang-jwt, which must accept
// whatever is accepted here: being stricter is the intent, being laxer a fault.
func FuzzParseToken(f *testing.F) {
	w := newWorld(f)
	p := w.policy(f, func(cfg *routing.JWT) { cfg.MaxTokenBytes = 64 << 10 })
	for _, seed := range [][2]string{
		{`{"alg":"HS256"}`, `{"sub":"bob","aud":"orders-api","exp":1800000300}`},
		{`{"alg":"HS256","typ":"JWT","cty":"x"}`, `{"sub":"bob","aud":["a","orders-api"],"exp":1.8000003e9,"nbf":0,"iat":1,"iss":"x","scope":"a b"}`},
		{`{"alg":"HS256","alg":"none"}`, `{"sub":"bob","exp":1,"EXP":1800000300}`},
		{`{"alg":"none"}`, `{"sub":"bob","aud":"orders-api","exp":"1800000300"}`},
		{`{"alg":"RS256","kid":"new","crit":[]}`, `{"sub":"acme","cnf":{}}`},
		{`{"alg":"HS256","b64":false}`, `[]`},
		{"\xef\xbb\xbf{}", `{"aud":[1]}`},
	} {
		f.Add(seed[0], seed[1], "")
	}
	good := sign(f, "HS256", w.bobSecret, `{"alg":"HS256"}`, `{"sub":"bob","aud":"orders-api","exp":1800000300}`)
	for _, compact := range []string{good, good + "=", "a.b.c", "..", strings.ToUpper(good), good[:40] + "\n" + good[40:]} {
		f.Add("", "", compact)
	}
	addCases(f)
	oracle := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithTimeFunc(now), jwt.WithAudience("orders-api"),
		jwt.WithExpirationRequired(), jwt.WithSubject("bob"), jwt.WithIssuedAt(), jwt.WithStrictDecoding())
	f.Fuzz(func(t *testing.T, header, payload, compact string) {
		if compact == "" {
			compact = sign(t, "HS256", w.bobSecret, header, payload)
		}
		if _, err := token.Parse(compact, "sub"); err == nil && strings.Count(compact, ".") != 2 {
			t.Fatalf("%q was taken apart", compact)
		}
		_, refused := p.Authenticate(t.Context(), bearer(compact), now())
		if refused != nil {
			return
		}
		if _, err := oracle.Parse(compact, func(*jwt.Token) (any, error) { return w.bobSecret, nil }); err != nil {
			t.Fatalf("accepted %q, which golang-jwt refuses: %v", compact, err)
		}
	})
}

// addCases adds the catalogue's tokens, as they are and with what they say signed anew.
func addCases(f *testing.F) {
	f.Helper()
	file, err := jwtcases.Load(filepath.Join("testdata", "jwt-cases.json"))
	if err != nil {
		f.Fatal(err)
	}
	for _, c := range file.Cases {
		for _, line := range c.Req.Headers {
			compact, ok := strings.CutPrefix(line[1], "Bearer ")
			if !ok {
				continue
			}
			f.Add("", "", compact)
			parts := strings.Split(compact, ".")
			if len(parts) < 2 {
				continue
			}
			header, err := base64.RawURLEncoding.DecodeString(parts[0])
			if err != nil {
				continue
			}
			payload, err := base64.RawURLEncoding.DecodeString(parts[1])
			if err != nil {
				continue
			}
			f.Add(string(header), string(payload), "")
		}
	}
}

// FuzzTokenSources holds for any head: one token or a refusal, and none left in the head once it was stripped.
func FuzzTokenSources(f *testing.F) {
	for _, seed := range [][4]string{
		{"Bearer abc", "", "", ""},
		{"", "abc", "", ""},
		{"Basic x", "", "a=b; session=abc", ""},
		{"", "", "", "a=b&access_token=abc&c"},
		{"Bearer a, Bearer b", "a,b", "session=a;session=b", "access_token=a&%61ccess_token=b"},
		{"bearer\tabc", " Token x", "session", "access_token=%zz"},
		{"JWT abc, Basic x", "abc,", "session=; session=abc", "access%5ftoken=a%62c&a=%26access_token=b"},
		{"Bearer", "", "a=session=abc; SESSION=x;;", "?access_token=abc;access_token=b"},
		{"Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "", "session=\"abc\"", "access_token"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	w := newWorld(f)
	p := w.policy(f, func(cfg *routing.JWT) { cfg.TokenSources = everySource() })
	f.Fuzz(func(t *testing.T, authorization, field, cookie, q string) {
		h := &testHead{query: q}
		for _, line := range [][2]string{{"Authorization", authorization}, {"X-Access-Token", field}, {"Cookie", cookie}, {"X-Kept", "kept"}} {
			if line[1] != "" {
				h.fields = append(h.fields, line)
			}
		}
		before, _, refused := p.sources.find(h)
		if (before == "") == (refused == nil) {
			t.Fatalf("token %q with refusal %v", before, refused)
		}
		p.StripToken(h, &Allowed{})
		if refused == nil {
			if left, _, again := p.sources.find(h); again == nil {
				t.Fatalf("%q is left of %q after stripping", left, before)
			}
		}
		if kept := h.Values("X-Kept"); len(kept) != 1 || kept[0] != "kept" {
			t.Fatal("another field was touched")
		}
		once := *h
		once.fields = slices.Clone(h.fields)
		p.StripToken(h, &Allowed{})
		if once.query != h.query || !slices.Equal(once.fields, h.fields) {
			t.Fatal("stripping twice strips more")
		}
	})
}
