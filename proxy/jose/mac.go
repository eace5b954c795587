package jose

import (
	"crypto"
	"crypto/hmac"
	"hash"
	"sync"

	"github.com/golang-jwt/jwt/v5"
)

// verifier verifies signatures of one algorithm; golang-jwt's signing methods do.
type verifier interface {
	Verify(signingInput string, signature []byte, key any) error
}

// newVerifier returns what verifies signatures of an algorithm with the key.
func newVerifier(a Algorithm, key any) verifier {
	method := a.method()
	secret, isSecret := key.([]byte)
	if h, ok := method.(*jwt.SigningMethodHMAC); ok && isSecret && h.Hash.Available() {
		return &macs{secret: secret, hash: h.Hash}
	}
	if method == nil {
		return nil
	}
	return method
}

// macs is golang-jwt's method for one secret, which is hashed into a state once and not at each signature.
type macs struct {
	secret []byte
	hash   crypto.Hash
	// idle has *mac that nobody uses.
	idle sync.Pool
}

// mac is such a state with the memory it works in.
type mac struct {
	hash hash.Hash
	// input is a copy of what is hashed, which must not be a string, and sum what comes of it.
	input, sum []byte
}

// maxIdleInput bounds the memory that is kept for the next input, in bytes.
const maxIdleInput = 32 << 10

// Verify compares in constant time. It takes no other key than its own secret.
func (m *macs) Verify(signingInput string, signature []byte, _ any) error {
	s, ok := m.idle.Get().(*mac)
	if !ok {
		s = &mac{hash: hmac.New(m.hash.New, m.secret)}
	}
	s.hash.Reset()
	s.input = append(s.input[:0], signingInput...)
	_, _ = s.hash.Write(s.input) // a hash.Hash never fails
	s.sum = s.hash.Sum(s.sum[:0])
	equal := hmac.Equal(signature, s.sum)
	clear(s.input)
	if cap(s.input) <= maxIdleInput {
		m.idle.Put(s)
	}
	if !equal {
		return ErrSignature
	}
	return nil
}
