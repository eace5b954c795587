// Package refusal is the closed vocabulary of why a request is refused.
//
// One enum serves the response, the access log, the metric label and the explanation given to people, so that the same
// refusal has the same name everywhere.
package refusal

import (
	"iter"
	"net/http"
)

// Reason says why a request was refused. The zero value is Internal, so that a forgotten reason is reported as a fault
// of ours and never as the caller's.
type Reason uint8

// The reasons, in the order of the request's way through the proxy.
const (
	// Internal is a fault of ours: a broken invariant or a recovered panic.
	Internal Reason = iota

	// RequestMalformed is a request that breaks the grammar of HTTP, or that two parsers could read in two ways.
	RequestMalformed
	// PathAmbiguous is a path that another parser could resolve to another resource.
	PathAmbiguous
	// TargetTooLarge is a request target above its limit.
	TargetTooLarge
	// HeadTooLarge is a request head above its limit.
	HeadTooLarge
	// BodyTooLarge is a request body above its limit.
	BodyTooLarge
	// BodyTimeout is a request whose body had to be read and did not come in time.
	BodyTimeout
	// Misdirected is a request for a host that the connection's TLS certificate is not for (RFC 9110 section 15.5.20).
	Misdirected
	// NoRoute is a request that no Pipeline takes.
	NoRoute
	// MethodNotAllowed is a request whose path is taken, but not with this method.
	MethodNotAllowed
	// InsecureTransport is a clear-text request to a Pipeline that refuses clear text.
	InsecureTransport
	// PipelineNotReady is a request to a Pipeline whose protection could not be compiled.
	PipelineNotReady

	// TokenMissing is a request without a token in any of the configured places.
	TokenMissing
	// TokenAmbiguous is a request with more than one token (RFC 6750 section 2).
	TokenAmbiguous
	// TokenTooLarge is a token above its limit.
	TokenTooLarge
	// TokenMalformed is a token that is not one compact JWS over one JSON object (RFC 7515 section 7.1, RFC 7519).
	TokenMalformed
	// AlgorithmNotAllowed is a token whose algorithm no key of the credential permits (RFC 8725 section 3.1).
	AlgorithmNotAllowed
	// IssuerUnknown is a token whose issuer is not the credential's.
	IssuerUnknown
	// CredentialUnknown is a token that names no credential, or one that the policy does not select.
	CredentialUnknown
	// CredentialSuspended is a token of a credential that is suspended, or past its end.
	CredentialSuspended
	// ConsumerUnknown is a token of a credential whose consumer does not exist.
	ConsumerUnknown
	// ConsumerSuspended is a token of a suspended consumer.
	ConsumerSuspended
	// KeyUnknown is a token that names a key the credential does not have at this time, or whose credential has no usable
	// key.
	KeyUnknown
	// TokenRevoked is a token that was revoked by its age, its ID or its key.
	TokenRevoked
	// KeysUnavailable is a token whose keys someone else publishes, and that can't be fetched: never, not for too long, or
	// not now that an unknown one is asked for. It is no fault of the caller's.
	KeysUnavailable
	// SignatureInvalid is a token whose signature does not verify.
	SignatureInvalid
	// TokenExpired is a token at or after its exp; it is said of verified tokens alone.
	TokenExpired
	// TokenNotYetValid is a token before its nbf or its iat; it is said of verified tokens alone.
	TokenNotYetValid
	// LifetimeTooLong is a token that lives longer than the policy allows.
	LifetimeTooLong
	// TypeNotAllowed is a token whose typ says that it was made for something else (RFC 8725 section 3.11).
	TypeNotAllowed
	// AudienceMismatch is a token that is not for this audience (RFC 8725 section 3.9).
	AudienceMismatch
	// ClaimMissing is a token without a claim that is needed.
	ClaimMissing
	// ClaimMismatch is a token with a claim that the policy does not accept.
	ClaimMismatch
	// BindingFailed is a token that is bound to its sender (RFC 7800), which was not proven.
	BindingFailed
	// ScopeMissing is a token without a scope that is needed (RFC 6750 section 3.1).
	ScopeMissing
	// GroupDenied is a request of a caller whose groups an ACL doesn't let through.
	GroupDenied

	// NoEndpoints is a request for a backend without an endpoint.
	NoEndpoints
	// Overloaded is a request above what the proxy or the backend may take at once.
	Overloaded
	// UpstreamConnect is a request whose backend could not be connected to.
	UpstreamConnect
	// UpstreamProtocol is a request whose backend broke the grammar of HTTP.
	UpstreamProtocol
	// UpstreamTimeout is a request whose backend did not answer in time.
	UpstreamTimeout

	reasons // how many there are
)

