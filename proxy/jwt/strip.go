package jwt

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// StripToken removes the token from what is forwarded, so that an upstream can't use or log it: the Authorization field
// with one of the policy's schemes, the policy's header fields, cookies and query parameters. Other cookies, parameters
// and schemes stay. A policy that preserves the token removes query parameters all the same, since URLs end up in logs
// (RFC 6750 section 5.3).
func (p *Policy) StripToken(h head.Head) {
	p.sources.stripQuery(h)
	if p.forwarding == routing.TokenPreserve {
		return
	}
	p.sources.stripAuthorization(h)
	p.sources.stripFields(h)
	p.sources.stripCookies(h)
}

func (s *sources) stripAuthorization(h head.Head) {
	for _, line := range h.Values(fieldAuthorization) {
		if _, ok := s.scheme(trimSpace(line)); ok {
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
	if len(s.cookies) == 0 {
		return
	}
	var kept []string
	removed := false
	for _, line := range h.Values(fieldCookie) {
		for pair := range strings.SplitSeq(line, ";") {
			pair = trimSpace(pair)
			ours := slices.ContainsFunc(s.cookies, func(name string) bool { _, ok := cookieValue(pair, name); return ok })
			removed = removed || ours
			if !ours && pair != "" {
				kept = append(kept, pair)
			}
		}
	}
	switch {
	case !removed:
	case len(kept) == 0:
		h.Delete(fieldCookie)
	default:
		h.Set(fieldCookie, strings.Join(kept, "; "))
	}
}

// stripQuery leaves the other parameters as they were written.
func (s *sources) stripQuery(h head.Head) {
	query := h.Query()
	if len(s.queries) == 0 || query == "" {
		return
	}
	var kept []string
	removed := false
	for pair := range strings.SplitSeq(query, "&") {
		ours := slices.ContainsFunc(s.queries, func(name string) bool { _, ok := parameterValue(pair, name); return ok })
		removed = removed || ours
		if !ours {
			kept = append(kept, pair)
		}
	}
	if removed {
		h.SetQuery(strings.Join(kept, "&"))
	}
}
