package jwt

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// maxClockSkew is the largest difference of clocks that is allowed for.
const maxClockSkew = 5 * time.Minute

// Policy judges the tokens of one Pipeline. It is immutable and safe for use by several goroutines; the credentials it
// looks up are those that the Keyring holds at that moment.
type Policy struct {
	mode routing.Mode
	// credentials are those of the Pipeline's own namespace, and then of others, in the order in which they are looked into.
	credentials    []*keyring.Namespace
	issuers        map[string]*issuer
	credentialUse  routing.CredentialUse
	selector       []routing.LabelRequirement
	lookup         routing.LookupType
	claim          string // of LookupClaim
	audiences      []string
	audienceMatch  routing.AudienceMatch
	sources        sources
	maxTokenBytes  int
	clockSkew      time.Duration
	expiration     routing.Expiration
	limits         limits
	rules          rules
	expressions    rules // those of rules that are expressions
	headers        []claimHeader
	derivation     derivation
	requiredScopes []string
	scopeMatch     routing.ScopeMatch
	forwarding     routing.TokenForwarding
	tunnels        routing.Tunnels
	cache          *Cache
}

// Deps are what policies share.
type Deps struct {
	// Keyring holds the credentials. Required.
	Keyring *keyring.Keyring
	// KeySets must know the remote key sets of the policy already. It may be nil where there are none.
	KeySets *jwks.Registry
	// Cache spares signatures that were verified before. Nil: all are verified at each request.
	Cache *Cache
}

// NewPolicy compiles a JWT policy. An error means that the policy can't protect anything, so that its Pipeline must not
// be served; it names the setting at fault.
func NewPolicy(cfg routing.JWT, deps Deps) (*Policy, error) {
	ring := deps.Keyring
	if ring == nil {
		return nil, errors.New("jwt policy: no keyring")
	}
	if err := check(cfg); err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	bounds, err := newLimits(cfg)
	if err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	conditions, err := newRules(cfg.ClaimRules)
	if err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	headers, err := newClaimHeaders(cfg.ClaimHeaders)
	if err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	found, err := newSources(cfg.TokenSources, cfg.MaxBodyBytes)
	if err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	issuers, err := newIssuers(cfg.Issuers, deps.KeySets)
	if err != nil {
		return nil, fmt.Errorf("jwt policy: %w", err)
	}
	p := &Policy{
		mode:           cfg.Mode,
		issuers:        issuers,
		credentialUse:  cfg.Credentials,
		credentials:    []*keyring.Namespace{ring.Namespace(cfg.Namespace)},
		lookup:         cfg.Lookup.Type,
		audiences:      slices.Clone(cfg.Audiences),
		audienceMatch:  cfg.AudienceMatch,
		sources:        found,
		maxTokenBytes:  cfg.MaxTokenBytes,
		clockSkew:      cfg.ClockSkew,
		expiration:     cfg.Expiration,
		limits:         bounds,
		rules:          conditions,
		expressions:    conditions.expressions(),
		headers:        headers,
		derivation:     newDerivation(cfg),
		requiredScopes: slices.Clone(cfg.RequiredScopes),
		scopeMatch:     cfg.ScopeMatch,
		forwarding:     cfg.TokenForwarding,
		tunnels:        cfg.Tunnels,
		cache:          deps.Cache,
	}
	for _, namespace := range cfg.FromNamespaces {
		p.credentials = append(p.credentials, ring.Namespace(namespace))
	}
	if cfg.Lookup.Type == routing.LookupClaim {
		p.claim = cfg.Lookup.Name
	}
	for _, r := range cfg.Selector {
		r.Values = slices.Clone(r.Values)
		p.selector = append(p.selector, r)
	}
	return p, nil
}

// check refuses settings that have no meaning: the API does not let them through, but a policy that was built from one
// would judge by accident.
func check(cfg routing.JWT) error {
	switch {
	case cfg.Namespace == "":
		return errors.New("no namespace")
	case slices.Contains(cfg.FromNamespaces, ""):
		return errors.New("credentials of a namespace without a name")
	case cfg.Mode > routing.ModeOptional:
		return fmt.Errorf("mode %d is not known", cfg.Mode)
	case cfg.Enforcement > routing.EnforcementDryRun:
		return fmt.Errorf("enforcement %d is not known", cfg.Enforcement)
	case cfg.Credentials > routing.CredentialsRefused:
		return fmt.Errorf("use of credentials %d is not known", cfg.Credentials)
	case cfg.Lookup.Type > routing.LookupKID:
		return fmt.Errorf("lookup type %d is not known", cfg.Lookup.Type)
	case cfg.Lookup.Type == routing.LookupClaim && cfg.Lookup.Name == "":
		return errors.New("lookup by claim names no claim")
	case cfg.Lookup.Type == routing.LookupKID && cfg.Lookup.Name != "" && cfg.Lookup.Name != "kid":
		return fmt.Errorf("lookup by header parameter %q: only kid names a key", cfg.Lookup.Name)
	case cfg.AudienceMatch > routing.AudienceIgnore:
		return fmt.Errorf("audience match %d is not known", cfg.AudienceMatch)
	case cfg.MaxTokenBytes <= 0:
		return fmt.Errorf("tokens of at most %d bytes", cfg.MaxTokenBytes)
	case cfg.ClockSkew < 0 || cfg.ClockSkew > maxClockSkew:
		return fmt.Errorf("clock skew %v is not between 0s and %v", cfg.ClockSkew, maxClockSkew)
	case cfg.Expiration > routing.ExpirationOptional:
		return fmt.Errorf("expiration %d is not known", cfg.Expiration)
	case cfg.ScopeMatch > routing.ScopeMatchAny:
		return fmt.Errorf("scope match %d is not known", cfg.ScopeMatch)
	case cfg.TokenForwarding > routing.TokenPreserve:
		return fmt.Errorf("token forwarding %d is not known", cfg.TokenForwarding)
	}
	return errors.Join(checkTunnels(cfg.Tunnels), checkSelector(cfg.Selector))
}

func checkTunnels(tunnels routing.Tunnels) error {
	switch {
	case tunnels.OnExpiry > routing.ExpiryKeep:
		return fmt.Errorf("action %d at expiry is not known", tunnels.OnExpiry)
	case tunnels.MaxAge < 0:
		return fmt.Errorf("tunnels of at most %v", tunnels.MaxAge)
	}
	return nil
}

func checkSelector(selector []routing.LabelRequirement) error {
	for _, r := range selector {
		if r.Operator > routing.LabelDoesNotExist {
			return fmt.Errorf("label operator %d of %q is not known", r.Operator, r.Key)
		}
	}
	return nil
}

// selects says whether the labels meet all requirements of the selector. A label that is absent is in no set, as with
// Kubernetes' label selectors.
func (p *Policy) selects(labels map[string]string) bool {
	for i := range p.selector {
		r := &p.selector[i]
		value, present := labels[r.Key]
		met := false
		switch r.Operator {
		case routing.LabelIn:
			met = present && slices.Contains(r.Values, value)
		case routing.LabelNotIn:
			met = !present || !slices.Contains(r.Values, value)
		case routing.LabelExists:
			met = present
		case routing.LabelDoesNotExist:
			met = !present
		}
		if !met {
			return false
		}
	}
	return true
}
