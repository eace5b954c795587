package routing

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Problem says what is wrong with a Pipeline of a Config.
type Problem struct {
	Pipeline ObjectKey
	Kind     ProblemKind
	Message  string
}

// ProblemKind says what a Problem means for requests.
type ProblemKind uint8

const (
	// ProblemBroken is the zero value: every request that the Pipeline matches is answered 503.
	ProblemBroken ProblemKind = iota
	// ProblemCertificate means that handshakes for a certificate's hosts fail; nothing else does.
	ProblemCertificate
)

// Build makes the Table of a Config. It never fails: a Pipeline with something that can't be used becomes Broken, is
// told as a Problem, and keeps its matches, so that no broader Pipeline takes its requests. A path that can't be used
// keeps, with the precedence of a regular expression, all paths of its host that begin with what is certain of it, and a
// header expression that can't be used keeps every request with that header. The Config is not changed, but it is kept:
// do not change it afterwards.
//
// Of equal matches the one of the older Pipeline wins, which is the one that comes first.
func Build(cfg Config) (*Table, []Problem) {
	b := builder{hosts: map[string]*hostBuilder{}}
	t := &Table{
		pipelines:     slices.Clone(cfg.Pipelines),
		certificates:  cfg.Certificates,
		hosts:         map[string]*hostTable{},
		wildcards:     map[string]*hostTable{},
		certificateOf: hostIndex{exact: map[string]int{}, wildcards: map[string]int{}},
	}
	for i := range t.pipelines {
		b.addPipeline(i, &t.pipelines[i])
	}
	for name, host := range b.hosts {
		suffix, wildcard := strings.CutPrefix(name, "*.")
		switch {
		case name == "":
			t.anyHost = host.finish()
		case wildcard:
			t.wildcards[suffix] = host.finish()
		default:
			t.hosts[name] = host.finish()
		}
	}
	for i, certificate := range cfg.Certificates {
		for _, host := range certificate.Hosts {
			if canonical, err := canonicalPattern(host); err == nil {
				t.certificateOf.add(canonical, i)
			}
		}
	}
	return t, b.problems
}

// builder collects the matches by host and path.
type builder struct {
	hosts    map[string]*hostBuilder
	problems []Problem
}

// hostBuilder collects the matches of one host by path.
type hostBuilder struct {
	exact       map[string]*group
	expressions map[string]*expression
	prefixes    map[string]*group // without a slash at the end
	// broken holds, by what is certain of them, the paths that can't be used.
	broken map[string]*expression
	// inOrder is expressions and broken, those of older Pipelines first.
	inOrder []*expression
}

func newHostBuilder() *hostBuilder {
	return &hostBuilder{
		exact:       map[string]*group{},
		expressions: map[string]*expression{},
		prefixes:    map[string]*group{},
		broken:      map[string]*expression{},
	}
}

func (b *builder) addPipeline(index int, p *Pipeline) {
	for i := range p.Matches {
		if err := b.addMatch(index, &p.Matches[i]); err != nil {
			message := fmt.Sprintf("match %d (endpoint %q): %v", i, p.Matches[i].Endpoint, err)
			b.problems = append(b.problems, Problem{Pipeline: p.Key, Message: message})
			if p.Broken == "" {
				p.Broken = message
			}
		}
	}
}

// addMatch adds a match, also one with something wrong, unless no request can have its host.
func (b *builder) addMatch(pipeline int, m *Match) error {
	host, err := canonicalPattern(m.Host)
	if err != nil {
		return fmt.Errorf("host %q: %w", m.Host, err)
	}
	h, ok := b.hosts[host]
	if !ok {
		h = newHostBuilder()
		b.hosts[host] = h
	}
	g, pathErr := h.group(m.Path)
	e, headerErr := newEntry(Route{Pipeline: pipeline, Match: m})
	g.entries = append(g.entries, e)
	return errors.Join(pathErr, headerErr)
}

// group returns the group of a path, and with an error the group that stands in for it.
func (h *hostBuilder) group(path PathMatch) (*group, error) {
	switch path.Type {
	case PathRegularExpression:
		if e, ok := h.expressions[path.Value]; ok {
			return e.group, nil
		}
		pattern, literal, err := compileExpression(path.Value)
		if err != nil {
			if literal == "" {
				literal = plainPrefix(path.Value)
			}
			return h.standIn(literal), fmt.Errorf("path %q: %w", path.Value, err)
		}
		e := &expression{literal: literal, pattern: pattern, group: &group{}}
		h.expressions[path.Value] = e
		h.inOrder = append(h.inOrder, e)
		return e.group, nil
	case PathExact, PathPrefix:
		value, err := CanonicalPath(path.Value)
		if err != nil {
			return h.standIn(certainPrefix(path.Value)), fmt.Errorf("path %q: %w", path.Value, err)
		}
		groups := h.exact
		if path.Type == PathPrefix {
			groups, value = h.prefixes, strings.TrimSuffix(value, "/")
		}
		if groups[value] == nil {
			groups[value] = &group{}
		}
		return groups[value], nil
	default:
		return h.standIn(certainPrefix(path.Value)), fmt.Errorf("unknown type of path match: %d", path.Type)
	}
}

