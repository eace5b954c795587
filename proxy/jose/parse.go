package jose

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Format is the way that key material is written.
type Format uint8

const (
	// FormatAuto finds out: PEM where there is a PEM boundary, JWKS or JWK where there is a JSON object, else octets
	// where the algorithms are HMAC's. What looks like one of the first three and is not valid is no key: a public key
	// with a typing error never becomes a secret that everyone knows.
	FormatAuto Format = iota
	// FormatJWKS is a JWK Set (RFC 7517 section 5) of at most 100 keys.
	FormatJWKS
	// FormatJWK is a JWK (RFC 7517 section 4).
	FormatJWK
	// FormatPEM is one public key (SPKI or PKCS#1) or X.509 certificate, which may be followed by its chain.
	FormatPEM
	// FormatOctets is an HMAC secret, taken byte for byte.
	FormatOctets
)

// Options say what key material is for.
type Options struct {
	// Format defaults to FormatAuto.
	Format Format
	// KID names the key. Empty: the JWK's kid, else the thumbprint. It does not apply to a JWKS, whose keys have their own.
	KID string
	// Algorithms of the credential. Required; HMAC's are never mixed with others.
	Algorithms []Algorithm
	// Private says what becomes of private keys. The zero value refuses them.
	Private Private
}

// Private says what becomes of a private key where a public one is enough.
type Private uint8

const (
	// PrivateRefused yields no key: what is published with its private half is known to all.
	PrivateRefused Private = iota
	// PrivateHalved uses the public half with a note, and keeps nothing of the rest: for Secrets.
	PrivateHalved
)

// Problem says why key material yields no key.
type Problem struct {
	Kind Kind
	// Message is for the owner of the key, says what to write instead and quotes none of the material but a kid.
	Message string
}

// Kind is a kind of Problem.
type Kind uint8

const (
	// Unparsable material is not what its format says.
	Unparsable Kind = iota
	// Unsupported material is valid, but of a kind that is not taken: private keys, unknown key types and curves.
	Unsupported
	// Weak material could be found out or forged: a short RSA key, a short or guessable secret.
	Weak
	// AlgorithmMismatch is a key that none of the credential's algorithms can use.
	AlgorithmMismatch
)

// String is the kind's word.
func (k Kind) String() string {
	switch k {
	case Unsupported:
		return "unsupported"
	case Weak:
		return "weak"
	case AlgorithmMismatch:
		return "algorithm mismatch"
	default:
		return "unparsable"
	}
}

