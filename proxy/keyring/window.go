package keyring

import (
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
)

// Key is a key of a credential with the time in which it verifies. The bounds are data, judged by the clock of whoever
// verifies, so that nothing has to happen when one is reached.
type Key struct {
	*jose.Key
	// NotBefore is the first moment at which the key verifies; zero: it always did.
	NotBefore time.Time
	// NotAfter is the first moment at which it no longer does; zero: it always will.
	NotAfter time.Time

	use *Use
}

// Keys are keys without bounds.
func Keys(keys ...*jose.Key) []Key {
	bounded := make([]Key, len(keys))
	for i, key := range keys {
		bounded[i] = Key{Key: key}
	}
	return bounded
}

// VerifiesAt reports whether now is within the key's bounds.
func (k *Key) VerifiesAt(now time.Time) bool {
	return (k.NotBefore.IsZero() || !now.Before(k.NotBefore)) && (k.NotAfter.IsZero() || now.Before(k.NotAfter))
}

// Same reports whether both are the same key of the same name with the same bounds.
func (k Key) Same(other Key) bool {
	return k.NotBefore.Equal(other.NotBefore) && k.NotAfter.Equal(other.NotAfter) && k.Equal(*other.Key)
}

// Names is a set of names.
type Names map[string]struct{}

// NewNames returns the set of these names; nil where there are none.
func NewNames(names ...string) Names {
	if len(names) == 0 {
		return nil
	}
	set := make(Names, len(names))
	for _, name := range names {
		set[name] = struct{}{}
	}
	return set
}

// Has reports whether the name is in the set. It allocates nothing.
func (n Names) Has(name string) bool {
	_, ok := n[name]
	return ok
}

// Revocation names tokens that are no longer good although a key verifies them. The zero value names none.
type Revocation struct {
	// IssuedBefore refuses tokens whose iat is before it, and those without; zero: none.
	IssuedBefore time.Time
	// TokenIDs refuse tokens by their jti.
	TokenIDs Names
	// KeyIDs are the kids and RFC 7638 thumbprints of keys that were revoked. None of them is a name of an Entry's Keys.
	KeyIDs Names
}

// Covers reports whether a token of that jti and iat is revoked; a zero time is a token without iat, nil one without jti.
func (r *Revocation) Covers(tokenID *string, issuedAt time.Time) bool {
	if !r.IssuedBefore.IsZero() && (issuedAt.IsZero() || issuedAt.Before(r.IssuedBefore)) {
		return true
	}
	return tokenID != nil && r.TokenIDs.Has(*tokenID)
}
