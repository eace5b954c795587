package compile

import (
	"slices"
	"strings"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// newTokenLimits compiles what a token policy asks of a token's size, times, type and claims' presence.
func newTokenLimits(draft *routing.JWT, field string, policy *v1alpha1.JWTPolicy, errs *problems) {
	if n := policy.MaxTokenBytes; n != nil {
		draft.MaxTokenBytes = int(*n)
		if *n < minMaxTokenBytes || *n > maxMaxTokenBytes {
			errs.invalid("%s.maxTokenBytes: %d is out of bounds; write %d to %d", field, *n, minMaxTokenBytes, maxMaxTokenBytes)
		}
	}
	if n := policy.MaxBodyBytes; n != nil {
		draft.MaxBodyBytes = int(*n)
		if *n < minMaxBodyBytes || *n > maxMaxBodyBytes {
			errs.invalid("%s.maxBodyBytes: %d is out of bounds; write %d to %d", field, *n, minMaxBodyBytes, maxMaxBodyBytes)
		}
	}
	if skew := policy.ClockSkew; skew != nil {
		draft.ClockSkew = skew.Duration
		if skew.Duration < 0 || skew.Duration > maxClockSkew {
			errs.invalid("%s.clockSkew: %s is out of bounds; write 0s to 5m", field, skew.Duration)
		}
	}
	if lifetime := policy.MaxTokenLifetime; lifetime != nil {
		draft.MaxLifetime = lifetime.Duration
		if lifetime.Duration < minMaxTokenLifetime || lifetime.Duration > maxMaxTokenLifetime {
			errs.invalid("%s.maxTokenLifetime: %s is out of bounds; write 1s to 8784h", field, lifetime.Duration)
		}
	}
	for i, name := range policy.TokenTypes {
		mediaType, ok := newTokenType(name)
		if !ok {
			errs.invalid("%s.tokenTypes[%d]: %s is not a media type; write one such as at+jwt", field, i, quote(name))
			continue
		}
		if !slices.Contains(draft.TokenTypes, mediaType) {
			draft.TokenTypes = append(draft.TokenTypes, mediaType)
		}
	}
	if slices.Contains(policy.RequiredClaims, "") {
		errs.invalid("%s.requiredClaims: a name is empty; leave it out", field)
	}
}

// newTunnels compiles how long tunnels may last.
func newTunnels(draft *routing.JWT, field string, tunnels *v1alpha1.Tunnels, errs *problems) {
	if tunnels == nil {
		return
	}
	draft.Tunnels.OnExpiry = choose(errs, field+".onExpiry", tunnels.OnExpiry,
		choice[v1alpha1.ExpiryAction, routing.ExpiryAction]{v1alpha1.ExpiryClose, routing.ExpiryClose},
		choice[v1alpha1.ExpiryAction, routing.ExpiryAction]{v1alpha1.ExpiryKeep, routing.ExpiryKeep},
	)
	if age := tunnels.MaxAge; age != nil {
		draft.Tunnels.MaxAge = age.Duration
		if age.Duration < minTunnelAge || age.Duration > maxTunnelAge {
			errs.invalid("%s.maxAge: %s is out of bounds; write 1s to 8784h", field, age.Duration)
		}
	}
}

// newTokenType writes a media type as proxy/jwt compares it (RFC 7515 section 4.1.9).
func newTokenType(name string) (string, bool) {
	kind, subtype, whole := strings.Cut(name, "/")
	if !whole {
		kind, subtype = "application", name
	}
	if !isToken(kind) || !isToken(subtype) {
		return "", false
	}
	return strings.ToLower(kind + "/" + subtype), true // of ASCII alone
}
