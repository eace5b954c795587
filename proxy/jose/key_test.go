package jose

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func mustParse(t testing.TB, data string, opts Options) *Key {
	t.Helper()
	keys, problems, _ := Parse([]byte(data), opts)
	if len(keys) != 1 {
		t.Fatalf("%d keys, problems %v", len(keys), problems)
	}
	return keys[0]
}

func everyAlgorithm() []Algorithm {
	return []Algorithm{HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA, Ed25519}
}

// pair is a private key with what a credential would hold for it.
func pair(t testing.TB, a Algorithm) (private any, held string) {
	t.Helper()
	k := keysOf(t)
	switch a.family() {
	case familyHMAC:
		return secret(64), string(secret(64))
	case familyRSA:
		return k.rsa, spki(t, k.rsa.Public())
	case familyP256:
		return k.p256, spki(t, k.p256.Public())
	case familyP384:
		return k.p384, spki(t, k.p384.Public())
	case familyP521:
		return k.p521, spki(t, k.p521.Public())
	default:
		return k.ed, spki(t, k.ed.Public())
	}
}

func TestVerifyEveryAlgorithm(t *testing.T) {
	for _, a := range everyAlgorithm() {
		t.Run(string(a), func(t *testing.T) {
			private, held := pair(t, a)
			key := mustParse(t, held, algorithms(a))
			signature, err := a.method().Sign("header.payload", private)
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(a, "header.payload", signature); err != nil {
				t.Errorf("a good signature: %v", err)
			}
			if err := key.Verify(a, "header.Payload", signature); !errors.Is(err, ErrSignature) {
				t.Errorf("another input: %v, want ErrSignature", err)
			}
			for name, bad := range map[string][]byte{
				"nothing":   nil,
				"truncated": signature[:len(signature)-1],
				"extended":  append(bytes.Clone(signature), 0),
				"altered":   append([]byte{signature[0] ^ 1}, signature[1:]...),
				"zeros":     make([]byte, len(signature)),
			} {
				if err := key.Verify(a, "header.payload", bad); !errors.Is(err, ErrSignature) {
					t.Errorf("%s: %v, want ErrSignature", name, err)
				}
			}
			for _, other := range everyAlgorithm() {
				if key.Permits(other) != (other == a) {
					t.Errorf("permits %s: %t", other, key.Permits(other))
				}
				if err := key.Verify(other, "header.payload", signature); (err == nil) != (other == a) {
					t.Errorf("verified as %s: %v", other, err)
				}
			}
			if key.Permits("none") || !errors.Is(key.Verify("none", "header.payload", nil), ErrAlgorithm) {
				t.Error("none is permitted")
			}
		})
	}
}

