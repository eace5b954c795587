// Package refusal is the closed vocabulary of why a request is refused.
//
// One enum serves the response, the access log, the metric label and the explanation given to people, so that the same
// refusal has the same name everywhere.
package refusal

// Reason says why a request was refused. The zero value is Internal, so that a forgotten reason is reported as a fault
// of ours and never as the caller's.
type Reason uint8

// The reasons, in the order of the request's way through the proxy.
const (
	Internal Reason = iota

	RequestMalformed
	PathAmbiguous
	TargetTooLarge
	HeadTooLarge
	BodyTooLarge
	Misdirected
	NoRoute
	MethodNotAllowed
	InsecureTransport
	PipelineNotReady

	TokenMissing
	TokenAmbiguous
	TokenTooLarge
	TokenMalformed
	AlgorithmNotAllowed
	IssuerUnknown
	CredentialUnknown
	CredentialSuspended
	ConsumerUnknown
	ConsumerSuspended
	KeyUnknown
	SignatureInvalid
	TokenExpired
	TokenNotYetValid
	AudienceMismatch
	ClaimMissing
	ClaimMismatch
	BindingFailed
	ScopeMissing

	NoEndpoints
	Overloaded
	UpstreamConnect
	UpstreamProtocol
	UpstreamTimeout

	reasons // how many there are
)