func problemf(kind Kind, format string, args ...any) *Problem {
	return &Problem{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// Bounds of what is read: a Secret holds up to 1 MiB, and more keys than these are a mistake or an attack.
const (
	maxBytes      = 256 << 10
	maxKeysInSet  = 100
	maxPEMBlocks  = 32
	maxKIDLength  = 512
	minRSABits    = 2048
	maxRSABits    = 8192
	maxRSAExp     = 1<<31 - 1
	maxOctets     = 4 << 10
	maxQuotedName = 64
)

// Parse reads key material. It returns the keys that can be used, why others can't, and notes on what its owner may not
// have meant. Keys of a set are judged one by one: one that is refused takes no other with it. Where there is no key,
// there is a problem. The result shares no memory with data and depends on nothing but the arguments.
func Parse(data []byte, opts Options) (keys []*Key, problems []Problem, notes []string) {
	r := &reader{opts: opts}
	if p := r.check(data); p != nil {
		return nil, []Problem{*p}, nil
	}
	switch format := opts.Format; format {
	case FormatAuto:
		r.auto(data)
	case FormatJWKS:
		r.jwks(trim(data))
	case FormatJWK:
		r.single(r.jwk(trim(data)))
	case FormatPEM:
		r.single(r.pem(trim(data)))
	case FormatOctets:
		r.single(r.octets(data))
	default:
		r.refuse(problemf(Unsupported, "format %d is not known", format))
	}
	return r.keys, r.problems, r.notes
}

// reader collects what Parse returns.
type reader struct {
	opts     Options
	keys     []*Key
	problems []Problem
	notes    []string
}

func (r *reader) refuse(p *Problem) { r.problems = append(r.problems, *p) }

func (r *reader) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

func (r *reader) single(k *Key, p *Problem) {
	if p != nil {
		r.refuse(p)
		return
	}
	r.keys = append(r.keys, k)
}

// check refuses what no format would take.
func (r *reader) check(data []byte) *Problem {
	if len(r.opts.Algorithms) == 0 {
		return problemf(AlgorithmMismatch, "the credential names no algorithm")
	}
	secrets := 0
	for _, a := range r.opts.Algorithms {
		switch a.family() {
		case familyUnknown:
			return problemf(AlgorithmMismatch, "algorithm %s is not supported", quote(string(a)))
		case familyHMAC:
			secrets++
		default:
		}
	}
	switch {
	case secrets > 0 && secrets < len(r.opts.Algorithms):
		return problemf(AlgorithmMismatch, "HS256, HS384 and HS512 can't be mixed with other algorithms: use two credentials")
	case len(r.opts.KID) > maxKIDLength:
		return problemf(Unsupported, "the kid has more than %d bytes", maxKIDLength)
	case len(data) == 0:
		return problemf(Unparsable, "the value is empty")
	case len(data) > maxBytes:
		return problemf(Unsupported, "the value has more than %d bytes", maxBytes)
	}
	return nil
}

// secret says whether the credential's algorithms take HMAC secrets.
func (r *reader) secret() bool { return r.opts.Algorithms[0].family() == familyHMAC }

func (r *reader) auto(data []byte) {
	text := trim(data)
	switch {
	case bytes.Contains(text, []byte("-----BEGIN")):
		r.single(r.pem(text))
	case bytes.HasPrefix(text, []byte("{")):
		r.json(text)
	case !r.secret():
		r.refuse(problemf(Unparsable, "the value is no PEM, JWK or JWKS: store the public key as PEM, "+
			"for instance with `openssl pkey -pubout`, or a JWKS"))
	case looksPublic(data, text):
		r.refuse(problemf(Unparsable, "the value looks like a document or a public key, not like a secret: "+
			"set format to Octets if these bytes are the HMAC secret"))
	default:
		r.single(r.octets(data))
	}
}

// trim removes a byte order mark and white space around a text.
func trim(data []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
}

// looksPublic says whether the bytes are something else than a secret: using them as one would let everyone who knows
// them sign tokens. A public key may have lost its PEM boundaries, which is how some identity providers show theirs, or
// may have been copied without some of their characters.
func looksPublic(data, text []byte) bool {
	head := strings.ToLower(string(text[:min(len(text), 32)]))
	for _, start := range []string{"[", "<!doctype", "<html", "<?xml", "ssh-", "ecdsa-sha2-", "sk-ssh-"} {
		if strings.HasPrefix(head, start) {
			return true
		}
	}
	for _, mark := range []string{"PUBLIC KEY", "CERTIFICATE", `"kty`, "kty:"} {
		if bytes.Contains(text, []byte(mark)) {
			return true
		}
	}
	return isPublicDER(data) || isPublicDER(fromAnyBase64(text))
}

func isPublicDER(der []byte) bool {
	_, err := x509.ParsePKIXPublicKey(der)
	if err == nil {
		return true
	}
	if _, err = x509.ParsePKCS1PublicKey(der); err == nil {
		return true
	}
	_, err = x509.ParseCertificate(der)
	return err == nil
}

// fromAnyBase64 decodes base64 of either alphabet, with line breaks and padding or without; nil where it is none.
func fromAnyBase64(text []byte) []byte {
	plain := strings.NewReplacer("\r", "", "\n", "", "\t", "", " ", "", "=", "", "-", "+", "_", "/").Replace(string(text))
	der, err := base64.RawStdEncoding.DecodeString(plain)
	if err != nil {
		return nil
	}
	return der
}

// octets makes a key of an HMAC secret.
func (r *reader) octets(data []byte) (*Key, *Problem) {
	if data[len(data)-1] == '\n' {
		r.note("the secret ends in a line feed, which is part of it: use `printf %%s` or `--from-file` with a file " +
			"that has none, unless the issuer signs with it too")
	}
	return r.bind(clone(data), r.opts.KID, "")
}

// bind makes a key of public key material or a secret, for those of the credential's algorithms that its type can do
// and that only, which may be empty, agrees with.
func (r *reader) bind(public any, kid string, only Algorithm) (*Key, *Problem) {
	f, p := examine(public)
	if p != nil {
		return nil, p
	}
	var algorithms []Algorithm
	for _, a := range r.opts.Algorithms {
		if a.family() == f && (only == "" || only == a) && !slices.Contains(algorithms, a) {
			algorithms = append(algorithms, a)
		}
	}
	if len(algorithms) == 0 {
		if only != "" {
			return nil, problemf(AlgorithmMismatch, "the %s is for %s, but the credential's algorithms are %s",
				f, only, r.listed())
		}
		return nil, problemf(AlgorithmMismatch, "the %s can't verify any of the credential's algorithms, %s", f, r.listed())
	}
	if secret, ok := public.([]byte); ok {
		algorithms, p = r.strongEnough(secret, algorithms)
		if p != nil {
			return nil, p
		}
	}
	k, err := newKey(kid, f, public, algorithms)
	if err != nil {
		return nil, problemf(Unparsable, "the key can't be used: %v", err)
	}
	return k, nil
}

func (r *reader) listed() string {
	names := make([]string, len(r.opts.Algorithms))
	for i, a := range r.opts.Algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// quote makes a name from key material printable and short.
func quote(name string) string {
	if len(name) > maxQuotedName {
		return fmt.Sprintf("%q...", name[:maxQuotedName])
	}
	return fmt.Sprintf("%q", name)
}
