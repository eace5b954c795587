// Package head is the request head as policies see it: independent of the HTTP engine that parsed it.
package head

import (
	"errors"
	"net/netip"
)

// Head is one request's head. Policies read and edit it; the engine forwards what is left of it. A Head is used by one
// goroutine and is not valid after the request ended.
type Head interface {
	// Method is the request method (RFC 9110 section 9), as sent.
	Method() string
	// Scheme is "http" or "https", after the connection that the request came in on.
	Scheme() string
	// Authority is the Host field or :authority pseudo-header, as sent, port included.
	Authority() string
	// Path is the path of the request target, as sent, escapes included.
	Path() string
	// Query is the query of the request target without its question mark, as sent.
	Query() string
	// ClientAddr is the address of the connection's other end.
	ClientAddr() netip.AddrPort
	// ServerName is the name the client asked for in the TLS handshake (SNI), empty without TLS or SNI.
	ServerName() string

	// Values are the values of all field lines with that name, compared without case, in order. The slice must not be
	// changed and is valid until the next call of a method of this Head.
	Values(name string) []string
	// Names calls yield for every field name present until it returns false. Fields must not be edited meanwhile.
	Names(yield func(name string) bool)

	// SetPath replaces the path that is forwarded; it must be escaped.
	SetPath(path string)
	// SetQuery replaces the query that is forwarded.
	SetQuery(query string)
	// Set replaces all field lines of that name by one.
	Set(name, value string)
	// Delete removes all field lines of that name.
	Delete(name string)
	// DeleteFunc removes all field lines whose names are so.
	DeleteFunc(so func(name string) bool)
	// DeleteIdentity is DeleteFunc with IsIdentity, which every request goes through.
	DeleteIdentity()
	// Put adds the fields of a Block. There must be none of their names, which is not looked at again: those of IsIdentity,
	// once DeleteIdentity was called.
	Put(b Block)
}

// Body is what a Head implements whose engine lets policies look at the body before it is forwarded.
type Body interface {
	// ReadBody returns the whole body where it is at most that many bytes long, and one of this package's errors
	// otherwise. What was read is forwarded all the same. It waits for the client, for a bounded time. The slice must not
	// be changed.
	ReadBody(most int) ([]byte, error)
}

// Errors of Body.
var (
	// ErrBodyTooLarge is a body above the limit.
	ErrBodyTooLarge = errors.New("body too large")
	// ErrBodyTimeout is a body that did not come in time.
	ErrBodyTimeout = errors.New("body did not come in time")
	// ErrBodyOverload is a body for which there is no memory now: too many are being read.
	ErrBodyOverload = errors.New("too many bodies are being read")
	// ErrBodyCut is a body that ended too early or is malformed.
	ErrBodyCut = errors.New("body ended too early")
)
