package jwt

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// withdrawals are ways to take from acme, whose token is signed with the key "new", what lets it through.
func withdrawals(w *world) map[string]struct {
	withdraw func(*keyring.Entry)
	named    refusal.Reason // of a token that names its key
	unnamed  refusal.Reason
} {
	return map[string]struct {
		withdraw       func(*keyring.Entry)
		named, unnamed refusal.Reason
	}{
		"the key is replaced by another of its name": {
			func(e *keyring.Entry) { e.Keys = keyring.Keys(w.renamed) }, refusal.SignatureInvalid, refusal.SignatureInvalid,
		},
		"the key is taken away":          {func(e *keyring.Entry) { e.Keys = e.Keys[1:] }, refusal.KeyUnknown, refusal.SignatureInvalid},
		"all keys are taken away":        {func(e *keyring.Entry) { e.Keys = nil }, refusal.KeyUnknown, refusal.KeyUnknown},
		"the key is no more for RS256":   {func(e *keyring.Entry) { e.Keys = keyring.Keys(w.pss) }, refusal.AlgorithmNotAllowed, refusal.AlgorithmNotAllowed},
		"the key's time ends":            {func(e *keyring.Entry) { e.Keys = e.Keys[:1]; e.Keys[0].NotAfter = now() }, refusal.KeyUnknown, refusal.KeyUnknown},
		"the key's time begins later":    {func(e *keyring.Entry) { e.Keys = e.Keys[:1]; e.Keys[0].NotBefore = now().Add(1) }, refusal.KeyUnknown, refusal.KeyUnknown},
		"the key is revoked":             {func(e *keyring.Entry) { e.Keys, e.Revocation.KeyIDs = e.Keys[1:], keyring.NewNames("new") }, refusal.TokenRevoked, refusal.SignatureInvalid},
		"the token is revoked":           {func(e *keyring.Entry) { e.Revocation.TokenIDs = keyring.NewNames("t-1") }, refusal.TokenRevoked, refusal.TokenRevoked},
		"tokens until now are revoked":   {func(e *keyring.Entry) { e.Revocation.IssuedBefore = now() }, refusal.TokenRevoked, refusal.TokenRevoked},
		"the credential is suspended":    {func(e *keyring.Entry) { e.State = keyring.StateSuspended }, refusal.CredentialSuspended, refusal.CredentialSuspended},
		"the credential ends":            {func(e *keyring.Entry) { e.NotAfter = now() }, refusal.CredentialSuspended, refusal.CredentialSuspended},
		"the credential is renamed":      {func(e *keyring.Entry) { e.KeyID = "acme-2" }, refusal.CredentialUnknown, refusal.CredentialUnknown},
		"the credential is not selected": {func(e *keyring.Entry) { e.Labels = nil }, refusal.CredentialUnknown, refusal.CredentialUnknown},
		"the credential asks for an issuer": {
			func(e *keyring.Entry) { e.Issuer = "https://other.example" }, refusal.IssuerUnknown, refusal.IssuerUnknown,
		},
		"the credential asks for an audience": {
			func(e *keyring.Entry) { e.Audiences = []string{"other"} }, refusal.AudienceMismatch, refusal.AudienceMismatch,
		},
		"the consumer is suspended": {
			func(e *keyring.Entry) { c := *e.Consumer; c.State = keyring.StateSuspended; e.Consumer = &c }, refusal.ConsumerSuspended, refusal.ConsumerSuspended,
		},
		"the consumer is gone": {func(e *keyring.Entry) { e.Consumer = nil }, refusal.ConsumerUnknown, refusal.ConsumerUnknown},
	}
}

