package jose

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"unique"

	josev4 "github.com/go-jose/go-jose/v4"
)

// Errors of Verify. They say nothing about the key or the signature.
var (
	// ErrAlgorithm says that the key does not permit the algorithm.
	ErrAlgorithm = errors.New("algorithm not permitted by the key")
	// ErrSignature says that the signature is not one of this key over this input.
	ErrSignature = errors.New("signature does not verify")
)

// Key verifies signatures. It is immutable, safe for use by several goroutines and prints as nothing but "[redacted]".
// Parse makes keys; the zero Key permits no algorithm.
type Key struct {
	// m is behind a function, which nothing that prints by reflection calls: package fmt follows a pointer in a field that
	// is not exported where the verb does not fit.
	m func() *material
}

// known is what the Key knows; the zero Key knows nothing.
func (k Key) known() *material {
	if k.m == nil {
		return &material{}
	}
	return k.m()
}

// material is what a Key knows.
type material struct {
	kid        string
	thumbprint string
	identity   Identity
	family     family
	methods    []method
	// public is a *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey or, for HMAC, the secret as []byte.
	public any
}

type method struct {
	algorithm Algorithm
	signing   verifier
}

// newKey binds a key of that family to algorithms, which all belong to the family. An empty kid becomes the thumbprint,
// which an HMAC secret does not have: a hash of a secret that people chose lets others guess it.
func newKey(kid string, f family, public any, algorithms []Algorithm) (*Key, error) {
	m := &material{kid: kid, family: f, public: public, methods: make([]method, 0, len(algorithms))}
	for _, a := range algorithms {
		m.methods = append(m.methods, method{algorithm: a, signing: newVerifier(a, public)})
	}
	if f != familyHMAC {
		sum, err := (&josev4.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, fmt.Errorf("compute the RFC 7638 thumbprint: %w", err)
		}
		m.thumbprint = base64.RawURLEncoding.EncodeToString(sum)
		m.identity = Identity{unique.Make(m.thumbprint)}
		if m.kid == "" {
			m.kid = m.thumbprint
		}
	} else {
		m.identity = Identity{unique.Make(rand.Text())}
	}
	return &Key{m: func() *material { return m }}, nil
}

// KID is the name of the key: the one it was given, else the JWK's kid, else the thumbprint. It is empty for an HMAC
// secret that was given no name.
func (k Key) KID() string { return k.known().kid }

// Thumbprint is the RFC 7638 thumbprint by SHA-256 in base64url. It is empty for an HMAC secret.
func (k Key) Thumbprint() string { return k.known().thumbprint }

// Identity stands for what a Key verifies with: two Keys of the same Identity verify the same signatures, so far as they
// permit the algorithm. Public keys have the Identity of their thumbprint, HMAC secrets each one of their own, of which
// nothing can be learned. It is comparable, and holding it holds no key. The zero Identity is that of no key.
type Identity struct{ handle unique.Handle[string] }

// Identity returns the key's Identity; the zero one for the zero Key.
func (k Key) Identity() Identity { return k.known().identity }

// Fingerprint tells keys apart where they are shown: the RFC 7638 thumbprint of a public key; of an HMAC secret its
// HMAC-SHA-256 under salt, in base64url, so that nobody without the salt can try guesses. Without a salt a secret has
// none.
func (k Key) Fingerprint(salt []byte) string {
	m := k.known()
	if secret, ok := m.public.([]byte); ok {
		return Fingerprint(salt, secret)
	}
	return m.thumbprint
}

// Fingerprint is that of an HMAC secret, or of any other value that must not be shown; empty without a salt.
func Fingerprint(salt, value []byte) string {
	if len(salt) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, salt)
	_, _ = mac.Write(value) // a hash.Hash never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Algorithms are the algorithms that the key permits, in the order of the credential's.
func (k Key) Algorithms() []Algorithm {
	methods := k.known().methods
	algorithms := make([]Algorithm, len(methods))
	for i := range methods {
		algorithms[i] = methods[i].algorithm
	}
	return algorithms
}

// Permits says whether the key may verify signatures of that algorithm.
func (k Key) Permits(a Algorithm) bool {
	return k.signing(a) != nil
}

func (k Key) signing(a Algorithm) verifier {
	methods := k.known().methods
	for i := range methods {
		if methods[i].algorithm == a {
			return methods[i].signing
		}
	}
	return nil
}

// secret says whether the key is an HMAC secret.
func (k Key) secret() bool { return k.known().family == familyHMAC }

// Verify checks that signature is this key's over signingInput (RFC 7515 section 5.2). HMACs are compared in constant
// time. It returns ErrAlgorithm or ErrSignature.
func (k Key) Verify(a Algorithm, signingInput string, signature []byte) error {
	m := k.signing(a)
	if m == nil {
		return ErrAlgorithm
	}
	if len(signature) == 0 || m.Verify(signingInput, signature, k.known().public) != nil {
		return ErrSignature
	}
	return nil
}

// Equal says whether both are the same key of the same name, permitting the same algorithms in the same order.
// HMAC secrets are compared in constant time.
func (k Key) Equal(other Key) bool {
	a, b := k.known(), other.known()
	if a.kid != b.kid || a.family != b.family || !slices.Equal(k.Algorithms(), other.Algorithms()) {
		return false
	}
	mine, isSecret := a.public.([]byte)
	if !isSecret {
		return a.thumbprint == b.thumbprint
	}
	theirs, _ := b.public.([]byte)
	return subtle.ConstantTimeCompare(mine, theirs) == 1
}

// SameMaterial says whether both verify the same signatures, whatever their names and algorithms. HMAC secrets are
// compared in constant time.
func (k Key) SameMaterial(other Key) bool {
	a, b := k.known(), other.known()
	mine, isSecret := a.public.([]byte)
	theirs, alsoSecret := b.public.([]byte)
	if isSecret || alsoSecret {
		return isSecret && alsoSecret && subtle.ConstantTimeCompare(mine, theirs) == 1
	}
	return a.thumbprint != "" && a.thumbprint == b.thumbprint
}

// Export writes the key as a JWK (RFC 7517 section 4) with its name, if it has one: what Parse makes the same key of, with
// FormatJWK and the same algorithms. It is deterministic. An HMAC secret is in it: it is for storage that may hold the
// Secret that the key came from.
func (k Key) Export() ([]byte, error) {
	m := k.known()
	if m.public == nil {
		return nil, errors.New("export a key: it is none")
	}
	data, err := (&josev4.JSONWebKey{Key: m.public, KeyID: m.kid}).MarshalJSON()
	if err != nil {
		return nil, fmt.Errorf("export a key: %w", err)
	}
	return data, nil
}

const redacted = "[redacted]"

// String implements fmt.Stringer and tells nothing.
func (Key) String() string { return redacted }

// GoString implements fmt.GoStringer and tells nothing.
func (Key) GoString() string { return redacted }

// LogValue implements slog.LogValuer and tells nothing.
func (Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements encoding.TextMarshaler and tells nothing.
func (Key) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON implements json.Marshaler and tells nothing.
func (Key) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// Format implements fmt.Formatter: a Key tells nothing whatever the verb, %x and %d included.
func (Key) Format(f fmt.State, _ rune) {
	_, _ = f.Write([]byte(redacted)) // fmt.State has no way to report an error
}

// clone is a copy of data, so that a Key shares no memory with the bytes it was made from.
func clone(data []byte) []byte { return bytes.Clone(data) }
