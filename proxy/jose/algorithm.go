package jose

import (
	"crypto"
	"crypto/rsa"

	"github.com/golang-jwt/jwt/v5"
)

// Algorithm is a JWS signature algorithm, spelled as in the alg header parameter (RFC 7518 section 3.1, RFC 8037
// section 3.1, RFC 9864 section 2.2). Names are compared as they are: none stands for another.
type Algorithm string

// The algorithms that are supported. There is no "none".
const (
	HS256 Algorithm = "HS256"
	HS384 Algorithm = "HS384"
	HS512 Algorithm = "HS512"
	RS256 Algorithm = "RS256"
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS256 Algorithm = "PS256"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
	ES256 Algorithm = "ES256"
	ES384 Algorithm = "ES384"
	ES512 Algorithm = "ES512"
	// EdDSA is that of Ed25519 alone.
	EdDSA Algorithm = "EdDSA"
	// Ed25519 makes the same signatures as EdDSA with such a key, under a name that says so (RFC 9864 section 2.2).
	Ed25519 Algorithm = "Ed25519"
)

// ParseAlgorithm returns the algorithm of exactly that name, and whether it is supported.
func ParseAlgorithm(name string) (Algorithm, bool) {
	a := Algorithm(name)
	return a, a.family() != familyUnknown
}

// family is the type of key that an algorithm takes.
type family uint8

const (
	familyUnknown family = iota
	familyHMAC
	familyRSA
	familyP256
	familyP384
	familyP521
	familyEd25519
)

// String names the family in messages to people.
func (f family) String() string {
	switch f {
	case familyHMAC:
		return "HMAC secret"
	case familyRSA:
		return "RSA key"
	case familyP256:
		return "P-256 key"
	case familyP384:
		return "P-384 key"
	case familyP521:
		return "P-521 key"
	case familyEd25519:
		return "Ed25519 key"
	default:
		return "key of an unsupported type"
	}
}

func (a Algorithm) family() family {
	switch a {
	case HS256, HS384, HS512:
		return familyHMAC
	case RS256, RS384, RS512, PS256, PS384, PS512:
		return familyRSA
	case ES256:
		return familyP256
	case ES384:
		return familyP384
	case ES512:
		return familyP521
	case EdDSA, Ed25519:
		return familyEd25519
	default:
		return familyUnknown
	}
}

// minSecret is the least length of an HMAC secret in bytes: that of the hash (RFC 7518 section 3.2).
func (a Algorithm) minSecret() int {
	switch a {
	case HS384:
		return 48
	case HS512:
		return 64
	default:
		return 32
	}
}

// method is what verifies, nil for an algorithm that is not supported. The PSS methods are our own because those of
// golang-jwt take salts of any length, where RFC 7518 section 3.5 wants the length of the hash.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case HS256:
		return jwt.SigningMethodHS256
	case HS384:
		return jwt.SigningMethodHS384
	case HS512:
		return jwt.SigningMethodHS512
	case RS256:
		return jwt.SigningMethodRS256
	case RS384:
		return jwt.SigningMethodRS384
	case RS512:
		return jwt.SigningMethodRS512
	case PS256:
		return strictPSS("PS256", crypto.SHA256)
	case PS384:
		return strictPSS("PS384", crypto.SHA384)
	case PS512:
		return strictPSS("PS512", crypto.SHA512)
	case ES256:
		return jwt.SigningMethodES256
	case ES384:
		return jwt.SigningMethodES384
	case ES512:
		return jwt.SigningMethodES512
	case EdDSA, Ed25519:
		return jwt.SigningMethodEdDSA
	default:
		return nil
	}
}

func strictPSS(name string, hash crypto.Hash) *jwt.SigningMethodRSAPSS {
	salt := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: &jwt.SigningMethodRSA{Name: name, Hash: hash},
		Options:          salt,
		VerifyOptions:    salt,
	}
}
