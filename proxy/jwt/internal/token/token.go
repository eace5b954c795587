// Package token takes compact JWS tokens apart and lets their claims out only when a signature was verified.
//
// The compiler enforces the order of RFC 7515 section 5.2 and RFC 8725 section 3.3: an Unverified token tells the name of
// its key, its algorithm, its issuer and the one claim that names the credential; everything else is reached through
// Verify, or through Known, which remembers that the same key verified the same token before.
package token

import (
	"errors"
	"strings"

	"github.com/ostiary/ostiary/proxy/internal/base64url"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/jose"
)

// Errors of this package. They quote nothing of the token.
var (
	// ErrMalformed is a token that is not one compact JWS over one JSON object, or whose registered claims have another
	// type or range than RFC 7519 section 4.1 gives them.
	ErrMalformed = errors.New("malformed token")
	// ErrAlgorithm is a token with an algorithm that is not supported, "none" among them.
	ErrAlgorithm = errors.New("unsupported algorithm")
)

// parts are a token that was taken apart. They belong to one goroutine until a Cache remembers them, and are immutable
// from then on.
type parts struct {
	compact      string
	signingInput string
	signature    []byte
	algorithm    jose.Algorithm
	kid          optional
	typ          optional
	issuer       optional
	// claimName is the claim that was asked for when the token was taken apart, claim its value.
	claimName string
	claim     optional
	payload   strictjson.Object
	// octets is how long the decoded header and payload are, in bytes.
	octets int

	// claims or claimsErr is set once a signature was verified.
	claims    *Claims
	claimsErr error
}

// optional is a text that may be absent.
type optional struct {
	text    string
	present bool
}

func (o optional) get() (string, bool) { return o.text, o.present }

// Unverified is a token that was taken apart and that nobody vouches for.
type Unverified struct {
	parts *parts
	claim optional
	// cache is where the token was looked for, known what was found, hash what it was looked for by. The first two may be
	// nil.
	cache *Cache
	known *entry
	hash  uint64
}

// Parse takes a compact JWS apart (RFC 7515 section 7.1). claim names the one claim that Claim returns; it may be empty.
// The text's length must be bounded before; what Parse allocates is proportional to it. What it returns keeps parts of
// the text.
func Parse(compact, claim string) (Unverified, error) {
	p, payload, err := takeApart(compact)
	if err != nil {
		return Unverified{}, err
	}
	if p.payload, err = strictjson.ParseString(payload); err != nil {
		return Unverified{}, ErrMalformed
	}
	p.issuer = p.textOf("iss")
	p.claimName, p.claim = claim, p.textOf(claim)
	return Unverified{parts: p, claim: p.claim}, nil
}

// textOf returns the claim of that name, where it is a string. No claim has the empty name.
func (p *parts) textOf(claim string) optional {
	if claim == "" {
		return optional{}
	}
	value, ok := p.payload.Get(claim)
	if !ok {
		return optional{}
	}
	text, ok := value.Text()
	return optional{text, ok}
}

// decodeOnStack is up to which length header and payload are decoded without memory of their own, in bytes.
const decodeOnStack = 2048

// takeApart decodes the three segments and reads the header.
func takeApart(compact string) (p *parts, payload string, err error) {
	// Counted before anything is allocated, so that a text of dots costs nothing.
	if strings.Count(compact, ".") != 2 {
		return nil, "", ErrMalformed
	}
	first, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	if first == 0 || first+1 == last || last+1 == len(compact) {
		return nil, "", ErrMalformed
	}
	var stack [decodeOnStack]byte
	octets, err := base64url.Append(stack[:0], compact[:first])
	if err != nil {
		return nil, "", ErrMalformed
	}
	header := len(octets)
	if octets, err = base64url.Append(octets, compact[first+1:last]); err != nil {
		return nil, "", ErrMalformed
	}
	text := string(octets)
	p = &parts{compact: compact, signingInput: compact[:last], octets: len(text)}
	if p.signature, err = base64url.Decode(compact[last+1:]); err != nil {
		return nil, "", ErrMalformed
	}
	if err := p.readHeader(text[:header]); err != nil {
		return nil, "", err
	}
	return p, text[header:], nil
}

