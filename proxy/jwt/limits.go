package jwt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/jwt/internal/token"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// limits are what a policy asks of a verified token besides its dates and audience. The zero value asks for no binding
// to a sender, and for nothing else.
type limits struct {
	maxLifetime time.Duration
	types       []string
	claims      []string
	sender      routing.SenderConstraint
}

func newLimits(cfg routing.JWT) (limits, error) {
	switch {
	case cfg.MaxLifetime < 0:
		return limits{}, fmt.Errorf("token lifetime of %v", cfg.MaxLifetime)
	case slices.ContainsFunc(cfg.TokenTypes, func(name string) bool { return name != mediaType(name) }):
		return limits{}, errors.New("a token type is no media type in lower case")
	case slices.Contains(cfg.RequiredClaims, ""):
		return limits{}, errors.New("a required claim has no name")
	case cfg.SenderConstraint > routing.SenderConstraintIgnore:
		return limits{}, fmt.Errorf("sender constraint %d is not known", cfg.SenderConstraint)
	}
	return limits{
		maxLifetime: cfg.MaxLifetime,
		types:       slices.Clone(cfg.TokenTypes),
		claims:      slices.Clone(cfg.RequiredClaims),
		sender:      cfg.SenderConstraint,
	}, nil
}

// check judges a verified token. skew is the difference of clocks that is allowed for.
func (l *limits) check(v *token.Verified, c *token.Claims, now time.Time, skew time.Duration) *Refused {
	switch {
	case c.Bound && l.sender != routing.SenderConstraintIgnore:
		// The token is for a caller who proves to hold a key (RFC 7800), which is not checked.
		return refuse(refusal.BindingFailed)
	case l.maxLifetime > 0 && !l.shortLived(c, now, skew):
		return refuse(refusal.LifetimeTooLong)
	case !l.typeAllowed(v):
		return refuse(refusal.TypeNotAllowed)
	}
	for _, name := range l.claims {
		if !v.Has(name) {
			return refuse(refusal.ClaimMissing)
		}
	}
	return nil
}

// shortLived says whether a token's life has an end that is near enough. Where the token does not say when it began, it
// began now at the latest, as its issuer's clock has it.
func (l *limits) shortLived(c *token.Claims, now time.Time, skew time.Duration) bool {
	switch {
	case c.Expires.IsZero():
		return false
	case c.IssuedAt.IsZero():
		return !c.Expires.After(now.Add(skew).Add(l.maxLifetime))
	default:
		return !c.Expires.After(c.IssuedAt.Add(l.maxLifetime))
	}
}

func (l *limits) typeAllowed(v *token.Verified) bool {
	if len(l.types) == 0 {
		return true
	}
	name, ok := v.Type()
	return ok && slices.ContainsFunc(l.types, func(typ string) bool { return isMediaType(name, typ) })
}

// isMediaType is mediaType(name) == typ, without the memory that takes.
func isMediaType(name, typ string) bool {
	if strings.IndexByte(name, '/') < 0 {
		rest, ok := strings.CutPrefix(typ, "application/")
		if !ok {
			return false
		}
		typ = rest
	}
	if len(name) != len(typ) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != typ[i] {
			return false
		}
	}
	return true
}

// mediaType is a typ as it is compared: without case, which only ASCII has in media types, and with the application/ that
// may be left out where there is no other slash (RFC 7515 section 4.1.9).
func mediaType(typ string) string {
	if !strings.Contains(typ, "/") {
		typ = "application/" + typ
	}
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, typ)
}
