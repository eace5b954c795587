package compile

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Defaults of a JWT policy, documented on the fields of v1alpha1.JWTPolicy.
const (
	defaultLookupClaim   = "sub"
	defaultMaxTokenBytes = 16384
	maxMaxTokenBytes     = 32768
	minMaxTokenBytes     = 256
	defaultMaxBodyBytes  = 65536
	maxMaxBodyBytes      = 1 << 20
	minMaxBodyBytes      = 1024
	maxClockSkew         = 5 * time.Minute
	minMaxTokenLifetime  = time.Second
	maxMaxTokenLifetime  = 8784 * time.Hour
	minTunnelAge         = time.Second
	maxTunnelAge         = 8784 * time.Hour
	schemeBearer         = "Bearer"
)

// newJWT compiles a token policy and applies its defaults. Whatever it can't make sense of is a problem, so that the
// Pipeline is not served with less protection than was asked for.
func newJWT(p *v1alpha1.Pipeline, field string, policy *v1alpha1.JWTPolicy, errs *problems) *routing.JWT {
	draft := &routing.JWT{
		Mode: choose(errs, field+".mode", policy.Mode,
			choice[v1alpha1.JWTMode, routing.Mode]{v1alpha1.JWTModeRequired, routing.ModeRequired},
			choice[v1alpha1.JWTMode, routing.Mode]{v1alpha1.JWTModeOptional, routing.ModeOptional},
		),
		Enforcement: choose(errs, field+".enforcement", policy.Enforcement,
			choice[v1alpha1.Enforcement, routing.Enforcement]{v1alpha1.EnforcementEnforce, routing.EnforcementEnforce},
			choice[v1alpha1.Enforcement, routing.Enforcement]{v1alpha1.EnforcementDryRun, routing.EnforcementDryRun},
		),
		Namespace: p.Namespace,
		Lookup:    routing.Lookup{Type: routing.LookupClaim, Name: defaultLookupClaim},
		Audiences: slices.Clone(policy.Audiences),
		AudienceMatch: choose(errs, field+".audienceMatchPolicy", policy.AudienceMatchPolicy,
			choice[v1alpha1.AudienceMatchPolicy, routing.AudienceMatch]{v1alpha1.AudienceMatchAny, routing.AudienceMatchAny},
			choice[v1alpha1.AudienceMatchPolicy, routing.AudienceMatch]{v1alpha1.AudienceMatchIgnore, routing.AudienceIgnore},
		),
		TokenSources: newTokenSources(field+".tokenSources", policy.TokenSources, errs),
		Expiration: choose(errs, field+".requireExpiration", policy.RequireExpiration,
			choice[v1alpha1.RequireExpiration, routing.Expiration]{v1alpha1.ExpirationRequired, routing.ExpirationRequired},
			choice[v1alpha1.RequireExpiration, routing.Expiration]{v1alpha1.ExpirationOptional, routing.ExpirationOptional},
		),
		RequiredScopes: slices.Clone(policy.RequiredScopes),
		ScopeMatch: choose(errs, field+".scopeMatchPolicy", policy.ScopeMatchPolicy,
			choice[v1alpha1.ScopeMatchPolicy, routing.ScopeMatch]{v1alpha1.ScopeMatchAll, routing.ScopeMatchAll},
			choice[v1alpha1.ScopeMatchPolicy, routing.ScopeMatch]{v1alpha1.ScopeMatchAny, routing.ScopeMatchAny},
		),
		RequiredClaims: slices.Clone(policy.RequiredClaims),
		ClaimRules:     newClaimRules(field+".claimValidationRules", policy.ClaimValidationRules, errs),
		SenderConstraint: choose(errs, field+".senderConstraint", policy.SenderConstraint,
			choice[v1alpha1.SenderConstraint, routing.SenderConstraint]{v1alpha1.SenderConstraintRefuse, routing.SenderConstraintRefuse},
			choice[v1alpha1.SenderConstraint, routing.SenderConstraint]{v1alpha1.SenderConstraintIgnore, routing.SenderConstraintIgnore},
		),
		MaxTokenBytes: defaultMaxTokenBytes,
		MaxBodyBytes:  defaultMaxBodyBytes,
		Realm:         p.Name,
	}
	newTokenLimits(draft, field, policy, errs)
	if policy.Forwarding != nil {
		draft.ClaimHeaders = newClaimHeaders(field+".forwarding.claimsToHeaders", policy.Forwarding.ClaimsToHeaders, errs)
		draft.TokenForwarding = choose(errs, field+".forwarding.token", policy.Forwarding.Token,
			choice[v1alpha1.TokenForwardingMode, routing.TokenForwarding]{v1alpha1.TokenStrip, routing.TokenStrip},
			choice[v1alpha1.TokenForwardingMode, routing.TokenForwarding]{v1alpha1.TokenPreserve, routing.TokenPreserve},
		)
	}
	if answer := policy.ErrorResponse; answer != nil {
		draft.Realm = cmp.Or(answer.Realm, p.Name)
		draft.Detail = choose(errs, field+".errorResponse.detail", answer.Detail,
			choice[v1alpha1.ErrorDetail, routing.Detail]{v1alpha1.ErrorDetailStandard, routing.DetailStandard},
			choice[v1alpha1.ErrorDetail, routing.Detail]{v1alpha1.ErrorDetailReason, routing.DetailReason},
			choice[v1alpha1.ErrorDetail, routing.Detail]{v1alpha1.ErrorDetailNone, routing.DetailNone},
		)
		draft.Body = choose(errs, field+".errorResponse.body", answer.Body,
			choice[v1alpha1.ErrorBody, routing.ErrorBody]{v1alpha1.ErrorBodyProblemDetails, routing.ErrorBodyProblemDetails},
			choice[v1alpha1.ErrorBody, routing.ErrorBody]{v1alpha1.ErrorBodyNone, routing.ErrorBodyNone},
		)
		draft.ResourceMetadata = answer.ResourceMetadata
		if answer.ResourceMetadata != "" && !isMetadataURL(answer.ResourceMetadata) {
			errs.invalid("%s.errorResponse.resourceMetadata: %s can't be sent; write an https URL without user and fragment",
				field, quote(answer.ResourceMetadata))
		}
		if !isQuotable(draft.Realm) {
			errs.invalid("%s.errorResponse.realm: %s can't be sent; write printable ASCII without quotes and backslashes",
				field, quote(draft.Realm))
		}
	}
	newTunnels(draft, field+".tunnels", policy.Tunnels, errs)
	draft.Issuers = newIssuers(field+".issuers", policy.Issuers, errs)
	if len(policy.Issuers) > 0 && policy.Credentials == nil {
		draft.Credentials = routing.CredentialsRefused
	}
	if credentials := policy.Credentials; credentials != nil {
		draft.FromNamespaces = newFromNamespaces(p.Namespace, field+".credentials.fromNamespaces", credentials.FromNamespaces, errs)
		draft.Selector = newSelector(field+".credentials.selector", credentials.Selector, errs)
		if credentials.Lookup != nil {
			draft.Lookup = newLookup(field+".credentials.lookup", credentials.Lookup, errs)
		}
	}
	if len(policy.Audiences) > 0 && draft.AudienceMatch == routing.AudienceIgnore {
		errs.invalid("%s.audiences: contradicts audienceMatchPolicy Ignore; leave one of them out", field)
	}
	return draft
}

