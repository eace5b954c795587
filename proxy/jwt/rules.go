package jwt

import (
	"fmt"
	"slices"

	"github.com/ostiary/ostiary/proxy/expr"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/jsonpointer"
	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// rules are conditions on claims that must all hold.
type rules []rule

// rule is an operator on a claim, or an expression where program is set.
type rule struct {
	claim    jsonpointer.Pointer
	operator routing.ClaimOperator
	values   []string
	program  *expr.Program
	message  string
}

func newRules(configured []routing.ClaimRule) (rules, error) {
	compiled := make(rules, 0, len(configured))
	for i, c := range configured {
		one, err := newRule(c)
		if err != nil {
			return nil, fmt.Errorf("claim rule %d: %w", i, err)
		}
		compiled = append(compiled, one)
	}
	return compiled, nil
}

func newRule(c routing.ClaimRule) (rule, error) {
	r := rule{operator: c.Operator, values: slices.Clone(c.Values), message: c.Message}
	var err error
	if c.Claim == "" {
		if r.program, err = expr.Compile(c.Expression, expr.ScopeClaims); err != nil {
			return rule{}, fmt.Errorf("compile the expression: %w", err)
		}
		return r, nil
	}
	if c.Expression != "" {
		return rule{}, fmt.Errorf("both a claim and an expression")
	}
	if r.claim, err = jsonpointer.Parse(c.Claim); err != nil {
		return rule{}, fmt.Errorf("parse the claim's pointer: %w", err)
	}
	needsValues := false
	switch c.Operator {
	case routing.ClaimIn, routing.ClaimNotIn, routing.ClaimContains, routing.ClaimContainsAny:
		needsValues = true
	case routing.ClaimExists, routing.ClaimDoesNotExist:
	default:
		return rule{}, fmt.Errorf("operator %d is not known", c.Operator)
	}
	if needsValues != (len(c.Values) > 0) {
		return rule{}, fmt.Errorf("operator %d with %d values", c.Operator, len(c.Values))
	}
	return r, nil
}

// expressions are the rules whose outcome depends on the request too.
func (r rules) expressions() rules {
	return slices.DeleteFunc(slices.Clone(r), func(one rule) bool { return one.program == nil })
}

// check judges a verified token's claims. What can't be read or evaluated does not hold.
func (r rules) check(v *token.Verified, h head.Head) *Refused {
	if len(r) == 0 {
		return nil
	}
	payload := v.Payload()
	vars := expr.Variables{Head: h, Claims: once(payload)}
	for i := range r {
		if !r[i].holds(payload, vars) {
			return &Refused{Reason: refusal.ClaimMismatch, Message: r[i].message}
		}
	}
	return nil
}

// once decodes the claims when the first expression looks at them.
func once(payload strictjson.Object) func() (map[string]any, error) {
	var (
		claims map[string]any
		read   bool
	)
	return func() (map[string]any, error) {
		if !read {
			claims, _ = payload.Native()
			read = true
		}
		if claims == nil {
			return nil, jsonpointer.ErrAmbiguous
		}
		return claims, nil
	}
}

func (r *rule) holds(payload strictjson.Object, vars expr.Variables) bool {
	if r.program != nil {
		ok, err := r.program.Eval(vars)
		return ok && err == nil
	}
	value, found, err := r.claim.Find(payload)
	if err != nil {
		return false
	}
	found = found && !value.IsNull()
	switch r.operator {
	case routing.ClaimExists:
		return found
	case routing.ClaimDoesNotExist:
		return !found
	case routing.ClaimNotIn:
		return !found || r.notIn(value)
	case routing.ClaimIn:
		text, ok := scalar(value)
		return found && ok && slices.Contains(r.values, text)
	case routing.ClaimContains, routing.ClaimContainsAny:
		return found && r.contains(value)
	default:
		return false
	}
}

// notIn says whether neither the value nor one of its elements is one of the rule's. Of an object nothing is known.
func (r *rule) notIn(value strictjson.Value) bool {
	texts, whole := scalars(value)
	return whole && !slices.ContainsFunc(texts, func(text string) bool { return slices.Contains(r.values, text) })
}

// contains says whether the value's elements have all of the rule's values, or one of them.
func (r *rule) contains(value strictjson.Value) bool {
	texts, _ := scalars(value)
	in := func(wanted string) bool { return slices.Contains(texts, wanted) }
	if r.operator == routing.ClaimContainsAny {
		return slices.ContainsFunc(r.values, in)
	}
	return !slices.ContainsFunc(r.values, func(wanted string) bool { return !in(wanted) })
}

// scalars are the elements of an array, or the one value that is no array. whole is false where something was left out,
// since it is no scalar.
func scalars(value strictjson.Value) (texts []string, whole bool) {
	elements := []strictjson.Value{value}
	if value.IsArray() {
		var ok bool
		if elements, ok = value.Elements(); !ok {
			return nil, false
		}
	}
	whole = true
	for _, element := range elements {
		if element.IsNull() {
			continue
		}
		text, ok := scalar(element)
		if !ok {
			whole = false
			continue
		}
		texts = append(texts, text)
	}
	return texts, whole
}

// scalar is a string as it is, or a number or boolean as it is written.
func scalar(value strictjson.Value) (string, bool) {
	if text, ok := value.Text(); ok {
		return text, true
	}
	if number, ok := value.Number(); ok {
		return number, true
	}
	if _, ok := value.Bool(); ok {
		return value.Raw(), true
	}
	return "", false
}
