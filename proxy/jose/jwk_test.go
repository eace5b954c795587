package jose

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
)

func TestParseJWK(t *testing.T) {
	k := keysOf(t)
	pub := k.p256.Public()
	point, err := k.p256.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := pem.Decode([]byte(certificate(t, k.p256)))
	other, _ := pem.Decode([]byte(certificate(t, k.p384)))
	x5c := func(der []byte) map[string]any {
		return map[string]any{"x5c": []string{base64.StdEncoding.EncodeToString(der)}}
	}
	thumb := func(a ...Algorithm) parsed { return parsed{Keys: []string{fmt.Sprintf("thumbprint %v", a)}} }
	unparsable := parsed{Problems: []string{"unparsable"}}
	unsupported := parsed{Problems: []string{"unsupported"}}
	mismatch := parsed{Problems: []string{"algorithm mismatch"}}
	weak := parsed{Problems: []string{"weak"}}
	with := func(more map[string]any) string { return jwkOf(t, pub, more) }
	runParse(t, map[string]parseCase{
		"an EC key":                  {data: with(nil), opts: algorithms(ES256), want: thumb(ES256)},
		"an RSA key":                 {data: jwkOf(t, k.rsa.Public(), nil), opts: algorithms(RS256, PS256), want: thumb(RS256, PS256)},
		"Ed25519":                    {data: jwkOf(t, k.ed.Public(), nil), opts: algorithms(EdDSA), want: thumb(EdDSA)},
		"Ed25519 under both names":   {data: jwkOf(t, k.ed.Public(), nil), opts: algorithms(EdDSA, Ed25519), want: thumb(EdDSA, Ed25519)},
		"Ed25519 that says its name": {data: jwkOf(t, k.ed.Public(), map[string]any{"alg": "Ed25519"}), opts: algorithms(EdDSA, Ed25519), want: thumb(Ed25519)},
		"Ed25519 that says EdDSA":    {data: jwkOf(t, k.ed.Public(), map[string]any{"alg": "EdDSA"}), opts: algorithms(EdDSA, Ed25519), want: thumb(EdDSA)},
		"a secret":                   {data: jwkOf(t, secret(64), nil), opts: algorithms(HS256, HS512), want: parsed{Keys: []string{" [HS256 HS512]"}}},
		"its alg narrows the credential's": {
			data: jwkOf(t, k.rsa.Public(), map[string]any{"alg": "PS256"}), opts: algorithms(RS256, PS256), want: thumb(PS256),
		},
		"its kid names it":             {data: with(map[string]any{"kid": "a"}), opts: algorithms(ES256), want: parsed{Keys: []string{"a [ES256]"}}},
		"the option's kid comes first": {data: with(map[string]any{"kid": "a"}), opts: Options{KID: "b", Algorithms: []Algorithm{ES256}}, want: parsed{Keys: []string{"b [ES256]"}}},
		"an empty kid is none":         {data: with(map[string]any{"kid": ""}), opts: algorithms(ES256), want: thumb(ES256)},
		"use and key_ops for verifying": {
			data: with(map[string]any{"use": "sig", "key_ops": []string{"verify"}}), opts: algorithms(ES256), want: thumb(ES256),
		},
		"format JWK":              {data: with(nil), opts: Options{Format: FormatJWK, Algorithms: []Algorithm{ES256}}, want: thumb(ES256)},
		"its own certificate":     {data: with(x5c(leaf.Bytes)), opts: algorithms(ES256), want: thumb(ES256)},
		"unknown members":         {data: with(map[string]any{"x-note": 1}), opts: algorithms(ES256), want: thumb(ES256)},
		"white space and a mark":  {data: "\xef\xbb\xbf \n" + with(nil) + "\n", opts: algorithms(ES256), want: thumb(ES256)},
		"another's certificate":   {data: with(x5c(other.Bytes)), opts: algorithms(ES256), want: unparsable},
		"use enc":                 {data: with(map[string]any{"use": "enc"}), opts: algorithms(ES256), want: unsupported, says: "use"},
		"an empty use":            {data: with(map[string]any{"use": ""}), opts: algorithms(ES256), want: unsupported, says: "use"},
		"key_ops without verify":  {data: with(map[string]any{"key_ops": []string{"sign"}}), opts: algorithms(ES256), want: unsupported, says: "key_ops"},
		"key_ops as a string":     {data: with(map[string]any{"key_ops": "verify"}), opts: algorithms(ES256), want: unparsable},
		"alg none":                {data: with(map[string]any{"alg": "none"}), opts: algorithms(ES256), want: unsupported, says: "none"},
		"an empty alg":            {data: with(map[string]any{"alg": ""}), opts: algorithms(ES256), want: unsupported},
		"alg of another":          {data: with(map[string]any{"alg": "ES384"}), opts: algorithms(ES256), want: mismatch, says: "ES384"},
		"alg of another, allowed": {data: with(map[string]any{"alg": "ES384"}), opts: algorithms(ES256, ES384), want: mismatch},
		"an EC key for RS256":     {data: with(nil), opts: algorithms(RS256), want: mismatch},
		"a secret for RS256":      {data: jwkOf(t, secret(32), nil), opts: algorithms(RS256), want: mismatch},
		"a public key for HS256":  {data: with(nil), opts: algorithms(HS256), want: mismatch},
		"a short secret":          {data: jwkOf(t, secret(16), nil), opts: algorithms(HS256), want: weak},
		"no secret":               {data: jwkOf(t, []byte{}, nil), opts: algorithms(HS256), want: weak},

		"no kty":                           {data: with(map[string]any{"kty": nil}), opts: Options{Format: FormatJWK, Algorithms: []Algorithm{ES256}}, want: unparsable},
		"Q18 an unknown kty":               {data: with(map[string]any{"kty": "AKP"}), opts: algorithms(ES256), want: unsupported, says: "AKP"},
		"kty of another case":              {data: with(map[string]any{"kty": "ec"}), opts: algorithms(ES256), want: unsupported},
		"a number as kty":                  {data: with(map[string]any{"kty": 7}), opts: algorithms(ES256), want: unparsable},
		"a number as kid":                  {data: with(map[string]any{"kid": 7}), opts: algorithms(ES256), want: unparsable, says: "kid"},
		"a number as use":                  {data: with(map[string]any{"use": 7}), opts: algorithms(ES256), want: unparsable},
		"a number as alg":                  {data: with(map[string]any{"alg": 7}), opts: algorithms(ES256), want: unparsable},
		"a number as crv":                  {data: with(map[string]any{"crv": 7}), opts: algorithms(ES256), want: unparsable},
		"a number as x":                    {data: with(map[string]any{"x": 7}), opts: algorithms(ES256), want: unparsable},
		"a long kid":                       {data: with(map[string]any{"kid": strings.Repeat("k", 513)}), opts: algorithms(ES256), want: unsupported},
		"Q19 an unknown curve":             {data: with(map[string]any{"crv": "secp256k1"}), opts: algorithms(ES256), want: unsupported, says: "secp256k1"},
		"Ed448":                            {data: jwkOf(t, k.ed.Public(), map[string]any{"crv": "Ed448"}), opts: algorithms(EdDSA), want: unsupported},
		"a private EC key":                 {data: with(map[string]any{"d": "AQ"}), opts: algorithms(ES256), want: unsupported, says: "publish only its public members"},
		"Q16 the public half of an EC key": {data: with(map[string]any{"d": "AQ", "kid": nil}), opts: halved(ES256), want: halfOf(ES256)},
		"Q16 the public half of an RSA key": {
			data: jwkOf(t, k.rsa.Public(), map[string]any{"d": "AQ", "p": "AQ", "oth": []any{}}), opts: halved(RS256), want: halfOf(RS256),
		},
		"one prime of an RSA key": {data: jwkOf(t, k.rsa.Public(), map[string]any{"p": "AQ"}), opts: algorithms(RS256), want: unsupported, says: "private"},
		"a missing coordinate":    {data: with(map[string]any{"y": nil}), opts: algorithms(ES256), want: unparsable},
		"Q19 coordinates swapped": {data: jwkOf(t, pub, map[string]any{"x": b64(point[33:]), "y": b64(point[1:33])}), opts: algorithms(ES256), want: unparsable},
		"Q19 coordinates of zero": {data: with(map[string]any{"x": b64(make([]byte, 32)), "y": b64(make([]byte, 32))}), opts: algorithms(ES256), want: unparsable},
		"Q19 a short coordinate":  {data: with(map[string]any{"x": b64(make([]byte, 31))}), opts: algorithms(ES256), want: unparsable},
		"padding":                 {data: with(map[string]any{"x": "AQ=="}), opts: algorithms(ES256), want: unparsable, says: "base64url"},
		"Q19 31 bytes of Ed25519": {data: jwkOf(t, ed25519.PublicKey(make([]byte, 31)), nil), opts: algorithms(EdDSA), want: unparsable},
		"an exponent of 2^64+1":   {data: jwkOf(t, k.rsa.Public(), map[string]any{"e": b64([]byte{1, 0, 0, 0, 0, 0, 0, 0, 1})}), opts: algorithms(RS256), want: unparsable},
		"a short modulus":         {data: jwkOf(t, k.rsaShort, nil), opts: algorithms(RS256), want: weak},
		"a member twice":          {data: `{"kty":"EC",` + with(nil)[1:], opts: algorithms(ES256), want: unparsable},
		"a member in two cases":   {data: `{"KTY":"EC",` + with(nil)[1:], opts: algorithms(ES256), want: unparsable},
		"text behind":             {data: with(nil) + "x", opts: algorithms(ES256), want: unparsable},
		"not an object":           {data: `"EC"`, opts: Options{Format: FormatJWK, Algorithms: []Algorithm{ES256}}, want: unparsable},
	})
}