// TestSeenTokensAreJudgedAnew: what was let through before is refused at the first request behind a change, for the reason
// that a token which was never seen is refused for, and let through again at the first behind its end.
func TestSeenTokensAreJudgedAnew(t *testing.T) {
	w := newWorld(t)
	selecting := func(cfg *routing.JWT) {
		cfg.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: []string{"partner"}}}
	}
	p := w.policy(t, selecting)
	w.cache = nil
	forgetful := w.policy(t, selecting)
	named := bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{"jti": "t-1"})))
	unnamed := bearer(mint(t, "RS256", w.newKey, nil, claims(map[string]any{"jti": "t-1"})))
	for name, tc := range withdrawals(w) {
		for form, h := range map[string]*testHead{"named": named, "unnamed": unnamed} {
			t.Run(name+" "+form, func(t *testing.T) {
				want := tc.named
				if form == "unnamed" {
					want = tc.unnamed
				}
				w.set(&w.acme)
				if got, _ := judge(t, p, h); got != accepted {
					t.Fatalf("%s before", word(got))
				}
				hits := w.hits(p)
				changed := w.acme
				changed.Keys = append([]keyring.Key{}, changed.Keys...)
				tc.withdraw(&changed)
				w.ring.Set(&changed)
				if got, _ := judge(t, p, h); got != want {
					t.Errorf("%s, want %s", word(got), word(want))
				}
				if got, _ := judge(t, forgetful, h); got != want {
					t.Errorf("%s without a cache, want %s", word(got), word(want))
				}
				w.ring.Delete(changed.Key)
				if got, _ := judge(t, p, h); got != refusal.CredentialUnknown {
					t.Errorf("%s once it was deleted", word(got))
				}
				w.set(&w.acme)
				if got, _ := judge(t, p, h); got != accepted || w.hits(p) == hits {
					t.Errorf("%s afterwards, %d hits more", word(got), w.hits(p)-hits)
				}
			})
		}
	}
}

func (*world) hits(p *Policy) uint64 { return p.cache.tokens.Stats().Hits }

// TestPoliciesJudgeSeenTokensEach: a token that one policy took is judged by another as if it had never been seen.
func TestPoliciesJudgeSeenTokensEach(t *testing.T) {
	w := newWorld(t)
	h := bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{
		"azp": "bob", "scope": "a b", "roles": []string{"reader"}, "tenant": "t1",
	})))
	open := w.policy(t, nil)
	tests := map[string]struct {
		change func(*routing.JWT)
		want   refusal.Reason
	}{
		"another audience":   {func(cfg *routing.JWT) { cfg.Audiences = []string{"other"} }, refusal.AudienceMismatch},
		"another claim":      {func(cfg *routing.JWT) { cfg.Lookup.Name = "azp" }, refusal.KeyUnknown},
		"a claim that lacks": {func(cfg *routing.JWT) { cfg.Lookup.Name = "client_id" }, refusal.ClaimMissing},
		"the kid":            {func(cfg *routing.JWT) { cfg.Lookup = routing.Lookup{Type: routing.LookupKID} }, accepted},
		"another namespace":  {func(cfg *routing.JWT) { cfg.Namespace = "other" }, refusal.CredentialUnknown},
		"shorter tokens":     {func(cfg *routing.JWT) { cfg.MaxTokenBytes = 100 }, refusal.TokenTooLarge},
		"a shorter life":     {func(cfg *routing.JWT) { cfg.MaxLifetime = time.Minute }, refusal.LifetimeTooLong},
		"another type":       {func(cfg *routing.JWT) { cfg.TokenTypes = []string{"application/at+jwt"} }, refusal.TypeNotAllowed},
		"a claim more":       {func(cfg *routing.JWT) { cfg.RequiredClaims = []string{"email"} }, refusal.ClaimMissing},
		"no credentials":     {func(cfg *routing.JWT) { cfg.Credentials = routing.CredentialsRefused }, refusal.IssuerUnknown},
		"a rule that holds": {func(cfg *routing.JWT) {
			cfg.ClaimRules = []routing.ClaimRule{{Claim: "/roles", Operator: routing.ClaimContains, Values: []string{"reader"}}}
		}, accepted},
		"a rule that does not": {func(cfg *routing.JWT) {
			cfg.ClaimRules = []routing.ClaimRule{{Claim: "/roles", Operator: routing.ClaimContains, Values: []string{"writer"}}}
		}, refusal.ClaimMismatch},
		"an expression":       {func(cfg *routing.JWT) { cfg.ClaimRules = []routing.ClaimRule{{Expression: `claims.tenant == "t2"`}} }, refusal.ClaimMismatch},
		"a claim in a header": {func(cfg *routing.JWT) { cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-T", Claim: "/tenant"}} }, accepted},
		"another in a header": {func(cfg *routing.JWT) { cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-T", Claim: "/azp"}} }, accepted},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got, _ := judge(t, open, h); got != accepted {
				t.Fatal(word(got))
			}
			seen := w.policy(t, tc.change)
			got, allowed := judge(t, seen, h)
			if got != tc.want {
				t.Errorf("%s, want %s", word(got), word(tc.want))
			}
			fresh := *w
			fresh.cache = nil
			if _, want := judge(t, fresh.policy(t, tc.change), h); true {
				if diff := cmp.Diff(want.Identity(), allowed.Identity(), cmpopts.IgnoreUnexported(keyring.Consumer{})) +
					cmp.Diff(want.fields, allowed.fields, cmp.AllowUnexported(claimField{}), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("without a cache (-want +got):\n%s", diff)
				}
			}
		})
	}
	if w.hits(open) == 0 {
		t.Error("the token was never known")
	}
}

