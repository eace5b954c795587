package routing

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// naiveMatch is what the package comment says, by looking at every match for every request.
func naiveMatch(cfg Config, r *Request) string {
	type candidate struct {
		pipeline int
		match    *Match
	}
	var all []candidate
	for i := range cfg.Pipelines {
		for j := range cfg.Pipelines[i].Matches {
			all = append(all, candidate{i, &cfg.Pipelines[i].Matches[j]})
		}
	}

	// Host first and never reconsidered: exact, then "*." one label, then any.
	var ofHost []candidate
	_, parent, _ := strings.Cut(r.Host, ".")
	for _, host := range []string{r.Host, "*." + parent, ""} {
		for _, c := range all {
			if c.match.Host == host {
				ofHost = append(ofHost, c)
			}
		}
		if len(ofHost) > 0 {
			break
		}
	}

	// Then the path, most specific first.
	var ofPath []candidate
	for _, c := range ofHost {
		if naivePathMatches(c.match.Path, r.Path) {
			ofPath = append(ofPath, c)
		}
	}
	oldestWith := func(p PathMatch) int {
		return slices.IndexFunc(all, func(c candidate) bool { return c.match.Path == p && c.match.Host == ofPath[0].match.Host })
	}
	slices.SortStableFunc(ofPath, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.match.Path.Type, b.match.Path.Type),
			-cmp.Compare(naiveSpecificity(a.match.Path), naiveSpecificity(b.match.Path)),
			cmp.Compare(oldestWith(a.match.Path), oldestWith(b.match.Path)),
		)
	})

	for len(ofPath) > 0 {
		var here []candidate
		for len(ofPath) > 0 && (len(here) == 0 || here[0].match.Path == ofPath[0].match.Path) {
			here, ofPath = append(here, ofPath[0]), ofPath[1:]
		}
		// Headers don't match: the next less specific path of the same host.
		here = slices.DeleteFunc(here, func(c candidate) bool {
			return slices.ContainsFunc(c.match.Headers, func(h HeaderMatch) bool {
				lines := r.Fields.Values(h.Name)
				value, ok := strings.Join(lines, ", "), len(lines) > 0
				return !ok || value != h.Value
			})
		})
		if len(here) == 0 {
			continue
		}
		// The path matches but no method: the union of the methods.
		var methods []string
		for _, c := range here {
			methods = append(methods, c.match.Methods...)
		}
		here = slices.DeleteFunc(here, func(c candidate) bool {
			return len(c.match.Methods) > 0 && !slices.Contains(c.match.Methods, r.Method)
		})
		if len(here) == 0 {
			slices.Sort(methods)
			return "method not allowed, allow " + strings.Join(slices.Compact(methods), ", ")
		}
		// Method, then more headers, then the older Pipeline.
		slices.SortStableFunc(here, func(a, b candidate) int {
			return cmp.Or(
				-cmp.Compare(min(1, len(a.match.Methods)), min(1, len(b.match.Methods))),
				-cmp.Compare(len(a.match.Headers), len(b.match.Headers)),
			)
		})
		return here[0].match.Endpoint
	}
	return "no route"
}

func naivePathMatches(p PathMatch, path string) bool {
	switch p.Type {
	case PathExact:
		return path == p.Value
	case PathPrefix:
		return p.Value == "/" || path == p.Value || strings.HasPrefix(path, p.Value+"/")
	case PathRegularExpression:
		found := regexp.MustCompile(p.Value)
		found.Longest()
		return found.FindString(path) == path
	default:
		return false
	}
}

func naiveSpecificity(p PathMatch) int {
	if p.Type != PathRegularExpression {
		return len(p.Value)
	}
	literal, _ := regexp.MustCompile(p.Value).LiteralPrefix()
	return len(literal)
}

