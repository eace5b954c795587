package jwt

import (
	"slices"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Lease is what a caller was let through by, for judging it again while what it asked for goes on. It holds no token. The
// zero value is that of a caller without one.
type Lease struct {
	// key verified the token, which said that it is of that algorithm. Nil: there was none.
	key       *jose.Key
	algorithm jose.Algorithm
	claims    *token.Claims
	consumer  *keyring.Consumer
	// entry is the JWTCredential as it was then, nil where the token is an issuer's.
	entry *keyring.Entry
	// issuer is the identity provider as it was then, claim and value what its Consumer was known by.
	issuer       *issuer
	claim, value string
}

// Lease is what the caller was let through by.
func (a *Allowed) Lease() Lease { return a.lease }

// Review says whether a caller that was let through before, by this policy or one in whose place it is, still would be: that
// the credential or issuer, the Consumer and the key are good, that the token is not revoked and, unless tunnels.onExpiry
// is Keep, not expired. What is of the request alone (audiences, scopes, rules) is not judged again. now is the wall
// clock's time.
func (p *Policy) Review(l *Lease, now time.Time) *Refused {
	switch {
	case l.key == nil:
		return nil
	case p.tunnels.OnExpiry == routing.ExpiryClose && p.expired(l.claims, now):
		return refuse(refusal.TokenExpired)
	case l.issuer != nil:
		return p.reviewIssued(l, now)
	default:
		return p.reviewHeld(l, now)
	}
}

// MaxTunnelAge is how long a tunnel may last; 0 is without end.
func (p *Policy) MaxTunnelAge() time.Duration { return p.tunnels.MaxAge }

func (p *Policy) reviewHeld(l *Lease, now time.Time) *Refused {
	entry := p.holder(l)
	if entry == nil {
		return refuse(refusal.CredentialUnknown)
	}
	if refused := usable(entry, now); refused != nil {
		return refused
	}
	if entry.Revocation.Covers(l.claims.ID, l.claims.IssuedAt) {
		return refuse(refusal.TokenRevoked)
	}
	return l.reviewKey(entry, now)
}

// holder is the credential as it is now, nil where it is gone or the policy takes it no more.
func (p *Policy) holder(l *Lease) *keyring.Entry {
	if p.credentialUse != routing.CredentialsTaken {
		return nil
	}
	for _, namespace := range p.credentials {
		if entry := namespace.ByKeyID(l.entry.KeyID); entry != nil && entry.Key == l.entry.Key && p.selects(entry.Labels) {
			return entry
		}
	}
	return nil
}

func (p *Policy) reviewIssued(l *Lease, now time.Time) *Refused {
	name := l.issuer.terms.Issuer
	i := p.issuers[name]
	switch {
	case i == nil:
		return refuse(refusal.IssuerUnknown)
	case !slices.Contains(i.algorithms, l.algorithm):
		return refuse(refusal.AlgorithmNotAllowed)
	}
	if refused := l.reviewKey(&i.terms, now); refused != nil {
		return refused
	}
	if l.consumer == nil {
		if i.consumer == routing.ConsumerRequired {
			return refuse(refusal.ConsumerUnknown)
		}
		return nil
	}
	switch consumer := p.credentials[0].Stands(name, l.claim, l.value); {
	case consumer == nil || consumer.Key != l.consumer.Key:
		return refuse(refusal.ConsumerUnknown)
	case consumer.State != keyring.StateActive:
		return refuse(refusal.ConsumerSuspended)
	}
	return nil
}

// reviewKey says whether the key is still one of the credential's for its algorithm, under whatever name.
func (l *Lease) reviewKey(entry *keyring.Entry, now time.Time) *Refused {
	revoked := entry.Revocation.KeyIDs
	if remote := entry.Remote; remote != nil {
		switch {
		case revoked.Has(l.key.KID()), revoked.Has(l.key.Thumbprint()):
			return refuse(refusal.TokenRevoked)
		case !slices.Contains(remote.Algorithms, l.algorithm):
			return refuse(refusal.AlgorithmNotAllowed)
		case remote.Set == nil, !remote.Set.Holds(l.key):
			return refuse(refusal.KeyUnknown)
		}
		return nil
	}
	for i := range entry.Keys {
		key := &entry.Keys[i]
		if key.VerifiesAt(now) && key.Permits(l.algorithm) && key.SameMaterial(*l.key) {
			return nil
		}
	}
	if revoked.Has(l.key.KID()) {
		return refuse(refusal.TokenRevoked)
	}
	return refuse(refusal.KeyUnknown)
}
