package routing

import "strings"

// Fit says what became of one match for one request.
type Fit uint8

const (
	// FitHost: the match is for another host.
	FitHost Fit = iota
	// FitHostLess: the match's host has the request's host too, but a more specific one is named by another match, and
	// then no other host is looked at.
	FitHostLess
	// FitPath: the match is for another path.
	FitPath
	// FitMethod: the match is for other methods.
	FitMethod
	// FitHeaders: the match asks for header fields that the request doesn't have.
	FitHeaders
	// FitLess: the match would take the request, had a more specific or older one not taken it.
	FitLess
	// FitTaken: the match takes the request.
	FitTaken
)

// Candidate is a match with what became of it.
type Candidate struct {
	// Pipeline is the index into Config.Pipelines.
	Pipeline int
	Match    *Match
	Fit      Fit
}

// Explain says of every match why it does not take the request, or that it does: what Match decides, told by the same
// tables. It is for people and looks at everything. The candidates are in the order of the Config.
func (t *Table) Explain(r *Request) []Candidate {
	fits := map[*Match]Fit{}
	taken := t.Match(r).Route
	h := t.host(r.Host)
	if h != nil {
		h.explain(r, taken, fits)
	}
	for _, less := range t.fitting(r.Host) {
		if less == h {
			continue
		}
		less.each(func(g *group) {
			for i := range g.entries {
				fits[g.entries[i].route.Match] = FitHostLess
			}
		})
	}
	var candidates []Candidate
	for i := range t.pipelines {
		for j := range t.pipelines[i].Matches {
			m := &t.pipelines[i].Matches[j]
			candidates = append(candidates, Candidate{Pipeline: i, Match: m, Fit: fits[m]})
		}
	}
	return candidates
}

// fitting are the tables that have the host, whichever is asked.
func (t *Table) fitting(host string) []*hostTable {
	var tables []*hostTable
	if h, ok := t.hosts[host]; ok {
		tables = append(tables, h)
	}
	if _, suffix, ok := strings.Cut(host, "."); ok {
		if h, ok := t.wildcards[suffix]; ok {
			tables = append(tables, h)
		}
	}
	if t.anyHost != nil {
		tables = append(tables, t.anyHost)
	}
	return tables
}

// explain tells of the matches of the host that is asked.
func (h *hostTable) explain(r *Request, taken *Route, fits map[*Match]Fit) {
	reached := map[*group]bool{}
	if r.Path != "" && r.Path[0] == '/' {
		if g, ok := h.exact[r.Path]; ok {
			reached[g] = true
		}
		for i := range h.expressions {
			if e := &h.expressions[i]; e.matches(r.Path) {
				reached[e.group] = true
			}
		}
		for n := h.root.find(r.Path); n != nil; n = n.up {
			reached[n.group] = true
		}
	}
	h.each(func(g *group) {
		for i := range g.entries {
			e := &g.entries[i]
			switch {
			case !reached[g]:
				fits[e.route.Match] = FitPath
			case !e.allows(r.Method):
				fits[e.route.Match] = FitMethod
			case !e.headersMatch(r):
				fits[e.route.Match] = FitHeaders
			case taken != nil && e.route.Match == taken.Match:
				fits[e.route.Match] = FitTaken
			default:
				fits[e.route.Match] = FitLess
			}
		}
	})
}

// each calls f for the matches of every path.
func (h *hostTable) each(f func(*group)) {
	for _, g := range h.exact {
		f(g)
	}
	for i := range h.expressions {
		f(h.expressions[i].group)
	}
	h.root.each(f)
}

func (n *node) each(f func(*group)) {
	if n.group != nil {
		f(n.group)
	}
	for _, child := range n.children {
		child.each(f)
	}
}
