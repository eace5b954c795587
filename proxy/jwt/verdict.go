package jwt

import (
	"slices"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Allowed proves that a policy let a caller through: that a token was verified, or that the policy asks for none and none
// was there. Only Authenticate makes one; the zero value is a denial.
type Allowed struct {
	by        *Policy
	anonymous bool
	// authorization says that the request's Authorization is of a scheme of the policy's.
	authorization bool
	lease         Lease
	scopes        []string     // effective ones
	fields        []claimField // what SetClaims sets
}

// Granted says whether the caller was let through: whether this is not the zero value.
func (a *Allowed) Granted() bool { return a.by != nil }

// Anonymous says whether the caller was let through without a token.
func (a *Allowed) Anonymous() bool { return a.by != nil && a.anonymous }

// Identity is who the caller is; the zero Identity where no token was verified.
func (a *Allowed) Identity() Identity {
	i := Identity{Consumer: a.lease.consumer, Scopes: a.scopes}
	if entry := a.lease.entry; entry != nil {
		i.Credential, i.KeyID = entry.Key, entry.KeyID
	}
	return i
}

// Consumer is that of the Identity.
func (a *Allowed) Consumer() *keyring.Consumer { return a.lease.consumer }

// SetIdentity tells the upstream who calls, where there is a Consumer to tell about. What clients sent under these names must
// have been removed. It reports false where something of the Consumer can't be told.
func (a *Allowed) SetIdentity(h head.Head) bool {
	var (
		block head.Block
		err   error
	)
	switch {
	case a.by == nil:
		return false
	case a.lease.entry != nil:
		block, err = a.lease.entry.Fields()
	case a.lease.consumer != nil:
		block, err = a.lease.consumer.Fields()
	default:
		return true // a token of an identity provider that stands for no Consumer
	}
	if err != nil {
		return false
	}
	h.Put(block)
	return true
}

// Identity is who a verified token stands for.
type Identity struct {
	// Consumer is immutable, and nil only where no token was verified, or one of an issuer that stands for no Consumer.
	Consumer *keyring.Consumer
	// Credential is the JWTCredential that the token was verified with, KeyID the name that tokens know it by.
	Credential routing.ObjectKey
	KeyID      string
	// Scopes are the effective scopes. They must not be changed.
	Scopes []string
}

// Refused says why a request must not pass.
type Refused struct {
	Reason refusal.Reason
	// Scopes are those that are needed, in the order they were configured in, for refusal.ScopeMissing.
	Scopes []string
	// Message is what the configuration says about a refusal.ClaimMismatch, empty where it says nothing.
	Message string
}

func refuse(reason refusal.Reason) *Refused { return &Refused{Reason: reason} }

// Authorize says whether the caller has the scopes that the policy requires, and all of matchScopes, which the match
// requires. An anonymous caller has none, and is told that a token is missing where one is asked for. What this very
// policy did not allow is refused.
func (p *Policy) Authorize(a *Allowed, matchScopes []string) *Refused {
	if a.by != p || p == nil {
		return refuse(refusal.Internal)
	}
	if a.anonymous && len(p.requiredScopes)+len(matchScopes) > 0 {
		return refuse(refusal.TokenMissing)
	}
	if p.enough(a.scopes) && all(matchScopes, a.scopes) {
		return nil
	}
	needed := slices.Clone(p.requiredScopes)
	for _, scope := range matchScopes {
		if !slices.Contains(needed, scope) {
			needed = append(needed, scope)
		}
	}
	return &Refused{Reason: refusal.ScopeMissing, Scopes: needed}
}

// enough says whether the policy's own required scopes are met.
func (p *Policy) enough(has []string) bool {
	if p.scopeMatch == routing.ScopeMatchAny && len(p.requiredScopes) > 0 {
		return slices.ContainsFunc(p.requiredScopes, func(scope string) bool { return slices.Contains(has, scope) })
	}
	return all(p.requiredScopes, has)
}

func all(needed, has []string) bool {
	for _, scope := range needed {
		if !slices.Contains(has, scope) {
			return false
		}
	}
	return true
}
