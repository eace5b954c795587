package token

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/strictjson"
)

// Claims are the registered claims of a verified token (RFC 7519 section 4.1). A time that is zero, and a pointer or
// slice that is nil, was not in the token.
type Claims struct {
	Issuer    *string
	Audience  []string
	Expires   time.Time
	NotBefore time.Time
	IssuedAt  time.Time
	// ID is jti, which names the token among its issuer's; nil too where it is no string, so that it names nothing.
	ID *string
	// Scopes are those of scope (RFC 8693 section 4.2), else of scp, which identity providers use for the same.
	Scopes []string
	// Bound says that there is a confirmation claim (cnf, RFC 7800), whatever its value.
	Bound bool
}

// readClaims reads the registered claims. It returns ErrMalformed where one has another type or range than it must have.
func readClaims(payload strictjson.Object) (*Claims, error) {
	r := reader{payload: payload}
	c := &Claims{
		Issuer:    r.text("iss"),
		Audience:  r.audience(),
		Expires:   r.date("exp"),
		NotBefore: r.date("nbf"),
		IssuedAt:  r.date("iat"),
		ID:        r.id(),
		Scopes:    r.scopes(),
		Bound:     payload.Has("cnf"),
	}
	r.text("sub")
	if r.malformed {
		return nil, ErrMalformed
	}
	return c, nil
}

// id reads jti, of which nothing depends where no token is revoked by its ID.
func (r *reader) id() *string {
	value, _ := r.payload.Get("jti")
	if s, ok := value.Text(); ok {
		return &s
	}
	return nil
}

// reader reads claims until all are read, and remembers whether one was malformed.
type reader struct {
	payload   strictjson.Object
	malformed bool
}

func (r *reader) text(name string) *string {
	value, ok := r.payload.Get(name)
	if !ok {
		return nil
	}
	s, ok := value.Text()
	if !ok {
		r.malformed = true
	}
	return &s
}

// audience reads aud: a string, or an array of strings (RFC 7519 section 4.1.3).
func (r *reader) audience() []string {
	value, ok := r.payload.Get("aud")
	if !ok {
		return nil
	}
	return r.texts(value)
}

// texts reads a string or an array of strings.
func (r *reader) texts(value strictjson.Value) []string {
	if s, ok := value.Text(); ok {
		return []string{s}
	}
	list, ok := value.Texts()
	if !ok {
		r.malformed = true
	}
	return list
}

// scopes reads scope, else scp. Both are taken as one string of words separated by spaces and as an array: RFC 8693 has
// the former, and identity providers write either of them in either form.
func (r *reader) scopes() []string {
	value, ok := r.payload.Get("scope")
	if !ok {
		if value, ok = r.payload.Get("scp"); !ok {
			return nil
		}
	}
	scopes := []string{}
	for _, words := range r.texts(value) {
		for word := range strings.SplitSeq(words, " ") {
			if word != "" {
				scopes = append(scopes, word)
			}
		}
	}
	return scopes
}

// latest is the end of the year 9999, behind which no date is meant as one: milliseconds, most of all.
const latest = 253402300799

// date reads a NumericDate (RFC 7519 section 2): seconds since 1970, which may have a fraction.
func (r *reader) date(name string) time.Time {
	value, ok := r.payload.Get(name)
	if !ok {
		return time.Time{}
	}
	number, ok := value.Number()
	if !ok {
		r.malformed = true
		return time.Time{}
	}
	seconds, err := strconv.ParseFloat(number, 64)
	if err != nil || seconds < 0 || seconds > latest {
		r.malformed = true
		return time.Time{}
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second)))
}
