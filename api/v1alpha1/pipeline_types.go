package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Pipeline says which requests it takes (apiEndpoints) and what happens to them (policies, in order).
//
// +kubebuilder:object:root=true
type Pipeline struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   PipelineSpec   `json:"spec"`
	Status PipelineStatus `json:"status,omitempty"`
}

// PipelineList is a list of Pipelines.
//
// +kubebuilder:object:root=true
type PipelineList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Pipeline `json:"items"`
}

// PipelineSpec is what a user wants of a Pipeline.
type PipelineSpec struct {
	// ingressClassName ...; absent: the cluster's default IngressClass, where that is ours.
	IngressClassName *string `json:"ingressClassName,omitempty"`

	TLS []PipelineTLS `json:"tls,omitempty"`

	// insecure; default Redirect when tls is set, else Serve.
	Insecure InsecurePolicy `json:"insecure,omitempty"`

	APIEndpoints []APIEndpoint `json:"apiEndpoints"`
	Policies     []Policy      `json:"policies"`
}

// InsecurePolicy says what happens to a clear-text request.
type InsecurePolicy string

const (
	InsecureRedirect InsecurePolicy = "Redirect"
	InsecureRefuse   InsecurePolicy = "Refuse"
	InsecureServe    InsecurePolicy = "Serve"
)

// PipelineTLS names the certificate for some hosts.
type PipelineTLS struct {
	Hosts      []string `json:"hosts"`
	SecretName string   `json:"secretName"`
}

// APIEndpoint is a set of requests.
type APIEndpoint struct {
	Name    string        `json:"name"`
	Hosts   []string      `json:"hosts,omitempty"`
	Paths   []PathMatch   `json:"paths,omitempty"` // absent: PathPrefix /
	Methods []string      `json:"methods,omitempty"`
	Headers []HeaderMatch `json:"headers,omitempty"`
	Scopes  []string      `json:"scopes,omitempty"`
}

// PathMatchType is a way to compare a path.
type PathMatchType string

const (
	PathMatchExact             PathMatchType = "Exact"
	PathMatchPathPrefix        PathMatchType = "PathPrefix"
	PathMatchRegularExpression PathMatchType = "RegularExpression"
)

// PathMatch compares the canonical path.
type PathMatch struct {
	Type  PathMatchType `json:"type"` // default PathPrefix
	Value string        `json:"value"`
}

// HeaderMatchType is a way to compare a header.
type HeaderMatchType string

const (
	HeaderMatchExact             HeaderMatchType = "Exact"
	HeaderMatchRegularExpression HeaderMatchType = "RegularExpression"
)

// HeaderMatch compares a request header.
type HeaderMatch struct {
	Type  HeaderMatchType `json:"type,omitempty"` // default Exact
	Name  string          `json:"name"`
	Value string          `json:"value"`
}

// PolicyType is the discriminator of Policy.
type PolicyType string

const (
	PolicyJWT       PolicyType = "JWT"
	PolicyProxy     PolicyType = "Proxy"
	PolicyTerminate PolicyType = "Terminate"
)

// Policy is one step of a Pipeline.
type Policy struct {
	Name      string           `json:"name"`
	Type      PolicyType       `json:"type"`
	JWT       *JWTPolicy       `json:"jwt,omitempty"`
	Proxy     *ProxyPolicy     `json:"proxy,omitempty"`
	Terminate *TerminatePolicy `json:"terminate,omitempty"`
}

