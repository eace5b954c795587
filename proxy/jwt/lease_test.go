package jwt

import (
	"slices"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func reviewed(p *Policy, l Lease, at time.Time) refusal.Reason {
	if refused := p.Review(&l, at); refused != nil {
		return refused.Reason
	}
	return accepted
}

// change replaces the credential by another version.
func (w *world) change(edit func(*keyring.Entry)) {
	entry := w.acme
	entry.Keys = slices.Clone(entry.Keys)
	edit(&entry)
	w.set(&entry)
}

// published is the provider's set.
func (p *provider) published(t *testing.T) *jwks.Set {
	t.Helper()
	set, ok := p.sets.Lookup(p.source)
	if !ok {
		t.Fatal("the set is not there")
	}
	return set
}

// TestReviewOfACredentialsCaller: what may change while a caller goes on is judged again, what its request was judged by
// alone is not.
func TestReviewOfACredentialsCaller(t *testing.T) {
	expires := now().Add(time.Minute)
	keep := func(cfg *routing.JWT) { cfg.Tunnels.OnExpiry = routing.ExpiryKeep }
	for name, tc := range map[string]struct {
		change func(w *world)
		policy func(*routing.JWT)
		at     time.Duration
		claims map[string]any
		want   refusal.Reason
	}{
		"nothing changed":              {want: accepted},
		"just before exp":              {at: time.Minute - 1, want: accepted},
		"at exp":                       {at: time.Minute, want: refusal.TokenExpired},
		"at exp, a skew forgiven":      {at: time.Minute, policy: func(cfg *routing.JWT) { cfg.ClockSkew = time.Second }, want: accepted},
		"once the skew is over":        {at: time.Minute + time.Second, policy: func(cfg *routing.JWT) { cfg.ClockSkew = time.Second }, want: refusal.TokenExpired},
		"at exp, kept":                 {at: time.Minute, policy: keep, want: accepted},
		"no exp":                       {at: time.Hour, policy: func(cfg *routing.JWT) { cfg.Expiration = routing.ExpirationOptional }, claims: map[string]any{"exp": nil}, want: accepted},
		"the credential is gone, kept": {change: func(w *world) { w.ring.Delete(w.acme.Key) }, policy: keep, want: refusal.CredentialUnknown},
		"another has its keyID":        {change: func(w *world) { w.ring.Delete(w.acme.Key); other := w.acme; other.Key.Name = "other"; w.set(&other) }, want: refusal.CredentialUnknown},
		"labels that are not selected": {policy: func(cfg *routing.JWT) {
			cfg.Selector = []routing.LabelRequirement{{Key: "gold", Operator: routing.LabelExists}}
		}, want: refusal.CredentialUnknown},
		"a policy that takes issuers' alone": {policy: func(cfg *routing.JWT) { cfg.Credentials = routing.CredentialsRefused }, want: refusal.CredentialUnknown},
		"a policy of another namespace":      {policy: func(cfg *routing.JWT) { cfg.Namespace = "other" }, want: refusal.CredentialUnknown},
		"audiences that it hasn't":           {policy: func(cfg *routing.JWT) { cfg.Audiences = []string{"another"} }, want: accepted},
		"suspended":                          {change: func(w *world) { w.change(func(e *keyring.Entry) { e.State = keyring.StateSuspended }) }, want: refusal.CredentialSuspended},
		"ended":                              {change: func(w *world) { w.change(func(e *keyring.Entry) { e.NotAfter = now() }) }, want: refusal.CredentialSuspended},
		"no consumer":                        {change: func(w *world) { w.change(func(e *keyring.Entry) { e.Consumer = nil }) }, want: refusal.ConsumerUnknown},
		"its jti revoked":                    {change: func(w *world) { w.change(func(e *keyring.Entry) { e.Revocation.TokenIDs = keyring.NewNames("t-1") }) }, claims: map[string]any{"jti": "t-1"}, want: refusal.TokenRevoked},
		"another key cut":                    {change: func(w *world) { w.change(func(e *keyring.Entry) { e.Keys = e.Keys[:1] }) }, want: accepted},
		"its key cut":                        {change: func(w *world) { w.change(func(e *keyring.Entry) { e.Keys = e.Keys[1:] }) }, want: refusal.KeyUnknown},
		"its key revoked": {change: func(w *world) {
			w.change(func(e *keyring.Entry) { e.Keys, e.Revocation.KeyIDs = e.Keys[1:], keyring.NewNames("new") })
		}, want: refusal.TokenRevoked},
		"its key out of its window": {change: func(w *world) { w.change(func(e *keyring.Entry) { e.Keys[0].NotAfter = now() }) }, want: refusal.KeyUnknown},
		"its key under another name": {change: func(w *world) {
			w.change(func(e *keyring.Entry) { e.Keys[0].Key = parseKey(t, w.newPEM, "renamed", jose.RS256) })
		}, want: accepted},
		"its key for another algorithm": {change: func(w *world) {
			w.change(func(e *keyring.Entry) { e.Keys[0].Key = parseKey(t, w.newPEM, "new", jose.PS256) })
		}, want: refusal.KeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			payload := claims(map[string]any{"exp": expires.Unix()})
			for claim, value := range tc.claims {
				if payload[claim] = value; value == nil {
					delete(payload, claim)
				}
			}
			anyone := func(cfg *routing.JWT) { cfg.Expiration = routing.ExpirationOptional }
			reason, allowed := judge(t, w.policy(t, anyone), bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, payload)))
			if reason != accepted {
				t.Fatalf("refused %s", word(reason))
			}
			if tc.change != nil {
				tc.change(w)
			}
			if got := reviewed(w.policy(t, tc.policy), allowed.Lease(), now().Add(tc.at)); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestReviewOfAnIssuersCaller: a token of an identity provider is good as long as its key and Consumer are.
func TestReviewOfAnIssuersCaller(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *issuedWorld)
		policy func(cfg *routing.JWT)
		nobody bool
		want   refusal.Reason
	}{
		"nothing changed":      {want: accepted},
		"nobody's token":       {nobody: true, want: accepted},
		"nobody's, and is now": {nobody: true, change: func(w *issuedWorld) { w.ring.SetIdentities(nil) }, want: accepted},
		"nobody's, who is asked for now": {
			nobody: true, policy: func(cfg *routing.JWT) { cfg.Issuers[1].Consumer = routing.ConsumerRequired }, want: refusal.ConsumerUnknown,
		},
		"the issuer is gone":     {policy: func(cfg *routing.JWT) { cfg.Issuers = cfg.Issuers[:1] }, want: refusal.IssuerUnknown},
		"another algorithm":      {policy: func(cfg *routing.JWT) { cfg.Issuers[1].Algorithms = []string{"RS256"} }, want: refusal.AlgorithmNotAllowed},
		"the identity is gone":   {change: func(w *issuedWorld) { w.ring.SetIdentities(nil) }, want: refusal.ConsumerUnknown},
		"the identity's another": {change: func(w *issuedWorld) { w.stands("bob", keyring.StateActive) }, want: refusal.ConsumerUnknown},
		"the consumer suspended": {change: func(w *issuedWorld) { w.stands("acme", keyring.StateSuspended) }, want: refusal.ConsumerSuspended},
		"keys of a Secret without it": {policy: func(cfg *routing.JWT) {
			cfg.Issuers[1].Remote, cfg.Issuers[1].Keys = routing.RemoteKeys{}, cfg.Issuers[0].Keys
			cfg.Issuers[1].Algorithms = []string{"ES256", "EdDSA"}
		}, want: refusal.KeyUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIssuedWorld(t, false)
			payload := claims(map[string]any{"iss": testIssuer, "sub": "user-7", "azp": "app"})
			if tc.nobody {
				delete(payload, "azp")
			}
			reason, allowed := judge(t, w.policy(t, nil), bearer(mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, payload)))
			if reason != accepted {
				t.Fatalf("refused %s", word(reason))
			}
			if tc.change != nil {
				tc.change(w)
			}
			if got := reviewed(w.policy(t, tc.policy), allowed.Lease(), now()); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestReviewOfAnIssuersAlgorithms: a key of a Secret that stays is no reason to keep an algorithm that went.
func TestReviewOfAnIssuersAlgorithms(t *testing.T) {
	w := newIssuedWorld(t, false)
	payload := claims(map[string]any{"iss": testIssuer, "sub": "user-7", "azp": "app"})
	reason, allowed := judge(t, w.policy(t, nil), bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "rsa"}, payload)))
	if reason != accepted {
		t.Fatalf("refused %s", word(reason))
	}
	for algorithm, want := range map[string]refusal.Reason{"RS256": accepted, "PS256": refusal.AlgorithmNotAllowed} {
		p := w.policy(t, func(cfg *routing.JWT) {
			issuer := &cfg.Issuers[1]
			issuer.Remote, issuer.Keys, issuer.Algorithms = routing.RemoteKeys{}, spki(t, w.newKey.Public()), []string{algorithm}
		})
		if got := reviewed(p, allowed.Lease(), now()); got != want {
			t.Errorf("%s: got %s, want %s", algorithm, word(got), word(want))
		}
	}
}