func drawConfig(t *rapid.T) Config {
	hosts := rapid.SampledFrom([]string{"", "*.test", "a.test", "b.test", "*.b.test"})
	paths := rapid.SampledFrom([]PathMatch{
		prefix("/"), prefix("/a"), prefix("/a/b"), prefix("/a/b/c"), prefix("/ab"),
		exact("/"), exact("/a"), exact("/a/"), exact("/a/b"),
		matches("/a/.*"), matches("/[a-c]"), matches("/a/(b|c)"), matches("/a/b.*"), matches(".*"), matches("/a/[b-d]"),
	})
	methods := rapid.SampledFrom([][]string{nil, nil, {"GET"}, {"POST"}, {"GET", "PUT"}})
	headers := rapid.SampledFrom([][]HeaderMatch{
		nil, nil, {header("x-a", "1")}, {header("x-b", "1")}, {header("x-a", "1"), header("x-b", "1")},
	})
	number := 0
	match := rapid.Custom(func(t *rapid.T) Match {
		number++
		return Match{
			Endpoint: "match " + string(rune('A'+number)),
			Host:     hosts.Draw(t, "host"), Path: paths.Draw(t, "path"),
			Methods: methods.Draw(t, "methods"), Headers: headers.Draw(t, "headers"),
		}
	})
	var cfg Config
	for range rapid.IntRange(0, 6).Draw(t, "pipelines") {
		cfg.Pipelines = append(cfg.Pipelines, Pipeline{Matches: rapid.SliceOfN(match, 1, 4).Draw(t, "matches")})
	}
	return cfg
}

func agreesWithTheNaiveMatcher(t *rapid.T) {
	cfg := drawConfig(t)
	table, problems := Build(cfg)
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	requestHeaders := rapid.SampledFrom([]map[string]string{
		nil, {"x-a": "1"}, {"x-a": "2", "x-b": "1"}, {"x-a": "1", "x-b": "1"},
	})
	for range 8 {
		values := requestHeaders.Draw(t, "request headers")
		r := &Request{
			Host:   rapid.SampledFrom([]string{"a.test", "b.test", "c.test", "a.b.test", "test", "other", "x.a.b.test"}).Draw(t, "host"),
			Path:   rapid.SampledFrom([]string{"/", "/a", "/a/", "/a/b", "/a/c", "/a/b/c", "/a/b/c/d", "/ab", "/b", "/ab/c", "/x"}).Draw(t, "path"),
			Method: rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method"),
			Fields: oneLineEach(values),
		}
		if got, want := describe(table.Match(r)), naiveMatch(cfg, r); got != want {
			t.Fatalf("%s %s%s with %v: %s, want %s\n%+v", r.Method, r.Host, r.Path, values, got, want, cfg.Pipelines)
		}
	}
}

func TestMatchAgreesWithTheNaiveMatcher(t *testing.T) { rapid.Check(t, agreesWithTheNaiveMatcher) }

func FuzzMatch(f *testing.F) { f.Fuzz(rapid.MakeFuzz(agreesWithTheNaiveMatcher)) }

// explanationAgrees: what Explain says is taken is what Match takes, and what it says of the others is true by itself.
func explanationAgrees(t *rapid.T) {
	cfg := drawConfig(t)
	table, problems := Build(cfg)
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	r := &Request{
		Host:   rapid.SampledFrom([]string{"a.test", "b.test", "c.test", "a.b.test", "other"}).Draw(t, "host"),
		Path:   rapid.SampledFrom([]string{"/", "/a", "/a/", "/a/b", "/a/b/c", "/ab", "/x"}).Draw(t, "path"),
		Method: rapid.SampledFrom([]string{"GET", "POST", "DELETE"}).Draw(t, "method"),
		Fields: fields{"x-a": {"1"}},
	}
	result := table.Match(r)
	_, parent, _ := strings.Cut(r.Host, ".")
	total := 0
	for _, c := range table.Explain(r) {
		total++
		if taken := result.Status == Found && result.Route.Match == c.Match; taken != (c.Fit == FitTaken) {
			t.Fatalf("%s is told as %d, taken: %t", c.Match.Endpoint, c.Fit, taken)
		}
		host := c.Match.Host == r.Host || c.Match.Host == "*."+parent || c.Match.Host == ""
		path := naivePathMatches(c.Match.Path, r.Path)
		method := len(c.Match.Methods) == 0 || slices.Contains(c.Match.Methods, r.Method)
		headers := !slices.ContainsFunc(c.Match.Headers, func(h HeaderMatch) bool { return h.Name != "x-a" })
		holds := map[Fit]bool{
			FitHost: !host, FitHostLess: host, FitPath: host && !path, FitMethod: host && path && !method,
			FitHeaders: host && path && method && !headers, FitLess: host && path && method && headers, FitTaken: host && path && method && headers,
		}
		if !holds[c.Fit] {
			t.Fatalf("%s of %+v is told as %d", c.Match.Endpoint, c.Match, c.Fit)
		}
	}
	for _, p := range cfg.Pipelines {
		total -= len(p.Matches)
	}
	if total != 0 {
		t.Fatalf("%d matches too many are explained", total)
	}
}

func TestExplainAgreesWithMatch(t *testing.T) { rapid.Check(t, explanationAgrees) }
