package jose

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// material is made once for all tests: RSA keys take a while.
type testKeys struct {
	rsa, rsaOther *rsa.PrivateKey
	rsaShort      *rsa.PublicKey
	p256, p384    *ecdsa.PrivateKey
	p521, p224    *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}

func keysOf(t testing.TB) testKeys {
	t.Helper()
	k, err := makeKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var makeKeys = sync.OnceValues(func() (k testKeys, err error) {
	for _, to := range []**rsa.PrivateKey{&k.rsa, &k.rsaOther} {
		if *to, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return k, err
		}
	}
	short, ok := new(big.Int).SetString(strings.Repeat("c3", 128), 16)
	if !ok {
		return k, fmt.Errorf("make a short modulus")
	}
	k.rsaShort = &rsa.PublicKey{N: short, E: 65537}
	for to, curve := range map[**ecdsa.PrivateKey]elliptic.Curve{
		&k.p256: elliptic.P256(), &k.p384: elliptic.P384(), &k.p521: elliptic.P521(), &k.p224: elliptic.P224(),
	} {
		if *to, err = ecdsa.GenerateKey(curve, rand.Reader); err != nil {
			return k, err
		}
	}
	_, k.ed, err = ed25519.GenerateKey(rand.Reader)
	return k, err
})

func spki(t testing.TB, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return block("PUBLIC KEY", der)
}

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func certificate(t testing.TB, signer *ecdsa.PrivateKey) string {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "acme"},
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Unix(1, 0), // long ago: a certificate is a way to write a key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", der)
}

func b64(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

// jwkOf writes a JWK with further members over those of the key.
func jwkOf(t testing.TB, public any, more map[string]any) string {
	t.Helper()
	members := map[string]any{}
	switch k := public.(type) {
	case *rsa.PublicKey:
		members = map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		members = map[string]any{"kty": "EC", "crv": k.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		members = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	case []byte:
		members = map[string]any{"kty": "oct", "k": b64(k)}
	}
	for name, value := range more {
		if value == nil {
			delete(members, name)
		} else {
			members[name] = value
		}
	}
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

// secret is n bytes that look random.
func secret(n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = byte(i*i*7 + i*31 + 5)
	}
	return s
}

type parsed struct {
	Keys     []string // kid and algorithms
	Problems []string // kind, and a part of the message
	Notes    int
}

func parse(data string, opts Options) (parsed, []*Key, []Problem) {
	keys, problems, notes := Parse([]byte(data), opts)
	got := parsed{Notes: len(notes)}
	for _, k := range keys {
		kid := k.KID()
		if kid != "" && kid == k.Thumbprint() {
			kid = "thumbprint"
		}
		got.Keys = append(got.Keys, fmt.Sprintf("%s %v", kid, k.Algorithms()))
	}
	for _, p := range problems {
		got.Problems = append(got.Problems, p.Kind.String())
	}
	return got, keys, problems
}

type parseCase struct {
	data string
	opts Options
	want parsed
	// says is a part of the first problem's message.
	says string
}

func runParse(t *testing.T, tests map[string]parseCase) {
	t.Helper()
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, problems := parse(tc.data, tc.opts)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("Parse (-want +got):\n%s%v", diff, problems)
			}
			if len(got.Keys)+len(got.Problems) == 0 {
				t.Error("neither a key nor a problem")
			}
			if tc.says != "" && (len(problems) == 0 || !strings.Contains(problems[0].Message, tc.says)) {
				t.Errorf("problems %q don't say %q", problems, tc.says)
			}
		})
	}
}

func algorithms(a ...Algorithm) Options { return Options{Algorithms: a} }

// halved takes the public half of private keys.
func halved(a ...Algorithm) Options { return Options{Algorithms: a, Private: PrivateHalved} }

// halfOf is one key with the note that its private half is there.
func halfOf(a ...Algorithm) parsed {
	return parsed{Keys: []string{fmt.Sprintf("thumbprint %v", a)}, Notes: 1}
}

func sec1(t *testing.T, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return block("EC PRIVATE KEY", der)
}

