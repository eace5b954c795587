package jwt

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// maxTrials is how many keys a token without kid is tried with. More are a key set whose tokens must name their key;
// trying them all would let a token cost a hundred signature checks.
const maxTrials = 16

// Authenticate finds the request's token, verifies it and says who the caller is. now is the wall clock's time. Exactly
// one of the results says yes: Allowed is granted where Refused is nil, and the zero value elsewhere. Where the policy's
// mode is Optional, a request without a token is Allowed with an anonymous caller; one with a token never is.
//
// ctx ends the wait for keys of an identity provider that are on their way, jwks.MaxWait at most.
func (p *Policy) Authenticate(ctx context.Context, h head.Head, now time.Time) (Allowed, *Refused) {
	var a Allowed
	if refused := p.Admit(ctx, h, now, &a); refused != nil {
		return Allowed{}, refused
	}
	return a, nil
}

// Admit is Authenticate with its first result in a, which must be the zero value. Where the caller is refused it stays so.
func (p *Policy) Admit(ctx context.Context, h head.Head, now time.Time, a *Allowed) *Refused {
	q := asked{head: h, now: now}
	return p.authenticate(ctx, &q, a)
}

// asked is what a policy is asked about.
type asked struct {
	head  head.Head
	now   time.Time
	trace *trace.Trace // nil where requests are served
}

func (p *Policy) authenticate(ctx context.Context, q *asked, a *Allowed) *Refused {
	compact, authorization, refused := p.sources.find(q.head)
	p.explainSources(q.trace, q.head, refused)
	if refused != nil {
		if refused.Reason == refusal.TokenMissing && p.mode == routing.ModeOptional {
			a.by, a.anonymous, a.authorization = p, true, authorization
			return nil
		}
		return refused
	}
	if len(compact) > p.maxTokenBytes {
		p.explainForm(q.trace, refusal.TokenTooLarge)
		return refuse(refusal.TokenTooLarge)
	}
	u, err := p.cache.parse(q.trace, compact, p.claim, q.now)
	if err != nil {
		reason := refusal.TokenMalformed
		if errors.Is(err, token.ErrAlgorithm) {
			reason = refusal.AlgorithmNotAllowed
		}
		p.explainForm(q.trace, reason)
		return refuse(reason)
	}
	// Who judges the token is decided here, once, before any signature.
	if issuer := p.issuer(&u); issuer != nil {
		issuer.explain(q.trace)
		refused = p.authenticateIssued(ctx, issuer, &u, q, a)
	} else {
		refused = p.authenticateHeld(ctx, &u, q, a)
	}
	if refused == nil {
		a.authorization = authorization
	}
	return refused
}

// authenticateHeld judges a token of a JWTCredential.
func (p *Policy) authenticateHeld(ctx context.Context, u *token.Unverified, q *asked, a *Allowed) *Refused {
	t := q.trace
	if p.credentialUse != routing.CredentialsTaken {
		t.Add(trace.Fail, "issuer: iss names none of issuers, and the policy takes no JWTCredentials")
		return refuse(refusal.IssuerUnknown)
	}
	entry, refused := p.credential(ctx, u, t)
	if refused == nil {
		refused = usable(entry, q.now)
	}
	p.explainCredential(t, entry, refused)
	if refused != nil {
		return refused
	}
	verified, key, refused := verify(ctx, u, entry, q)
	explainKeys(t, u, refused)
	if refused != nil {
		return refused
	}
	claims, fields, refused := p.accept(&verified, entry, q)
	p.explainClaims(t, entry, refused)
	if refused != nil {
		return refused
	}
	if t == nil { // what is explained is not let through
		entry.UseOf(key).Note(q.now)
	}
	p.cache.remember(t, &verified, q.now)
	a.by, a.fields = p, fields
	a.scopes = effectiveScopes(&verified, claims.Scopes, entry.Consumer.Scopes, entry.Scopes)
	a.lease.key, a.lease.algorithm, a.lease.claims = key, u.Algorithm(), claims
	a.lease.entry, a.lease.consumer = entry, entry.Consumer
	return nil
}

// credential finds the credential that a token names.
func (p *Policy) credential(ctx context.Context, u *token.Unverified, t *trace.Trace) (*keyring.Entry, *Refused) {
	if p.lookup == routing.LookupKID {
		return p.byKID(ctx, u, t)
	}
	name, ok := u.Claim()
	if !ok {
		return nil, refuse(refusal.ClaimMissing)
	}
	if entry := p.byKeyID(name, t); entry != nil {
		return entry, nil
	}
	return nil, refuse(refusal.CredentialUnknown)
}

// usable says whether the credential and its Consumer may be used now.
func usable(entry *keyring.Entry, now time.Time) *Refused {
	switch {
	case entry.State != keyring.StateActive, entry.Ended(now):
		return refuse(refusal.CredentialSuspended)
	case entry.Consumer == nil:
		return refuse(refusal.ConsumerUnknown)
	case entry.Consumer.State != keyring.StateActive:
		return refuse(refusal.ConsumerSuspended)
	}
	return nil
}

// byKeyID returns the selected credential of that keyID, of the first namespace that has one.
func (p *Policy) byKeyID(keyID string, t *trace.Trace) *keyring.Entry {
	for _, namespace := range p.credentials {
		if entry := namespace.ByKeyID(keyID); entry != nil {
			if p.selects(entry.Labels) {
				return entry
			}
			p.explainUnselected(t, entry)
		}
	}
	return nil
}

