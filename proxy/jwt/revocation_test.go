package jwt

import (
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRevocationsAndWindows judges a token that the key "new" signed at issued, ten seconds ago, with and without naming
// the key.
func TestRevocationsAndWindows(t *testing.T) {
	issued := now().Add(-10 * time.Second)
	revoke := func(r keyring.Revocation) func(*keyring.Entry) { return func(e *keyring.Entry) { e.Revocation = r } }
	window := func(from, until time.Time) func(*keyring.Entry) {
		return func(e *keyring.Entry) { e.Keys[0].NotBefore, e.Keys[0].NotAfter = from, until }
	}
	tests := map[string]struct {
		change  func(*keyring.Entry)
		header  map[string]any
		payload map[string]any
		want    refusal.Reason
	}{
		"Q30 issued at the very moment":                    {change: revoke(keyring.Revocation{IssuedBefore: issued}), want: accepted},
		"Q30 issued before":                                {change: revoke(keyring.Revocation{IssuedBefore: issued.Add(time.Nanosecond)}), want: refusal.TokenRevoked},
		"Q30 issued at no known time":                      {change: revoke(keyring.Revocation{IssuedBefore: time.Unix(1, 0)}), payload: map[string]any{"iat": nil}, want: refusal.TokenRevoked},
		"Q30 issued in 1970":                               {change: revoke(keyring.Revocation{IssuedBefore: time.Unix(1, 0)}), payload: map[string]any{"iat": 0}, want: refusal.TokenRevoked},
		"Q30 issued at no known time, nothing revoked":     {payload: map[string]any{"iat": nil}, want: accepted},
		"Q30 its ID":                                       {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("t-1", "t-99")}), payload: map[string]any{"jti": "t-99"}, want: refusal.TokenRevoked},
		"Q30 another's ID":                                 {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("t-1")}), payload: map[string]any{"jti": "t-99"}, want: accepted},
		"Q30 its ID in another case":                       {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("T-99")}), payload: map[string]any{"jti": "t-99"}, want: accepted},
		"Q30 IDs, a token without":                         {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("t-1")}), want: accepted},
		"Q30 IDs, a token with an empty one":               {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("t-1")}), payload: map[string]any{"jti": ""}, want: accepted},
		"Q30 IDs, a token with a number":                   {change: revoke(keyring.Revocation{TokenIDs: keyring.NewNames("99")}), payload: map[string]any{"jti": 99}, want: accepted},
		"Q30 revoked and expired":                          {change: revoke(keyring.Revocation{IssuedBefore: now()}), payload: map[string]any{"exp": 1}, want: refusal.TokenRevoked},
		"Q30 revoked and forged":                           {change: func(e *keyring.Entry) { e.Revocation.IssuedBefore, e.Keys = now(), e.Keys[1:] }, want: refusal.SignatureInvalid},
		"Q30 the revoked key named":                        {change: func(e *keyring.Entry) { e.Revocation.KeyIDs, e.Keys = keyring.NewNames("new"), e.Keys[1:] }, header: map[string]any{"kid": "new"}, want: refusal.TokenRevoked},
		"Q30 the revoked key not named":                    {change: func(e *keyring.Entry) { e.Revocation.KeyIDs, e.Keys = keyring.NewNames("new"), e.Keys[1:] }, want: refusal.SignatureInvalid},
		"Q30 another key revoked":                          {change: func(e *keyring.Entry) { e.Revocation.KeyIDs, e.Keys = keyring.NewNames("old"), e.Keys[:1] }, header: map[string]any{"kid": "new"}, want: accepted},
		"Q10 a key from now on":                            {change: window(now(), time.Time{}), header: map[string]any{"kid": "new"}, want: accepted},
		"Q10 a key from later on":                          {change: window(now().Add(1), time.Time{}), header: map[string]any{"kid": "new"}, want: refusal.KeyUnknown},
		"Q10 a key until later":                            {change: window(time.Time{}, now().Add(1)), header: map[string]any{"kid": "new"}, want: accepted},
		"Q10 a key until now":                              {change: window(time.Time{}, now()), header: map[string]any{"kid": "new"}, want: refusal.KeyUnknown},
		"Q10 a key in its window":                          {change: window(issued, now().Add(1)), want: accepted},
		"Q10 a key out of its window, not named":           {change: window(time.Time{}, issued), want: refusal.SignatureInvalid},
		"Q10 the only key out of its window":               {change: func(e *keyring.Entry) { e.Keys = e.Keys[:1]; e.Keys[0].NotAfter = now() }, want: refusal.KeyUnknown},
		"Q10 a key whose window is empty":                  {change: window(now(), now()), header: map[string]any{"kid": "new"}, want: refusal.KeyUnknown},
		"Q10 a key whose window is turned round":           {change: window(now().Add(1), now().Add(-1)), header: map[string]any{"kid": "new"}, want: refusal.KeyUnknown},
		"Q10 a key until now, another zone":                {change: window(time.Time{}, now().In(time.FixedZone("", 14*3600))), header: map[string]any{"kid": "new"}, want: refusal.KeyUnknown},
		"Q10 a credential until later":                     {change: func(e *keyring.Entry) { e.NotAfter = now().Add(1) }, want: accepted},
		"Q10 a credential until now":                       {change: func(e *keyring.Entry) { e.NotAfter = now() }, want: refusal.CredentialSuspended},
		"Q10 the same key once more, in its window":        {change: func(e *keyring.Entry) { e.Keys = append(e.Keys, e.Keys[0]); e.Keys[0].NotAfter = now() }, want: accepted},
		"Q10 a key of the same kid that is not in use yet": {change: func(e *keyring.Entry) { e.Keys[1] = e.Keys[0]; e.Keys[0].NotBefore = now().Add(1) }, header: map[string]any{"kid": "new"}, want: accepted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if tc.change != nil {
				tc.change(&w.acme)
			}
			w.set(&w.acme)
			token := mint(t, "RS256", w.newKey, tc.header, claims(tc.payload))
			if got, _ := judge(t, w.policy(t, nil), bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestClockSkewDoesNotMoveWindows: the skew is for the clocks of those who issue tokens, not for what was revoked here.
func TestClockSkewDoesNotMoveWindows(t *testing.T) {
	skewed := func(cfg *routing.JWT) { cfg.ClockSkew = 5 * time.Minute }
	for name, tc := range map[string]struct {
		change func(*keyring.Entry)
		want   refusal.Reason
	}{
		"Q10 a key":        {func(e *keyring.Entry) { e.Keys[0].NotAfter = now() }, refusal.KeyUnknown},
		"Q10 a credential": {func(e *keyring.Entry) { e.NotAfter = now() }, refusal.CredentialSuspended},
		"Q30 issuedBefore": {func(e *keyring.Entry) { e.Revocation.IssuedBefore = now() }, refusal.TokenRevoked},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.change(&w.acme)
			w.set(&w.acme)
			token := mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(nil))
			if got, _ := judge(t, w.policy(t, skewed), bearer(token)); got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestRevocationCostsNothing holds a long list against none.
func TestRevocationCostsNothing(t *testing.T) {
	ids := make([]string, 1024)
	for i := range ids {
		ids[i] = "t-" + time.Duration(i).String()
	}
	revocation := keyring.Revocation{IssuedBefore: time.Unix(1, 0), TokenIDs: keyring.NewNames(ids...)}
	id, issued, found := ids[1023]+"-not", now(), 0
	key := keyring.Key{Key: &jose.Key{}, NotBefore: issued, NotAfter: issued.Add(1)}
	if allocs := testing.AllocsPerRun(100, func() {
		if revocation.Covers(&id, issued) || !key.VerifiesAt(issued) {
			found++
		}
	}); allocs != 0 || found != 0 {
		t.Errorf("%v allocations, want 0; %d wrong answers", allocs, found)
	}
}
