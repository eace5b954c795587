package jwt

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/internal/ows"
	"github.com/ostiary/ostiary/proxy/jsonpointer"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	fieldAuthorization = "Authorization"
	fieldCookie        = "Cookie"
)

// sources are the places where a token may be. A request has one token in one of them, or it is refused: another reader
// of the same request could take another token (RFC 6750 section 2).
type sources struct {
	schemes []string
	fields  []field
	cookies []string
	queries []string
	forms   []string
	json    []jsonpointer.Pointer
	// maxBody bounds the bodies that forms and json are looked for in, in bytes.
	maxBody int
}

// field is a header field that carries a token.
type field struct {
	name string
	// prefixes of the value, longest first; the first that fits is not part of the token.
	prefixes []string
}

func newSources(configured []routing.TokenSource, maxBody int) (sources, error) {
	s := sources{maxBody: maxBody}
	if len(configured) == 0 {
		return s, errors.New("no token source")
	}
	for _, c := range configured {
		if err := s.add(c); err != nil {
			return sources{}, err
		}
	}
	if s.inBody() && maxBody <= 0 {
		return sources{}, fmt.Errorf("bodies of at most %d bytes", maxBody)
	}
	return s, nil
}

// add takes a source into account once, however often it is configured.
func (s *sources) add(c routing.TokenSource) error {
	if c.Prefix != "" && c.Type != routing.SourceHeader {
		return fmt.Errorf("token source %q has a prefix, which only header fields have", c.Name)
	}
	if c.Name == "" || (!anyName(c.Type) && strings.ContainsFunc(c.Name, notToken)) {
		return fmt.Errorf("token source of type %d: %q is no name", c.Type, c.Name)
	}
	switch c.Type {
	case routing.SourceAuthorization:
		if !slices.ContainsFunc(s.schemes, func(scheme string) bool { return strings.EqualFold(scheme, c.Name) }) {
			s.schemes = append(s.schemes, c.Name)
		}
	case routing.SourceHeader:
		return s.addField(c)
	case routing.SourceCookie:
		if !slices.Contains(s.cookies, c.Name) {
			s.cookies = append(s.cookies, c.Name)
		}
	case routing.SourceQuery:
		if !slices.Contains(s.queries, c.Name) {
			s.queries = append(s.queries, c.Name)
		}
	case routing.SourceFormBody:
		if !slices.Contains(s.forms, c.Name) {
			s.forms = append(s.forms, c.Name)
		}
	case routing.SourceJSONBody:
		return s.addPointer(c.Name)
	default:
		return fmt.Errorf("token source type %d is not known", c.Type)
	}
	return nil
}

// anyName says whether the name of such a source may be any text.
func anyName(t routing.TokenSourceType) bool {
	return t == routing.SourceQuery || t == routing.SourceFormBody || t == routing.SourceJSONBody
}

func (s *sources) addField(c routing.TokenSource) error {
	if strings.EqualFold(c.Name, fieldAuthorization) || strings.EqualFold(c.Name, fieldCookie) {
		return fmt.Errorf("token source: header field %s has a type of its own", c.Name)
	}
	at := slices.IndexFunc(s.fields, func(f field) bool { return strings.EqualFold(f.name, c.Name) })
	if at < 0 {
		s.fields = append(s.fields, field{name: c.Name, prefixes: []string{c.Prefix}})
		return nil
	}
	f := &s.fields[at]
	if !slices.Contains(f.prefixes, c.Prefix) {
		f.prefixes = append(f.prefixes, c.Prefix)
		slices.SortFunc(f.prefixes, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	}
	return nil
}

// notToken says whether a character is outside RFC 9110's token, which schemes, field names and cookie names are made of.
func notToken(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	default:
		return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}
}

// search is a look at all sources for the one token.
type search struct {
	token     string
	found     int
	ambiguous bool
	// authorization is what find returns.
	authorization bool
}

func (s *search) take(token string) {
	s.token = token
	s.found++
}

// takeOnly takes the token of a place that has a name for it and was found to have that name count times: more than once
// is ambiguous, whatever is there, and one without a value is none.
func (s *search) takeOnly(count int, token string) {
	switch {
	case count > 1:
		s.ambiguous = true
	case token != "":
		s.take(token)
	}
}

// find returns the request's only token. authorization says that the request has one Authorization field, with a scheme of
// ours, whatever else.
func (s *sources) find(h head.Head) (token string, authorization bool, refused *Refused) {
	var in search
	if len(s.schemes) > 0 {
		s.authorization(h, &in)
	}
	for i := range s.fields {
		s.fields[i].find(h, &in)
	}
	for _, name := range s.cookies {
		findCookie(h, name, &in)
	}
	if query := h.Query(); query != "" {
		for _, name := range s.queries {
			findParameter(query, name, &in)
		}
	}
	if in.found == 0 && !in.ambiguous && s.inBody() {
		if refused := s.findInBody(h, &in); refused != nil {
			return "", in.authorization, refused
		}
	}
	switch {
	case in.ambiguous || in.found > 1:
		return "", in.authorization, refuse(refusal.TokenAmbiguous)
	case in.found == 0:
		return "", in.authorization, refuse(refusal.TokenMissing)
	}
	return in.token, in.authorization, nil
}

