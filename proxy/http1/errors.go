package http1

import (
	"errors"
	"net/http"
	"strings"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

// ErrIncomplete says that the bytes end before the head does: call Parse again once there are more.
var ErrIncomplete = errors.New("incomplete message head")

// SyntaxError is a message that is refused. There is one value for every reason, so that refusing costs nothing, and none
// quotes the message.
type SyntaxError struct {
	// Status is the status code that answers such a request: 400, 414, 431, 501 or 505. A response that is refused is
	// answered 502, whatever Status says.
	Status int

	text string
}

func (e *SyntaxError) Error() string { return e.text }

// Limits that callers may set lower than this package does.
var (
	// ErrHeadTooLarge refuses a head of more than MaxHeadBytes bytes.
	ErrHeadTooLarge = refusal(http.StatusRequestHeaderFieldsTooLarge, "head too large")
	// ErrTargetTooLarge refuses a request target of more than MaxTargetBytes bytes.
	ErrTargetTooLarge = refusal(http.StatusRequestURITooLong, "request target too large")
)

var (
	errTooManyFields = refusal(http.StatusRequestHeaderFieldsTooLarge, "too many field lines")

	errEmptyLine   = refusal(http.StatusBadRequest, "empty line before the request")
	errMethod      = refusal(http.StatusBadRequest, "method is no token")
	errMethodLong  = refusal(http.StatusNotImplemented, "method longer than any there is")
	errTarget      = refusal(http.StatusBadRequest, "request target is empty or has a character that must be escaped")
	errRequestLine = refusal(http.StatusBadRequest, "request line is not method, target and version with one space between them")
	errVersion     = refusal(http.StatusBadRequest, "malformed HTTP version")
	errUnsupported = refusal(http.StatusHTTPVersionNotSupported, "HTTP version other than 1.0 and 1.1")
	errStatusLine  = refusal(http.StatusBadRequest, "malformed status line")
	errStatus      = refusal(http.StatusBadRequest, "status code is no number from 100 to 999")

	errFolded      = refusal(http.StatusBadRequest, "field line begins with white space")
	errNameSpace   = refusal(http.StatusBadRequest, "white space in a field name or before its colon")
	errNoColon     = refusal(http.StatusBadRequest, "field line without colon")
	errNoName      = refusal(http.StatusBadRequest, "field line without name")
	errName        = refusal(http.StatusBadRequest, "field name is no token")
	errAlias       = refusal(http.StatusBadRequest, "field name that is taken for Content-Length or Transfer-Encoding")
	errValue       = refusal(http.StatusBadRequest, "control character in a field value")
	errBareCR      = refusal(http.StatusBadRequest, "CR that is not followed by LF")
	errBareLF      = refusal(http.StatusBadRequest, "line ends in LF without CR")
	errHostTwice   = refusal(http.StatusBadRequest, "more than one Host")
	errHost        = refusal(http.StatusBadRequest, "malformed Host")
	errNoHost      = refusal(http.StatusBadRequest, "no Host in HTTP/1.1")
	errLengthTwice = refusal(http.StatusBadRequest, "more than one Content-Length")
	errLength      = refusal(http.StatusBadRequest, "Content-Length is no number of at most 19 digits below 2^63")
	errConnection  = refusal(http.StatusBadRequest, "Connection lists what is no token")
	errOptions     = refusal(http.StatusRequestHeaderFieldsTooLarge, "Connection lists too much")
	errExpect      = refusal(http.StatusBadRequest, "expectation other than 100-continue")

	errLengthAndCoding = refusal(http.StatusBadRequest, "Content-Length together with Transfer-Encoding")
	errCodingVersion   = refusal(http.StatusBadRequest, "Transfer-Encoding in HTTP/1.0")
	errCodingTwice     = refusal(http.StatusBadRequest, "more than one Transfer-Encoding")
	errCoding          = refusal(http.StatusBadRequest, "Transfer-Encoding is not exactly chunked")
	errCodingUnknown   = refusal(http.StatusNotImplemented, "transfer coding besides chunked")

	errChunkSize     = refusal(http.StatusBadRequest, "chunk size is no hexadecimal number of at most 16 digits below 2^63")
	errChunkLine     = refusal(http.StatusBadRequest, "chunk size is not followed by an extension or CRLF")
	errChunkData     = refusal(http.StatusBadRequest, "chunk data is not followed by CRLF")
	errExtension     = refusal(http.StatusBadRequest, "malformed chunk extension")
	errExtensionLong = refusal(http.StatusBadRequest, "chunk extensions too large")
	errTrailersLong  = refusal(http.StatusBadRequest, "trailer section too large")
)

func refusal(status int, text string) *SyntaxError { return &SyntaxError{Status: status, text: text} }

// nameError says what is wrong with a field line that begins with i token characters, if these are not followed by a
// colon or there are none.
func nameError(b []byte, i int) error {
	switch c := b[i]; {
	case c == '\r' && i+1 < len(b) && b[i+1] != '\n':
		return errBareCR
	case c == '\n':
		return errBareLF
	case c == '\r':
		return errNoColon
	case c == ' ' || c == '\t':
		if i == 0 {
			return errFolded
		}
		return errNameSpace
	case c == ':':
		return errNoName
	}
	return errName
}

// valueError says what is wrong with a field value, or a reason phrase, that c ends.
func valueError(c byte) error {
	switch c {
	case '\n':
		return errBareLF
	case '\r':
		return errBareCR
	}
	return errValue
}

// codingError says what is wrong with a Transfer-Encoding that is not exactly "chunked". Codings before the last one may
// be of some use to others (RFC 9112 section 6.1): they are not implemented rather than malformed.
func codingError(value string) error {
	i := strings.LastIndexByte(value, ',')
	if i < 0 || !equalFold(ows.Trim(value[i+1:]), "chunked") {
		return errCoding
	}
	for coding := range options(value[:i]) {
		if !isToken(coding) || equalFold(coding, "chunked") || equalFold(coding, "identity") {
			return errCoding
		}
	}
	return errCodingUnknown
}