// x25519 is a private key for agreeing on keys, not for signing.
func x25519(t *testing.T) []byte {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestParsePEM(t *testing.T) {
	k := keysOf(t)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k.p256)
	if err != nil {
		t.Fatal(err)
	}
	p256, rsaKey := spki(t, k.p256.Public()), spki(t, k.rsa.Public())
	ed := spki(t, k.ed.Public())
	thumb := func(a ...Algorithm) parsed { return parsed{Keys: []string{fmt.Sprintf("thumbprint %v", a)}} }
	unparsable := parsed{Problems: []string{"unparsable"}}
	unsupported := parsed{Problems: []string{"unsupported"}}
	mismatch := parsed{Problems: []string{"algorithm mismatch"}}
	runParse(t, map[string]parseCase{
		"an RSA key for all its algorithms": {data: rsaKey, opts: algorithms(RS256, PS512), want: thumb(RS256, PS512)},
		"an RSA key in PKCS#1": {
			data: block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)), opts: algorithms(RS384), want: thumb(RS384),
		},
		"a P-256 key":      {data: p256, opts: algorithms(ES256), want: thumb(ES256)},
		"a P-384 key":      {data: spki(t, k.p384.Public()), opts: algorithms(ES384), want: thumb(ES384)},
		"a P-521 key":      {data: spki(t, k.p521.Public()), opts: algorithms(ES512), want: thumb(ES512)},
		"Ed25519":          {data: ed, opts: algorithms(EdDSA), want: thumb(EdDSA)},
		"with a kid":       {data: p256, opts: Options{KID: "2027-01", Algorithms: []Algorithm{ES256}}, want: parsed{Keys: []string{"2027-01 [ES256]"}}},
		"format PEM":       {data: p256, opts: Options{Format: FormatPEM, Algorithms: []Algorithm{ES256}}, want: thumb(ES256)},
		"Q14 CRLF":         {data: strings.ReplaceAll(p256, "\n", "\r\n"), opts: algorithms(ES256), want: thumb(ES256)},
		"Q14 leading text": {data: "Certificate:\n  Data: 1\n" + p256, opts: algorithms(ES256), want: thumb(ES256)},
		"Q14 a byte order mark": {
			data: "\xef\xbb\xbf" + p256, opts: algorithms(ES256), want: thumb(ES256),
		},
		"Q14 EC parameters first": {
			data: block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}) + p256, opts: algorithms(ES256), want: thumb(ES256),
		},
		"an algorithm named twice": {data: p256, opts: algorithms(ES256, ES256), want: thumb(ES256)},
		"algorithms of several types bind those that fit": {
			data: p256, opts: algorithms(RS256, ES256, EdDSA), want: thumb(ES256),
		},
		"a certificate, expired": {data: certificate(t, k.p256), opts: algorithms(ES256), want: thumb(ES256)},
		"Q14 a certificate with its chain": {
			data: certificate(t, k.p256) + certificate(t, k.p384), opts: algorithms(ES256),
			want: parsed{Keys: []string{"thumbprint [ES256]"}, Notes: 1},
		},

		"a private key": {data: block("PRIVATE KEY", pkcs8), opts: algorithms(ES256), want: unsupported, says: "public key alone"},
		"an RSA private key": {
			data: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.rsa)), opts: algorithms(RS256), want: unsupported, says: "private key",
		},
		"a private key behind its certificate": {
			data: certificate(t, k.p256) + block("PRIVATE KEY", pkcs8), opts: algorithms(ES256), want: unsupported, says: "private key",
		},
		"Q16 the public half of a PKCS#8 key": {data: block("PRIVATE KEY", pkcs8), opts: halved(ES256), want: halfOf(ES256)},
		"Q16 the public half of a PKCS#1 key": {
			data: block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(k.rsa)), opts: halved(RS256), want: halfOf(RS256),
		},
		"Q16 the public half of a SEC 1 key": {data: sec1(t, k.p256), opts: halved(ES256), want: halfOf(ES256)},
		"a private key is no secret of HS256": {
			data: block("PRIVATE KEY", pkcs8), opts: halved(HS256), want: mismatch,
		},
		"a broken private key": {data: block("PRIVATE KEY", []byte("x")), opts: halved(ES256), want: unparsable},
		"a private key that can't sign": {
			data: block("PRIVATE KEY", x25519(t)), opts: halved(EdDSA), want: unparsable, says: "can't sign",
		},
		"a private key of another type":                  {data: block("DSA PRIVATE KEY", []byte("x")), opts: halved(ES256), want: unsupported},
		"a private key behind its certificate, to halve": {data: certificate(t, k.p256) + block("PRIVATE KEY", pkcs8), opts: halved(ES256), want: unsupported},
		"an encrypted private key, to halve": {
			data: block("ENCRYPTED PRIVATE KEY", []byte("x")), opts: halved(ES256), want: unsupported, says: "holds a private key",
		},
		"an encrypted private key": {
			data: block("ENCRYPTED PRIVATE KEY", []byte("x")), opts: algorithms(ES256), want: unsupported, says: "private key",
		},
		"a block with headers": {
			data: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Headers: map[string]string{"a": "b"}, Bytes: []byte("x")})),
			opts: algorithms(ES256), want: unsupported, says: "headers",
		},
		"Q14 two public keys":                   {data: p256 + ed, opts: algorithms(ES256), want: unsupported, says: "more than one key"},
		"a public key behind a certificate":     {data: certificate(t, k.p256) + p256, opts: algorithms(ES256), want: unsupported, says: "more than one key"},
		"Q14 trailing text":                     {data: p256 + "junk", opts: algorithms(ES256), want: unparsable, says: "text follows"},
		"a key cut in half":                     {data: p256[:len(p256)/2], opts: algorithms(ES256), want: unparsable},
		"a key cut in half in front of another": {data: p256[:len(p256)/2] + "\n" + ed, opts: algorithms(EdDSA), want: unparsable, says: "not whole"},
		"garbage inside of a boundary":          {data: block("PUBLIC KEY", []byte("garbage")), opts: algorithms(ES256), want: unparsable},
		"garbage as PKCS#1":                     {data: block("RSA PUBLIC KEY", []byte("garbage")), opts: algorithms(RS256), want: unparsable},
		"garbage as certificate":                {data: block("CERTIFICATE", []byte("garbage")), opts: algorithms(RS256), want: unparsable},
		"a block of another type":               {data: block("CERTIFICATE REQUEST", []byte("x")), opts: algorithms(RS256), want: unsupported, says: "CERTIFICATE REQUEST"},
		"Q15 many blocks": {
			data: strings.Repeat(block("EC PARAMETERS", []byte("x")), maxPEMBlocks+1), opts: algorithms(ES256), want: unsupported, says: "PEM blocks",
		},
		"Q19 P-224":                {data: spki(t, k.p224.Public()), opts: algorithms(ES256), want: unsupported, says: "P-256"},
		"a key of another curve":   {data: p256, opts: algorithms(ES384), want: mismatch, says: "P-256 key"},
		"RSA for ES256":            {data: rsaKey, opts: algorithms(ES256), want: mismatch},
		"a public key for HS256":   {data: rsaKey, opts: algorithms(HS256), want: mismatch, says: "RSA key"},
		"a broken PEM for HS256":   {data: "-----BEGIN PUBLIC KEY-----\n" + strings.Repeat("A", 64), opts: algorithms(HS256), want: unparsable},
		"a short RSA key":          {data: spki(t, k.rsaShort), opts: algorithms(RS256), want: parsed{Problems: []string{"weak"}}, says: "1024 bits"},
		"an RSA key with e = 1":    {data: spki(t, &rsa.PublicKey{N: k.rsa.N, E: 1}), opts: algorithms(RS256), want: parsed{Problems: []string{"weak"}}, says: "exponent"},
		"an RSA key with even e":   {data: spki(t, &rsa.PublicKey{N: k.rsa.N, E: 65536}), opts: algorithms(RS256), want: parsed{Problems: []string{"weak"}}, says: "exponent"},
		"an RSA key with a huge e": {data: spki(t, &rsa.PublicKey{N: k.rsa.N, E: 1<<31 + 1}), opts: algorithms(RS256), want: parsed{Problems: []string{"weak"}}, says: "exponent"},
		"an even modulus": {
			data: spki(t, &rsa.PublicKey{N: new(big.Int).Lsh(k.rsa.N, 1), E: 65537}), opts: algorithms(RS256), want: unparsable, says: "even",
		},
		"an RSA key of 16384 bits": {
			data: spki(t, &rsa.PublicKey{N: new(big.Int).SetBit(new(big.Int).Lsh(k.rsa.N, 14336), 0, 1), E: 65537}), opts: algorithms(RS256), want: unsupported, says: "16384 bits",
		},
	})
}