// verify checks the signature with the key that the token names among the credential's, or with each that permits the
// token's algorithm where it names none. There is no second try with the others: a kid that is not known is refused. A key
// outside of its window is not known. It returns the key too.
func verify(ctx context.Context, u *token.Unverified, entry *keyring.Entry, q *asked) (token.Verified, *jose.Key, *Refused) {
	if entry.Remote != nil {
		return verifyRemote(ctx, u, entry, q.trace)
	}
	kid, named := u.KID()
	var candidates trials
	for i := range entry.Keys {
		key := &entry.Keys[i]
		if named && (kid == "" || key.KID() != kid) || !key.VerifiesAt(q.now) {
			explainSkipped(q.trace, u, key, q.now)
			continue
		}
		if !candidates.add(key.Key, u.Algorithm()) {
			explainSkipped(q.trace, u, key, q.now)
		}
	}
	if named && entry.Revocation.KeyIDs.Has(kid) {
		return token.Verified{}, nil, refuse(refusal.TokenRevoked)
	}
	return candidates.try(u, q.trace)
}

// trials are the keys that a token is tried with.
type trials struct {
	// any says whether there was any key before those that do not permit the token's algorithm were left out.
	any   bool
	count int
	keys  [maxTrials]*jose.Key // the first of count
}

// add takes a key that may verify the token, and reports whether it permits the token's algorithm.
func (c *trials) add(key *jose.Key, algorithm jose.Algorithm) bool {
	c.any = true
	if !key.Permits(algorithm) {
		return false
	}
	if c.count < maxTrials {
		c.keys[c.count] = key
	}
	c.count++
	return true
}

// try returns the claims, and the key, where one of the keys verifies the signature, or is known to have done so.
func (c *trials) try(u *token.Unverified, t *trace.Trace) (token.Verified, *jose.Key, *Refused) {
	switch {
	case !c.any || c.count > maxTrials:
		return token.Verified{}, nil, refuse(refusal.KeyUnknown)
	case c.count == 0:
		return token.Verified{}, nil, refuse(refusal.AlgorithmNotAllowed)
	}
	for _, key := range c.keys[:c.count] {
		if verified, ok := u.Known(key); ok {
			return verified, key, nil
		}
	}
	for _, key := range c.keys[:c.count] {
		verified, err := u.Verify(key)
		explainTrial(t, key, err)
		if err == nil {
			return verified, key, nil
		}
	}
	return token.Verified{}, nil, refuse(refusal.SignatureInvalid)
}

// accept lets a verified token through when its claims are all that the policy and the credential ask for. Every token
// goes through it, whoever verified it. It returns the claims, and those that are forwarded.
func (p *Policy) accept(v *token.Verified, entry *keyring.Entry, q *asked) (*token.Claims, []claimField, *Refused) {
	claims, err := v.Claims()
	if err != nil {
		return nil, nil, refuse(refusal.TokenMalformed)
	}
	if refused := p.judge(v, claims, entry, q.now); refused != nil {
		return nil, nil, refused
	}
	fields, refused := p.derive(v, q.head)
	if refused != nil {
		return nil, nil, refused
	}
	return claims, fields, nil
}

// judge compares the claims of a verified token with what the policy and the credential ask for.
func (p *Policy) judge(v *token.Verified, c *token.Claims, entry *keyring.Entry, now time.Time) *Refused {
	switch {
	case entry.Revocation.Covers(c.ID, c.IssuedAt):
		return refuse(refusal.TokenRevoked)
	case entry.Issuer != "" && (c.Issuer == nil || *c.Issuer != entry.Issuer):
		return refuse(refusal.IssuerUnknown)
	case c.Expires.IsZero() && p.expiration == routing.ExpirationRequired:
		return refuse(refusal.ClaimMissing)
	case p.expired(c, now):
		return refuse(refusal.TokenExpired)
	case p.early(c.NotBefore, now), p.early(c.IssuedAt, now):
		return refuse(refusal.TokenNotYetValid)
	case !p.audienceAccepted(c.Audience, entry.Audiences):
		return refuse(refusal.AudienceMismatch)
	}
	return p.limits.check(v, c, now, p.clockSkew)
}

// expired says whether the token is past its end, by clocks that differ. Whole seconds tell that of nearly all tokens,
// without arithmetic.
func (p *Policy) expired(c *token.Claims, now time.Time) bool {
	return now.Unix() >= c.Expires.Unix() && !c.Expires.IsZero() && !now.Before(c.Expires.Add(p.clockSkew))
}

// early says whether a moment from which a token is valid is still to come. Where there is none, it is not.
func (p *Policy) early(from, now time.Time) bool {
	return now.Unix() <= from.Unix() && now.Add(p.clockSkew).Before(from)
}

// audienceAccepted asks every level that states audiences for one of the token's, so that none can widen another. Where
// none states any, nothing is accepted, unless the policy says that audiences are not to be asked for: its own, that is,
// since a credential that was given audiences is for these alone.
func (p *Policy) audienceAccepted(has, credential []string) bool {
	stated := false
	if p.audienceMatch != routing.AudienceIgnore && len(p.audiences) > 0 {
		if stated = true; !overlap(has, p.audiences) {
			return false
		}
	}
	if len(credential) > 0 {
		if stated = true; !overlap(has, credential) {
			return false
		}
	}
	return stated || p.audienceMatch == routing.AudienceIgnore
}

func overlap(a, b []string) bool {
	for _, s := range a {
		if slices.Contains(b, s) {
			return true
		}
	}
	return false
}
