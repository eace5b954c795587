package token

import (
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/jose"
)

func secret(salt byte) []byte {
	s := make([]byte, 32)
	for i := range s {
		s[i] = byte(i*11) ^ salt
	}
	return s
}

func keyOf(t testing.TB, salt byte) *jose.Key {
	t.Helper()
	keys, problems, _ := jose.Parse(secret(salt), jose.Options{Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
	if len(keys) != 1 {
		t.Fatal(problems)
	}
	return keys[0]
}

func compact(t testing.TB, header, payload string) string {
	t.Helper()
	input := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload))
	signature, err := jwt.SigningMethodHS256.Sign(input, secret(0))
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestClaimsNeedASignature(t *testing.T) {
	u, err := Parse(compact(t, `{"alg":"HS256","kid":"k"}`, `{"sub":"acme","iss":"https://a.example","scope":"x y","aud":["a","b"],"exp":2.5,"nbf":1,"iat":0,"jti":"t-1","cnf":{}}`), "sub")
	if err != nil {
		t.Fatal(err)
	}
	if kid, ok := u.KID(); !ok || kid != "k" {
		t.Errorf("kid %q, %t", kid, ok)
	}
	if sub, ok := u.Claim(); !ok || sub != "acme" {
		t.Errorf("claim %q, %t", sub, ok)
	}
	if u.Algorithm() != jose.HS256 {
		t.Errorf("algorithm %q", u.Algorithm())
	}
	none, err := u.Verify(keyOf(t, 1))
	if !errors.Is(err, jose.ErrSignature) {
		t.Fatalf("another key: %v", err)
	}
	if c, err := none.Claims(); err != nil || cmp.Diff(&Claims{}, c) != "" {
		t.Errorf("claims without a signature: %+v, %v", c, err)
	}
	verified, err := u.Verify(keyOf(t, 0))
	if err != nil {
		t.Fatal(err)
	}
	got, err := verified.Claims()
	if err != nil {
		t.Fatal(err)
	}
	issuer, id := "https://a.example", "t-1"
	want := &Claims{
		Issuer: &issuer, Audience: []string{"a", "b"}, Expires: time.Unix(2, 5e8), NotBefore: time.Unix(1, 0), IssuedAt: time.Unix(0, 0),
		ID: &id, Scopes: []string{"x", "y"}, Bound: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestUnverifiedTellsWhatIsThere(t *testing.T) {
	for name, tc := range map[string]struct {
		header, payload, claim string
		kid                    bool
	}{
		"no kid, no claim asked for":   {`{"alg":"HS256"}`, `{"":"x"}`, "", false},
		"a kid, the claim is absent":   {`{"alg":"HS256","kid":""}`, `{"sub":"x"}`, "iss", true},
		"the claim is a number":        {`{"alg":"HS256"}`, `{"sub":1}`, "sub", false},
		"the claim is another's child": {`{"alg":"HS256"}`, `{"x":{"sub":"x"}}`, "sub", false},
	} {
		u, err := Parse(compact(t, tc.header, tc.payload), tc.claim)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, ok := u.KID(); ok != tc.kid {
			t.Errorf("%s: kid %t", name, ok)
		}
		if claim, ok := u.Claim(); ok || claim != "" {
			t.Errorf("%s: claim %q", name, claim)
		}
	}
}

func TestClaimsOfAnotherTypeAreRefused(t *testing.T) {
	for _, payload := range []string{
		`{"iss":1}`, `{"iss":null}`, `{"sub":1}`, `{"sub":null}`, `{"aud":1}`, `{"aud":null}`, `{"aud":["a",null]}`, `{"aud":{}}`,
		`{"exp":"1"}`, `{"exp":null}`, `{"exp":[]}`, `{"exp":-1}`, `{"exp":1e999}`, `{"exp":253402300800}`, `{"nbf":"0"}`, `{"iat":true}`,
		`{"scope":1}`, `{"scope":null}`, `{"scp":{}}`, `{"scp":[[]]}`,
	} {
		u, err := Parse(compact(t, `{"alg":"HS256"}`, payload), "")
		if err != nil {
			t.Fatal(err)
		}
		verified, err := u.Verify(keyOf(t, 0))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := verified.Claims(); !errors.Is(err, ErrMalformed) || c != nil {
			t.Errorf("%s: %+v, %v, want ErrMalformed", payload, c, err)
		}
	}
}

func TestParseErrors(t *testing.T) {
	good := compact(t, `{"alg":"HS256"}`, `{}`)
	for text, want := range map[string]error{
		good:                                  nil,
		"":                                    ErrMalformed,
		"..":                                  ErrMalformed,
		good + "\n":                           ErrMalformed,
		" " + good:                            ErrMalformed,
		compact(t, `{"alg":"none"}`, `{}`):    ErrAlgorithm,
		compact(t, `{"alg":"HS256"}`, `[]`):   ErrMalformed,
		compact(t, `{"alg":["HS256"]}`, `{}`): ErrMalformed,
		compact(t, `[]`, `{}`):                ErrMalformed,
	} {
		if _, err := Parse(text, "sub"); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", text, err, want)
		}
	}
}

// TestZeroVerifiedHasNothing: what nobody verified has neither type nor claims.
func TestZeroVerifiedHasNothing(t *testing.T) {
	var v Verified
	if typ, ok := v.Type(); ok || typ != "" {
		t.Errorf("type %q, %t", typ, ok)
	}
	if v.Has("sub") {
		t.Error("there is a claim")
	}
}
