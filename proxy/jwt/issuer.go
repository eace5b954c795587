package jwt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// issuer is an external identity provider whose tokens a policy takes.
type issuer struct {
	// terms are what the provider's tokens are compared with, in the form of a credential of nobody's.
	terms      keyring.Entry
	algorithms []jose.Algorithm
	consumer   routing.ConsumerMapping
}

// newIssuers compiles the issuers of a policy.
func newIssuers(cfgs []routing.Issuer, sets *jwks.Registry) (map[string]*issuer, error) {
	if len(cfgs) == 0 {
		return nil, nil
	}
	issuers := make(map[string]*issuer, len(cfgs))
	for i := range cfgs {
		cfg := &cfgs[i]
		found, err := newIssuer(cfg, sets)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", cfg.Issuer, err)
		}
		if _, twice := issuers[cfg.Issuer]; twice {
			return nil, fmt.Errorf("issuer %q is there twice", cfg.Issuer)
		}
		issuers[cfg.Issuer] = found
	}
	return issuers, nil
}

func newIssuer(cfg *routing.Issuer, sets *jwks.Registry) (*issuer, error) {
	algorithms, err := asymmetric(cfg.Algorithms)
	if err != nil {
		return nil, err
	}
	i := &issuer{
		terms: keyring.Entry{
			Issuer:    cfg.Issuer,
			Audiences: slices.Clone(cfg.Audiences),
			State:     keyring.StateActive,
		},
		algorithms: algorithms,
		consumer:   cfg.Consumer,
	}
	switch {
	case cfg.Issuer == "":
		return nil, errors.New("has no name")
	case cfg.Consumer > routing.ConsumerOptional:
		return nil, fmt.Errorf("mapping to consumers %d is not known", cfg.Consumer)
	case cfg.Remote.IsZero() == (len(cfg.Keys) == 0):
		return nil, errors.New("not exactly one of remote keys and keys is set")
	case len(cfg.Keys) > 0:
		keys, _, _ := jose.Parse(cfg.Keys, jose.Options{Algorithms: algorithms, Private: jose.PrivateHalved})
		if len(keys) == 0 {
			return nil, errors.New("none of the keys verifies tokens")
		}
		i.terms.Keys = keyring.Keys(keys...)
		return i, nil
	case sets == nil:
		return nil, errors.New("nothing fetches its keys")
	}
	set, ok := sets.Lookup(cfg.Remote)
	if !ok {
		return nil, errors.New("its keys are not fetched")
	}
	i.terms.Remote = &keyring.Remote{Source: cfg.Remote, Algorithms: algorithms, Set: set}
	return i, nil
}

// asymmetric parses algorithms, none of which may be HMAC's: who verifies with a shared secret could sign with it too.
func asymmetric(names []string) ([]jose.Algorithm, error) {
	if len(names) == 0 {
		return nil, errors.New("no algorithm")
	}
	algorithms := make([]jose.Algorithm, 0, len(names))
	for _, name := range names {
		algorithm, ok := jose.ParseAlgorithm(name)
		if !ok || strings.HasPrefix(name, "HS") {
			return nil, fmt.Errorf("algorithm %q can't be used", name)
		}
		algorithms = append(algorithms, algorithm)
	}
	return algorithms, nil
}

// issuer returns the identity provider that a token says it is from, nil where the policy has none of that name.
func (p *Policy) issuer(u *token.Unverified) *issuer {
	if len(p.issuers) == 0 {
		return nil
	}
	name, ok := u.Issuer()
	if !ok {
		return nil
	}
	return p.issuers[name]
}

// authenticateIssued judges a token of an identity provider, by that provider's keys alone.
func (p *Policy) authenticateIssued(ctx context.Context, i *issuer, u *token.Unverified, q *asked, a *Allowed) *Refused {
	t := q.trace
	verified, key, refused := i.verify(ctx, u, q)
	explainKeys(t, u, refused)
	if refused != nil {
		return refused
	}
	claims, fields, refused := p.accept(&verified, &i.terms, q)
	p.explainClaims(t, &i.terms, refused)
	if refused != nil {
		return refused
	}
	identity, known := p.credentials[0].ByIdentity(i.terms.Issuer, verified.Text)
	consumer, scopes := identity.Consumer, claims.Scopes
	switch {
	case consumer != nil && consumer.State != keyring.StateActive:
		refused = refuse(refusal.ConsumerSuspended)
	case consumer != nil:
		scopes = effectiveScopes(&verified, scopes, consumer.Scopes, nil)
	case known || i.consumer == routing.ConsumerRequired:
		refused = refuse(refusal.ConsumerUnknown)
	}
	i.explainConsumer(t, consumer, refused)
	if refused != nil {
		return refused
	}
	p.cache.remember(t, &verified, q.now)
	a.by, a.fields, a.scopes = p, fields, scopes
	a.lease.key, a.lease.algorithm, a.lease.claims = key, u.Algorithm(), claims
	a.lease.issuer, a.lease.claim, a.lease.value, a.lease.consumer = i, identity.Claim, identity.Value, consumer
	return nil
}

func (i *issuer) verify(ctx context.Context, u *token.Unverified, q *asked) (token.Verified, *jose.Key, *Refused) {
	if !slices.Contains(i.algorithms, u.Algorithm()) {
		return token.Verified{}, nil, refuse(refusal.AlgorithmNotAllowed)
	}
	return verify(ctx, u, &i.terms, q)
}

// verifyRemote checks the signature with the key of a remote set that the token names, or with each that permits the
// token's algorithm where it names none. The algorithm is compared with what was configured before any key is looked for,
// and a key that the credential revokes is not looked for either.
func verifyRemote(ctx context.Context, u *token.Unverified, entry *keyring.Entry, t *trace.Trace) (token.Verified, *jose.Key, *Refused) {
	remote, revoked := entry.Remote, entry.Revocation.KeyIDs
	kid, named := u.KID()
	switch {
	case named && revoked.Has(kid):
		return token.Verified{}, nil, refuse(refusal.TokenRevoked)
	case !slices.Contains(remote.Algorithms, u.Algorithm()):
		return token.Verified{}, nil, refuse(refusal.AlgorithmNotAllowed)
	case remote.Set == nil:
		return token.Verified{}, nil, refuse(refusal.KeysUnavailable)
	case !named:
		return verifyUnnamed(ctx, u, entry, t)
	}
	key, err := remote.Set.Key(ctx, kid)
	switch {
	case errors.Is(err, jwks.ErrKeyUnknown):
		return token.Verified{}, nil, refuse(refusal.KeyUnknown)
	case err != nil:
		return token.Verified{}, nil, refuse(refusal.KeysUnavailable)
	case revoked.Has(key.Thumbprint()):
		return token.Verified{}, nil, refuse(refusal.TokenRevoked)
	}
	var candidate trials
	candidate.add(key, u.Algorithm())
	return candidate.try(u, t)
}

// verifyUnnamed tries the keys of a remote set with a token that names none.
func verifyUnnamed(ctx context.Context, u *token.Unverified, entry *keyring.Entry, t *trace.Trace) (token.Verified, *jose.Key, *Refused) {
	keys, err := entry.Remote.Set.Keys(ctx)
	if err != nil {
		return token.Verified{}, nil, refuse(refusal.KeysUnavailable)
	}
	revoked := entry.Revocation.KeyIDs
	var candidates trials
	for _, key := range keys {
		if !revoked.Has(key.KID()) && !revoked.Has(key.Thumbprint()) {
			candidates.add(key, u.Algorithm())
		}
	}
	return candidates.try(u, t)
}
