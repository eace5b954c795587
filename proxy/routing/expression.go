package routing

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// MaxExpressionInstructions bounds the compiled program of a regular expression. Matching takes time in proportion to
// the program times the text (RE2), so the bound keeps one Pipeline from slowing the others down.
const MaxExpressionInstructions = 1000

// ValidateExpression reports why Build would not take a regular expression: it is none of RE2's, or its program is
// larger than MaxExpressionInstructions.
func ValidateExpression(expression string) error {
	_, _, err := compileExpression(expression)
	return err
}

// compileExpression returns the expression, made to match whole texts only, and the literal text that every match begins
// with. The literal is returned with the error of a program too large as well.
func compileExpression(expression string) (*regexp.Regexp, string, error) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return nil, "", fmt.Errorf("parse regular expression: %w", err)
	}
	literal, _ := literalPrefix(tree)
	// The tree is written anew, since the expression itself may not be put between parentheses as it is: think of a
	// "\Q" that nothing ends.
	anchored := `\A(?:` + tree.String() + `)\z`
	if tree, err = syntax.Parse(anchored, syntax.Perl); err != nil {
		return nil, literal, fmt.Errorf("parse regular expression: %w", err)
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, literal, fmt.Errorf("compile regular expression: %w", err)
	}
	if n := len(program.Inst); n > MaxExpressionInstructions {
		return nil, literal, fmt.Errorf("regular expression is too large: %d instructions, at most %d are allowed",
			n, MaxExpressionInstructions)
	}
	compiled, err := regexp.Compile(anchored)
	if err != nil {
		return nil, literal, fmt.Errorf("compile regular expression: %w", err)
	}
	return compiled, literal, nil
}

// literalPrefix returns the text that everything the expression matches begins with, and whether that is all of it.
func literalPrefix(tree *syntax.Regexp) (literal string, complete bool) {
	switch tree.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginText, syntax.OpBeginLine, syntax.OpEndText, syntax.OpEndLine:
		return "", true
	case syntax.OpLiteral:
		if tree.Flags&syntax.FoldCase != 0 {
			return "", false
		}
		return string(tree.Rune), true
	case syntax.OpCapture:
		return literalPrefix(tree.Sub[0])
	case syntax.OpPlus:
		literal, _ = literalPrefix(tree.Sub[0])
		return literal, false
	case syntax.OpRepeat:
		if tree.Min > 0 {
			literal, _ = literalPrefix(tree.Sub[0])
		}
		return literal, false
	case syntax.OpConcat:
		var all strings.Builder
		for _, sub := range tree.Sub {
			part, complete := literalPrefix(sub)
			all.WriteString(part)
			if !complete {
				return all.String(), false
			}
		}
		return all.String(), true
	default:
		return "", false
	}
}

// plainPrefix is literalPrefix for an expression that can't be parsed: what stands before its first character with a
// meaning. Nothing is certain about an expression with alternatives, or with flags.
func plainPrefix(expression string) string {
	if strings.Contains(expression, "|") || strings.Contains(expression, "(?") {
		return ""
	}
	expression = strings.TrimPrefix(expression, "^")
	i := strings.IndexAny(expression, `\.+*?()[]{}^$`)
	switch {
	case i < 0:
		return expression
	case i > 0 && strings.IndexByte("*?{", expression[i]) >= 0:
		return expression[:i-1]
	default:
		return expression[:i]
	}
}