// TestScopesOfSeenTokens: scopes that were worked out for one consumer are not another's.
func TestScopesOfSeenTokens(t *testing.T) {
	for name, scope := range map[string]any{"a token with scopes": "a b c", "a token without": nil} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			h := bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{"scope": scope})))
			p := w.policy(t, nil)
			w.cache = nil
			forgetful := w.policy(t, nil)
			sets := [][]string{nil, {}, {"a"}, {"a", "b"}, {"b", "a"}, {"c", "d"}, {"a", "b", "c", "d"}}
			for pass := range 4 {
				for _, one := range sets {
					for _, other := range sets {
						consumer, credential := one, other
						if pass%2 == 1 { // each changes while the other stays
							consumer, credential = other, one
						}
						entry := w.acme
						c := *entry.Consumer
						c.Scopes, entry.Scopes, entry.Consumer = consumer, credential, &c
						w.ring.Set(&entry)
						got, seen := judge(t, p, h)
						_, unseen := judge(t, forgetful, h)
						if got != accepted {
							t.Fatal(word(got))
						}
						if diff := cmp.Diff(unseen.Identity().Scopes, seen.Identity().Scopes, cmpopts.EquateEmpty()); diff != "" {
							t.Errorf("consumer %v, credential %v (-want +got):\n%s", consumer, credential, diff)
						}
					}
				}
			}
		})
	}
}

// TestRequestsOfSeenTokensAreJudged: what a rule says of the request is asked of each, also where the rest follows from a
// token that was seen before.
func TestRequestsOfSeenTokensAreJudged(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.ClaimRules = []routing.ClaimRule{
			{Claim: "/role", Operator: routing.ClaimIn, Values: []string{"reader"}},
			{Expression: "claims.role == 'writer' || request.method == 'GET'"},
		}
	})
	seen := bearer(mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{"role": "reader"})))
	for _, step := range []struct {
		method string
		want   refusal.Reason
	}{{"GET", accepted}, {"GET", accepted}, {"DELETE", refusal.ClaimMismatch}, {"GET", accepted}} {
		got := accepted
		if _, refused := p.Authenticate(t.Context(), &bodyHead{testHead: *seen, method: step.method}, now()); refused != nil {
			got = refused.Reason
		}
		if got != step.want {
			t.Errorf("%s: %s, want %s", step.method, word(got), word(step.want))
		}
	}
}

// TestWithdrawalsBetweenRequests has one goroutine take away and give back what lets a token through, while others send it:
// once Set or Delete returned, no request that begins is let through, and once it is given back, none is refused.
func TestWithdrawalsBetweenRequests(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelIn, Values: []string{"partner"}}}
	})
	token := mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{"jti": "t-1"}))
	const (
		granting = iota
		granted
		withdrawing
		withdrawn
		phases
	)
	var phase atomic.Uint64 // counts on; what it is now is its rest by phases
	var allowed, refusals atomic.Uint64
	done := make(chan struct{})
	var senders sync.WaitGroup
	for range 3 {
		senders.Go(func() {
			h := bearer(token)
			for {
				select {
				case <-done:
					return
				default:
				}
				before := phase.Load()
				a, refused := p.Authenticate(t.Context(), h, now())
				if phase.Load() != before {
					continue // either may have been right
				}
				switch {
				case before%phases == withdrawn && a.Granted():
					t.Error("let through although it was withdrawn")
					return
				case before%phases == withdrawn:
					refusals.Add(1)
				case before%phases == granted && !a.Granted():
					t.Errorf("refused as %s although it was granted", refused.Reason)
					return
				case before%phases == granted:
					allowed.Add(1)
				}
			}
		})
	}
	seen := func(counter *atomic.Uint64) {
		for target := counter.Load() + 3; counter.Load() < target && !t.Failed(); {
			runtime.Gosched()
		}
	}
	for range 2 {
		for _, tc := range withdrawals(w) {
			entry := w.acme
			w.ring.Set(&entry)
			phase.Add(1)
			seen(&allowed)
			changed := w.acme
			changed.Keys = append([]keyring.Key{}, changed.Keys...)
			tc.withdraw(&changed)
			phase.Add(1)
			w.ring.Set(&changed)
			phase.Add(1)
			seen(&refusals)
			phase.Add(1)

			w.ring.Set(&entry)
			phase.Add(1)
			seen(&allowed)
			phase.Add(1)
			w.ring.Delete(entry.Key)
			phase.Add(1)
			seen(&refusals)
			phase.Add(1)
		}
	}
	close(done)
	senders.Wait()
	if w.hits(p) < allowed.Load()/2 {
		t.Errorf("%d hits of %d requests that were let through", w.hits(p), allowed.Load())
	}
}

