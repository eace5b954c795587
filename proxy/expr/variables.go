package expr

import (
	"errors"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Variables are what an expression is evaluated for. What it does not look at is not computed.
type Variables struct {
	// Head is the request's. Required.
	Head head.Head
	// Claims returns the token's claims as JSON would be decoded: maps, slices, strings, bools and nil, with whole numbers
	// as int64. Required with ScopeClaims.
	Claims func() (map[string]any, error)
}

// activation hands the variables to CEL. A variable that can't be computed is an error of the evaluation.
type activation struct{ vars Variables }

var errNoClaims = errors.New("no claims")

// ResolveName returns a variable.
func (a *activation) ResolveName(name string) (any, bool) {
	h := a.vars.Head
	switch name {
	case varClaims:
		return a.claims(), true
	case varMethod:
		return h.Method(), true
	case varHost:
		// Canonical, as it was matched.
		host, err := routing.CanonicalHost(h.Authority())
		if err != nil {
			return types.WrapErr(err), true
		}
		return host, true
	case varPath:
		path, err := routing.ParsePath(h.Path())
		if err != nil {
			return types.WrapErr(err), true
		}
		return path.Match, true
	case varQuery:
		return h.Query(), true
	case varHeaders:
		return headers(h), true
	}
	return nil, false
}

// Parent returns nil: there are no other variables.
func (*activation) Parent() cel.Activation { return nil }

func (a *activation) claims() any {
	if a.vars.Claims == nil {
		return types.WrapErr(errNoClaims)
	}
	claims, err := a.vars.Claims()
	if err != nil {
		return types.WrapErr(err)
	}
	return claims
}

// headers joins the lines of each field (RFC 9110 section 5.3).
func headers(h head.Head) map[string]string {
	fields := map[string]string{}
	h.Names(func(name string) bool {
		fields[strings.ToLower(name)] = ""
		return true
	})
	for name := range fields {
		fields[name] = strings.Join(h.Values(name), ", ")
	}
	return fields
}
