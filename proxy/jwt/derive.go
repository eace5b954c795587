package jwt

import (
	"fmt"
	"slices"
	"unique"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/routing"
)

// derivation stands for the rules with an operator and the claims in headers that a policy asks for: of two policies with
// the same, the same follows from the same token, whoever sends it with whatever request. The zero value asks for none.
type derivation struct{ settings unique.Handle[string] }

func newDerivation(cfg routing.JWT) derivation {
	operators := slices.DeleteFunc(slices.Clone(cfg.ClaimRules), func(r routing.ClaimRule) bool { return r.Claim == "" })
	if len(operators)+len(cfg.ClaimHeaders) == 0 {
		return derivation{}
	}
	return derivation{unique.Make(fmt.Sprintf("%#v%#v", operators, cfg.ClaimHeaders))}
}

// derived is what followed from a token: that the rules hold, and what the claims are in header fields.
type derived struct {
	by     derivation
	fields []claimField
}

// derive judges the claims by the rules and returns those that are forwarded. Of a token that was seen before, only what
// depends on the request is judged anew.
func (p *Policy) derive(v *token.Verified, h head.Head) ([]claimField, *Refused) {
	if len(p.rules)+len(p.headers) == 0 {
		return nil, nil
	}
	if noted, ok := v.Noted(token.SlotFields).(*derived); ok && noted.by == p.derivation {
		if refused := p.expressions.check(v, h); refused != nil {
			return nil, refused
		}
		return noted.fields, nil
	}
	if refused := p.rules.check(v, h); refused != nil {
		return nil, refused
	}
	fields, refused := p.claimFields(v)
	if refused != nil {
		return nil, refused
	}
	if p.derivation != (derivation{}) {
		const structs = 64 // of derived, and of a field
		bytes := structs
		for _, f := range fields {
			bytes += structs + len(f.name) + len(f.value)
		}
		v.Note(token.SlotFields, &derived{by: p.derivation, fields: fields}, bytes)
	}
	return fields, nil
}