// poisonedHead is a head whose strings are parts of one buffer, which is overwritten after the request, as an engine does.
type poisonedHead struct {
	testHead
	buffers [][]byte
}

func (h *poisonedHead) alias(s string) string {
	if s == "" {
		return ""
	}
	buffer := []byte(s)
	h.buffers = append(h.buffers, buffer)
	return unsafe.String(&buffer[0], len(buffer))
}

// poison ends the request.
func (h *poisonedHead) poison() {
	for _, buffer := range h.buffers {
		for i := range buffer {
			buffer[i] = 0xff
		}
	}
}

func poisoned(query string, fields ...[2]string) *poisonedHead {
	h := &poisonedHead{}
	h.query = h.alias(query)
	for _, f := range fields {
		h.fields = append(h.fields, [2]string{h.alias(f[0]), h.alias(f[1])})
	}
	return h
}

// TestNothingOfTheHeadIsKept: what was decided about a request stays as it was when its head is overwritten, and so does
// what is decided about the next.
func TestNothingOfTheHeadIsKept(t *testing.T) {
	w := newIssuedWorld(t, false)
	p := w.policy(t, func(cfg *routing.JWT) {
		cfg.TokenSources = append(cfg.TokenSources,
			routing.TokenSource{Type: routing.SourceQuery, Name: "access_token"},
			routing.TokenSource{Type: routing.SourceCookie, Name: "session"},
			routing.TokenSource{Type: routing.SourceHeader, Name: "X-Token", Prefix: "T "})
		cfg.ClaimHeaders = []routing.ClaimHeader{{Header: "X-Tenant", Claim: "/tenant"}}
	})
	good := mint(t, "RS256", w.newKey, map[string]any{"kid": "new"}, claims(map[string]any{"scope": "a b", "tenant": "t1"}))
	issued := mint(t, "ES256", w.ec, map[string]any{"kid": "ec"}, claims(map[string]any{"iss": testIssuer, "sub": "user", "azp": "app", "tenant": "t2"}))
	unknown := mint(t, "ES256", w.ec, map[string]any{"kid": "absent"}, claims(map[string]any{"iss": testIssuer, "sub": "user"}))
	for name, tc := range map[string]struct {
		token string
		want  refusal.Reason
	}{
		"a credential's token":       {good, accepted},
		"an identity provider's":     {issued, accepted},
		"a kid that no set has":      {unknown, refusal.KeyUnknown},
		"a token that was altered":   {good[:len(good)-10] + "AAAAAAAAAA", refusal.SignatureInvalid},
		"a token that is cut":        {good[:strings.LastIndexByte(good, '.')], refusal.TokenMalformed},
		"a credential that is not":   {mint(t, "RS256", w.newKey, nil, claims(map[string]any{"sub": "nobody"})), refusal.CredentialUnknown},
		"a claim of the wrong shape": {mint(t, "RS256", w.newKey, nil, claims(map[string]any{"exp": "x"})), refusal.TokenMalformed},
	} {
		for place, head := range map[string]func() *poisonedHead{
			"scheme": func() *poisonedHead { return poisoned("", [2]string{"Authorization", "Bearer " + tc.token}) },
			"query":  func() *poisonedHead { return poisoned("a=b&access_token=" + tc.token) },
			"cookie": func() *poisonedHead { return poisoned("", [2]string{"Cookie", "a=b; session=" + tc.token}) },
			"header": func() *poisonedHead { return poisoned("", [2]string{"X-Token", "T " + tc.token}) },
		} {
			t.Run(name+" "+place, func(t *testing.T) {
				want, wantAllowed := accepted, Allowed{}
				for i := range 4 {
					h := head()
					allowed, refused := p.Authenticate(t.Context(), h, now())
					p.StripToken(h, &allowed)
					h.poison()
					got := accepted
					if refused != nil {
						got = refused.Reason
					}
					if i == 0 {
						want, wantAllowed = tc.want, allowed
					}
					if got != want {
						t.Fatalf("request %d: %s, want %s", i, word(got), word(want))
					}
					if diff := cmp.Diff(wantAllowed.Identity(), allowed.Identity(), cmpopts.EquateEmpty(), cmpopts.IgnoreUnexported(keyring.Consumer{})) +
						cmp.Diff(wantAllowed.fields, allowed.fields, cmp.AllowUnexported(claimField{}), cmpopts.EquateEmpty()); diff != "" {
						t.Fatalf("request %d (-first +now):\n%s", i, diff)
					}
					for _, text := range append([]string{allowed.Identity().KeyID}, allowed.Identity().Scopes...) {
						if strings.Contains(text, "\xff") {
							t.Fatalf("request %d: %q was overwritten", i, text)
						}
					}
					for _, f := range allowed.fields {
						if strings.Contains(f.name+f.value, "\xff") {
							t.Fatalf("request %d: %q was overwritten", i, f.value)
						}
					}
				}
			})
		}
	}
}

