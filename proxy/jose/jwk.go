package jose

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/ostiary/ostiary/proxy/internal/base64url"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
)

// json reads a JSON object that is a JWKS or a JWK.
func (r *reader) json(text []byte) {
	object, err := strictjson.Parse(text)
	switch {
	case err != nil:
		r.refuse(problemf(Unparsable, "the value starts like a JWK or JWKS, but is not one JSON object with unique members"))
	case object.Has("keys"):
		r.jwks(text)
	case object.Has("kty"):
		r.single(r.jwk(text))
	default:
		r.refuse(problemf(Unparsable, "the JSON object has neither the member keys of a JWKS nor the member kty of a JWK"))
	}
}

// jwks reads a JWK Set. Keys that are not for verifying, or of a type that is not known, are left out as RFC 7517
// section 5 asks, which is a problem only where nothing else is left.
func (r *reader) jwks(text []byte) {
	elements, p := elementsOf(text)
	if p != nil {
		r.refuse(p)
		return
	}
	if r.opts.KID != "" {
		r.note("kid names a single key: those of the JWKS keep their own")
		r.opts.KID = ""
	}
	s := keySet{reader: r, holders: map[string]int{}}
	for i, element := range elements {
		s.add(i+1, []byte(element.Raw()))
	}
	s.finish()
}

// elementsOf returns the texts of the keys of a JWK Set.
func elementsOf(text []byte) ([]strictjson.Value, *Problem) {
	object, err := strictjson.Parse(text)
	if err != nil {
		return nil, problemf(Unparsable, "the JWKS is not one JSON object with unique members")
	}
	list, _ := object.Get("keys")
	elements, ok := list.Elements()
	switch {
	case !ok:
		return nil, problemf(Unparsable, "the JWKS has no array keys")
	case len(elements) == 0:
		return nil, problemf(Unsupported, "the JWKS holds no key")
	case len(elements) > maxKeysInSet:
		return nil, problemf(Unsupported, "the JWKS holds %d keys: at most %d are taken", len(elements), maxKeysInSet)
	}
	return elements, nil
}

// IsSet reports whether data is a JWK Set where that format may be one: an object with an array of keys, good or bad, or none.
func IsSet(data []byte, format Format) bool {
	if format != FormatAuto && format != FormatJWKS {
		return false
	}
	object, err := strictjson.Parse(trim(data))
	if err != nil || len(data) > maxBytes {
		return false
	}
	list, _ := object.Get("keys")
	_, ok := list.Elements()
	return ok
}

// keySet judges the keys of a JWK Set, first each alone and then beside each other.
type keySet struct {
	*reader
	candidates []candidate
	left       []Problem      // why keys were left out
	holders    map[string]int // how many keys for verifying have a kid
	public     bool           // whether there is a key that is no secret
}

// candidate is a key that is good by itself, with its place in the set, from 1 on.
type candidate struct {
	key *Key
	at  int
}

func (s *keySet) add(at int, raw []byte) {
	kty := textOf(raw, "kty")
	s.public = s.public || (kty != "" && kty != "oct")
	key, p := s.jwk(raw)
	switch {
	case p == nil:
		s.candidates = append(s.candidates, candidate{key, at})
		s.holders[key.KID()]++
	case p.Kind == Unparsable || p.Kind == Weak || hasPrivate(raw):
		s.refuse(problemf(p.Kind, "key %d of the JWKS: %s", at, p.Message))
		// It was meant to verify: which of two keys a kid names must not depend on how broken one is.
		s.holders[textOf(raw, "kid")]++
	default:
		s.left = append(s.left, *problemf(p.Kind, "key %d of the JWKS: %s", at, p.Message))
	}
}

func (s *keySet) finish() {
	for _, c := range s.candidates {
		kid := c.key.KID()
		switch {
		case s.public && c.key.secret():
			s.refuse(problemf(Unsupported, "key %d of the JWKS: a secret beside public keys is known to all who read these", c.at))
		case kid != "" && s.holders[kid] > 1:
			s.refuse(problemf(Unparsable, "key %d of the JWKS: kid %s is that of another key too", c.at, quote(kid)))
		default:
			s.keys = append(s.keys, c.key)
		}
	}
	if len(s.keys) == 0 {
		s.problems = append(s.problems, s.left...)
		return
	}
	for _, p := range s.left {
		s.note("left out: %s", p.Message)
	}
}

// privateMembers hold private key material (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2).
func privateMembers() []string { return []string{"d", "p", "q", "dp", "dq", "qi", "oth"} }

// withoutPrivate returns the JWK without its private members, so that none of them is ever decoded or kept.
func withoutPrivate(raw []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return nil, fmt.Errorf("read the members: %w", err)
	}
	for _, name := range privateMembers() {
		delete(members, name)
	}
	return json.Marshal(members)
}

func hasPrivate(raw []byte) bool {
	object, err := strictjson.Parse(raw)
	return err == nil && slices.ContainsFunc(privateMembers(), object.Has)
}

