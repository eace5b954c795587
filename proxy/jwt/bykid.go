package jwt

import (
	"context"
	"errors"

	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/trace"
)

// maxAsked is how many remote key sets an unknown kid may cause to be fetched. Where a policy takes more, a kid that none of
// them has is unknown until they are fetched in their own time: one token must not cause a fetch of each.
const maxAsked = 8

// byKID returns the selected credential that holds the key which the token names, of the first namespace that has one. A
// credential with that key of its own comes before those whose keys others publish, who could otherwise give theirs its
// name; then the older before the younger.
func (p *Policy) byKID(ctx context.Context, u *token.Unverified, t *trace.Trace) (*keyring.Entry, *Refused) {
	kid, ok := u.KID()
	if !ok || kid == "" {
		return nil, refuse(refusal.CredentialUnknown)
	}
	var remotes []*keyring.Entry
	for _, namespace := range p.credentials {
		for _, entry := range namespace.ByKID(kid) {
			if p.selects(entry.Labels) {
				return entry, nil
			}
			p.explainUnselected(t, entry)
		}
		for _, entry := range namespace.Remotes() {
			if !p.selects(entry.Labels) {
				continue
			}
			if entry.Remote.Set != nil && entry.Remote.Set.Has(kid) {
				return entry, nil
			}
			remotes = append(remotes, entry)
		}
	}
	return ask(ctx, remotes, kid)
}

// ask looks for a kid that no key has in the remote sets anew, in all at once, within the bounds of each. Where one of them
// can't be fetched the key may be among its own, so that it is no fault of the token.
func ask(ctx context.Context, remotes []*keyring.Entry, kid string) (*keyring.Entry, *Refused) {
	if len(remotes) == 0 || len(remotes) > maxAsked {
		return nil, refuse(refusal.CredentialUnknown)
	}
	type answer struct {
		at  int
		err error
	}
	answers := make(chan answer, len(remotes))
	one := func(at int) {
		err := jwks.ErrUnavailable
		if set := remotes[at].Remote.Set; set != nil {
			_, err = set.Key(ctx, kid)
		}
		answers <- answer{at, err}
	}
	for at := 1; at < len(remotes); at++ {
		go one(at)
	}
	one(0)
	found, unavailable := len(remotes), false
	for range remotes {
		switch a := <-answers; {
		case a.err == nil:
			found = min(found, a.at)
		case !errors.Is(a.err, jwks.ErrKeyUnknown):
			unavailable = true
		}
	}
	switch {
	case found < len(remotes):
		return remotes[found], nil
	case unavailable:
		return nil, refuse(refusal.KeysUnavailable)
	default:
		return nil, refuse(refusal.CredentialUnknown)
	}
}
