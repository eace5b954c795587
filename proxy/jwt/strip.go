package jwt

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/internal/ows"
	"github.com/ostiary/ostiary/proxy/routing"
)

// StripToken removes the token from what is forwarded, so that an upstream can't use or log it: the Authorization field
// with one of the policy's schemes, the policy's header fields, cookies and query parameters. Other cookies, parameters
// and schemes stay. A policy that preserves the token removes query parameters all the same, since URLs end up in logs
// (RFC 6750 section 5.3). a is what the policy said of the same head, or the zero value.
func (p *Policy) StripToken(h head.Head, a *Allowed) {
	if len(p.sources.queries) > 0 {
		p.sources.stripQuery(h)
	}
	if p.forwarding == routing.TokenPreserve {
		return
	}
	if a.by == p && a.authorization {
		h.Delete(fieldAuthorization)
	} else {
		p.sources.stripAuthorization(h)
	}
	p.sources.stripFields(h)
	if len(p.sources.cookies) > 0 {
		p.sources.stripCookies(h)
	}
}

func (s *sources) stripAuthorization(h head.Head) {
	for _, line := range h.Values(fieldAuthorization) {
		if _, ok := s.scheme(ows.Trim(line)); ok {
			h.Delete(fieldAuthorization)
			return
		}
	}
}

func (s *sources) stripFields(h head.Head) {
	for i := range s.fields {
		f := &s.fields[i]
		if slices.ContainsFunc(h.Values(f.name), func(line string) bool { _, ok := f.token(line); return ok }) {
			h.Delete(f.name)
		}
	}
}

// stripCookies leaves the other cookies as they were written, in one field line (RFC 6265 section 5.4).
func (s *sources) stripCookies(h head.Head) {
	lines := h.Values(fieldCookie)
	if !slices.ContainsFunc(lines, func(line string) bool { return anyPart(line, ";", s.isCookie) }) {
		return
	}
	var kept []string
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			if pair = ows.Trim(pair); pair != "" && !s.isCookie(pair) {
				kept = append(kept, pair)
			}
		}
	}
	if len(kept) == 0 {
		h.Delete(fieldCookie)
		return
	}
	h.Set(fieldCookie, strings.Join(kept, "; "))
}

func (s *sources) isCookie(pair string) bool {
	return slices.ContainsFunc(s.cookies, func(name string) bool { _, ok := cookieValue(pair, name); return ok })
}

func (s *sources) isParameter(pair string) bool {
	return slices.ContainsFunc(s.queries, func(name string) bool { _, ok := parameterValue(pair, name); return ok })
}

// anyPart says whether one of the parts of a list is what is looked for. It allocates nothing.
func anyPart(list, separator string, is func(part string) bool) bool {
	for more := true; more; {
		var part string
		part, list, more = strings.Cut(list, separator)
		if is(part) {
			return true
		}
	}
	return false
}

// stripQuery leaves the other parameters as they were written.
func (s *sources) stripQuery(h head.Head) {
	query := h.Query()
	if query == "" || !anyPart(query, "&", s.isParameter) {
		return
	}
	var kept []string
	for pair := range strings.SplitSeq(query, "&") {
		if !s.isParameter(pair) {
			kept = append(kept, pair)
		}
	}
	h.SetQuery(strings.Join(kept, "&"))
}
