package http1

import "time"

// Filter says which field lines of a message may be passed on. What belongs to a connection is never asked about.
type Filter interface {
	KeepResponseField(name string) bool
	KeepResponseTrailer(name string) bool
	KeepRequestTrailer(name string) bool
}

// Fault says what ended a relay early.
type Fault uint8

const (
	// FaultNone: the response went to the client as a whole.
	FaultNone Fault = iota
	// FaultStale: the upstream's connection was used before and was not idle any more: it had ended, or something had come.
	// Nothing was sent to either side, nor taken of the request's body, so that another connection may be tried.
	FaultStale
	// FaultSilent: the upstream's connection broke before anything of a response came. Nothing was sent to the client.
	FaultSilent
	// FaultResponse: the upstream sent no response that can be passed on. Nothing final was sent to the client.
	FaultResponse
	// FaultTimeout: the response did not begin in time. Nothing final was sent to the client.
	FaultTimeout
	// FaultRequestBody: the client's body is malformed, ended early or stalled. Nothing final was sent to the client.
	FaultRequestBody
	// FaultClientGone: the client went away.
	FaultClientGone
	// FaultCut: the upstream broke off within its response, of which a part was sent. The client's connection is cut, so
	// that the part is not taken for the whole.
	FaultCut
)

// Result is what became of a relay.
type Result struct {
	// Status of the final response, 0 where none was begun.
	Status int
	// Sent is how many bytes of body were sent to the client.
	Sent  int64
	Fault Fault
	// Err is the cause of a Fault.
	Err error
	// Reusable says that the upstream's connection may carry another request.
	Reusable bool
}

// Initials is a set of names by their first letters, without regard to case. Bytes that are no letters are taken for the
// letter with the same last five bits.
type Initials uint32

// Has reports whether names that begin with c are in the set.
func (s Initials) Has(c byte) bool { return s>>(c&31)&1 != 0 }

// RelayOptions are the settings of one relay.
type RelayOptions struct {
	Filter Filter
	// Reused says that the upstream's connection was idle, and is to be looked at before anything is sent on it.
	Reused bool
	// Kept are names of response fields that Filter keeps: it is not asked about them.
	Kept Initials
	// ResponseTimeout bounds how long the response's head is waited for once the request was sent; 0 does not.
	ResponseTimeout time.Duration
	// BodyTimeout bounds how long the next piece of the response's body is waited for.
	BodyTimeout time.Duration
	// StallTimeout bounds each read from the client and each write to either side.
	StallTimeout time.Duration
	// Body is the request's body where it was read already, as a whole.
	Body []byte
	// Streams is told of a response's body without a length; nil tells nobody.
	Streams Streams
}
