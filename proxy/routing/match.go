package routing

import (
	"regexp"
	"slices"
	"strings"
)

// hostTable holds the matches of one host.
type hostTable struct {
	exact map[string]*group
	// expressions, the most specific first.
	expressions []expression
	root        node
}

// expression is the matches of one regular expression.
type expression struct {
	// literal is what every matching path begins with.
	literal string
	// pattern is nil where the expression could not be used: then the literal alone decides, so that the broken
	// Pipeline still keeps these paths from broader ones.
	pattern *regexp.Regexp
	group   *group
}

func (e *expression) matches(path string) bool {
	return strings.HasPrefix(path, e.literal) && (e.pattern == nil || e.pattern.MatchString(path))
}

// node is a segment of the prefixes.
type node struct {
	children map[string]*node
	// group is nil where no prefix ends.
	group *group
	// up is the nearest node above with a group.
	up *node
}

// find returns the longest prefix of the path, by whole segments, that has matches.
func (n *node) find(path string) *node {
	best := n
	if n.group == nil {
		best = nil
	}
	for rest, more := path[1:], true; more && n.children != nil; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		if n = n.children[segment]; n == nil {
			break
		}
		if n.group != nil {
			best = n
		}
	}
	return best
}

// group is the matches with the same host and path.
type group struct {
	// entries, the most specific first.
	entries []entry
	// allow is the union of all methods; it is right where no entry asks for headers.
	allow string
	// headers says whether an entry asks for headers.
	headers bool
}

// entry is one match, compiled.
type entry struct {
	route   Route
	methods []string
	headers []headerMatcher
}

// headerMatcher compares one header.
type headerMatcher struct {
	name  string
	exact string
	// pattern replaces exact where it is set.
	pattern *regexp.Regexp
	// broken: the expression could not be used, and every value matches, see expression.pattern.
	broken bool
}

func (m *headerMatcher) matches(r *Request) bool {
	values := r.Fields.Values(m.name)
	if len(values) == 0 {
		return false
	}
	value := values[0]
	if len(values) > 1 {
		value = strings.Join(values, ", ")
	}
	switch {
	case m.broken:
		return true
	case m.pattern != nil:
		return m.pattern.MatchString(value)
	default:
		return value == m.exact
	}
}

func (e *entry) headersMatch(r *Request) bool {
	for i := range e.headers {
		if !e.headers[i].matches(r) {
			return false
		}
	}
	return true
}

func (e *entry) allows(method string) bool {
	return len(e.methods) == 0 || slices.Contains(e.methods, method)
}

// match decides among the matches of one path; NoRoute means that the next less specific one has to be looked at.
func (g *group) match(r *Request) Result {
	result := Result{}
	for i := range g.entries {
		e := &g.entries[i]
		if e.allows(r.Method) {
			if e.headersMatch(r) {
				return Result{Status: Found, Route: &e.route}
			}
		} else if result.Status == NoRoute && e.headersMatch(r) {
			result.Status = MethodNotAllowed
		}
	}
	if result.Status == MethodNotAllowed {
		result.Allow = g.allowed(r)
	}
	return result
}

// allowed returns the union of the methods of those entries whose headers match.
func (g *group) allowed(r *Request) string {
	if !g.headers {
		return g.allow
	}
	var methods []string
	for i := range g.entries {
		if e := &g.entries[i]; e.headersMatch(r) {
			methods = append(methods, e.methods...)
		}
	}
	return joinMethods(methods)
}

// joinMethods writes the Allow field. The slice is used up.
func joinMethods(methods []string) string {
	slices.Sort(methods)
	return strings.Join(slices.Compact(methods), ", ")
}

// host returns the matches of the most specific host, or nil.
func (t *Table) host(host string) *hostTable {
	if h, ok := t.hosts[host]; ok {
		return h
	}
	if len(t.wildcards) > 0 {
		if _, suffix, ok := strings.Cut(host, "."); ok {
			if h, ok := t.wildcards[suffix]; ok {
				return h
			}
		}
	}
	return t.anyHost
}

// Match finds the Route of a request, in the order of precedence that the package comment tells. It allocates nothing,
// but for the Allow of a path whose matches ask for headers, and for fields of several lines that matches ask for.
func (t *Table) Match(r *Request) Result {
	h := t.host(r.Host)
	if h == nil || r.Path == "" || r.Path[0] != '/' {
		return Result{}
	}
	if g, ok := h.exact[r.Path]; ok {
		if result := g.match(r); result.Status != NoRoute {
			return result
		}
	}
	for i := range h.expressions {
		if e := &h.expressions[i]; e.matches(r.Path) {
			if result := e.group.match(r); result.Status != NoRoute {
				return result
			}
		}
	}
	for n := h.root.find(r.Path); n != nil; n = n.up {
		if result := n.group.match(r); result.Status != NoRoute {
			return result
		}
	}
	return Result{}
}
