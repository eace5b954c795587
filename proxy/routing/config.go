package routing

import (
	"fmt"
	"io"
	"log/slog"
	"time"
)

// ObjectKey identifies a Kubernetes object of a known kind. It is a struct, never a joined string, so that no name can
// pose as another.
type ObjectKey struct {
	Namespace string
	Name      string
}

// Config is everything the proxy needs to serve, as plain data: what Compile produces and Build takes. It is
// deterministic: the same objects give the same Config.
type Config struct {
	// Pipelines are all Pipelines that take requests, oldest first (creationTimestamp, then namespace, then name):
	// the order decides where two matches are equally specific.
	Pipelines []Pipeline
	// Upstreams are the ServiceEndpoints that Pipelines forward to, sorted by key.
	Upstreams []Upstream
	// Certificates are the server certificates, sorted by their first host.
	Certificates []Certificate
	// ReservedHeaders are the names of the fields that Pipelines put claims into, by namespace: a client's own are removed
	// from every request that a Pipeline of the namespace takes. Sorted by namespace.
	ReservedHeaders []ReservedHeaders
}

// ReservedHeaders are field names that only the Pipelines of a namespace set.
type ReservedHeaders struct {
	Namespace string
	// Names are in lower case, sorted.
	Names []string
}

// Pipeline is one Pipeline as compiled.
type Pipeline struct {
	Key ObjectKey
	// Insecure says what happens to a clear-text request before anything else.
	Insecure Insecure
	// Matches are the matches that this Pipeline won; never empty.
	Matches []Match
	// Broken, when not empty, says why the protection could not be compiled. Every request that matches is answered
	// 503 pipeline_not_ready; the text is for logs and never sent.
	Broken string
	// JWT is the token policy, nil for a public Pipeline.
	JWT *JWT
	// ACLs must all let the caller through; there are none without JWT.
	ACLs []ACL
	// Exactly one of Proxy and Terminate is set, unless Broken.
	Proxy     *Proxy
	Terminate *Terminate
}

// Insecure says what happens to a clear-text request.
type Insecure uint8

const (
	// InsecureRefuse answers 403, the zero value: nothing is served in clear text by accident.
	InsecureRefuse Insecure = iota
	// InsecureRedirect answers 308 to the https URL.
	InsecureRedirect
	// InsecureServe serves it.
	InsecureServe
)

// Match is one combination of host, path, methods and headers.
type Match struct {
	// Endpoint is the name of the apiEndpoint this match comes from.
	Endpoint string
	// Host is as CanonicalHost returns it: exact, "*.suffix" for exactly one more label, or empty for any.
	Host string
	Path PathMatch
	// Methods is sorted; empty means every method.
	Methods []string
	// Headers must all match; names are lower-case, sorted by name.
	Headers []HeaderMatch
	// Scopes must all be among the caller's effective scopes.
	Scopes []string
}

// PathMatch compares the canonical path.
type PathMatch struct {
	Type PathMatchType
	// Value is in canonical form already (CanonicalPath), or an RE2 expression that must match the whole path (see
	// ValidateExpression). A slash at the end of a prefix means nothing: "/orders/" is "/orders".
	Value string
}

// PathMatchType is a way to compare a path, most specific first.
type PathMatchType uint8

const (
	// PathExact matches the path that is equal to the value.
	PathExact PathMatchType = iota
	// PathRegularExpression matches the paths that the expression matches as a whole.
	PathRegularExpression
	// PathPrefix matches the paths that begin with the value's segments.
	PathPrefix
)

// HeaderMatch compares a request header; several field lines are joined by ", ".
type HeaderMatch struct {
	Name  string
	Type  HeaderMatchType
	Value string
}

// HeaderMatchType is a way to compare a header value.
type HeaderMatchType uint8

const (
	// HeaderExact matches the value that is equal, in the same case.
	HeaderExact HeaderMatchType = iota
	// HeaderRegularExpression matches the values that the expression matches as a whole.
	HeaderRegularExpression
)