// standIn returns the group of all paths that begin with the literal.
func (h *hostBuilder) standIn(literal string) *group {
	e, ok := h.broken[literal]
	if !ok {
		e = &expression{literal: literal, group: &group{}}
		h.broken[literal] = e
		h.inOrder = append(h.inOrder, e)
	}
	return e.group
}

// certainPrefix returns the whole segments that a path begins with which are canonical.
func certainPrefix(path string) string {
	for end := strings.LastIndexByte(path, '/'); end >= 0; end = strings.LastIndexByte(path[:end], '/') {
		if canonical, err := CanonicalPath(path[:end+1]); err == nil && canonical == path[:end+1] {
			return canonical
		}
	}
	return ""
}

func newEntry(route Route) (entry, error) {
	e := entry{route: route, methods: route.Match.Methods}
	var errs []error
	for _, h := range route.Match.Headers {
		m := headerMatcher{name: strings.ToLower(h.Name), exact: h.Value}
		switch h.Type {
		case HeaderExact:
		case HeaderRegularExpression:
			var err error
			if m.pattern, _, err = compileExpression(h.Value); err != nil {
				m.broken = true
				errs = append(errs, fmt.Errorf("header %q: %w", h.Name, err))
			}
		default:
			m.broken = true
			errs = append(errs, fmt.Errorf("header %q: unknown type of header match: %d", h.Name, h.Type))
		}
		e.headers = append(e.headers, m)
	}
	return e, errors.Join(errs...)
}

// finish sorts what was collected and links it.
func (h *hostBuilder) finish() *hostTable {
	t := &hostTable{exact: h.exact}
	for _, g := range h.exact {
		g.finish()
	}
	slices.SortStableFunc(h.inOrder, func(a, b *expression) int {
		return -cmp.Compare(len(a.literal), len(b.literal))
	})
	for _, e := range h.inOrder {
		e.group.finish()
		t.expressions = append(t.expressions, *e)
	}
	for prefix, g := range h.prefixes {
		g.finish()
		t.root.insert(prefix, g)
	}
	t.root.link(nil)
	return t
}

// finish sorts the entries: those that name methods first, then those with more headers, then the older Pipeline's,
// then in the order of that Pipeline, in which they were added.
func (g *group) finish() {
	slices.SortStableFunc(g.entries, func(a, b entry) int {
		return cmp.Or(
			compareNamed(a.methods, b.methods),
			-cmp.Compare(len(a.headers), len(b.headers)),
			cmp.Compare(a.route.Pipeline, b.route.Pipeline),
		)
	})
	var methods []string
	for i := range g.entries {
		methods = append(methods, g.entries[i].methods...)
		g.headers = g.headers || len(g.entries[i].headers) > 0
	}
	g.allow = joinMethods(methods)
}

// compareNamed puts a list with something in it first.
func compareNamed(a, b []string) int { return -cmp.Compare(min(len(a), 1), min(len(b), 1)) }

// insert adds the group of a prefix without a slash at its end.
func (n *node) insert(prefix string, g *group) {
	for prefix != "" {
		var segment string
		segment, rest, more := strings.Cut(prefix[1:], "/")
		child := n.children[segment]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = map[string]*node{}
			}
			n.children[segment] = child
		}
		n, prefix = child, ""
		if more {
			prefix = "/" + rest
		}
	}
	n.group = g
}

// link sets up, here and below.
func (n *node) link(up *node) {
	n.up = up
	if n.group != nil {
		up = n
	}
	for _, child := range n.children {
		child.link(up)
	}
}

// canonicalPattern is CanonicalHost for the host of a match or a certificate.
func canonicalPattern(pattern string) (string, error) {
	if pattern == "" {
		return "", nil
	}
	suffix, wildcard := strings.CutPrefix(pattern, "*.")
	if strings.HasPrefix(suffix, "[") {
		if wildcard {
			return "", ErrHostMalformed
		}
	} else if strings.Contains(suffix, ":") {
		return "", ErrHostMalformed
	}
	canonical, err := CanonicalHost(suffix)
	if err != nil || !wildcard {
		return canonical, err
	}
	return "*." + canonical, nil
}
