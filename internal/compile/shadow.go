package compile

import (
	"regexp/syntax"
	"slices"

	"github.com/ostiary/ostiary/proxy/routing"
)

// A match can never win where every request that it would take has a more specific path (routing, package comment).
// Within one host that is so where
//   - a regular expression of the form LITERAL.* without headers comes before it: it takes every path that begins with
//     the literal, before any PathPrefix, and answers 405 where it doesn't take the method;
//   - a regular expression matches one path only, and an Exact match without headers takes that path.
//
// Matches that are equal are conflicts, not shadows.

// coverage is what takes every request for some paths of a host.
type coverage struct {
	// exact are the paths with an Exact match without headers.
	exact map[string]covering
	// literals are the literals of expressions LITERAL.* without headers.
	literals map[string]covering
	// lengths of the literals, sorted.
	lengths []int
}

// covering is a match that takes all requests for its paths.
type covering struct {
	draft *pipelineDraft
	match *draftMatch
	// order is the position among all matches, oldest Pipeline first.
	order int
}

// noteShadowed tells Pipelines of their matches that can never win. The drafts are sorted, oldest first, and hold the
// matches that they won.
func noteShadowed(drafts []*pipelineDraft) {
	hosts := map[string]*coverage{}
	order := 0
	for _, draft := range drafts {
		for i := range draft.matches {
			order++
			draft.matches[i].order = order
			addCoverage(hosts, draft, &draft.matches[i])
		}
	}
	for _, draft := range drafts {
		for i := range draft.matches {
			match := &draft.matches[i]
			if by, ok := hosts[match.Host].covers(match); ok {
				whose := "of this Pipeline"
				if by.draft != draft {
					whose = "of Pipeline " + quoteKey(by.draft.key)
				}
				draft.shadowed = append(draft.shadowed, format("Shadowed: %s: %s never wins, %s %s comes first",
					match.field(), describe(&match.Match, match.Methods), describe(&by.match.Match, by.match.Methods), whose))
			}
		}
	}
}

func addCoverage(hosts map[string]*coverage, draft *pipelineDraft, match *draftMatch) {
	c := hosts[match.Host]
	if c == nil {
		c = &coverage{exact: map[string]covering{}, literals: map[string]covering{}}
		hosts[match.Host] = c
	}
	if len(match.Headers) > 0 {
		return
	}
	by := covering{draft: draft, match: match, order: match.order}
	switch match.Path.Type {
	case routing.PathExact:
		if _, ok := c.exact[match.Path.Value]; !ok {
			c.exact[match.Path.Value] = by
		}
	case routing.PathRegularExpression:
		if literal, rest := splitExpression(match.Path.Value); rest == restAnything {
			if _, ok := c.literals[literal]; !ok {
				c.literals[literal] = by
				if at, known := slices.BinarySearch(c.lengths, len(literal)); !known {
					c.lengths = slices.Insert(c.lengths, at, len(literal))
				}
			}
		}
	case routing.PathPrefix:
	}
}

// covers returns what keeps a match from ever winning.
func (c *coverage) covers(match *draftMatch) (covering, bool) {
	switch match.Path.Type {
	case routing.PathPrefix:
		for _, length := range c.lengths {
			if length > len(match.Path.Value) {
				break
			}
			if by, ok := c.literals[match.Path.Value[:length]]; ok {
				return by, true
			}
		}
	case routing.PathRegularExpression:
		literal, rest := splitExpression(match.Path.Value)
		if rest == restNothing {
			if by, ok := c.exact[literal]; ok {
				return by, true
			}
		}
		// Among expressions the longer literal comes first, then the older Pipeline.
		if by, ok := c.literals[literal]; ok && rest != restSomething && by.order < match.order && by.match.Path != match.Path {
			return by, true
		}
	case routing.PathExact:
	}
	return covering{}, false
}

// restKind says what follows an expression's literal.
type restKind uint8

const (
	// restSomething may go on with more literal text.
	restSomething restKind = iota
	// restNothing: the literal is all.
	restNothing
	// restAnything: every text may follow.
	restAnything
	// restVaries: some texts may follow, and they have no beginning in common.
	restVaries
)

// splitExpression returns the literal that an expression begins with and what follows it. It knows plain literals and
// literals followed by something without a literal beginning; that is when the literal is the one that routing orders by.
func splitExpression(expression string) (literal string, rest restKind) {
	tree, err := syntax.Parse(expression, syntax.Perl)
	if err != nil {
		return "", restSomething
	}
	parts := []*syntax.Regexp{tree}
	if tree.Op == syntax.OpConcat {
		parts = tree.Sub
	}
	if len(parts) > 0 && parts[0].Op == syntax.OpBeginText {
		parts = parts[1:]
	}
	if last := len(parts) - 1; last >= 0 && parts[last].Op == syntax.OpEndText {
		parts = parts[:last]
	}
	if len(parts) > 0 && parts[0].Op == syntax.OpLiteral && parts[0].Flags&syntax.FoldCase == 0 {
		literal, parts = string(parts[0].Rune), parts[1:]
	}
	switch {
	case len(parts) == 0:
		return literal, restNothing
	case len(parts) == 1 && parts[0].Op == syntax.OpStar &&
		(parts[0].Sub[0].Op == syntax.OpAnyChar || parts[0].Sub[0].Op == syntax.OpAnyCharNotNL):
		return literal, restAnything
	case beginsAnyhow(parts[0]):
		return literal, restVaries
	default:
		return literal, restSomething
	}
}

// beginsAnyhow reports that what an expression matches has no literal beginning.
func beginsAnyhow(tree *syntax.Regexp) bool {
	switch tree.Op {
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpStar, syntax.OpQuest, syntax.OpAlternate:
		return true
	case syntax.OpPlus, syntax.OpRepeat, syntax.OpCapture, syntax.OpConcat:
		return beginsAnyhow(tree.Sub[0])
	default:
		return false
	}
}
