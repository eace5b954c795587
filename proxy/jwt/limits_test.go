package jwt

import (
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestLimits(t *testing.T) {
	seconds := now().Unix()
	types := func(names ...string) func(*routing.JWT) { return func(cfg *routing.JWT) { cfg.TokenTypes = names } }
	lifetime := func(cfg *routing.JWT) { cfg.MaxLifetime, cfg.Expiration = time.Hour, routing.ExpirationOptional }
	skewed := func(cfg *routing.JWT) { cfg.MaxLifetime, cfg.ClockSkew = time.Hour, time.Minute }
	required := func(names ...string) func(*routing.JWT) {
		return func(cfg *routing.JWT) { cfg.RequiredClaims = names }
	}
	typ := func(v any) map[string]any { return map[string]any{"typ": v} }
	for name, tc := range map[string]struct {
		change func(*routing.JWT)
		header map[string]any
		claims map[string]any
		want   refusal.Reason
	}{
		"no type asked for, none there":         {nil, typ(nil), nil, accepted},
		"no type asked for, any there":          {nil, typ("secevent+jwt"), nil, accepted},
		"a type that is no string":              {nil, typ(1), nil, refusal.TokenMalformed},
		"a type that is null, as a list":        {nil, typ([]string{"JWT"}), nil, refusal.TokenMalformed},
		"the type asked for":                    {types("application/at+jwt"), typ("at+jwt"), nil, accepted},
		"the type with application/":            {types("application/at+jwt"), typ("application/at+jwt"), nil, accepted},
		"the type in another case":              {types("application/at+jwt"), typ("Application/AT+JWT"), nil, accepted},
		"one of two types":                      {types("application/at+jwt", "application/jwt"), typ("JWT"), nil, accepted},
		"an ID token as an access token":        {types("application/at+jwt"), typ("JWT"), nil, refusal.TypeNotAllowed},
		"no type where one is asked for":        {types("application/jwt"), typ(nil), nil, refusal.TypeNotAllowed},
		"an empty type":                         {types("application/jwt"), typ(""), nil, refusal.TypeNotAllowed},
		"a type of another tree":                {types("application/jwt"), typ("text/jwt"), nil, refusal.TypeNotAllowed},
		"a slash in front of the type":          {types("application/jwt"), typ("/jwt"), nil, refusal.TypeNotAllowed},
		"a type with a parameter":               {types("application/jwt"), typ("jwt;v=1"), nil, refusal.TypeNotAllowed},
		"a type with a space":                   {types("application/jwt"), typ(" jwt"), nil, refusal.TypeNotAllowed},
		"a type in letters outside ASCII":       {types("application/k"), typ("\u212a"), nil, refusal.TypeNotAllowed},
		"a life as long as allowed":             {lifetime, nil, map[string]any{"iat": seconds, "exp": seconds + 3600}, accepted},
		"a life one second longer":              {lifetime, nil, map[string]any{"iat": seconds - 1, "exp": seconds + 3600}, refusal.LifetimeTooLong},
		"a life that began in 1970":             {lifetime, nil, map[string]any{"iat": 0, "exp": seconds + 10}, refusal.LifetimeTooLong},
		"no iat, a life as long as allowed":     {lifetime, nil, map[string]any{"iat": nil, "exp": seconds + 3600}, accepted},
		"no iat, one second longer":             {lifetime, nil, map[string]any{"iat": nil, "exp": seconds + 3601}, refusal.LifetimeTooLong},
		"no iat, the issuer's clock is ahead":   {skewed, nil, map[string]any{"iat": nil, "exp": seconds + 3660}, accepted},
		"no iat, the clock is too far ahead":    {skewed, nil, map[string]any{"iat": nil, "exp": seconds + 3661}, refusal.LifetimeTooLong},
		"with iat, clocks don't matter":         {skewed, nil, map[string]any{"iat": seconds, "exp": seconds + 3601}, refusal.LifetimeTooLong},
		"no exp, no end of life":                {lifetime, nil, map[string]any{"exp": nil}, refusal.LifetimeTooLong},
		"expired comes before the lifetime":     {lifetime, nil, map[string]any{"iat": 0, "exp": seconds}, refusal.TokenExpired},
		"the claims asked for":                  {required("jti", "https://example.com/tenant"), nil, map[string]any{"jti": "", "https://example.com/tenant": false}, accepted},
		"one of the claims is missing":          {required("jti", "tenant"), nil, map[string]any{"jti": "1"}, refusal.ClaimMissing},
		"a claim that is null":                  {required("jti"), nil, map[string]any{"jti": rawNull{}}, refusal.ClaimMissing},
		"a claim of another case":               {required("jti"), nil, map[string]any{"JTI": "1"}, refusal.ClaimMissing},
		"a claim that is another's member":      {required("jti"), nil, map[string]any{"x": map[string]any{"jti": "1"}}, refusal.ClaimMissing},
		"bound to its sender":                   {nil, nil, map[string]any{"cnf": map[string]any{"jkt": "x"}}, refusal.BindingFailed},
		"bound to its sender, which is ignored": {func(cfg *routing.JWT) { cfg.SenderConstraint = routing.SenderConstraintIgnore }, nil, map[string]any{"cnf": map[string]any{"jkt": "x"}}, accepted},
		"ignoring the sender asks for all the rest": {func(cfg *routing.JWT) {
			cfg.SenderConstraint = routing.SenderConstraintIgnore
			cfg.RequiredClaims = []string{"jti"}
		}, nil, map[string]any{"cnf": map[string]any{"jkt": "x"}}, refusal.ClaimMissing},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			token := mint(t, "RS256", w.newKey, tc.header, claims(tc.claims))
			if got, _ := judge(t, w.policy(t, tc.change), bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestNoTypeIsNoEmptyType: a token without typ has none of the types, the one of an empty name included.
func TestNoTypeIsNoEmptyType(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) { cfg.TokenTypes = []string{"application/"} })
	token := mint(t, "RS256", w.newKey, map[string]any{"typ": nil, "kid": "new"}, claims(nil))
	if got, _ := judge(t, p, bearer(token)); got != refusal.TypeNotAllowed {
		t.Errorf("%s, want type_not_allowed", word(got))
	}
}

// TestForgedTokensLearnNothing: what a token lacks is said of verified tokens alone.
func TestForgedTokensLearnNothing(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.MaxLifetime, cfg.TokenTypes, cfg.RequiredClaims = time.Second, []string{"application/at+jwt"}, []string{"jti"}
	})
	for name, change := range map[string]map[string]any{
		"everything": nil,
		"bound":      {"cnf": map[string]any{}},
	} {
		forged := mint(t, "RS256", w.old, map[string]any{"kid": "new"}, claims(change))
		if got, _ := judge(t, p, bearer(forged)); got != refusal.SignatureInvalid {
			t.Errorf("%s: %s, want signature_invalid", name, word(got))
		}
	}
}

// rawNull is null in a table where nil leaves a claim out.
type rawNull struct{}

func (rawNull) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// TestIsMediaType holds it against its plain definition.
func TestIsMediaType(t *testing.T) {
	names := []string{"", "JWT", "jwt", "at+jwt", "application/at+jwt", "Application/AT+JWT", "application/", "/", "text/jwt", "application", "ſ", "\u212awt", "application/x/y", "x/y"}
	for _, name := range names {
		for _, typ := range names {
			if typ = mediaType(typ); isMediaType(name, typ) != (mediaType(name) == typ) {
				t.Errorf("isMediaType(%q, %q) = %t", name, typ, isMediaType(name, typ))
			}
		}
	}
}