func newLookup(field string, lookup *v1alpha1.CredentialLookup, errs *problems) routing.Lookup {
	draft := routing.Lookup{
		Type: choose(errs, field+".type", lookup.Type,
			choice[v1alpha1.CredentialLookupType, routing.LookupType]{v1alpha1.LookupClaim, routing.LookupClaim},
			choice[v1alpha1.CredentialLookupType, routing.LookupType]{v1alpha1.LookupHeader, routing.LookupKID},
		),
	}
	switch {
	case draft.Type == routing.LookupKID:
		if lookup.Name != "kid" {
			errs.invalid("%s.name: the header %s does not name a key; write kid", field, quote(lookup.Name))
		}
	case lookup.Name == "":
		errs.invalid("%s.name: is missing; write the name of a claim, such as sub", field)
	default:
		draft.Name = lookup.Name
	}
	return draft
}

func newTokenSources(field string, sources []v1alpha1.TokenSource, errs *problems) []routing.TokenSource {
	if len(sources) == 0 {
		return []routing.TokenSource{{Type: routing.SourceAuthorization, Name: schemeBearer}}
	}
	drafts := make([]routing.TokenSource, 0, len(sources))
	places := map[routing.TokenSource]struct{}{}
	for i := range sources {
		source := &sources[i]
		at := fmt.Sprintf("%s[%d]", field, i)
		known := len(*errs)
		draft := routing.TokenSource{Name: source.Name, Prefix: source.Prefix}
		draft.Type = newTokenSourceType(at, source.Type, errs)
		if source.Type == v1alpha1.TokenSourceBearer {
			draft.Name = schemeBearer
			if source.Name != "" {
				errs.invalid("%s.name: type Bearer has none; leave it out, or write type AuthorizationScheme", at)
			}
		}
		if draft.Type == routing.SourceJSONBody {
			checkPointer(at+".name", draft.Name, errs)
		} else if !isToken(draft.Name) {
			errs.invalid("%s.name: %s is not a name; write that of the scheme, header, cookie or parameter", at, quote(draft.Name))
		}
		if complaint := unseenHeader(draft.Name); draft.Type == routing.SourceHeader && isToken(draft.Name) && complaint != "" {
			errs.invalid("%s.name: %s %s; write one such as X-Access-Token", at, quote(draft.Name), complaint)
		}
		if source.Prefix != "" && source.Type != v1alpha1.TokenSourceHeader {
			errs.invalid("%s.prefix: belongs to type Header; leave it out", at)
		}
		if len(*errs) > known {
			continue
		}
		place := routing.TokenSource{Type: draft.Type, Name: draft.Name}
		if draft.Type == routing.SourceAuthorization || draft.Type == routing.SourceHeader {
			place.Name = strings.ToLower(place.Name)
		}
		if _, twice := places[place]; twice {
			errs.invalid("%s: names a place a second time, and a token there would always be ambiguous; leave it out", at)
		}
		places[place] = struct{}{}
		drafts = append(drafts, draft)
	}
	return drafts
}