func TestSameMaterial(t *testing.T) {
	k := keysOf(t)
	public, octets := spki(t, k.p256.Public()), string(secret(32))
	key, hmac := mustParse(t, public, algorithms(ES256)), mustParse(t, octets, algorithms(HS256))
	named := Options{KID: "named", Algorithms: []Algorithm{ES256}}
	for name, tc := range map[string]struct {
		a, b *Key
		want bool
	}{
		"one key under two names": {key, mustParse(t, public, named), true},
		"two keys":                {key, mustParse(t, spki(t, k.ed.Public()), algorithms(EdDSA)), false},
		"two secrets":             {hmac, mustParse(t, string(secret(33)), algorithms(HS256)), false},
		"one secret":              {hmac, mustParse(t, octets, Options{KID: "named", Algorithms: []Algorithm{HS256}}), true},
		"a key and a secret":      {key, hmac, false},
		"a secret and a key":      {hmac, key, false},
		"no keys":                 {&Key{}, &Key{}, false},
	} {
		if got := tc.a.SameMaterial(*tc.b); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestFingerprint(t *testing.T) {
	k := keysOf(t)
	public := mustParse(t, spki(t, k.p256.Public()), algorithms(ES256))
	hmac := mustParse(t, string(secret(32)), algorithms(HS256))
	salt, other := []byte("salt"), []byte("another")
	if got := public.Fingerprint(salt); got != public.Thumbprint() || got == "" {
		t.Errorf("a public key has %q, want its thumbprint %q", got, public.Thumbprint())
	}
	got := hmac.Fingerprint(salt)
	switch {
	case len(got) != 43:
		t.Errorf("a secret has %q, want 32 bytes in base64url", got)
	case got == hmac.Fingerprint(other):
		t.Error("two salts make the same fingerprint")
	case got != mustParse(t, string(secret(32)), Options{KID: "named", Algorithms: []Algorithm{HS256}}).Fingerprint(salt):
		t.Error("one secret has two fingerprints")
	case got != Fingerprint(salt, secret(32)):
		t.Error("a secret and its bytes have two fingerprints")
	}
	if got := hmac.Fingerprint(nil); got != "" {
		t.Errorf("without a salt a secret has %q", got)
	}
}

func TestExportIsReadAsTheSameKey(t *testing.T) {
	for _, a := range everyAlgorithm() {
		for _, kid := range []string{"", "2026 \"quoted\""} {
			_, held := pair(t, a)
			key := mustParse(t, held, Options{KID: kid, Algorithms: []Algorithm{a}})
			data, err := key.Export()
			if err != nil {
				t.Fatal(err)
			}
			again := mustParse(t, string(data), Options{Format: FormatJWK, Algorithms: []Algorithm{a}})
			if !again.Equal(*key) {
				t.Errorf("%s: kid %q became %q, or another key", a, key.KID(), again.KID())
			}
			if twice, err := again.Export(); err != nil || !bytes.Equal(twice, data) {
				t.Errorf("%s: exported twice it differs: %v", a, err)
			}
		}
	}
	if data, err := (Key{}).Export(); err == nil {
		t.Errorf("no key was exported as %d bytes", len(data))
	}
}

func TestIsSet(t *testing.T) {
	for name, tc := range map[string]struct {
		data   string
		format Format
		want   bool
	}{
		"a set":                      {` {"keys":[{"kty":"oct"}]}`, FormatAuto, true},
		"a set that is said to be":   {`{"keys":[1]}`, FormatJWKS, true},
		"an empty set":               {`{"keys":[]}`, FormatAuto, true},
		"keys that are no list":      {`{"keys":{}}`, FormatJWKS, false},
		"a key":                      {`{"kty":"oct"}`, FormatAuto, false},
		"a set where a key must be":  {`{"keys":[]}`, FormatJWK, false},
		"half a set":                 {`{"keys":[`, FormatJWKS, false},
		"keys twice":                 {`{"keys":[],"keys":[]}`, FormatJWKS, false},
		"nothing":                    {``, FormatJWKS, false},
		"octets":                     {`{"keys":[]}`, FormatOctets, false},
		"more than a value may have": {`{"keys":[]}` + strings.Repeat(" ", maxBytes), FormatJWKS, false},
	} {
		if got := IsSet([]byte(tc.data), tc.format); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

func TestPSSWithAnotherSaltLengthIsRefused(t *testing.T) {
	k := keysOf(t)
	key := mustParse(t, spki(t, k.rsa.Public()), algorithms(PS256))
	digest := sha256.Sum256([]byte("header.payload"))
	for _, length := range []int{0, 20, 31, 32, 33, 64} {
		signature, err := rsa.SignPSS(rand.Reader, k.rsa, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: max(length, rsa.PSSSaltLengthAuto)})
		if length == 0 {
			signature, err = emptySaltPSS(k.rsa, digest[:])
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Verify(PS256, "header.payload", signature); (err == nil) != (length == 32) {
			t.Errorf("a salt of %d bytes: %v", length, err)
		}
	}
}

// emptySaltPSS signs with an empty salt, which rsa.SignPSS has no word for: 0 is its word for the longest.
func emptySaltPSS(key *rsa.PrivateKey, digest []byte) ([]byte, error) {
	const size, hashSize = 256, sha256.Size
	h := sha256.Sum256(append(make([]byte, 8), digest...))
	db := make([]byte, size-hashSize-1)
	db[len(db)-1] = 1
	mask := make([]byte, 0, len(db)+hashSize)
	for counter := byte(0); len(mask) < len(db); counter++ {
		part := sha256.Sum256(append(bytes.Clone(h[:]), 0, 0, 0, counter))
		mask = append(mask, part[:]...)
	}
	for i := range db {
		db[i] ^= mask[i]
	}
	db[0] &= 0x7f
	em := append(append(db, h[:]...), 0xbc)
	m := newInt(em)
	return m.Exp(m, key.D, key.N).FillBytes(make([]byte, size)), nil
}

func TestZeroKeyVerifiesNothing(t *testing.T) {
	var key Key
	for _, a := range everyAlgorithm() {
		if key.Permits(a) || !errors.Is(key.Verify(a, "", nil), ErrAlgorithm) {
			t.Errorf("the zero key permits %s", a)
		}
	}
	if key.KID() != "" || key.Thumbprint() != "" || len(key.Algorithms()) != 0 {
		t.Error("the zero key has a name or algorithms")
	}
}

// TestThumbprint has the example of RFC 7638 section 3.1 and that of RFC 8037 appendix A.3.
func TestThumbprint(t *testing.T) {
	for want, tc := range map[string]struct {
		jwk string
		alg Algorithm
	}{
		"NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs": {alg: RS256, jwk: `{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbb` +
			`fAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v` +
			`-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0` +
			`fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`},
		"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k": {
			alg: EdDSA, jwk: `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`,
		},
	} {
		if got := mustParse(t, tc.jwk, algorithms(tc.alg)).Thumbprint(); got != want {
			t.Errorf("thumbprint %q, want %q", got, want)
		}
	}
	if got := mustParse(t, string(secret(32)), algorithms(HS256)).Thumbprint(); got != "" {
		t.Errorf("a secret's thumbprint is %q, want none", got)
	}
}

func TestEqual(t *testing.T) {
	k := keysOf(t)
	rsaKey, other := spki(t, k.rsa.Public()), spki(t, k.rsaOther.Public())
	base := mustParse(t, rsaKey, algorithms(RS256))
	one := mustParse(t, string(secret(32)), algorithms(HS256))
	for name, tc := range map[string]struct {
		a, b *Key
		want bool
	}{
		"the same key":               {base, mustParse(t, rsaKey, algorithms(RS256)), true},
		"another key":                {base, mustParse(t, other, Options{KID: base.KID(), Algorithms: []Algorithm{RS256}}), false},
		"another name":               {base, mustParse(t, rsaKey, Options{KID: "a", Algorithms: []Algorithm{RS256}}), false},
		"other algorithms":           {base, mustParse(t, rsaKey, algorithms(PS256)), false},
		"the same secret":            {one, mustParse(t, string(secret(32)), algorithms(HS256)), true},
		"another secret":             {one, mustParse(t, string(secret(33)), algorithms(HS256)), false},
		"no keys":                    {&Key{}, &Key{}, true},
		"a key and none":             {one, &Key{}, false},
		"a secret and an RSA key":    {one, base, false},
		"an RSA key with fewer algs": {base, mustParse(t, rsaKey, algorithms(RS256, RS384)), false},
	} {
		if got := tc.a.Equal(*tc.b); got != tc.want {
			t.Errorf("%s: equal %t, want %t", name, got, tc.want)
		}
		if got := tc.b.Equal(*tc.a); got != tc.want {
			t.Errorf("%s, the other way round: equal %t, want %t", name, got, tc.want)
		}
	}
}

func TestParseAlgorithm(t *testing.T) {
	for _, a := range everyAlgorithm() {
		if got, ok := ParseAlgorithm(string(a)); !ok || got != a {
			t.Errorf("ParseAlgorithm(%q) = %q, %t", a, got, ok)
		}
	}
	for _, name := range []string{"", "none", "None", "rs256", "RS256 ", "ES256K", "Ed448", "ed25519", "eddsa", "dir", "\uff32\uff33\uff12\uff15\uff16"} {
		if _, ok := ParseAlgorithm(name); ok {
			t.Errorf("ParseAlgorithm(%q) is supported", name)
		}
	}
}

// TestKeysTellNothing prints keys in every way that there is, alone and inside of other values.
func TestKeysTellNothing(t *testing.T) {
	marker := "do-not-print-this-secret-anywhere-at-all"
	key := mustParse(t, marker, Options{KID: "kid-of-the-key", Algorithms: []Algorithm{HS256}})
	type holder struct {
		Exported   *Key
		ByValue    Key
		unexported *Key
		byValue    Key
		List       []*Key
		Map        map[string]any
	}
	h := holder{key, *key, key, *key, []*Key{key}, map[string]any{"key": *key}}
	var said strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T"} {
		for _, value := range []any{key, *key, h, &h, []Key{*key}} {
			fmt.Fprintf(&said, verb+"\n", value)
		}
	}
	fmt.Fprintln(&said, key.String(), key.GoString(), key.LogValue())
	for _, value := range []any{key, *key, h, map[string]*Key{"k": key}} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		said.Write(text)
	}
	text, err := key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	said.Write(text)
	for _, handler := range []slog.Handler{
		slog.NewTextHandler(&said, nil), slog.NewJSONHandler(&said, nil),
	} {
		slog.New(handler).Info("key", "key", key, "value", *key, "holder", h, "list", []*Key{key})
	}
	for _, leak := range []string{
		marker, marker[:12], fmt.Sprintf("%x", marker[:12]), fmt.Sprintf("%X", marker[:12]), fmt.Sprint([]byte(marker[:6]))[1:20],
		b64([]byte(marker))[:12], "kid-of-the-key",
	} {
		if strings.Contains(said.String(), leak) {
			t.Errorf("a key tells %q", leak)
		}
	}
	if !strings.Contains(said.String(), redacted) {
		t.Error("nothing was printed")
	}
}