// stands makes the tokens of azp app stand for a Consumer.
func (w *issuedWorld) stands(name string, state keyring.State) {
	consumer := w.acmeConsumer
	consumer.State = state
	if name != "acme" {
		consumer.Key.Name = name
	}
	w.ring.SetIdentities([]keyring.Identity{{Namespace: "shop", Issuer: testIssuer, Claim: "azp", Value: "app", Consumer: &consumer}})
}

// TestReviewOfARemoteCredentialsCaller: the key must be one of the set that is there now.
func TestReviewOfARemoteCredentialsCaller(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *issuedWorld, e *keyring.Entry)
		want   refusal.Reason
	}{
		"nothing changed": {func(*issuedWorld, *keyring.Entry) {}, accepted},
		"its kid revoked": {func(_ *issuedWorld, e *keyring.Entry) { e.Revocation.KeyIDs = keyring.NewNames("ec") }, refusal.TokenRevoked},
		"its thumbprint revoked": {func(w *issuedWorld, e *keyring.Entry) {
			e.Revocation.KeyIDs = keyring.NewNames(parseKey(t, spki(t, w.ec.Public()), "", jose.ES256).Thumbprint())
		}, refusal.TokenRevoked},
		"another algorithm":      {func(_ *issuedWorld, e *keyring.Entry) { e.Remote.Algorithms = []jose.Algorithm{jose.RS256} }, refusal.AlgorithmNotAllowed},
		"a set that isn't there": {func(_ *issuedWorld, e *keyring.Entry) { e.Remote.Set = nil }, refusal.KeyUnknown},
		"a set that hasn't it": {func(_ *issuedWorld, e *keyring.Entry) {
			e.Remote.Set = newProvider(t, false, map[string]any{"ec": stranger(t).Public()}).published(t)
		}, refusal.KeyUnknown},
		"a set that can't be had": {func(_ *issuedWorld, e *keyring.Entry) { e.Remote.Set = newProvider(t, true, nil).published(t) }, refusal.KeyUnknown},
		"a set that has it too": {func(w *issuedWorld, e *keyring.Entry) {
			e.Remote.Set = newProvider(t, false, map[string]any{"other": w.ec.Public()}).published(t)
		}, accepted},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIssuedWorld(t, false)
			entry := *w.remoteCredential(t, "acme-orders")
			p := w.policy(t, nil)
			reason, allowed := judge(t, p, bearer(mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, claims(map[string]any{"sub": "acme-orders"}))))
			if reason != accepted {
				t.Fatalf("refused %s", word(reason))
			}
			remote := *entry.Remote
			entry.Remote = &remote
			tc.change(w, &entry)
			w.set(&entry)
			if got := reviewed(p, allowed.Lease(), now()); got != tc.want {
				t.Errorf("got %s, want %s", word(got), word(tc.want))
			}
		})
	}
}

// TestReviewOfNobody: an anonymous caller has nothing that could end.
func TestReviewOfNobody(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) { cfg.Mode = routing.ModeOptional })
	_, allowed := judge(t, p, fields())
	if got := reviewed(p, allowed.Lease(), now().Add(time.Hour)); got != accepted {
		t.Errorf("got %s", word(got))
	}
}
