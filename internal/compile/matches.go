package compile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// draftMatch is a match that a Pipeline asks for.
type draftMatch struct {
	routing.Match
	// endpoint is the index in spec.apiEndpoints.
	endpoint int
	// widened marks a match that asks for a method or a header that can't be sent, and goes without it. What it takes is
	// closed, but it never takes anything from a match that says what it wants.
	widened bool
	// dropped marks a match that lost everything to older ones.
	dropped bool
	// order is the position among all matches.
	order int
}

// field is where the match comes from.
func (m *draftMatch) field() string {
	return fmt.Sprintf("spec.apiEndpoints[%d]", m.endpoint)
}

// anyValue is the expression that matches everything.
const anyValue = ".*"

// draftMatches is the cross product of each endpoint's hosts and paths.
func draftMatches(p *v1alpha1.Pipeline, errs *problems) []draftMatch {
	if len(p.Spec.APIEndpoints) == 0 {
		errs.invalid("spec.apiEndpoints: state at least one, a Pipeline without takes no requests")
	}
	var matches []draftMatch
	for i := range p.Spec.APIEndpoints {
		endpoint := &p.Spec.APIEndpoints[i]
		field := fmt.Sprintf("spec.apiEndpoints[%d]", i)
		hosts := draftHosts(field, endpoint.Hosts, errs)
		paths := draftPaths(field, endpoint.Paths, errs)
		methods, methodsCertain := draftMethods(field, endpoint.Methods, errs)
		headers, headersCertain := draftHeaders(field, endpoint.Headers, errs)
		for _, host := range hosts {
			for _, path := range paths {
				matches = append(matches, draftMatch{
					endpoint: i,
					widened:  !methodsCertain || !headersCertain,
					Match: routing.Match{
						Endpoint: endpoint.Name,
						Host:     host,
						Path:     path,
						Methods:  methods,
						Headers:  headers,
						Scopes:   slices.Clone(endpoint.Scopes),
					},
				})
			}
		}
	}
	return matches
}

// draftHosts brings hosts into the form of routing.CanonicalHost; none stand for any host.
func draftHosts(field string, hosts []string, errs *problems) []string {
	if len(hosts) == 0 {
		return []string{""}
	}
	var drafts []string
	for i, host := range hosts {
		name, complaint := canonicalHost(host)
		if complaint != "" {
			errs.invalid("%s.hosts[%d]: %s", field, i, complaint)
		}
		if name != "" && !slices.Contains(drafts, name) {
			drafts = append(drafts, name)
		}
	}
	return drafts
}

// canonicalHost returns a host as requests have it, lower-case, or "" if none can. The complaint says what is wrong with
// the way it was written.
func canonicalHost(host string) (name, complaint string) {
	suffix, wildcard := strings.CutPrefix(host, "*.")
	name, err := routing.CanonicalHost(suffix)
	if err != nil || (wildcard && strings.HasPrefix(name, "[")) {
		if host == "*" {
			return "", `"*" is not a host; leave hosts out to take any host, or write "*.example.com" for one more label`
		}
		return "", fmt.Sprintf(`%s is not a host; write a DNS name such as "api.example.com" or "*.example.com"`, quote(host))
	}
	if wildcard {
		name = "*." + name
	}
	if name != strings.ToLower(host) {
		return name, fmt.Sprintf("requests for %s are matched as %s; write that", quote(host), quote(name))
	}
	return name, ""
}

// draftPaths brings paths into the form of routing.ParsePath; none stand for every path.
func draftPaths(field string, paths []v1alpha1.PathMatch, errs *problems) []routing.PathMatch {
	if len(paths) == 0 {
		return []routing.PathMatch{{Type: routing.PathPrefix, Value: "/"}}
	}
	drafts := make([]routing.PathMatch, 0, len(paths))
	for i := range paths {
		for _, draft := range draftPath(fmt.Sprintf("%s.paths[%d]", field, i), &paths[i], errs) {
			if !slices.Contains(drafts, draft) {
				drafts = append(drafts, draft)
			}
		}
	}
	return drafts
}

