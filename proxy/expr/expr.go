package expr

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"

	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// MaxLength bounds the text of an expression, in characters.
	MaxLength = 1024
	// MaxCost bounds what one evaluation may cost: about one for each value that is looked at, and one for each ten bytes
	// of text.
	MaxCost = 20_000
	// maxDepth bounds how deep the operators of an expression nest.
	maxDepth = 32
)

// Scope says which variables an expression may use.
type Scope uint8

const (
	// ScopeRequest is request.method, request.host, request.path and request.query, which are strings, and
	// request.headers, a map of strings by names in lower case.
	ScopeRequest Scope = iota
	// ScopeClaims is ScopeRequest with claims, a map of whatever the token says.
	ScopeClaims
)

// The variables' names.
const (
	varClaims  = "claims"
	varMethod  = "request.method"
	varHost    = "request.host"
	varPath    = "request.path"
	varQuery   = "request.query"
	varHeaders = "request.headers"
)

// Error is a mistake in an expression.
type Error struct {
	// Line and Column are where it is, from 1; 0 where it is about the whole.
	Line, Column int
	// Message says what is wrong. It may quote the expression.
	Message string
}

// Error is the message with its position.
func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.Message
	case e.Line == 1:
		return fmt.Sprintf("column %d: %s", e.Column, e.Message)
	default:
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	}
}

// Program is an expression that was compiled. It is immutable and safe for use by several goroutines.
type Program struct {
	program cel.Program
	claims  bool
}

// NeedsClaims says whether the expression looks at claims.
func (p *Program) NeedsClaims() bool { return p.claims }

// Compile compiles an expression that says true or false. Errors are of type *Error, and do not depend on anything but
// the arguments.
func Compile(text string, scope Scope) (*Program, error) {
	env, err := environment(scope)
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	if strings.TrimSpace(text) == "" {
		return nil, &Error{Message: "the expression is empty"}
	}
	ast, issues := env.Compile(text)
	if err := firstIssue(issues); err != nil {
		return nil, err
	}
	uses, err := check(ast.NativeRep())
	if err != nil {
		return nil, err
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, &Error{Message: fmt.Sprintf("the expression is of type %s; write one that is true or false", t)}
	}
	program, err := env.Program(ast,
		cel.EvalOptions(cel.OptOptimize),
		cel.CostTracking(costs{}),
		cel.CostLimit(MaxCost),
	)
	if err != nil {
		return nil, &Error{Message: err.Error()}
	}
	return &Program{program: program, claims: uses}, nil
}

// firstIssue is the first of what CEL found wrong. The others are often caused by it.
func firstIssue(issues *cel.Issues) error {
	if issues.Err() == nil {
		return nil
	}
	e := &Error{Message: "the expression is not valid"}
	if all := issues.Errors(); len(all) > 0 {
		message, _, _ := strings.Cut(all[0].Message, "\n")
		e.Message = strings.ReplaceAll(message, " (in container '')", "")
		if at := all[0].Location; at != nil && at.Line() > 0 {
			e.Line, e.Column = at.Line(), at.Column()+1
		}
	}
	return e
}

// environment is what expressions of a scope are compiled in.
func environment(scope Scope) (*cel.Env, error) {
	if scope == ScopeClaims {
		return claimsEnvironment()
	}
	return requestEnvironment()
}

//nolint:gochecknoglobals // constants that take a millisecond to compute
var (
	requestEnvironment = sync.OnceValues(func() (*cel.Env, error) {
		return cel.NewEnv(
			cel.ClearMacros(),
			cel.Macros(cel.HasMacro, cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro),
			cel.CrossTypeNumericComparisons(true),
			cel.DefaultUTCTimeZone(true),
			cel.ParserRecursionLimit(maxDepth),
			cel.ParserExpressionSizeLimit(MaxLength),
			cel.Variable(varMethod, cel.StringType),
			cel.Variable(varHost, cel.StringType),
			cel.Variable(varPath, cel.StringType),
			cel.Variable(varQuery, cel.StringType),
			cel.Variable(varHeaders, cel.MapType(cel.StringType, cel.StringType)),
		)
	})
	claimsEnvironment = sync.OnceValues(func() (*cel.Env, error) {
		env, err := requestEnvironment()
		if err != nil {
			return nil, err
		}
		return env.Extend(cel.Variable(varClaims, cel.MapType(cel.StringType, cel.DynType)))
	})
)

// ErrNotBool is an expression whose value is neither true nor false.
var ErrNotBool = errors.New("the expression's value is neither true nor false")

// Eval evaluates the expression. An error, such as one for a claim or header that is absent, means that nothing is known:
// whoever decides by the expression must refuse. It may quote values of the request and the token and must not be logged.
func (p *Program) Eval(vars Variables) (bool, error) {
	value, _, err := p.program.Eval(&activation{vars: vars})
	if err != nil {
		return false, fmt.Errorf("evaluate the expression: %w", err)
	}
	result, ok := value.Value().(bool)
	if !ok {
		return false, ErrNotBool
	}
	return result, nil
}

// validatePattern says whether a regular expression is one that can be bounded.
func validatePattern(pattern string) error { return routing.ValidateExpression(pattern) }