// JWT is a JWT policy with all defaults applied.
type JWT struct {
	// Mode says what happens to a request without a token.
	Mode Mode
	// Enforcement says what happens to a request that is refused, by the policy or the ACLs behind it.
	Enforcement Enforcement
	// Namespace is where the credentials are.
	Namespace string
	// FromNamespaces are others whose credentials are taken as well, after those of Namespace, in this order.
	FromNamespaces []string
	// Issuers are the external identity providers whose tokens are taken, sorted by issuer, each once.
	Issuers []Issuer
	// Credentials says whether the tokens that are of none of them are looked up among the credentials.
	Credentials CredentialUse
	// Selector restricts the credentials by their labels; empty selects all.
	Selector []LabelRequirement
	Lookup   Lookup
	// Audiences of which the token must carry one. Where there are none, AudienceMatchAny asks for the credential's own
	// audiences alone, and refuses every token whose credential states none either.
	Audiences     []string
	AudienceMatch AudienceMatch
	TokenSources  []TokenSource
	// MaxBodyBytes bounds the bodies that are read to find a token in them.
	MaxBodyBytes  int
	MaxTokenBytes int
	ClockSkew     time.Duration
	Expiration    Expiration
	// MaxLifetime is the longest life of a token; 0 is any.
	MaxLifetime time.Duration
	// TokenTypes of which the token's typ must be one, as media types in lower case with their application/; empty is
	// any.
	TokenTypes []string
	// RequiredClaims are names at the token's top level.
	RequiredClaims []string
	// ClaimRules must all hold.
	ClaimRules       []ClaimRule
	SenderConstraint SenderConstraint
	RequiredScopes   []string
	ScopeMatch       ScopeMatch
	TokenForwarding  TokenForwarding
	// ClaimHeaders are the claims that are forwarded in header fields.
	ClaimHeaders []ClaimHeader
	Realm        string
	Detail       Detail
	// Body is the content of the answer to a refused request.
	Body ErrorBody
	// ResourceMetadata is a URL of printable ASCII for challenges (RFC 9728 section 5.1), empty for none.
	ResourceMetadata string
	// Tunnels bounds what goes on after its request was judged.
	Tunnels Tunnels
}

// Tunnels bounds connections that switched to another protocol, and responses that are streamed.
type Tunnels struct {
	// OnExpiry says what becomes of one when the caller's token has expired.
	OnExpiry ExpiryAction
	// MaxAge is how long one may last; 0 is without end.
	MaxAge time.Duration
}

// ExpiryAction says what becomes of a tunnel when the caller's token has expired.
type ExpiryAction uint8

const (
	// ExpiryClose closes it.
	ExpiryClose ExpiryAction = iota
	// ExpiryKeep leaves it open.
	ExpiryKeep
)

// Mode says what happens to a request without a token.
type Mode uint8

const (
	// ModeRequired refuses it.
	ModeRequired Mode = iota
	// ModeOptional takes it as that of an anonymous caller.
	ModeOptional
)

// Enforcement says what happens to a request that is refused.
type Enforcement uint8

const (
	// EnforcementEnforce refuses it.
	EnforcementEnforce Enforcement = iota
	// EnforcementDryRun counts it and takes it as that of an anonymous caller.
	EnforcementDryRun
)

// ACL lets callers through by their groups. At least one of its lists is not empty.
type ACL struct {
	// AllowGroups are the groups of which a caller must be in one; empty means every caller.
	AllowGroups []string
	// DenyGroups are the groups of which a caller must be in none, whatever AllowGroups says.
	DenyGroups []string
}

// LabelRequirement is one requirement of a label selector.
type LabelRequirement struct {
	Key      string
	Operator LabelOperator
	Values   []string
}

// LabelOperator relates a label to a requirement's values.
type LabelOperator uint8

const (
	// LabelIn wants the label, with one of the values.
	LabelIn LabelOperator = iota
	// LabelNotIn wants no label, or one with none of the values.
	LabelNotIn
	// LabelExists wants the label, with any value.
	LabelExists
	// LabelDoesNotExist wants no label.
	LabelDoesNotExist
)

// Lookup says what in the token names the credential.
type Lookup struct {
	Type LookupType
	// Name is the claim, for LookupClaim.
	Name string
}