// JWTPolicy verifies a JSON Web Token.
type JWTPolicy struct {
	Credentials         *JWTCredentials     `json:"credentials,omitempty"`
	Audiences           []string            `json:"audiences,omitempty"`
	AudienceMatchPolicy AudienceMatchPolicy `json:"audienceMatchPolicy,omitempty"`
	TokenSources        []TokenSource       `json:"tokenSources,omitempty"`
	MaxTokenBytes       *int32              `json:"maxTokenBytes,omitempty"`
	ClockSkew           *metav1.Duration    `json:"clockSkew,omitempty"`
	RequireExpiration   RequireExpiration   `json:"requireExpiration,omitempty"`
	RequiredScopes      []string            `json:"requiredScopes,omitempty"`
	ScopeMatchPolicy    ScopeMatchPolicy    `json:"scopeMatchPolicy,omitempty"`
	Forwarding          *TokenForwarding    `json:"forwarding,omitempty"`
	ErrorResponse       *ErrorResponse      `json:"errorResponse,omitempty"`
}

// JWTCredentials selects the credentials whose tokens a Pipeline takes.
type JWTCredentials struct {
	Selector *metav1.LabelSelector `json:"selector,omitempty"` // absent: every JWTCredential of the namespace
	Lookup   *CredentialLookup     `json:"lookup,omitempty"`
}

// CredentialLookupType says where the token names its credential.
type CredentialLookupType string

const (
	LookupClaim  CredentialLookupType = "Claim"
	LookupHeader CredentialLookupType = "Header"
)

// CredentialLookup says what in the token names the credential.
type CredentialLookup struct {
	Type CredentialLookupType `json:"type"`
	Name string               `json:"name"` // claim name; for Header only "kid"
}

type AudienceMatchPolicy string

const (
	AudienceMatchAny    AudienceMatchPolicy = "MatchAny"
	AudienceMatchIgnore AudienceMatchPolicy = "Ignore"
)

type TokenSourceType string

const (
	TokenSourceBearer              TokenSourceType = "Bearer"
	TokenSourceAuthorizationScheme TokenSourceType = "AuthorizationScheme"
	TokenSourceHeader              TokenSourceType = "Header"
	TokenSourceCookie              TokenSourceType = "Cookie"
	TokenSourceQuery               TokenSourceType = "Query"
)

// TokenSource is a place of the request where a token may be.
type TokenSource struct {
	Type   TokenSourceType `json:"type"`
	Name   string          `json:"name,omitempty"`
	Prefix string          `json:"prefix,omitempty"` // Header only
}

type RequireExpiration string

const (
	ExpirationRequired RequireExpiration = "Required"
	ExpirationOptional RequireExpiration = "Optional"
)

type ScopeMatchPolicy string

const (
	ScopeMatchAll ScopeMatchPolicy = "All"
	ScopeMatchAny ScopeMatchPolicy = "Any"
)

type TokenForwardingMode string

const (
	TokenStrip    TokenForwardingMode = "Strip"
	TokenPreserve TokenForwardingMode = "Preserve"
)

// TokenForwarding says what of the token reaches the upstream.
type TokenForwarding struct {
	Token TokenForwardingMode `json:"token,omitempty"`
}

type ErrorDetail string

const (
	ErrorDetailStandard ErrorDetail = "Standard"
	ErrorDetailReason   ErrorDetail = "Reason"
	ErrorDetailNone     ErrorDetail = "None"
)

// ErrorResponse shapes the answer to a refused request.
type ErrorResponse struct {
	Realm  string      `json:"realm,omitempty"` // default: the Pipeline's name
	Detail ErrorDetail `json:"detail,omitempty"`
}

type HostPolicy string

const (
	HostPreserve HostPolicy = "Preserve"
	HostBackend  HostPolicy = "Backend"
)

// ProxyPolicy forwards the request to a ServiceEndpoint.
type ProxyPolicy struct {
	ServiceEndpointRef LocalObjectReference `json:"serviceEndpointRef"`
	Host               HostPolicy           `json:"host,omitempty"` // default Preserve for backendRefs, Backend for urls
}

// TerminatePolicy answers the request without an upstream.
type TerminatePolicy struct {
	StatusCode  int32  `json:"statusCode"`
	Body        string `json:"body,omitempty"`
	ContentType string `json:"contentType,omitempty"`
}

// PipelineStatus is what the controller observed.
type PipelineStatus struct {
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}