func newTokenSourceType(at string, source v1alpha1.TokenSourceType, errs *problems) routing.TokenSourceType {
	switch source {
	case v1alpha1.TokenSourceBearer, v1alpha1.TokenSourceAuthorizationScheme:
		return routing.SourceAuthorization
	case v1alpha1.TokenSourceHeader:
		return routing.SourceHeader
	case v1alpha1.TokenSourceCookie:
		return routing.SourceCookie
	case v1alpha1.TokenSourceQuery:
		return routing.SourceQuery
	case v1alpha1.TokenSourceFormBody:
		return routing.SourceFormBody
	case v1alpha1.TokenSourceJSONBody:
		return routing.SourceJSONBody
	default:
		errs.add(v1alpha1.ReasonUnsupportedValue,
			"%s.type: %s is not supported; write Bearer, AuthorizationScheme, Header, Cookie, Query, FormBody or JSONBody", at, quote(source))
		return routing.SourceAuthorization
	}
}

// tokensInBody reports whether tokens that are not to be forwarded may be in bodies, which are forwarded.
func tokensInBody(jwt *routing.JWT) bool {
	return jwt != nil && jwt.TokenForwarding == routing.TokenStrip && slices.ContainsFunc(jwt.TokenSources, func(s routing.TokenSource) bool {
		return s.Type == routing.SourceFormBody || s.Type == routing.SourceJSONBody
	})
}

// newSelector translates a label selector. One that can't be understood is a problem: taken as empty it would select
// every credential.
func newSelector(field string, selector *metav1.LabelSelector, errs *problems) []routing.LabelRequirement {
	if selector == nil {
		return nil
	}
	var drafts []routing.LabelRequirement
	for _, key := range sortedKeys(selector.MatchLabels) {
		at := fmt.Sprintf("%s.matchLabels[%s]", field, quote(key))
		checkLabelKey(at, key, errs)
		checkLabelValue(at, selector.MatchLabels[key], errs)
		drafts = append(drafts, routing.LabelRequirement{
			Key: key, Operator: routing.LabelIn, Values: []string{selector.MatchLabels[key]},
		})
	}
	for i := range selector.MatchExpressions {
		expression := &selector.MatchExpressions[i]
		at := fmt.Sprintf("%s.matchExpressions[%d]", field, i)
		checkLabelKey(at+".key", expression.Key, errs)
		draft := routing.LabelRequirement{Key: expression.Key, Values: slices.Sorted(slices.Values(expression.Values))}
		needsValues := false
		switch expression.Operator {
		case metav1.LabelSelectorOpIn:
			draft.Operator, needsValues = routing.LabelIn, true
		case metav1.LabelSelectorOpNotIn:
			draft.Operator, needsValues = routing.LabelNotIn, true
		case metav1.LabelSelectorOpExists:
			draft.Operator = routing.LabelExists
		case metav1.LabelSelectorOpDoesNotExist:
			draft.Operator = routing.LabelDoesNotExist
		default:
			errs.invalid("%s.operator: %s is not an operator; write In, NotIn, Exists or DoesNotExist",
				at, quote(expression.Operator))
			continue
		}
		if needsValues != (len(expression.Values) > 0) {
			wanted := "takes none; leave them out"
			if needsValues {
				wanted = "needs at least one"
			}
			errs.invalid("%s.values: operator %s %s", at, expression.Operator, wanted)
		}
		for _, value := range expression.Values {
			checkLabelValue(at+".values", value, errs)
		}
		drafts = append(drafts, draft)
	}
	return drafts
}

func checkLabelKey(field, key string, errs *problems) {
	if len(validation.IsQualifiedName(key)) > 0 {
		errs.invalid("%s: %s is not the key of a label; write one such as tier or example.com/tier", field, quote(key))
	}
}

func checkLabelValue(field, value string, errs *problems) {
	if len(validation.IsValidLabelValue(value)) > 0 {
		errs.invalid("%s: %s is not the value of a label; write at most 63 letters, digits, \"-\", \"_\" and \".\"",
			field, quote(value))
	}
}

// isMetadataURL reports whether a challenge may carry the URL as that of the resource's metadata (RFC 9728 section 3).
func isMetadataURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme == "https" && u.Hostname() != "" && u.User == nil && !strings.Contains(text, "#") &&
		isQuotable(text) && !strings.Contains(text, " ")
}

// isQuotable reports whether a string can be a quoted-string (RFC 9110 section 5.6.4) as it is.
func isQuotable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
