package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// JWTPolicy verifies a JSON Web Token (RFC 7519) and refuses requests without a valid one. The token names an issuer of
// the policy, or else a JWTCredential; the keys of that one alone verify it, and say which Consumer is the caller.
//
// +kubebuilder:validation:XValidation:rule="!has(self.audiences) || size(self.audiences) == 0 || !has(self.audienceMatchPolicy) || self.audienceMatchPolicy != 'Ignore'",message="audiences can't be set with audienceMatchPolicy Ignore: leave one of them out",fieldPath=".audiences"
type JWTPolicy struct {
	// mode says what happens to a request without a token: Required or Optional. Defaults to Required. A request with a
	// token that isn't valid is refused in either mode.
	// +optional
	Mode JWTMode `json:"mode,omitempty"`

	// enforcement says what happens to a request that the policy refuses: Enforce or DryRun. Defaults to Enforce. The
	// ACLs of the Pipeline and the scopes of its apiEndpoints are enforced, or not, with it.
	// +optional
	Enforcement Enforcement `json:"enforcement,omitempty"`

	// issuers are the external identity providers whose tokens are taken. A token whose `iss` is one of them is judged by
	// that issuer's keys alone, every other by credentials. Absent: none. 1 to 16 items with different issuers.
	// +optional
	// +listType=map
	// +listMapKey=issuer
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Issuers []JWTIssuer `json:"issuers,omitempty"`

	// credentials selects the JWTCredentials whose tokens are taken. Absent: none where issuers is set, else all of the
	// Pipeline's namespace, looked up by the claim `sub`.
	// +optional
	Credentials *JWTCredentials `json:"credentials,omitempty"`

	// audiences of which the token's `aud` must name at least one (RFC 7519 section 4.1.3); a credential may ask for
	// more. Where neither asks for any, all tokens are refused, unless audienceMatchPolicy is Ignore. At most 16 items
	// of 1 to 512 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	Audiences []string `json:"audiences,omitempty"`

	// audienceMatchPolicy says whether a token must be for an audience of ours: MatchAny or Ignore. Defaults to MatchAny.
	// The audiences that a credential asks for are asked for in either case.
	// +optional
	AudienceMatchPolicy AudienceMatchPolicy `json:"audienceMatchPolicy,omitempty"`

	// tokenSources are the places of the request where the token may be. A request with tokens in several of them, or
	// several in one, is answered 400. Defaults to [{type: Bearer}]. 1 to 8 items.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(s, self.exists_one(t, s.type == t.type && (has(s.name) ? (s.type in ['AuthorizationScheme', 'Header'] ? s.name.lowerAscii() : s.name) : '') == (has(t.name) ? (t.type in ['AuthorizationScheme', 'Header'] ? t.name.lowerAscii() : t.name) : '')))",message="tokenSources names a place twice: remove one of them (schemes and headers are compared without case)"
	TokenSources []TokenSource `json:"tokenSources,omitempty"`

	// maxBodyBytes is the length up to which a body is read to find a token in it, for tokenSources of type FormBody and
	// JSONBody. A body is read only where no other source has a token; one that is longer is then answered 413. Defaults
	// to 65536. 1024 to 1048576 bytes.
	// +optional
	// +kubebuilder:validation:Minimum=1024
	// +kubebuilder:validation:Maximum=1048576
	MaxBodyBytes *int32 `json:"maxBodyBytes,omitempty"`

	// maxTokenBytes is the length up to which a token is looked at; a request with a longer one is answered 431.
	// Defaults to 16384. 256 to 32768 bytes.
	// +optional
	// +kubebuilder:validation:Minimum=256
	// +kubebuilder:validation:Maximum=32768
	MaxTokenBytes *int32 `json:"maxTokenBytes,omitempty"`

	// clockSkew is the difference between the issuer's clock and ours that `exp` and `nbf` forgive. Written as in Go,
	// such as 30s. Defaults to 0s. 0s to 5m.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) <= duration('5m')",message="clockSkew must be a duration from 0s to 5m, such as 30s"
	ClockSkew *metav1.Duration `json:"clockSkew,omitempty"`

	// requireExpiration says whether a token must have the claim `exp`: Required or Optional. Defaults to Required. A
	// token with `exp` is refused after it in either case.
	// +optional
	RequireExpiration RequireExpiration `json:"requireExpiration,omitempty"`

	// maxTokenLifetime is the longest life of a token: from `iat` to `exp`, else from now to `exp`, where clockSkew is
	// forgiven. A token that lives longer, or has no `exp`, is refused. Absent: any. Written as in Go, such as 24h.
	// 1s to 8784h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('8784h')",message="maxTokenLifetime must be a duration from 1s to 8784h, such as 24h"
	MaxTokenLifetime *metav1.Duration `json:"maxTokenLifetime,omitempty"`

	// tokenTypes of which the token's header `typ` must be one, such as at+jwt for access tokens (RFC 9068), so that a
	// token made for another purpose is refused (RFC 8725 section 3.11). Compared as media types: without case, and
	// `application/` may be left out on either side. Absent: any, and none. At most 8 items of 1 to 128 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[A-Za-z0-9!#$&^_.+-]+(/[A-Za-z0-9!#$&^_.+-]+)?$')",message="must be a media type without parameters, such as at+jwt or application/at+jwt"
	TokenTypes []string `json:"tokenTypes,omitempty"`

	// requiredClaims are the names of claims that the token must have at its top level, with any value but null, such
	// as jti. At most 32 names of 1 to 256 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=256
	RequiredClaims []string `json:"requiredClaims,omitempty"`

	// claimValidationRules must all hold for the token's claims, else the token is refused with claim_mismatch. At most
	// 16 rules.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	ClaimValidationRules []ClaimValidationRule `json:"claimValidationRules,omitempty"`

	// senderConstraint says what becomes of a token that is bound to a key or certificate of its sender: one with the
	// claim `cnf` (RFC 7800), as DPoP (RFC 9449) and mutual TLS (RFC 8705) make them: Refuse or Ignore. Defaults to
	// Refuse, since the proof is not checked.
	// +optional
	SenderConstraint SenderConstraint `json:"senderConstraint,omitempty"`

	// requiredScopes must be among the caller's effective scopes, else the request is answered 403 insufficient_scope.
	// Absent: none. At most 64 scopes of 1 to 128 characters (RFC 6749 section 3.3).
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[!#-\\[\\]-~]+$')",message="a scope must be visible ASCII characters without spaces, quotes and backslashes (RFC 6749): write several scopes as several list items"
	RequiredScopes []string `json:"requiredScopes,omitempty"`

	// scopeMatchPolicy says how many of requiredScopes the caller must have: All or Any. Defaults to All.
	// +optional
	ScopeMatchPolicy ScopeMatchPolicy `json:"scopeMatchPolicy,omitempty"`

	// forwarding says what of the token reaches the upstream. Absent: nothing.
	// +optional
	Forwarding *TokenForwarding `json:"forwarding,omitempty"`

	// errorResponse shapes the answers to refused requests. Absent: the fields' own defaults.
	// +optional
	ErrorResponse *ErrorResponse `json:"errorResponse,omitempty"`

	// tunnels says how long what goes on after its request was judged may do so: WebSocket connections, and responses
	// without a Content-Length, such as events and gRPC streams. They are closed within 5 seconds once the credential or
	// the consumer is revoked, suspended or gone, or the key that verified the token is cut. Absent: the fields' own
	// defaults.
	// +optional
	Tunnels *Tunnels `json:"tunnels,omitempty"`
}

// Tunnels bounds WebSocket connections and streamed responses.
type Tunnels struct {
	// onExpiry says what becomes of one when the token's `exp` is over, clockSkew forgiven: Close or Keep. Defaults to
	// Close.
	// +optional
	OnExpiry ExpiryAction `json:"onExpiry,omitempty"`

	// maxAge is how long one may last, whoever the caller is. Absent: no bound. Written as in Go, such as 24h. 1s to 8784h.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^([0-9]{1,5}(h|m|s|ms)){1,4}$') && duration(self) >= duration('1s') && duration(self) <= duration('8784h')",message="maxAge must be a duration from 1s to 8784h, such as 24h"
	MaxAge *metav1.Duration `json:"maxAge,omitempty"`
}

// ExpiryAction says what becomes of a tunnel when its token expires.
//
// +kubebuilder:validation:Enum=Close;Keep
type ExpiryAction string

const (
	// ExpiryClose closes it within 5 seconds.
	ExpiryClose ExpiryAction = "Close"

	// ExpiryKeep leaves it open. Revocations close it all the same.
	ExpiryKeep ExpiryAction = "Keep"
)

// JWTMode says what happens to a request without a token.
//
// +kubebuilder:validation:Enum=Required;Optional
type JWTMode string

const (
	// JWTModeRequired refuses it.
	JWTModeRequired JWTMode = "Required"

	// JWTModeOptional takes it as that of an anonymous caller: the upstream gets X-Anonymous-Consumer: true and no other
	// identity header. Where scopes or groups are asked for, it is answered 401.
	JWTModeOptional JWTMode = "Optional"
)

// Enforcement says what happens to a request that a policy refuses.
//
// +kubebuilder:validation:Enum=Enforce;DryRun
type Enforcement string

const (
	// EnforcementEnforce refuses it.
	EnforcementEnforce Enforcement = "Enforce"

	// EnforcementDryRun counts and logs the refusal and takes the request as that of an anonymous caller. What is
	// malformed or has several tokens is answered 400 all the same, and a Pipeline whose protection is broken 503.
	EnforcementDryRun Enforcement = "DryRun"
)

// JWTCredentials selects the credentials whose tokens a Pipeline takes, and says how a token names its own.
type JWTCredentials struct {
	// selector selects JWTCredentials of the Pipeline's namespace by their labels. A selector that selects none is
	// valid: every token is refused. Absent: all of the namespace. At most 16 matchLabels and 16 matchExpressions.
	// +optional
	// +kubebuilder:validation:XValidation:rule="!has(self.matchLabels) || size(self.matchLabels) <= 16",message="selector can have at most 16 matchLabels"
	// +kubebuilder:validation:XValidation:rule="!has(self.matchExpressions) || size(self.matchExpressions) <= 16",message="selector can have at most 16 matchExpressions"
	Selector *metav1.LabelSelector `json:"selector,omitempty"`

	// fromNamespaces are namespaces whose JWTCredentials are taken too, each permitted by a ReferenceGrant there, from
	// Pipeline to JWTCredential; without one, the Pipeline answers 503. The selector holds there as well. A credential
	// of the Pipeline's own namespace comes before those of others with the same keyID or kid, and these in the order of
	// this list. Absent: none. At most 16 items.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:XValidation:rule="self.matches(r'^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace: lower-case letters, digits and \"-\""
	FromNamespaces []string `json:"fromNamespaces,omitempty"`

	// lookup says what in the token names the credential. Absent: {type: Claim, name: sub}.
	// +optional
	Lookup *CredentialLookup `json:"lookup,omitempty"`
}

// CredentialLookupType says where the token names its credential.
//
// +kubebuilder:validation:Enum=Claim;Header
type CredentialLookupType string

const (
	// LookupClaim takes the value of a claim, which must equal a JWTCredential's keyID.
	LookupClaim CredentialLookupType = "Claim"

	// LookupHeader takes the header `kid`, which must equal that of a JWTCredential's key.
	LookupHeader CredentialLookupType = "Header"
)

// CredentialLookup says what in the token names the credential.
//
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || self.name == 'kid'",message="name must be kid when type is Header: no other header names a key",fieldPath=".name"
type CredentialLookup struct {
	// type is where the name is: Claim or Header.
	// +required
	Type CredentialLookupType `json:"type"`

	// name of the claim, such as sub, iss, azp or client_id, at the top level of the token; its value must be a string.
	// For type Header always kid. 1 to 128 characters.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`
}

// AudienceMatchPolicy says whether a token must be for an audience of ours.
//
// +kubebuilder:validation:Enum=MatchAny;Ignore
type AudienceMatchPolicy string

const (
	// AudienceMatchAny refuses tokens that name none of the policy's audiences, and all tokens where neither the policy
	// nor the credential asks for any.
	AudienceMatchAny AudienceMatchPolicy = "MatchAny"

	// AudienceMatchIgnore takes tokens for any audience, also those that were made for another service, unless their
	// credential asks for some.
	AudienceMatchIgnore AudienceMatchPolicy = "Ignore"
)

// TokenSourceType is a kind of place where a token may be.
//
// +kubebuilder:validation:Enum=Bearer;AuthorizationScheme;Header;Cookie;Query;FormBody;JSONBody
type TokenSourceType string

const (
	// TokenSourceBearer is `Authorization: Bearer TOKEN` (RFC 6750 section 2.1).
	TokenSourceBearer TokenSourceType = "Bearer"

	// TokenSourceAuthorizationScheme is Authorization with another scheme.
	TokenSourceAuthorizationScheme TokenSourceType = "AuthorizationScheme"

	// TokenSourceHeader is a header of its own.
	TokenSourceHeader TokenSourceType = "Header"

	// TokenSourceCookie is a cookie.
	TokenSourceCookie TokenSourceType = "Cookie"

	// TokenSourceQuery is a query parameter, which is removed from the URL that is forwarded. URLs end up in logs:
	// choose another where you can (RFC 6750 section 2.3).
	TokenSourceQuery TokenSourceType = "Query"

	// TokenSourceFormBody is a field of an application/x-www-form-urlencoded body of POST, PUT and PATCH (RFC 6750
	// section 2.2). The body is forwarded as it is, with the token.
	TokenSourceFormBody TokenSourceType = "FormBody"

	// TokenSourceJSONBody is a string in the JSON object that the body of POST, PUT and PATCH is. The body is forwarded
	// as it is, with the token.
	TokenSourceJSONBody TokenSourceType = "JSONBody"
)

// TokenSource is a place of the request where a token may be.
//
// +kubebuilder:validation:XValidation:rule="self.type == 'Bearer' || has(self.name)",message="name is required for all types but Bearer",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'Bearer' || !has(self.name)",message="name can't be set when type is Bearer: leave it out, or use type AuthorizationScheme for another scheme",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type == 'Header' || !has(self.prefix)",message="prefix can only be set when type is Header",fieldPath=".prefix"
// +kubebuilder:validation:XValidation:rule="self.type != 'AuthorizationScheme' || !has(self.name) || self.name.lowerAscii() != 'bearer'",message="the scheme Bearer is written type: Bearer, without a name",fieldPath=".type"
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || !has(self.name) || self.name.matches(r'^[A-Za-z0-9-]+$')",message="the name of a header can have letters, digits and \"-\" only, such as X-Access-Token: headers with another character are removed",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || !has(self.name) || self.name.lowerAscii() != 'authorization'",message="a token in Authorization is written type: Bearer, or type: AuthorizationScheme with the name of the scheme",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || !has(self.name) || self.name.lowerAscii() != 'cookie'",message="a token in a cookie is written type: Cookie with the name of the cookie",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'Header' || !has(self.name) || !(self.name.lowerAscii() in ['connection', 'content-length', 'expect', 'forwarded', 'host', 'http2-settings', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'x-http-method', 'x-http-method-override', 'x-method-override', 'x-original-url', 'x-real-ip', 'x-request-id', 'x-rewrite-url', 'x-consumer-username', 'x-consumer-namespace', 'x-consumer-id', 'x-consumer-custom-id', 'x-consumer-groups', 'x-credential-id', 'x-anonymous-consumer', 'eg-consumer-id']) && !self.name.lowerAscii().startsWith('x-forwarded-')",message="a token can't be in a header that is about the connection, or that Ostiary removes or sets: choose another, such as X-Access-Token",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'Query' || !has(self.name) || self.name.matches(r'^[A-Za-z0-9._~-]+$')",message="the name of a query parameter must be letters, digits, \"-\", \".\", \"_\" and \"~\", such as access_token",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'FormBody' || !has(self.name) || self.name.matches(r'^[A-Za-z0-9._~-]+$')",message="the name of a form's field must be letters, digits, \"-\", \".\", \"_\" and \"~\", such as access_token",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type != 'JSONBody' || !has(self.name) || self.name.matches(r'^(/([^~/]|~[01])*){1,16}$')",message="the name of a JSONBody must be a JSON Pointer such as /access_token: it starts with a slash, and in names ~ is written ~0 and / is written ~1",fieldPath=".name"
// +kubebuilder:validation:XValidation:rule="self.type == 'JSONBody' || !has(self.name) || !self.name.contains('/')",message="a slash can only be in the name of type JSONBody",fieldPath=".name"
type TokenSource struct {
	// type is the kind of place: Bearer, AuthorizationScheme, Header, Cookie, Query, FormBody or JSONBody.
	// +required
	Type TokenSourceType `json:"type"`

	// name of the scheme, header, cookie, query parameter or form's field, or a JSON Pointer (RFC 6901) into the body,
	// such as /access_token. Required for all types but Bearer, which has none. Schemes and headers are compared without
	// case. Not a header that is about the connection, nor one that Ostiary removes or sets. 1 to 128 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.startsWith('/') || self.matches(r'^[A-Za-z0-9!#$%&*+.^_|~-]+$')",message="must be a name without spaces and separators, such as X-Access-Token"
	Name string `json:"name,omitempty"`

	// prefix that the header's value must start with, case and all; it is not part of the token. For type Header only.
	// Absent: the whole value is the token. 1 to 64 printable ASCII characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[!-~][ -~]*$')",message="must be printable ASCII characters that don't start with a space, such as \"Token \""
	Prefix string `json:"prefix,omitempty"`
}

// RequireExpiration says whether a token must have `exp`.
//
// +kubebuilder:validation:Enum=Required;Optional
type RequireExpiration string

const (
	// ExpirationRequired refuses tokens without `exp`.
	ExpirationRequired RequireExpiration = "Required"

	// ExpirationOptional takes tokens without `exp`: they end only with their credential.
	ExpirationOptional RequireExpiration = "Optional"
)

// ClaimOperator relates a claim to a rule's values.
//
// +kubebuilder:validation:Enum=In;NotIn;Contains;ContainsAny;Exists;DoesNotExist
type ClaimOperator string

const (
	// ClaimIn holds where the claim is a string, number or boolean that equals one of the values.
	ClaimIn ClaimOperator = "In"

	// ClaimNotIn holds where the claim is absent, and where neither it nor any of its elements equals one of the values.
	ClaimNotIn ClaimOperator = "NotIn"

	// ClaimContains holds where all values are among the claim's elements.
	ClaimContains ClaimOperator = "Contains"

	// ClaimContainsAny holds where at least one of the values is among the claim's elements.
	ClaimContainsAny ClaimOperator = "ContainsAny"

	// ClaimExists holds where the claim is there, with any value but null.
	ClaimExists ClaimOperator = "Exists"

	// ClaimDoesNotExist holds where the claim is absent or null.
	ClaimDoesNotExist ClaimOperator = "DoesNotExist"
)

// ClaimValidationRule is a condition on the claims of a token: an operator on one claim, or a CEL expression.
//
// +kubebuilder:validation:XValidation:rule="has(self.claim) != has(self.expression)",message="write either claim with operator, or expression"
// +kubebuilder:validation:XValidation:rule="has(self.claim) == has(self.operator)",message="operator belongs to claim: write both, or an expression",fieldPath=".operator"
// +kubebuilder:validation:XValidation:rule="!has(self.operator) || (self.operator in ['Exists', 'DoesNotExist']) != (has(self.values) && size(self.values) > 0)",message="the operators In, NotIn, Contains and ContainsAny need at least one value; Exists and DoesNotExist have none",fieldPath=".values"
// +kubebuilder:validation:XValidation:rule="has(self.claim) || !has(self.values)",message="values belong to claim: write them into the expression",fieldPath=".values"
type ClaimValidationRule struct {
	// claim is a JSON Pointer (RFC 6901) to a claim, such as /tenant, /realm_access/roles or
	// /https:~1~1example.com~1roles: a slash in a name is written ~1, a tilde ~0. 2 to 256 characters, at most 16 steps.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^(/([^~/]|~[01])*){1,16}$')",message="must be a JSON Pointer such as /realm_access/roles: it starts with a slash, and in names ~ is written ~0 and / is written ~1"
	Claim string `json:"claim,omitempty"`

	// operator relates the claim to the values: In, NotIn, Contains, ContainsAny, Exists or DoesNotExist.
	// +optional
	Operator ClaimOperator `json:"operator,omitempty"`

	// values that the claim is compared with: strings as they are, case and all, numbers and booleans as the token
	// writes them. A claim that is no array is taken as an array of one; objects, and arrays in an array, equal nothing.
	// At most 32 items of 0 to 256 characters.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	Values []string `json:"values,omitempty"`

	// expression in CEL that must be true. Variables: claims, and request.method, request.host, request.path,
	// request.query and request.headers, a map by names in lower case. An expression that can't be evaluated, for
	// instance since a claim or header is absent, refuses the token. 1 to 1024 characters.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Expression string `json:"expression,omitempty"`

	// message says what is wrong with a token that the rule refuses. It goes to the log, and with detail Reason to the
	// client. 1 to 256 printable ASCII characters without quotes and backslashes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[ !#-\\[\\]-~]+$')",message="must be printable ASCII characters without quotes and backslashes"
	Message string `json:"message,omitempty"`
}

// SenderConstraint says what becomes of a token that is bound to its sender.
//
// +kubebuilder:validation:Enum=Refuse;Ignore
type SenderConstraint string

const (
	// SenderConstraintRefuse refuses such tokens.
	SenderConstraintRefuse SenderConstraint = "Refuse"

	// SenderConstraintIgnore takes them as if they were not bound, from whoever has them.
	SenderConstraintIgnore SenderConstraint = "Ignore"
)

// ScopeMatchPolicy says how many of the required scopes a caller must have.
//
// +kubebuilder:validation:Enum=All;Any
type ScopeMatchPolicy string

const (
	// ScopeMatchAll asks for all of them.
	ScopeMatchAll ScopeMatchPolicy = "All"

	// ScopeMatchAny asks for at least one of them.
	ScopeMatchAny ScopeMatchPolicy = "Any"
)

// TokenForwardingMode says whether the token reaches the upstream.
//
// +kubebuilder:validation:Enum=Strip;Preserve
type TokenForwardingMode string

const (
	// TokenStrip takes the token out of the request, wherever it was.
	TokenStrip TokenForwardingMode = "Strip"

	// TokenPreserve forwards the token where it was.
	TokenPreserve TokenForwardingMode = "Preserve"
)

// TokenForwarding says what of the token reaches the upstream.
type TokenForwarding struct {
	// token says whether the token itself is forwarded: Strip or Preserve. Defaults to Strip.
	// +optional
	Token TokenForwardingMode `json:"token,omitempty"`

	// claimsToHeaders puts claims of a verified token into headers of the forwarded request. What clients send under
	// these names is removed on every route of the Pipeline's namespace, so that upstreams may trust them. At most 16
	// items.
	// +optional
	// +listType=map
	// +listMapKey=header
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(a, self.exists_one(b, b.header.lowerAscii() == a.header.lowerAscii()))",message="claimsToHeaders names a header twice: remove one of them (headers are compared without case)"
	ClaimsToHeaders []ClaimToHeader `json:"claimsToHeaders,omitempty"`
}

// ClaimEncoding says how a claim is written into a header.
//
// +kubebuilder:validation:Enum=CommaSeparated;JSON
type ClaimEncoding string

const (
	// ClaimEncodingCommaSeparated writes a string, number or boolean as it is, and the elements of an array between
	// commas. What is not printable ASCII, and "%" and ",", is percent-encoded (RFC 3986 section 2.1), and so are spaces
	// at either end.
	ClaimEncodingCommaSeparated ClaimEncoding = "CommaSeparated"

	// ClaimEncodingJSON writes the claim as JSON without white space, with all characters that are not ASCII as escapes.
	ClaimEncodingJSON ClaimEncoding = "JSON"
)

// ClaimToHeader puts a claim into a header.
type ClaimToHeader struct {
	// header that is set, such as X-Roles. It starts with X- and is none that Ostiary sets by itself or that is about the
	// request's way. Compared without case. 3 to 64 letters, digits and hyphens.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[Xx]-[A-Za-z0-9-]+$')",message="must be X- and letters, digits and hyphens, such as X-Roles"
	// +kubebuilder:validation:XValidation:rule="!self.lowerAscii().startsWith('x-forwarded-') && !(self.lowerAscii() in ['x-http-method', 'x-http-method-override', 'x-method-override', 'x-original-url', 'x-real-ip', 'x-request-id', 'x-rewrite-url', 'x-consumer-username', 'x-consumer-namespace', 'x-consumer-id', 'x-consumer-custom-id', 'x-consumer-groups', 'x-credential-id', 'x-anonymous-consumer'])",message="is a header that Ostiary sets or removes by itself: choose another, such as X-Roles"
	Header string `json:"header"`

	// claim is a JSON Pointer (RFC 6901) to a claim, such as /email or /realm_access/roles: a slash in a name is written
	// ~1, a tilde ~0. Where the claim is absent, null or empty, the header is absent. 2 to 256 characters, at most 16
	// steps.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^(/([^~/]|~[01])*){1,16}$')",message="must be a JSON Pointer such as /realm_access/roles: it starts with a slash, and in names ~ is written ~0 and / is written ~1"
	Claim string `json:"claim"`

	// encoding says how the claim is written: CommaSeparated or JSON. Defaults to CommaSeparated. A token whose claim
	// can't be written so, such as an object between commas, or whose value is longer than 8192 bytes, is refused with
	// claim_mismatch.
	// +optional
	Encoding ClaimEncoding `json:"encoding,omitempty"`
}

// ErrorDetail says how much a refusal tells the client.
//
// +kubebuilder:validation:Enum=Standard;Reason;None
type ErrorDetail string

const (
	// ErrorDetailStandard tells whether the token is missing, expired (only once its signature is verified) or invalid,
	// or lacks a scope.
	ErrorDetailStandard ErrorDetail = "Standard"

	// ErrorDetailReason tells the exact reason, such as signature_invalid. For development.
	ErrorDetailReason ErrorDetail = "Reason"

	// ErrorDetailNone tells nothing but the status.
	ErrorDetailNone ErrorDetail = "None"
)

// ErrorResponse shapes the answer to a refused request.
type ErrorResponse struct {
	// realm of the WWW-Authenticate challenge (RFC 9110 section 11.5). Defaults to the Pipeline's name. 1 to 128
	// printable ASCII characters without quotes and backslashes.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^[ !#-\\[\\]-~]+$')",message="must be printable ASCII characters without quotes and backslashes"
	Realm string `json:"realm,omitempty"`

	// detail says how much the answer tells the client: Standard, Reason or None. Defaults to Standard. Logs and metrics
	// always have the exact reason.
	// +optional
	Detail ErrorDetail `json:"detail,omitempty"`

	// body is the content of the answer: ProblemDetails or None. Defaults to ProblemDetails.
	// +optional
	Body ErrorBody `json:"body,omitempty"`

	// resourceMetadata is the URL of the protected resource's metadata (RFC 9728), which tells clients where to get a
	// token. It is the parameter resource_metadata of the WWW-Authenticate challenge. An https URL of at most 512
	// printable ASCII characters without quotes, backslashes and fragment.
	// +optional
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches(r'^https://[^/?#@]+([/?][!$-\\[\\]-~]*)?$') && isURL(self)",message="must be an https URL without quotes, backslashes, user and fragment, such as https://api.example.com/.well-known/oauth-protected-resource"
	ResourceMetadata string `json:"resourceMetadata,omitempty"`
}

// ErrorBody is the content of the answer to a refused request.
//
// +kubebuilder:validation:Enum=ProblemDetails;None
type ErrorBody string

const (
	// ErrorBodyProblemDetails is application/problem+json (RFC 9457), with as much as detail says.
	ErrorBodyProblemDetails ErrorBody = "ProblemDetails"

	// ErrorBodyNone is no content: the status and the challenge alone.
	ErrorBodyNone ErrorBody = "None"
)
