// Package token takes compact JWS tokens apart and lets their claims out only when a signature was verified.
//
// The compiler enforces the order of RFC 7515 section 5.2 and RFC 8725 section 3.3: an Unverified token tells the name of
// its key, its algorithm and the one claim that names the credential; everything else is reached through Verify.
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

// Unverified is a token that was taken apart and that nobody vouches for.
type Unverified struct {
	signingInput string
	signature    []byte
	algorithm    jose.Algorithm
	kid          *string
	typ          *string
	claim        *string
	issuer       *string
	payload      strictjson.Object
}

// Parse takes a compact JWS apart (RFC 7515 section 7.1). claim names the one claim that Claim returns; it may be empty.
// The text's length must be bounded before; what Parse allocates is proportional to it.
func Parse(compact, claim string) (Unverified, error) {
	u, payload, err := takeApart(compact)
	if err != nil {
		return Unverified{}, err
	}
	if u.payload, err = strictjson.Parse(payload); err != nil {
		return Unverified{}, ErrMalformed
	}
	if value, ok := u.payload.Get(claim); ok && claim != "" {
		if name, ok := value.Text(); ok {
			u.claim = &name
		}
	}
	if value, ok := u.payload.Get("iss"); ok {
		if name, ok := value.Text(); ok {
			u.issuer = &name
		}
	}
	return u, nil
}

// takeApart decodes the three segments and reads the header.
func takeApart(compact string) (u Unverified, payload []byte, err error) {
	// Counted before anything is allocated, so that a text of dots costs nothing.
	if strings.Count(compact, ".") != 2 {
		return Unverified{}, nil, ErrMalformed
	}
	first, last := strings.IndexByte(compact, '.'), strings.LastIndexByte(compact, '.')
	segments := [...]string{compact[:first], compact[first+1 : last], compact[last+1:]}
	var octets [len(segments)][]byte
	for i, segment := range segments {
		octets[i], err = base64url.Decode(segment)
		if err != nil || segment == "" {
			return Unverified{}, nil, ErrMalformed
		}
	}
	u = Unverified{signingInput: compact[:last], signature: octets[2]}
	if err := u.readHeader(octets[0]); err != nil {
		return Unverified{}, nil, err
	}
	return u, octets[1], nil
}

// readHeader reads the header. Parameters that would bring or name keys (jku, jwk, x5u, x5c) and all that are not known
// are ignored (RFC 7515 section 4); what would change the meaning of the token is refused.
func (u *Unverified) readHeader(text []byte) error {
	header, err := strictjson.Parse(text)
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
	if value, ok := header.Get("kid"); ok {
		kid, ok := value.Text()
		if !ok {
			return ErrMalformed
		}
		u.kid = &kid
	}
	if value, ok := header.Get("typ"); ok {
		typ, ok := value.Text()
		if !ok {
			return ErrMalformed
		}
		u.typ = &typ
	}
	value, _ := header.Get("alg")
	name, ok := value.Text()
	if !ok {
		return ErrMalformed
	}
	if u.algorithm, ok = jose.ParseAlgorithm(name); !ok {
		return ErrAlgorithm
	}
	return nil
}

// Algorithm is what the token says it was signed with: to be compared, never to be followed.
func (u *Unverified) Algorithm() jose.Algorithm { return u.algorithm }

// KID is the name of the key that the token says it was signed with, if it says so.
func (u *Unverified) KID() (string, bool) { return text(u.kid) }

// Claim is the value of the claim that names the credential, where it is a string.
func (u *Unverified) Claim() (string, bool) { return text(u.claim) }

// Issuer is who the token says it is from, where that is a string. It chooses the keys that judge the token, and nothing
// else.
func (u *Unverified) Issuer() (string, bool) { return text(u.issuer) }

func text(p *string) (string, bool) {
	if p == nil {
		return "", false
	}
	return *p, true
}

// Verified is the payload of a token whose signature was verified. The zero value has no claims.
type Verified struct {
	typ     *string
	payload strictjson.Object
}

// Type is the header's typ (RFC 7515 section 4.1.9), where there is one.
func (v *Verified) Type() (string, bool) { return text(v.typ) }

// Payload is the token's claims.
func (v *Verified) Payload() strictjson.Object { return v.payload }

// Has says whether the token has a claim with exactly that name whose value is not null.
func (v *Verified) Has(claim string) bool {
	value, ok := v.payload.Get(claim)
	return ok && string(value.Raw()) != "null"
}

// Verify checks the signature with a key. Its errors are those of jose.Key.Verify.
func (u *Unverified) Verify(key *jose.Key) (Verified, error) {
	if err := key.Verify(u.algorithm, u.signingInput, u.signature); err != nil {
		return Verified{}, err
	}
	return Verified{typ: u.typ, payload: u.payload}, nil
}

// Text is the value of a claim at the top level, where it is a string.
func (v Verified) Text(claim string) (string, bool) {
	value, ok := v.payload.Get(claim)
	if !ok {
		return "", false
	}
	return value.Text()
}