// jwk reads one JWK. go-jose decodes it; what go-jose does not check is checked here.
func (r *reader) jwk(raw []byte) (*Key, *Problem) {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return nil, problemf(Unparsable, "the JWK is not one JSON object with unique members")
	}
	if p := supportedType(object); p != nil {
		return nil, p
	}
	private := slices.ContainsFunc(privateMembers(), object.Has)
	if private {
		if r.opts.Private != PrivateHalved {
			return nil, problemf(Unsupported, "the JWK holds a private key: publish only its public members, without %v", privateMembers())
		}
		if raw, err = withoutPrivate(raw); err != nil {
			return nil, problemf(Unparsable, "the JWK can't be read")
		}
	}
	kid, p := textMember(object, "kid")
	if p != nil {
		return nil, p
	}
	if len(kid) > maxKIDLength {
		return nil, problemf(Unsupported, "the kid has more than %d bytes", maxKIDLength)
	}
	only, p := purpose(object)
	if p != nil {
		return nil, p
	}
	for _, name := range []string{"n", "e", "x", "y", "k"} {
		text, p := textMember(object, name)
		if p != nil {
			return nil, p
		}
		if _, err := base64url.Decode(text); err != nil {
			return nil, problemf(Unparsable, "member %s of the JWK is not base64url without padding", name)
		}
	}
	var decoded josev4.JSONWebKey
	if err := json.Unmarshal(raw, &decoded); err != nil {
		if errors.Is(err, josev4.ErrUnsupportedKeyType) {
			return nil, problemf(Unsupported, "the key's type is not supported: use RSA, EC, OKP with Ed25519, or oct")
		}
		return nil, problemf(Unparsable, "the JWK has missing members, or members that don't fit each other or its curve")
	}
	switch decoded.Key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey, []byte:
	default:
		return nil, problemf(Unsupported, "the key's type is not supported: use RSA, EC, OKP with Ed25519, or oct")
	}
	if secret, ok := decoded.Key.([]byte); ok && len(secret) == 0 {
		return nil, problemf(Weak, "the secret is empty")
	}
	if r.opts.KID != "" {
		kid = r.opts.KID
	}
	key, p := r.bind(decoded.Key, kid, only)
	if p == nil && private {
		r.note("%s", privateNote)
	}
	return key, p
}

// supportedType refuses key types and curves that no supported algorithm uses.
func supportedType(object strictjson.Object) *Problem {
	kty, p := textMember(object, "kty")
	if p != nil {
		return p
	}
	crv, p := textMember(object, "crv")
	if p != nil {
		return p
	}
	switch kty {
	case "RSA", "oct":
		return nil
	case "EC":
		if crv == "P-256" || crv == "P-384" || crv == "P-521" {
			return nil
		}
	case "OKP":
		if crv == "Ed25519" {
			return nil
		}
	case "":
		return problemf(Unparsable, "the JWK has no kty")
	default:
		return problemf(Unsupported, "kty %s is not supported: use RSA, EC, OKP with Ed25519, or oct", quote(kty))
	}
	return problemf(Unsupported, "curve %s is not supported with kty %s: use P-256, P-384 or P-521 with EC, Ed25519 with OKP",
		quote(crv), kty)
}

// purpose returns the algorithm that a JWK is for, empty for any, or says why it is not for verifying (RFC 7517
// sections 4.2 to 4.4).
func purpose(object strictjson.Object) (Algorithm, *Problem) {
	use, p := textMember(object, "use")
	if p != nil {
		return "", p
	}
	if object.Has("use") && use != "sig" {
		return "", problemf(Unsupported, "use is %s: a key for verifying has sig, or no use", quote(use))
	}
	if list, ok := object.Get("key_ops"); ok {
		ops, ok := list.Texts()
		switch {
		case !ok:
			return "", problemf(Unparsable, "key_ops is not an array of strings")
		case !slices.Contains(ops, "verify"):
			return "", problemf(Unsupported, "key_ops lacks verify")
		}
	}
	name, p := textMember(object, "alg")
	if p != nil {
		return "", p
	}
	if !object.Has("alg") {
		return "", nil
	}
	only, ok := ParseAlgorithm(name)
	if !ok {
		return "", problemf(Unsupported, "alg %s is not supported", quote(name))
	}
	return only, nil
}

// textOf is the value of a member of a JWK that may be broken; empty where there is none.
func textOf(raw []byte, name string) string {
	object, err := strictjson.Parse(raw)
	if err != nil {
		return ""
	}
	value, _ := object.Get(name)
	text, _ := value.Text()
	return text
}

// textMember is the value of a member that must be a string where it is present.
func textMember(object strictjson.Object, name string) (string, *Problem) {
	value, ok := object.Get(name)
	if !ok {
		return "", nil
	}
	text, ok := value.Text()
	if !ok {
		return "", problemf(Unparsable, "member %s of the JWK is not a string", name)
	}
	return text, nil
}