func TestParseJWKS(t *testing.T) {
	k := keysOf(t)
	ec := jwkOf(t, k.p256.Public(), map[string]any{"kid": "ec"})
	rsaKey := jwkOf(t, k.rsa.Public(), map[string]any{"kid": "rsa"})
	many := make([]string, maxKeysInSet+1)
	for i := range many {
		many[i] = ec
	}
	both := algorithms(ES256, RS256)
	ecAlone := func(notes int, problems ...string) parsed {
		return parsed{Keys: []string{"ec [ES256]"}, Problems: problems, Notes: notes}
	}
	unparsable := parsed{Problems: []string{"unparsable"}}
	unsupported := parsed{Problems: []string{"unsupported"}}
	runParse(t, map[string]parseCase{
		"two keys":                      {data: set(ec, rsaKey), opts: both, want: parsed{Keys: []string{"ec [ES256]", "rsa [RS256]"}}},
		"format JWKS":                   {data: set(ec), opts: Options{Format: FormatJWKS, Algorithms: []Algorithm{ES256}}, want: ecAlone(0)},
		"Q18 no kid":                    {data: set(jwkOf(t, k.p256.Public(), nil)), opts: both, want: parsed{Keys: []string{"thumbprint [ES256]"}}},
		"kid as an option":              {data: set(ec), opts: Options{KID: "mine", Algorithms: []Algorithm{ES256}}, want: ecAlone(1)},
		"Q18 a key for encryption":      {data: set(ec, jwkOf(t, k.rsa.Public(), map[string]any{"use": "enc", "alg": "RSA-OAEP"})), opts: both, want: ecAlone(1)},
		"Q18 an unknown kty":            {data: set(`{"kty":"AKP","pub":"AQ"}`, ec), opts: both, want: ecAlone(1)},
		"a key for other algorithms":    {data: set(ec, rsaKey), opts: algorithms(ES256), want: ecAlone(1)},
		"Q18 a secret beside":           {data: set(ec, jwkOf(t, secret(32), nil)), opts: both, want: ecAlone(1)},
		"a private key beside":          {data: set(ec, jwkOf(t, k.p256.Public(), map[string]any{"d": "AQ"})), opts: both, want: ecAlone(0, "unsupported")},
		"a weak key beside":             {data: set(ec, jwkOf(t, k.rsaShort, nil)), opts: both, want: ecAlone(0, "weak")},
		"a key that is no key beside":   {data: set("7", ec), opts: both, want: ecAlone(0, "unparsable")},
		"keys for nothing we do":        {data: set(rsaKey, `{"kty":"AKP"}`), opts: algorithms(ES256), want: parsed{Problems: []string{"algorithm mismatch", "unsupported"}}},
		"Q18 two keys of one kid":       {data: set(ec, jwkOf(t, k.rsa.Public(), map[string]any{"kid": "ec"})), opts: both, want: parsed{Problems: []string{"unparsable", "unparsable"}}, says: `kid "ec"`},
		"a kid twice, one of another":   {data: set(ec, jwkOf(t, k.rsa.Public(), map[string]any{"kid": "ec", "use": "enc"})), opts: both, want: ecAlone(1)},
		"a kid twice, one broken":       {data: set(ec, jwkOf(t, k.rsaShort, map[string]any{"kid": "ec"})), opts: both, want: parsed{Problems: []string{"weak", "unparsable"}}},
		"a secret beside a public key":  {data: set(ec, jwkOf(t, secret(32), nil)), opts: algorithms(HS256), want: parsed{Problems: []string{"unsupported", "algorithm mismatch"}}, says: "known to all"},
		"two secrets without a name":    {data: set(jwkOf(t, secret(32), nil), jwkOf(t, secret(33), nil)), opts: algorithms(HS256), want: parsed{Keys: []string{" [HS256]", " [HS256]"}}},
		"Q18 no keys":                   {data: set(), opts: both, want: unsupported, says: "no key"},
		"Q18 more keys than taken":      {data: set(many...), opts: both, want: unsupported, says: "101 keys"},
		"keys is no array":              {data: `{"keys":{}}`, opts: both, want: unparsable},
		"no member keys":                {data: `{}`, opts: Options{Format: FormatJWKS, Algorithms: []Algorithm{ES256}}, want: unparsable},
		"not JSON":                      {data: `keys`, opts: Options{Format: FormatJWKS, Algorithms: []Algorithm{ES256}}, want: unparsable},
		"keys twice":                    {data: `{"keys":[],"keys":[` + ec + `]}`, opts: both, want: unparsable},
		"a JWK where a set is expected": {data: ec, opts: Options{Format: FormatJWKS, Algorithms: []Algorithm{ES256}}, want: unparsable},
	})
}