// readHeader reads the header. Parameters that would bring or name keys (jku, jwk, x5u, x5c) and all that are not known
// are ignored (RFC 7515 section 4); what would change the meaning of the token is refused.
func (p *parts) readHeader(text string) error {
	header, err := strictjson.ParseString(text)
	if err != nil {
		return ErrMalformed
	}
	// No extension is understood, so that crit refuses every token (RFC 7515 section 4.1.11); an unencoded payload is no
	// JWT (RFC 7797 section 7).
	if header.Has("crit") || header.Has("b64") {
		return ErrMalformed
	}
	if value, ok := header.Get("cty"); ok {
		// A nested JWT (RFC 7519 section 5.2) is not unwrapped, and not passed on as if it had been.
		cty, ok := value.Text()
		if !ok || strings.EqualFold(cty, "JWT") || strings.EqualFold(cty, "application/jwt") {
			return ErrMalformed
		}
	}
	if p.kid, err = parameter(header, "kid"); err != nil {
		return err
	}
	if p.typ, err = parameter(header, "typ"); err != nil {
		return err
	}
	name, err := parameter(header, "alg")
	if err != nil || !name.present {
		return ErrMalformed
	}
	algorithm, ok := jose.ParseAlgorithm(name.text)
	if !ok {
		return ErrAlgorithm
	}
	p.algorithm = algorithm
	return nil
}

// parameter returns a header parameter, which must be a string where it is present.
func parameter(header strictjson.Object, name string) (optional, error) {
	value, ok := header.Get(name)
	if !ok {
		return optional{}, nil
	}
	text, ok := value.Text()
	if !ok {
		return optional{}, ErrMalformed
	}
	return optional{text, true}, nil
}

// Algorithm is what the token says it was signed with: to be compared, never to be followed.
func (u *Unverified) Algorithm() jose.Algorithm { return u.parts.algorithm }

// KID is the name of the key that the token says it was signed with, if it says so.
func (u *Unverified) KID() (string, bool) { return u.parts.kid.get() }

// Claim is the value of the claim that names the credential, where it is a string.
func (u *Unverified) Claim() (string, bool) { return u.claim.get() }

// Issuer is who the token says it is from, where that is a string. It chooses the keys that judge the token, and nothing
// else.
func (u *Unverified) Issuer() (string, bool) { return u.parts.issuer.get() }

// Verify checks the signature with a key. Its errors are those of jose.Key.Verify.
func (u *Unverified) Verify(key *jose.Key) (Verified, error) {
	p := u.parts
	if err := key.Verify(p.algorithm, p.signingInput, p.signature); err != nil {
		return Verified{}, err
	}
	if p.claims == nil && p.claimsErr == nil { // then nobody else knows the parts yet
		p.claims, p.claimsErr = readClaims(p.payload)
	}
	return Verified{parts: p, key: key.Identity(), hash: u.hash}, nil
}

// Known is Verify without its cost, where the cache knows that the key verified this very token. Otherwise it reports
// false, and says nothing about the signature.
func (u *Unverified) Known(key *jose.Key) (Verified, bool) {
	if u.known == nil || u.known.key != key.Identity() || !key.Permits(u.parts.algorithm) {
		return Verified{}, false
	}
	u.cache.hits.add()
	return Verified{parts: u.parts, key: u.known.key, hash: u.hash, known: u.known}, true
}

// Verified is a token whose signature was verified. The zero value has no claims.
type Verified struct {
	parts *parts
	key   jose.Identity // that verified it
	hash  uint64
	known *entry // nil where the cache did not know it
}

// Type is the header's typ (RFC 7515 section 4.1.9), where there is one.
func (v *Verified) Type() (string, bool) {
	if v.parts == nil {
		return "", false
	}
	return v.parts.typ.get()
}

// Payload is the token's claims.
func (v *Verified) Payload() strictjson.Object {
	if v.parts == nil {
		return strictjson.Object{}
	}
	return v.parts.payload
}

// Claims are the registered claims, which must not be changed. They hold nothing of the token's signature. It returns
// ErrMalformed where one has another type or range than it must have.
func (v *Verified) Claims() (*Claims, error) {
	if v.parts == nil {
		return &Claims{}, nil
	}
	return v.parts.claims, v.parts.claimsErr
}

// Has says whether the token has a claim with exactly that name whose value is not null.
func (v *Verified) Has(claim string) bool {
	value, ok := v.Payload().Get(claim)
	return ok && !value.IsNull()
}

// Text is the value of a claim at the top level, where it is a string.
func (v *Verified) Text(claim string) (string, bool) {
	value, ok := v.Payload().Get(claim)
	if !ok {
		return "", false
	}
	return value.Text()
}

// size is what the parts hold in memory, in bytes, with the texts that had escapes.
func (p *parts) size() int {
	const structs, text = 512, 16 // of parts with its entry, and of a string's header
	texts := len(p.claims.Audience) + len(p.claims.Scopes) + 2
	return structs + len(p.compact) + 2*p.octets + cap(p.signature) + p.payload.Size() + texts*text
}