// LookupType is a place in the token.
type LookupType uint8

const (
	// LookupClaim takes a claim's value as the credential's keyID.
	LookupClaim LookupType = iota
	// LookupKID takes the header's kid as the name of a key.
	LookupKID
)

// AudienceMatch says whether audiences are checked.
type AudienceMatch uint8

const (
	// AudienceMatchAny wants one of the stated audiences in the token.
	AudienceMatchAny AudienceMatch = iota
	// AudienceIgnore does not look at the token's audiences.
	AudienceIgnore
)

// TokenSource is a place of the request where a token may be.
type TokenSource struct {
	Type TokenSourceType
	// Name of the scheme, header, cookie, query parameter or form's field, or a JSON Pointer (package jsonpointer).
	Name string
	// Prefix that a header's value must start with; it is not part of the token.
	Prefix string
}

// TokenSourceType is a kind of place.
type TokenSourceType uint8

const (
	// SourceAuthorization is the Authorization field; Name is the scheme, "Bearer" or another.
	SourceAuthorization TokenSourceType = iota
	// SourceHeader is another header field.
	SourceHeader
	// SourceCookie is a cookie.
	SourceCookie
	// SourceQuery is a query parameter.
	SourceQuery
	// SourceFormBody is a field of an application/x-www-form-urlencoded body.
	SourceFormBody
	// SourceJSONBody is a string in a JSON body.
	SourceJSONBody
)

// Expiration says whether a token must have exp.
type Expiration uint8

const (
	// ExpirationRequired refuses tokens without exp.
	ExpirationRequired Expiration = iota
	// ExpirationOptional takes them.
	ExpirationOptional
)

// ClaimRule is a condition on a token's claims: an operator on a claim, or an expression.
type ClaimRule struct {
	// Claim is a JSON Pointer (package jsonpointer); empty where Expression is set.
	Claim    string
	Operator ClaimOperator
	Values   []string
	// Expression is written in CEL, as package expr takes it with ScopeClaims.
	Expression string
	// Message is printable ASCII for logs and, with DetailReason, for the client.
	Message string
}

// ClaimHeader puts a claim into a header field.
type ClaimHeader struct {
	// Header is a field name that Config.ReservedHeaders has for the namespace.
	Header string
	// Claim is a JSON Pointer (package jsonpointer).
	Claim    string
	Encoding ClaimEncoding
}

// ClaimEncoding says how a claim is written into a field.
type ClaimEncoding uint8

const (
	// ClaimCommaSeparated writes scalars as they are and arrays between commas, percent-encoded where needed.
	ClaimCommaSeparated ClaimEncoding = iota
	// ClaimJSON writes JSON in ASCII.
	ClaimJSON
)

// ClaimOperator relates a claim to values.
type ClaimOperator uint8

const (
	// ClaimIn wants a scalar that is one of the values.
	ClaimIn ClaimOperator = iota
	// ClaimNotIn wants no claim, or one that neither is nor contains one of the values.
	ClaimNotIn
	// ClaimContains wants all values among the claim's elements.
	ClaimContains
	// ClaimContainsAny wants one of the values among the claim's elements.
	ClaimContainsAny
	// ClaimExists wants the claim, with any value but null.
	ClaimExists
	// ClaimDoesNotExist wants no claim, or null.
	ClaimDoesNotExist
)

// SenderConstraint says what becomes of a token that is bound to its sender (cnf, RFC 7800).
type SenderConstraint uint8

const (
	// SenderConstraintRefuse refuses it, since no proof is checked.
	SenderConstraintRefuse SenderConstraint = iota
	// SenderConstraintIgnore takes it.
	SenderConstraintIgnore
)

// ScopeMatch says how many of the required scopes a caller must have.
type ScopeMatch uint8

const (
	// ScopeMatchAll wants all of them.
	ScopeMatchAll ScopeMatch = iota
	// ScopeMatchAny wants one of them.
	ScopeMatchAny
)

// TokenForwarding says whether the token is forwarded.
type TokenForwarding uint8