// draftPath compiles a path. With a problem it is what the path could have meant, so that the Pipeline, which is Broken
// then, keeps those requests from broader ones.
func draftPath(field string, path *v1alpha1.PathMatch, errs *problems) []routing.PathMatch {
	known := len(*errs)
	kind := choose(errs, field+".type", path.Type,
		choice[v1alpha1.PathMatchType, routing.PathMatchType]{v1alpha1.PathMatchPathPrefix, routing.PathPrefix},
		choice[v1alpha1.PathMatchType, routing.PathMatchType]{v1alpha1.PathMatchExact, routing.PathExact},
		choice[v1alpha1.PathMatchType, routing.PathMatchType]{v1alpha1.PathMatchRegularExpression, routing.PathRegularExpression},
	)
	if len(*errs) > known {
		standIns := []routing.PathMatch{standInPath(path.Value)}
		if canonical, err := routing.CanonicalPath(path.Value); err == nil {
			standIns = append(standIns, routing.PathMatch{Type: routing.PathExact, Value: canonical},
				prefixForm(routing.PathPrefix, canonical))
		}
		return standIns
	}
	if kind == routing.PathRegularExpression {
		if err := routing.ValidateExpression(path.Value); err != nil {
			errs.invalid("%s.value: %s can't be used: %s; write an RE2 expression, or type PathPrefix",
				field, quote(path.Value), expressionError(err))
			return []routing.PathMatch{standInPath(path.Value)}
		}
		return []routing.PathMatch{{Type: kind, Value: path.Value}}
	}
	canonical, err := routing.CanonicalPath(path.Value)
	if err != nil {
		errs.invalid("%s.value: %s can't be a path: %v; write it as clients request it, from the first slash on, "+
			"without query, encoded slashes and parameters", field, quote(path.Value), err)
		return []routing.PathMatch{standInPath(path.Value)}
	}
	if canonical != path.Value {
		errs.invalid("%s.value: requests for %s are matched as %s; write that", field, quote(path.Value), quote(canonical))
	}
	return []routing.PathMatch{prefixForm(kind, canonical)}
}

// prefixForm takes the slash at a prefix's end away: prefixes match whole segments anyway, and "/orders/" is the same as
// "/orders", as in the Gateway API.
func prefixForm(kind routing.PathMatchType, path string) routing.PathMatch {
	if kind == routing.PathPrefix && len(path) > 1 {
		path = strings.TrimSuffix(path, "/")
	}
	return routing.PathMatch{Type: kind, Value: path}
}

// expressionError is what is wrong with an expression, without the expression itself.
func expressionError(err error) string {
	if syntaxError, ok := errors.AsType[*syntax.Error](err); ok {
		return string(syntaxError.Code)
	}
	return err.Error()
}

// standInPath takes every path that a broken one could have meant, with the precedence of a regular expression: those
// that begin with what is certain of it. An older expression with the same beginning still comes first.
func standInPath(value string) routing.PathMatch {
	return routing.PathMatch{Type: routing.PathRegularExpression, Value: regexp.QuoteMeta(certainPrefix(value)) + anyValue}
}

// certainPrefix is the text that a path or expression begins with, as far as its characters mean themselves in both.
// Nothing is certain where there are alternatives.
func certainPrefix(value string) string {
	if strings.Contains(value, "|") {
		return ""
	}
	var prefix []byte
	for rest := strings.TrimPrefix(value, "^"); rest != ""; {
		length := 1
		if len(rest) > 1 && rest[0] == '\\' {
			length = 2
		}
		if c := rest[length-1]; (length == 1 && !isPlain(c)) || (length == 2 && !isPunctuation(c)) {
			break
		}
		// What may be repeated may be absent.
		if len(rest) > length && strings.IndexByte("*?{", rest[length]) >= 0 {
			break
		}
		prefix = append(prefix, rest[length-1])
		rest = rest[length:]
	}
	return string(prefix)
}

// isPlain reports whether a character means itself in paths and in expressions.
func isPlain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("/-_~", c) >= 0
}