func TestParseRefusesWhatNoFormatTakes(t *testing.T) {
	p256 := spki(t, keysOf(t).p256.Public())
	runParse(t, map[string]parseCase{
		"no algorithm":         {data: p256, want: parsed{Problems: []string{"algorithm mismatch"}}},
		"an unknown algorithm": {data: p256, opts: algorithms("none"), want: parsed{Problems: []string{"algorithm mismatch"}}, says: "none"},
		"HS256 with ES256":     {data: p256, opts: algorithms(ES256, HS256), want: parsed{Problems: []string{"algorithm mismatch"}}, says: "mixed"},
		"nothing":              {data: "", opts: algorithms(ES256), want: parsed{Problems: []string{"unparsable"}}, says: "empty"},
		"nothing as octets": {
			data: "", opts: Options{Format: FormatOctets, Algorithms: []Algorithm{HS256}}, want: parsed{Problems: []string{"unparsable"}}, says: "empty",
		},
		"Q15 too much": {data: strings.Repeat("-----BEGIN X-----\n", maxBytes/18+1), opts: algorithms(ES256), want: parsed{Problems: []string{"unsupported"}}},
		"a long kid":   {data: p256, opts: Options{KID: strings.Repeat("k", maxKIDLength+1), Algorithms: []Algorithm{ES256}}, want: parsed{Problems: []string{"unsupported"}}},
		"an unknown format": {
			data: p256, opts: Options{Format: 99, Algorithms: []Algorithm{ES256}}, want: parsed{Problems: []string{"unsupported"}},
		},
		"a password as a public key": {data: "hunter2", opts: algorithms(RS256), want: parsed{Problems: []string{"unparsable"}}, says: "openssl pkey -pubout"},
	})
}

