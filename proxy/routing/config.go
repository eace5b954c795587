package routing

import "time"

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
	// ClaimHeaders and other namespace-wide facts come with later policies.
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
	// Host is lower-case without port: exact, "*.suffix" for exactly one more label, or empty for any.
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
	// Value is in canonical form already (CanonicalPath), or an RE2 expression.
	Value string
}

// PathMatchType is a way to compare a path, most specific first.
type PathMatchType uint8

const (
	PathExact PathMatchType = iota
	PathRegularExpression
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
	HeaderExact HeaderMatchType = iota
	HeaderRegularExpression
)

// JWT is a JWT policy with all defaults applied.
type JWT struct {
	// Namespace is where the credentials are.
	Namespace string
	// Selector restricts the credentials by their labels; empty selects all.
	Selector []LabelRequirement
	Lookup   Lookup
	// Audiences of which the token must carry one; empty with AudiencesIgnore false means that only the credential's
	// own audiences, if any, are asked for, and that a token without any stated audience is refused.
	Audiences       []string
	AudienceMatch   AudienceMatch
	TokenSources    []TokenSource
	MaxTokenBytes   int
	ClockSkew       time.Duration
	Expiration      Expiration
	RequiredScopes  []string
	ScopeMatch      ScopeMatch
	TokenForwarding TokenForwarding
	Realm           string
	Detail          Detail
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
	LabelIn LabelOperator = iota
	LabelNotIn
	LabelExists
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
	AudienceMatchAny AudienceMatch = iota
	AudienceIgnore
)

// TokenSource is a place of the request where a token may be.
type TokenSource struct {
	Type TokenSourceType
	// Name of the scheme, header, cookie or query parameter.
	Name string
	// Prefix that a header's value must start with; it is not part of the token.
	Prefix string
}

// TokenSourceType is a kind of place.
type TokenSourceType uint8

const (
	SourceAuthorization TokenSourceType = iota // Name is the scheme, "Bearer" or another
	SourceHeader
	SourceCookie
	SourceQuery
)

// Expiration says whether a token must have exp.
type Expiration uint8

const (
	ExpirationRequired Expiration = iota
	ExpirationOptional
)

// ScopeMatch says how many of the required scopes a caller must have.
type ScopeMatch uint8

const (
	ScopeMatchAll ScopeMatch = iota
	ScopeMatchAny
)

// TokenForwarding says whether the token is forwarded.
type TokenForwarding uint8

const (
	TokenStrip TokenForwarding = iota
	TokenPreserve
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
	HostPreserve HostPolicy = iota
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
	// Exactly one of Backends and URLs is set.
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
	UpstreamHTTP UpstreamProtocol = iota
	UpstreamHTTPS
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
	// RootCAs is PEM; empty means the system's roots.
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

func (PrivateKeyPEM) String() string               { return redacted }
func (PrivateKeyPEM) GoString() string             { return redacted }
func (PrivateKeyPEM) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (PrivateKeyPEM) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