const (
	// TokenStrip takes the token out of the request.
	TokenStrip TokenForwarding = iota
	// TokenPreserve leaves it where it is.
	TokenPreserve
)

// ErrorBody is the content of the answer to a refused request.
type ErrorBody uint8

const (
	// ErrorBodyProblemDetails is problem details (RFC 9457).
	ErrorBodyProblemDetails ErrorBody = iota
	// ErrorBodyNone is nothing.
	ErrorBodyNone
)

// Detail says how much a refusal tells the client.
type Detail uint8

const (
	// DetailStandard tells missing, expired, invalid or scope.
	DetailStandard Detail = iota
	// DetailReason tells the exact reason.
	DetailReason
	// DetailNone tells nothing.
	DetailNone
)

// Proxy forwards to an Upstream.
type Proxy struct {
	Upstream ObjectKey
	Host     HostPolicy
}

// HostPolicy says which Host the upstream sees.
type HostPolicy uint8

const (
	// HostPreserve sends the Host of the request.
	HostPreserve HostPolicy = iota
	// HostBackend sends the backend's own name.
	HostBackend
)

// Terminate answers without an upstream.
type Terminate struct {
	StatusCode  int
	Body        string
	ContentType string
}

// Upstream is one ServiceEndpoint as compiled.
type Upstream struct {
	Key      ObjectKey
	Protocol UpstreamProtocol
	// At most one of Backends and URLs is set. Neither is where the ServiceEndpoint is missing or can't be used: its
	// requests are answered 503 no_endpoints.
	Backends []Backend
	URLs     []UpstreamURL
	// TLS is set where the protocol is HTTPS.
	TLS *UpstreamTLS
	// ConnectTimeout, RequestTimeout (until the response head; 0 is none) and IdleTimeout (of kept connections).
	ConnectTimeout time.Duration
	RequestTimeout time.Duration
	IdleTimeout    time.Duration
}

// UpstreamProtocol is what an upstream speaks.
type UpstreamProtocol uint8

const (
	// UpstreamHTTP is HTTP/1.1 in clear text.
	UpstreamHTTP UpstreamProtocol = iota
	// UpstreamHTTPS is HTTP/2 or HTTP/1.1 over TLS, by ALPN.
	UpstreamHTTPS
	// UpstreamH2C is HTTP/2 in clear text, with prior knowledge.
	UpstreamH2C
)

// Backend is a port of a Service.
type Backend struct {
	Service ObjectKey
	Port    int32
	Weight  int32
	// ServerName is verified in the backend's certificate, where the protocol is HTTPS.
	ServerName string
}

// UpstreamURL is a backend outside the cluster.
type UpstreamURL struct {
	Scheme string // http or https
	Host   string // host:port
	Path   string // prefix put in front of the forwarded path, without a trailing slash
	// ServerName is verified in the server's certificate, where the scheme is https.
	ServerName string
}

// UpstreamTLS says how an upstream's certificate is verified.
type UpstreamTLS struct {
	// RootCAs is PEM; empty means the system's roots, and text without a certificate that nothing is trusted.
	RootCAs string
}

// Certificate is a server certificate for some hosts.
type Certificate struct {
	Pipeline ObjectKey
	Secret   ObjectKey
	// Hosts, lower-case, exact or "*.suffix", sorted.
	Hosts []string
	// Chain is PEM. Empty Chain and Key: the Secret is missing or broken, and handshakes for the hosts fail.
	Chain []byte
	Key   PrivateKeyPEM
}

// PrivateKeyPEM is a private key; it redacts itself wherever it would be printed.
type PrivateKeyPEM []byte

const redacted = "[redacted]"

// String returns a placeholder.
func (PrivateKeyPEM) String() string { return redacted }

// GoString returns a placeholder.
func (PrivateKeyPEM) GoString() string { return redacted }

// Format writes a placeholder, whatever the verb.
func (PrivateKeyPEM) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// LogValue returns a placeholder.
func (PrivateKeyPEM) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText returns a placeholder.
func (PrivateKeyPEM) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns a placeholder.
func (PrivateKeyPEM) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
