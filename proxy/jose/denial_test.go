package jose

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"math/big"
	"slices"
	"strings"
	"testing"
)

// TestEachDenialIsItsOwn holds that material is refused for what is wrong with it, and not by luck further on.
func TestEachDenialIsItsOwn(t *testing.T) {
	k := keysOf(t)
	montgomery, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	as := func(f Format, a ...Algorithm) Options { return Options{Format: f, Algorithms: a} }
	runParse(t, map[string]parseCase{
		"half a JSON object": {
			data: `{"kty":"oct","k"`, opts: as(FormatAuto, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "unique members",
		},
		"half a JWKS": {
			data: `{"keys":[`, opts: as(FormatJWKS, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "unique members",
		},
		"half a JWK": {
			data: `{"kty":`, opts: as(FormatJWK, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "unique members",
		},
		"a secret that is a number": {
			data: `{"kty":"oct","k":1}`, opts: as(FormatJWK, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "member k of the JWK is not a string",
		},
		"an empty secret": {
			data: `{"kty":"oct","k":""}`, opts: as(FormatJWK, HS256), want: parsed{Problems: []string{"weak"}}, says: "empty",
		},
		"kty is a number": {
			data: `{"kty":1}`, opts: as(FormatJWK, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "member kty of the JWK is not a string",
		},
		"no kty": {
			data: `{"k":"AQ"}`, opts: as(FormatJWK, HS256), want: parsed{Problems: []string{"unparsable"}}, says: "no kty",
		},
		"a key for key agreement": {
			data: spki(t, montgomery.PublicKey()), opts: as(FormatPEM, EdDSA), want: parsed{Problems: []string{"unsupported"}}, says: "of this type",
		},
		"an algorithm that is none of ours beside one that is": {
			data: spki(t, k.rsa.Public()), opts: as(FormatPEM, RS256, "none"), want: parsed{Problems: []string{"algorithm mismatch"}}, says: `"none"`,
		},
		"half of a private key of another type": {
			data: block("DSA PRIVATE KEY", []byte("x")), opts: halved(ES256), want: parsed{Problems: []string{"unsupported"}}, says: "are not taken",
		},
		"half of a broken RSA private key": {
			data: block("RSA PRIVATE KEY", []byte("x")), opts: halved(RS256), want: parsed{Problems: []string{"unparsable"}}, says: "can't be parsed",
		},
		"no algorithm": {
			data: string(secret(32)), opts: as(FormatAuto), want: parsed{Problems: []string{"algorithm mismatch"}}, says: "no algorithm",
		},
	})
}

// TestPointsOffTheCurve: what parses keys refuses these points before, for now.
func TestPointsOffTheCurve(t *testing.T) {
	off := &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)} //nolint:staticcheck // nothing else makes a point off its curve
	if _, p := examineECDSA(off); p == nil || p.Kind != Unparsable {
		t.Errorf("(1, 1) on P-256: %v", p)
	}
	if p := examineEd25519(ed25519.PublicKey{1}); p == nil || p.Kind != Unparsable {
		t.Errorf("an Ed25519 key of one byte: %v", p)
	}
}

// TestEd25519HasOneSpelling: a point that has a second spelling, with y + p for y, is taken in the first alone.
func TestEd25519HasOneSpelling(t *testing.T) {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	tried := 0
	for y := range int64(19) {
		spell := func(n *big.Int) ed25519.PublicKey {
			key := n.FillBytes(make([]byte, ed25519.PublicKeySize))
			slices.Reverse(key)
			return key
		}
		if examineEd25519(spell(big.NewInt(y))) != nil {
			continue // no point of the curve, or a weak one
		}
		tried++
		problem := examineEd25519(spell(new(big.Int).Add(p, big.NewInt(y))))
		if problem == nil || problem.Kind != Unparsable || !strings.Contains(problem.Message, "canonical") {
			t.Errorf("p + %d: %v", y, problem)
		}
	}
	if tried == 0 {
		t.Error("no point was tried")
	}
}
