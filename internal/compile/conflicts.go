package compile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/routing"
)

// claim is the smallest thing that two matches can both ask for. A match for every method claims the empty method,
// which is not in conflict with named ones: those are more specific.
type claim struct {
	host    string
	path    routing.PathMatch
	headers string
	method  string
}

func (m *draftMatch) claims() []claim {
	c := claim{host: m.Host, path: m.Path, headers: headersKey(m.Headers)}
	if len(m.Methods) == 0 {
		return []claim{c}
	}
	claims := make([]claim, 0, len(m.Methods))
	for _, method := range m.Methods {
		c.method = method
		claims = append(claims, c)
	}
	return claims
}

// headersKey is equal for equal header matches, which are sorted.
func headersKey(headers []routing.HeaderMatch) string {
	var b strings.Builder
	for _, h := range headers {
		fmt.Fprintf(&b, "%q %d %q\n", h.Name, h.Type, h.Value)
	}
	return b.String()
}

// holder is who has a claim.
type holder struct {
	draft    *pipelineDraft
	endpoint int
}

// resolveConflicts gives each claim to the oldest Pipeline that makes it, and within a Pipeline to the first endpoint.
// The drafts are sorted, oldest first. A match keeps the methods that nobody had before. Matches that
// were widened come last.
func resolveConflicts(drafts []*pipelineDraft) {
	taken := map[claim]holder{}
	for _, widened := range []bool{false, true} {
		for _, draft := range drafts {
			for i := range draft.matches {
				if match := &draft.matches[i]; match.widened == widened {
					draft.claimMatch(match, taken)
				}
			}
		}
	}
	for _, draft := range drafts {
		draft.matches = slices.DeleteFunc(draft.matches, func(m draftMatch) bool { return m.dropped })
	}
}

func (d *pipelineDraft) claimMatch(match *draftMatch, taken map[claim]holder) {
	var kept []string
	lost := map[holder][]string{}
	won := false
	for _, c := range match.claims() {
		if has, ok := taken[c]; ok {
			lost[has] = append(lost[has], c.method)
			continue
		}
		taken[c] = holder{draft: d, endpoint: match.endpoint}
		won = true
		if c.method != "" {
			kept = append(kept, c.method)
		}
	}
	for has, methods := range lost {
		if methods[0] == "" {
			methods = nil
		}
		d.tellLost(match, has, methods)
	}
	match.dropped = !won
	if won {
		match.Methods = kept
	}
}

// tellLost notes that a match, or those methods of it, are another's.
func (d *pipelineDraft) tellLost(match *draftMatch, has holder, methods []string) {
	what := describe(&match.Match, methods)
	switch {
	case has.draft != d:
		older, younger := "which is older", "which is younger"
		if match.widened {
			older, younger = "which states it validly", "which can't be compiled"
		}
		d.lost = append(d.lost, format("%s: %s is taken by Pipeline %s, %s", match.field(), what, quoteKey(has.draft.key), older))
		has.draft.won = append(has.draft.won, format("%s is kept from Pipeline %s, %s", what, quoteKey(d.key), younger))
	case has.endpoint != match.endpoint:
		d.shadowed = append(d.shadowed, format("Shadowed: %s: %s never wins, spec.apiEndpoints[%d] takes the same requests",
			match.field(), what, has.endpoint))
	}
}
