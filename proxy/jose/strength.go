package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"math/big"
)

// examine returns the family of public key material or a secret, or why it can't be trusted.
func examine(public any) (family, *Problem) {
	switch k := public.(type) {
	case []byte:
		return familyHMAC, nil
	case *rsa.PublicKey:
		return familyRSA, examineRSA(k)
	case *ecdsa.PublicKey:
		return examineECDSA(k)
	case ed25519.PublicKey:
		return familyEd25519, examineEd25519(k)
	default:
		return familyUnknown, problemf(Unsupported, "keys of this type are not supported: use RSA, P-256, P-384, P-521 or Ed25519")
	}
}

func examineRSA(k *rsa.PublicKey) *Problem {
	switch bits := k.N.BitLen(); {
	case bits < minRSABits:
		return problemf(Weak, "the RSA key has %d bits: at least %d are needed", bits, minRSABits)
	case bits > maxRSABits:
		return problemf(Unsupported, "the RSA key has %d bits: at most %d are taken", bits, maxRSABits)
	case k.N.Bit(0) == 0:
		return problemf(Unparsable, "the RSA modulus is even")
	case k.E < 3 || k.E > maxRSAExp || k.E%2 == 0:
		return problemf(Weak, "the RSA exponent must be odd and between 3 and %d: 65537 is usual", maxRSAExp)
	case roca(k.N):
		return problemf(Weak, "the RSA key can be factored (ROCA, CVE-2017-15361): make a new one with other software")
	}
	return nil
}

// roca says whether a modulus has the fingerprint of keys made by the library of CVE-2017-15361: modulo each small prime
// it is a power of 65537. Of the other moduli one in 2^27 has it too.
func roca(modulus *big.Int) bool {
	for p := int64(3); p <= 167; p += 2 {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		rest := new(big.Int).Mod(modulus, big.NewInt(p)).Int64()
		power := int64(1)
		for power != rest {
			if power = power * 65537 % p; power == 1 {
				return false // all powers were tried
			}
		}
	}
	return true
}

func examineECDSA(k *ecdsa.PublicKey) (family, *Problem) {
	var f family
	switch k.Curve {
	case elliptic.P256():
		f = familyP256
	case elliptic.P384():
		f = familyP384
	case elliptic.P521():
		f = familyP521
	default:
		return familyUnknown, problemf(Unsupported, "the curve is not supported: use P-256, P-384 or P-521")
	}
	// ECDH checks that the point is on the curve and not at infinity.
	if _, err := k.ECDH(); err != nil {
		return f, problemf(Unparsable, "the point of the %s is not on its curve", f)
	}
	return f, nil
}

// examineEd25519 refuses points that are not on the curve, and points of small order, for which anyone can make
// signatures (RFC 8032 section 5.1.3, RFC 8725 section 3.2).
func examineEd25519(k ed25519.PublicKey) *Problem {
	if len(k) != ed25519.PublicKeySize {
		return problemf(Unparsable, "the Ed25519 key has %d bytes: it must have %d", len(k), ed25519.PublicKeySize)
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	bytesLE := clone(k)
	bytesLE[31] &= 0x7f
	for i, j := 0, len(bytesLE)-1; i < j; i, j = i+1, j-1 {
		bytesLE[i], bytesLE[j] = bytesLE[j], bytesLE[i]
	}
	y := new(big.Int).SetBytes(bytesLE)
	if y.Cmp(p) >= 0 {
		return problemf(Unparsable, "the Ed25519 key is not in its one canonical form")
	}
	// The curve is -x^2 + y^2 = 1 + d x^2 y^2 with d = -121665/121666, so x^2 = (y^2-1) / (d y^2+1).
	one := big.NewInt(1)
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)
	y2 := new(big.Int).Mul(y, y)
	y2.Mod(y2, p)
	u := new(big.Int).Sub(y2, one)
	v := new(big.Int).Mul(d, y2)
	v.Add(v, one)
	uv := new(big.Int).Mul(u, v)
	if uv.Mod(uv, p); big.Jacobi(uv, p) == -1 {
		return problemf(Unparsable, "the Ed25519 key is not a point of its curve")
	}
	// Orders 1 and 2 have y = 1 and y = -1, order 4 has y = 0, and a point doubles to y = 0 where d y^4 + 2 y^2 = 1.
	eighth := new(big.Int).Mul(d, y2)
	eighth.Mul(eighth, y2).Add(eighth, y2).Add(eighth, y2).Sub(eighth, one)
	if y.Sign() == 0 || y2.Cmp(one) == 0 || eighth.Mod(eighth, p).Sign() == 0 {
		return problemf(Weak, "the Ed25519 key is a point of small order: anyone can sign for it")
	}
	return nil
}

// strongEnough returns those algorithms that the secret is long enough for.
func (r *reader) strongEnough(secret []byte, algorithms []Algorithm) ([]Algorithm, *Problem) {
	if len(secret) > maxOctets {
		return nil, problemf(Unsupported, "the secret has %d bytes: at most %d are taken", len(secret), maxOctets)
	}
	length := effectiveLength(secret)
	var enough []Algorithm
	least := algorithms[0]
	for _, a := range algorithms {
		if length >= a.minSecret() {
			enough = append(enough, a)
		}
		if a.minSecret() < least.minSecret() {
			least = a
		}
	}
	switch {
	case len(enough) == len(algorithms):
	case len(enough) > 0:
		r.note("the secret of %d bytes is too short for some of the credential's algorithms and verifies %s alone: "+
			"48 bytes are needed for HS384, 64 for HS512", len(secret), joined(enough))
	case length < len(secret):
		return nil, problemf(Weak, "the secret of %d bytes repeats itself and is worth %d at most: "+
			"%s needs %d random bytes, for instance from `openssl rand %d`",
			len(secret), length, least, least.minSecret(), least.minSecret())
	default:
		return nil, problemf(Weak, "the secret has %d bytes: %s needs at least %d random ones, for instance from `openssl rand %d`",
			len(secret), least, least.minSecret(), least.minSecret())
	}
	return enough, nil
}

func joined(algorithms []Algorithm) string {
	var b bytes.Buffer
	for i, a := range algorithms {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(a))
	}
	return b.String()
}

// paddingRun is from when on equal bytes at an end of a secret are padding: random secrets have no such run.
const paddingRun = 8

// effectiveLength is the length of a secret without the padding at its ends and without repetition, so that a password
// is not taken for a key because something filled it up.
func effectiveLength(secret []byte) int {
	core := secret
	if n := run(core, func(i int) byte { return core[i] }); n >= paddingRun {
		core = core[n-1:]
	}
	if n := run(core, func(i int) byte { return core[len(core)-1-i] }); n >= paddingRun {
		core = core[:len(core)-n+1]
	}
	return period(core)
}

// run is how many of the bytes that at returns are equal, from the first on.
func run(data []byte, at func(i int) byte) int {
	n := 0
	for n < len(data) && at(n) == at(0) {
		n++
	}
	return n
}

// period is the length of the shortest text whose repetition is data, by the failure function of Knuth, Morris and
// Pratt; len(data) where less than two whole repetitions fit.
func period(data []byte) int {
	border := make([]int, len(data)+1)
	border[0] = -1
	for i, k := 0, -1; i < len(data); {
		for k >= 0 && data[i] != data[k] {
			k = border[k]
		}
		i, k = i+1, k+1
		border[i] = k
	}
	if p := len(data) - border[len(data)]; p*2 <= len(data) {
		return p
	}
	return len(data)
}