// TestSmallOrderPoints holds that points anyone can sign for are refused, whatever their sign bit says.
func TestSmallOrderPoints(t *testing.T) {
	for name, encoded := range map[string]string{
		"the identity":          "0100000000000000000000000000000000000000000000000000000000000000",
		"order 2":               "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"order 4":               "0000000000000000000000000000000000000000000000000000000000000000",
		"order 8":               "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"order 8, the other":    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"not canonical (p)":     "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"not canonical (p + 1)": "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"off the curve":         "0200000000000000000000000000000000000000000000000000000000000000",
	} {
		t.Run(name, func(t *testing.T) {
			point, err := hex.DecodeString(encoded)
			if err != nil {
				t.Fatal(err)
			}
			for _, sign := range []byte{0, 0x80} {
				signed := bytes.Clone(point)
				signed[31] |= sign
				der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(signed))
				if err != nil {
					t.Fatal(err)
				}
				keys, problems, _ := Parse([]byte(block("PUBLIC KEY", der)), algorithms(EdDSA))
				want := Weak
				if strings.HasPrefix(name, "not canonical") || name == "off the curve" {
					want = Unparsable
				}
				// The message is ours: go-jose refuses these points as well, for now.
				if len(keys) != 0 || len(problems) != 1 || problems[0].Kind != want || !strings.Contains(problems[0].Message, "the Ed25519 key is") {
					t.Errorf("%d keys, problems %v, want one of kind %v", len(keys), problems, want)
				}
			}
		})
	}
	for range 64 {
		public, _, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if p := examineEd25519(public); p != nil {
			t.Fatalf("a fresh key is refused: %v", p)
		}
	}
}