func TestParseOctets(t *testing.T) {
	k := keysOf(t)
	der, err := x509.MarshalPKIXPublicKey(k.rsa.Public())
	if err != nil {
		t.Fatal(err)
	}
	cert, _ := pem.Decode([]byte(certificate(t, k.p256)))
	octets := func(a ...Algorithm) Options { return Options{Format: FormatOctets, Algorithms: a} }
	weak := parsed{Problems: []string{"weak"}}
	unparsable := parsed{Problems: []string{"unparsable"}}
	runParse(t, map[string]parseCase{
		"32 bytes for HS256":                {data: string(secret(32)), opts: algorithms(HS256), want: parsed{Keys: []string{" [HS256]"}}},
		"48 bytes for HS384":                {data: string(secret(48)), opts: algorithms(HS384), want: parsed{Keys: []string{" [HS384]"}}},
		"64 bytes for all":                  {data: string(secret(64)), opts: algorithms(HS256, HS384, HS512), want: parsed{Keys: []string{" [HS256 HS384 HS512]"}}},
		"with a kid":                        {data: string(secret(32)), opts: Options{KID: "k1", Algorithms: []Algorithm{HS256}}, want: parsed{Keys: []string{"k1 [HS256]"}}},
		"48 bytes bind what they can":       {data: string(secret(48)), opts: algorithms(HS512, HS256, HS384), want: parsed{Keys: []string{" [HS256 HS384]"}, Notes: 1}},
		"Q12 a trailing line feed is noted": {data: string(secret(32)) + "\n", opts: algorithms(HS256), want: parsed{Keys: []string{" [HS256]"}, Notes: 1}},
		"PEM text, said to be octets":       {data: spki(t, k.p256.Public()), opts: octets(HS256), want: parsed{Keys: []string{" [HS256]"}, Notes: 1}},
		"a text that starts with a dash":    {data: "-" + string(secret(40)), opts: algorithms(HS256), want: parsed{Keys: []string{" [HS256]"}}},

		"Q13 31 bytes for HS256":           {data: string(secret(31)), opts: algorithms(HS256), want: weak, says: "HS256 needs at least 32"},
		"Q13 47 bytes for HS384":           {data: string(secret(47)), opts: algorithms(HS384), want: weak, says: "HS384 needs at least 48"},
		"Q13 63 bytes for HS512":           {data: string(secret(63)), opts: algorithms(HS512), want: weak, says: "HS512 needs at least 64"},
		"31 bytes for all":                 {data: string(secret(31)), opts: algorithms(HS512, HS256), want: weak, says: "HS256 needs at least 32"},
		"Q13 zeros":                        {data: strings.Repeat("\x00", 64), opts: algorithms(HS256), want: weak, says: "repeats"},
		"Q13 a short password":             {data: "secret", opts: algorithms(HS256), want: weak},
		"Q13 a password with zeros behind": {data: "changeme" + strings.Repeat("\x00", 56), opts: algorithms(HS256), want: weak, says: "repeats"},
		"a password with dots before":      {data: strings.Repeat(".", 56) + "changeme", opts: algorithms(HS256), want: weak},
		"a password many times":            {data: strings.Repeat("changeme", 8), opts: algorithms(HS256), want: weak},
		"a secret of 5 KiB":                {data: string(secret(5 << 10)), opts: octets(HS256), want: parsed{Problems: []string{"unsupported"}}},
		"octets for RS256":                 {data: string(secret(32)), opts: octets(RS256), want: parsed{Problems: []string{"algorithm mismatch"}}},

		"a DER public key":              {data: string(der), opts: algorithms(HS256), want: unparsable, says: "Octets"},
		"a DER PKCS#1 key":              {data: string(x509.MarshalPKCS1PublicKey(&k.rsa.PublicKey)), opts: algorithms(HS256), want: unparsable},
		"a DER certificate":             {data: string(cert.Bytes), opts: algorithms(HS256), want: unparsable},
		"a DER public key in base64":    {data: base64.StdEncoding.EncodeToString(der) + "\n", opts: algorithms(HS256), want: unparsable, says: "Octets"},
		"the same in lines":             {data: strings.Join(strings.Split(spki(t, k.rsa.Public()), "\n")[1:8], "\n"), opts: algorithms(HS256), want: unparsable},
		"a DER certificate, base64url":  {data: b64(cert.Bytes), opts: algorithms(HS256), want: unparsable},
		"PEM that lost a dash":          {data: spki(t, k.rsa.Public())[1:], opts: algorithms(HS256), want: unparsable},
		"PEM that lost its first line":  {data: strings.SplitN(spki(t, k.rsa.Public()), "\n", 2)[1], opts: algorithms(HS256), want: unparsable},
		"a JWK in quotation marks":      {data: `"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}"`, opts: algorithms(HS256), want: unparsable},
		"a JWK in YAML":                 {data: "kty: OKP\ncrv: Ed25519\nx: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\n", opts: algorithms(HS256), want: unparsable},
		"a secret in base64":            {data: base64.StdEncoding.EncodeToString(secret(48)), opts: algorithms(HS256), want: parsed{Keys: []string{" [HS256]"}}},
		"an SSH public key":             {data: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB acme@example.com", opts: algorithms(HS256), want: unparsable},
		"an HTML page":                  {data: "\n<!DOCTYPE html><title>Sign in</title><p>Welcome to the machine</p>", opts: algorithms(HS256), want: unparsable},
		"a JSON array":                  {data: `["a secret in an array, which is longer than 32 bytes"]`, opts: algorithms(HS256), want: unparsable},
		"a JSON object that is no key":  {data: `{"secret":"a secret in an object, which is longer than 32 bytes"}`, opts: algorithms(HS256), want: unparsable},
		"a JSON object that is not one": {data: `{"kty":"oct","k":`, opts: algorithms(HS256), want: unparsable},
	})
}

func TestParseKeepsNoMemory(t *testing.T) {
	data := secret(32)
	keys, _, _ := Parse(data, algorithms(HS256))
	again, _, _ := Parse(secret(32), algorithms(HS256))
	for i := range data {
		data[i] = 0
	}
	if len(keys) != 1 || len(again) != 1 || !keys[0].Equal(*again[0]) {
		t.Error("the key changed with the bytes it was made from")
	}
}

func TestMessagesTellNothingOfTheMaterial(t *testing.T) {
	const password = "correct horse battery"
	for _, format := range []Format{FormatAuto, FormatJWKS, FormatJWK, FormatPEM, FormatOctets} {
		for _, a := range []Algorithm{HS512, RS256} {
			_, problems, notes := Parse([]byte(password), Options{Format: format, Algorithms: []Algorithm{a}})
			if said := fmt.Sprint(problems, notes); len(problems) == 0 || strings.Contains(said, "horse") {
				t.Errorf("format %d, %s: %s", format, a, said)
			}
		}
	}
}