// String is the reason's word: what logs, metric labels and, where a policy says so, responses carry.
func (r Reason) String() string {
	switch r {
	case RequestMalformed:
		return "request_malformed"
	case PathAmbiguous:
		return "path_ambiguous"
	case TargetTooLarge:
		return "target_too_large"
	case HeadTooLarge:
		return "head_too_large"
	case BodyTooLarge:
		return "body_too_large"
	case BodyTimeout:
		return "body_timeout"
	case Misdirected:
		return "misdirected"
	case NoRoute:
		return "no_route"
	case MethodNotAllowed:
		return "method_not_allowed"
	case InsecureTransport:
		return "insecure_transport"
	case PipelineNotReady:
		return "pipeline_not_ready"
	case NoEndpoints:
		return "no_endpoints"
	case Overloaded:
		return "overloaded"
	case UpstreamConnect:
		return "upstream_connect"
	case UpstreamProtocol:
		return "upstream_protocol"
	case UpstreamTimeout:
		return "upstream_timeout"
	default:
		return r.tokenWord()
	}
}

// tokenWord is String for the reasons of the token policy.
func (r Reason) tokenWord() string {
	switch r {
	case TokenMissing:
		return "token_missing"
	case TokenAmbiguous:
		return "token_ambiguous"
	case TokenTooLarge:
		return "token_too_large"
	case TokenMalformed:
		return "token_malformed"
	case AlgorithmNotAllowed:
		return "algorithm_not_allowed"
	case IssuerUnknown:
		return "issuer_unknown"
	case CredentialUnknown:
		return "credential_unknown"
	case CredentialSuspended:
		return "credential_suspended"
	case ConsumerUnknown:
		return "consumer_unknown"
	case ConsumerSuspended:
		return "consumer_suspended"
	case KeyUnknown:
		return "key_unknown"
	case TokenRevoked:
		return "token_revoked"
	case KeysUnavailable:
		return "keys_unavailable"
	case SignatureInvalid:
		return "signature_invalid"
	default:
		return r.claimWord()
	}
}

// claimWord is String for what verified tokens are refused for.
func (r Reason) claimWord() string {
	switch r {
	case TokenExpired:
		return "token_expired"
	case TokenNotYetValid:
		return "token_not_yet_valid"
	case LifetimeTooLong:
		return "lifetime_too_long"
	case TypeNotAllowed:
		return "type_not_allowed"
	case AudienceMismatch:
		return "audience_mismatch"
	case ClaimMissing:
		return "claim_missing"
	case ClaimMismatch:
		return "claim_mismatch"
	case BindingFailed:
		return "binding_failed"
	case ScopeMissing:
		return "scope_missing"
	case GroupDenied:
		return "group_denied"
	default:
		return "internal"
	}
}

// Status is the HTTP status code of a refusal for this reason (RFC 9110 section 15, RFC 6750 section 3.1, RFC 6585).
func (r Reason) Status() int {
	switch r {
	case RequestMalformed, PathAmbiguous, TokenAmbiguous:
		return http.StatusBadRequest
	case TokenMissing, TokenMalformed, AlgorithmNotAllowed, IssuerUnknown, CredentialUnknown, CredentialSuspended,
		ConsumerUnknown, ConsumerSuspended, KeyUnknown, TokenRevoked, SignatureInvalid, TokenExpired, TokenNotYetValid,
		LifetimeTooLong, TypeNotAllowed, AudienceMismatch, ClaimMissing, ClaimMismatch, BindingFailed:
		return http.StatusUnauthorized
	case InsecureTransport, ScopeMissing, GroupDenied:
		return http.StatusForbidden
	case NoRoute:
		return http.StatusNotFound
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed
	case BodyTooLarge:
		return http.StatusRequestEntityTooLarge
	case BodyTimeout:
		return http.StatusRequestTimeout
	case TargetTooLarge:
		return http.StatusRequestURITooLong
	case Misdirected:
		return http.StatusMisdirectedRequest
	case HeadTooLarge, TokenTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case UpstreamConnect, UpstreamProtocol:
		return http.StatusBadGateway
	case PipelineNotReady, KeysUnavailable, NoEndpoints, Overloaded:
		return http.StatusServiceUnavailable
	case UpstreamTimeout:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// All yields every reason once, in the order of their declaration: for metrics that must exist before the first refusal,
// and for documentation.
func All() iter.Seq[Reason] {
	return func(yield func(Reason) bool) {
		for r := range reasons {
			if !yield(r) {
				return
			}
		}
	}
}