// isPunctuation reports whether a character means itself in an expression with a backslash in front.
func isPunctuation(c byte) bool {
	return strings.IndexByte(".-_~+()$", c) >= 0
}

// draftMethods sorts the methods; none stand for every method. They are not certain where one can't be sent: then every
// method is taken.
func draftMethods(field string, methods []string, errs *problems) (drafts []string, certain bool) {
	known := len(*errs)
	for i, method := range methods {
		if !isToken(method) {
			errs.invalid(`%s.methods[%d]: %s is not a method; write one such as "GET"`, field, i, quote(method))
		}
	}
	if len(*errs) > known {
		return nil, false
	}
	return sorted(methods), true
}

// draftHeaders sorts the headers. One whose value can't be compiled is taken at any value. They are not certain where one
// is left out, since its name can't be sent, or never arrives.
func draftHeaders(field string, headers []v1alpha1.HeaderMatch, errs *problems) (drafts []routing.HeaderMatch, certain bool) {
	certain = true
	for i := range headers {
		header := &headers[i]
		at := fmt.Sprintf("%s.headers[%d]", field, i)
		if complaint := unseenHeader(header.Name); complaint != "" {
			errs.invalid(`%s.name: %s %s; write one such as "x-api-version"`, at, quote(header.Name), complaint)
			certain = false
			continue
		}
		draft := routing.HeaderMatch{Name: strings.ToLower(header.Name), Value: header.Value}
		before := len(*errs)
		draft.Type = choose(errs, at+".type", header.Type,
			choice[v1alpha1.HeaderMatchType, routing.HeaderMatchType]{v1alpha1.HeaderMatchExact, routing.HeaderExact},
			choice[v1alpha1.HeaderMatchType, routing.HeaderMatchType]{v1alpha1.HeaderMatchRegularExpression, routing.HeaderRegularExpression},
		)
		if draft.Type == routing.HeaderRegularExpression {
			if err := routing.ValidateExpression(header.Value); err != nil {
				errs.invalid("%s.value: %s can't be used: %s; write an RE2 expression, or type Exact",
					at, quote(header.Value), expressionError(err))
			}
		}
		if len(*errs) > before {
			draft.Type, draft.Value = routing.HeaderRegularExpression, anyValue
		}
		drafts = append(drafts, draft)
	}
	slices.SortFunc(drafts, func(a, b routing.HeaderMatch) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
	})
	return slices.Compact(drafts), certain
}

// unseenHeader says why no route and no policy ever sees a header of that name. It is empty for all others.
func unseenHeader(name string) string {
	switch head.FateOf(name) {
	case head.Kept:
		return ""
	case head.Connection:
		return "is about the connection, and goes no further"
	case head.Replaced:
		return "is removed from requests, or written anew"
	case head.Identity:
		return "is removed from requests, since it tells upstreams who calls"
	case head.Misread:
	}
	if isToken(name) {
		return `is removed from requests, since it has other characters than letters, digits and "-"`
	}
	return "is not a header name"
}

// isToken reports whether a string is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

// describe says what a match takes, for messages.
func describe(m *routing.Match, methods []string) string {
	var b strings.Builder
	if len(methods) > 0 {
		b.WriteString(strings.Join(methods, ",") + " ")
	}
	fmt.Fprintf(&b, "%s %s", pathTypeName(m.Path.Type), quote(m.Path.Value))
	if m.Host == "" {
		b.WriteString(" on any host")
	} else {
		b.WriteString(" on " + quote(m.Host))
	}
	for i, header := range m.Headers {
		if i == 0 {
			b.WriteString(" with header ")
		} else {
			b.WriteString(" and ")
		}
		b.WriteString(header.Name)
	}
	return b.String()
}

func pathTypeName(t routing.PathMatchType) v1alpha1.PathMatchType {
	switch t {
	case routing.PathExact:
		return v1alpha1.PathMatchExact
	case routing.PathRegularExpression:
		return v1alpha1.PathMatchRegularExpression
	default:
		return v1alpha1.PathMatchPathPrefix
	}
}
