package expr

import (
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/overloads"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
)

// check refuses what would let a short expression take long, and says whether the expression looks at claims.
func check(checked *ast.AST) (claims bool, err error) {
	c := checker{ast: checked}
	c.visit(checked.Expr())
	if c.err != nil {
		return false, c.err
	}
	return c.claims, nil
}

type checker struct {
	ast    *ast.AST
	claims bool
	err    *Error
}

func (c *checker) refuse(e ast.Expr, message string) {
	if c.err != nil {
		return
	}
	at := c.ast.SourceInfo().GetStartLocation(e.ID())
	c.err = &Error{Line: at.Line(), Column: at.Column() + 1, Message: message}
}

func (c *checker) visit(root ast.Expr) {
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.IdentKind:
			c.claims = c.claims || e.AsIdent() == varClaims
		case ast.ListKind:
			if usesMacroVariable(e) {
				c.refuse(e, "a list can't have an element that depends on the variable of a macro")
			}
		case ast.MapKind:
			if usesMacroVariable(e) {
				c.refuse(e, "a map can't have an entry that depends on the variable of a macro")
			}
		case ast.StructKind:
			c.refuse(e, "messages can't be made here")
		case ast.CallKind:
			c.call(e)
		default:
		}
	}))
}

func (c *checker) call(e ast.Expr) {
	call := e.AsCall()
	if call.FunctionName() != overloads.Matches {
		return
	}
	pattern := call.Args()[len(call.Args())-1]
	text, ok := literal(pattern)
	if !ok {
		c.refuse(pattern, "a regular expression must be written as it is, it can't be computed")
		return
	}
	if err := validatePattern(text); err != nil {
		c.refuse(pattern, err.Error())
	}
}

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().Value().(string)
	return text, ok
}

// usesMacroVariable says whether an expression depends on anything but the variables that requests have. A list of what a
// macro iterates over, iterated over again, would double with every macro around it.
func usesMacroVariable(root ast.Expr) bool {
	found := false
	ast.PreOrderVisit(root, ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.IdentKind {
			return
		}
		switch e.AsIdent() {
		case varClaims, varMethod, varHost, varPath, varQuery, varHeaders:
		default:
			found = true
		}
	}))
	return found
}

// bytesPerCost is how much text is as much work as one value.
const bytesPerCost = 10

// costs says what a call costs after the values it was given, whatever their types were thought to be: CEL's own figures
// take every call whose types are known only at the end for a cheap one.
type costs struct{}

// CallCost is the cost of one call.
func (costs) CallCost(function, _ string, args []ref.Val, result ref.Val) *uint64 {
	cost := uint64(1)
	switch function {
	case operators.Add:
		// Nothing grows by more than what it costs. The first list of a sum is not copied.
		for i, arg := range args {
			if _, list := arg.(traits.Lister); !list || i > 0 {
				cost += shallow(arg)
			}
		}
	case operators.Equals, operators.NotEquals, operators.In, operators.OldIn:
		cost += min(deep(args[0], MaxCost), deep(args[len(args)-1], MaxCost))
		if function == operators.In || function == operators.OldIn {
			cost += deep(args[len(args)-1], MaxCost)
		}
	case overloads.Matches:
		// Time is in proportion to the text times the pattern.
		cost += (1 + size(args[0])/bytesPerCost) * (1 + size(args[len(args)-1])/bytesPerCost)
	case overloads.Contains:
		cost += shallow(args[0]) + shallow(args[len(args)-1])
	default:
		for _, arg := range args {
			if _, container := arg.(traits.Container); !container {
				cost += shallow(arg)
			}
		}
		cost += shallow(result)
	}
	return &cost
}

// size is how many bytes or elements a value has.
func size(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v))
	case types.Bytes:
		return uint64(len(v))
	case traits.Sizer:
		if n, ok := v.Size().(types.Int); ok && n > 0 {
			return uint64(n)
		}
	}
	return 0
}

func shallow(v ref.Val) uint64 {
	switch v.(type) {
	case types.String, types.Bytes:
		return size(v) / bytesPerCost
	default:
		return size(v)
	}
}

// deep is how many values there are in a value, up to most.
func deep(v ref.Val, most uint64) uint64 {
	n := 1 + shallow(v)
	switch v := v.(type) {
	case traits.Lister:
		for it := v.Iterator(); it.HasNext() == types.True && n < most; {
			n += deep(it.Next(), most-n)
		}
	case traits.Mapper:
		for it := v.Iterator(); it.HasNext() == types.True && n < most; {
			key := it.Next()
			n += deep(key, most-n)
			if n < most {
				n += deep(v.Get(key), most-n)
			}
		}
	}
	return n
}