// authorization looks at the Authorization field, whose credentials are a scheme, spaces and, for all schemes that carry
// a JWT, one token (RFC 9110 section 11.4). A scheme without anything behind it is no token.
func (s *sources) authorization(h head.Head, in *search) {
	lines := h.Values(fieldAuthorization)
	if len(lines) != 1 {
		in.ambiguous = in.ambiguous || len(lines) > 1
		return
	}
	value := ows.Trim(lines[0])
	credentials, ok := s.scheme(value)
	if !ok {
		// Not ours, unless one of ours was joined to it.
		_, rest, more := strings.Cut(value, ",")
		for more {
			var part string
			part, rest, more = strings.Cut(rest, ",")
			if _, ok := s.scheme(ows.Trim(part)); ok {
				in.ambiguous = true
			}
		}
		return
	}
	in.authorization = true
	if joined(credentials) {
		in.ambiguous = true
		return
	}
	for credentials != "" && credentials[0] == ' ' {
		credentials = credentials[1:]
	}
	if credentials != "" {
		in.take(credentials)
	}
}

// scheme returns what follows the scheme of credentials, where it is one of ours. Schemes have no case.
func (s *sources) scheme(credentials string) (string, bool) {
	for _, scheme := range s.schemes {
		if len(credentials) < len(scheme) || !sameLetters(credentials[:len(scheme)], scheme) {
			continue
		}
		if rest := credentials[len(scheme):]; rest == "" || rest[0] == ' ' || notToken(rune(rest[0])) {
			return rest, true
		}
	}
	return "", false
}

// sameLetters compares without case, which only ASCII has in schemes. Both are of one length.
func sameLetters(a, b string) bool {
	if a == b {
		return true
	}
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && (x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z') {
			return false
		}
	}
	return true
}

func (f *field) find(h head.Head, in *search) {
	lines := h.Values(f.name)
	if len(lines) != 1 {
		in.ambiguous = in.ambiguous || len(lines) > 1
		return
	}
	token, ok := f.token(lines[0])
	switch {
	case !ok:
	case joined(token):
		in.ambiguous = true
	default:
		in.take(token)
	}
}

// token returns what follows the prefix, where that is not nothing.
func (f *field) token(line string) (string, bool) {
	value := ows.Trim(line)
	for _, prefix := range f.prefixes {
		if token, ok := strings.CutPrefix(value, prefix); ok {
			if prefix != "" {
				token = strings.TrimLeft(token, " ")
			}
			return token, token != ""
		}
	}
	return "", false
}

func findCookie(h head.Head, name string, in *search) {
	count, token := 0, ""
	for _, line := range h.Values(fieldCookie) {
		for pair := range strings.SplitSeq(line, ";") {
			if value, ok := cookieValue(pair, name); ok {
				count++
				token = value
			}
		}
	}
	in.takeOnly(count, token)
}

// cookieValue returns the value of a cookie-pair (RFC 6265 section 4.2.1) of that name. Cookie names have case.
func cookieValue(pair, name string) (string, bool) {
	got, value, ok := strings.Cut(pair, "=")
	if !ok || ows.Trim(got) != name {
		return "", false
	}
	return ows.Trim(value), true
}

func findParameter(query, name string, in *search) {
	count, token := 0, ""
	for pair := range strings.SplitSeq(query, "&") {
		if value, ok := parameterValue(pair, name); ok {
			count++
			token = value
		}
	}
	in.takeOnly(count, token)
}

// parameterValue returns the value of a query parameter of that name (RFC 6750 section 2.3). A value with an invalid
// escape is returned as it is, which no token is.
func parameterValue(pair, name string) (string, bool) {
	got, value, _ := strings.Cut(pair, "=")
	if got != name {
		if !strings.ContainsAny(got, "%+") {
			return "", false
		}
		if decoded, err := url.QueryUnescape(got); err != nil || decoded != name {
			return "", false
		}
	}
	if decoded, err := url.QueryUnescape(value); err == nil {
		value = decoded
	}
	return value, true
}

// joined says whether a value is several that were joined by commas (RFC 9110 section 5.3), each a token or credentials
// of its own. Other text with commas is one malformed token.
func joined(value string) bool {
	if strings.IndexByte(value, ',') < 0 {
		return false
	}
	_, rest, more := strings.Cut(value, ",")
	for more {
		var part string
		part, rest, more = strings.Cut(rest, ",")
		if part = ows.Trim(part); part != "" && !notToken(rune(part[0])) {
			return true
		}
	}
	return false
}