func TestCacheMetrics(t *testing.T) {
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	w.cache = NewCache(CacheOptions{Bytes: 1, Metrics: registry})
	p := w.policy(t, nil)
	for i := range 40 {
		h := bearer(mint(t, "HS256", w.bobSecret, nil, claims(map[string]any{"sub": "bob", "n": i})))
		for range 3 {
			if _, refused := p.Authenticate(t.Context(), h, now()); refused != nil {
				t.Fatal(refused.Reason)
			}
		}
	}
	if _, refused := p.Authenticate(t.Context(), bearer("a.b.c"), now()); refused == nil {
		t.Fatal("not refused")
	}
	want := `# HELP ostiary_token_cache_entries Tokens that are remembered as verified.
# TYPE ostiary_token_cache_entries gauge
ostiary_token_cache_entries 16
# HELP ostiary_token_cache_evictions_total Tokens that were forgotten to make room for others.
# TYPE ostiary_token_cache_evictions_total counter
ostiary_token_cache_evictions_total 24
# HELP ostiary_token_cache_lookups_total Tokens that were taken: hit without a look at the signature, since it was verified before, or miss.
# TYPE ostiary_token_cache_lookups_total counter
ostiary_token_cache_lookups_total{result="hit"} 80
ostiary_token_cache_lookups_total{result="miss"} 40
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"ostiary_token_cache_entries", "ostiary_token_cache_evictions_total", "ostiary_token_cache_lookups_total"); err != nil {
		t.Error(err)
	}
	if n, err := testutil.GatherAndCount(registry, "ostiary_token_cache_bytes"); err != nil || n != 1 {
		t.Errorf("%d metrics of bytes, %v", n, err)
	}
	off := prometheus.NewRegistry()
	w.cache = NewCache(CacheOptions{Metrics: off})
	p = w.policy(t, nil)
	h := bearer(mint(t, "HS256", w.bobSecret, nil, claims(map[string]any{"sub": "bob"})))
	for range 3 {
		if got, _ := judge(t, p, h); got != accepted {
			t.Error(word(got))
		}
	}
	if got := p.cache.tokens.Stats().Hits; got != 0 {
		t.Errorf("%d hits of a cache that is switched off", got)
	}
	if _, err := off.Gather(); err != nil {
		t.Error(err)
	}
}

// TestExplainAsksNoCache: what is told to people is found out anew.
func TestExplainAsksNoCache(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, nil)
	h := bearer(mint(t, "HS256", w.bobSecret, nil, claims(map[string]any{"sub": "bob"})))
	checkExplanation(t, p, h, accepted)
	checkExplanation(t, p, h, accepted)
	if stats := p.cache.tokens.Stats(); stats.Hits+stats.Misses != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// TestUnnamedTokenOfTheLastKey costs no signature of the keys before it once it was seen.
func TestUnnamedTokenOfTheLastKey(t *testing.T) {
	w := newWorld(t)
	p := w.policy(t, nil)
	h := bearer(mint(t, "RS256", w.old, nil, claims(nil)))
	if got, _ := judge(t, p, h); got != accepted || w.hits(p) != 2 {
		t.Errorf("%s, %d hits, want 2", word(got), w.hits(p))
	}
	if w.acme.Keys[1].KID() != "old" || !w.acme.Keys[0].Permits(jose.RS256) {
		t.Error("the key is not the last of those that permit the algorithm")
	}
}
