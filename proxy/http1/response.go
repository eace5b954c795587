package http1

import (
	"net/http"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

// Response is the head of a response. Its strings and Head alias the bytes that were parsed. The zero value is ready for
// use; a Response that is used again allocates nothing, once Fields has grown.
type Response struct {
	// Status is the status code, from 100 to 999.
	Status int
	// Reason is the reason phrase, often empty.
	Reason string
	// Minor is the minor version: 0 or 1.
	Minor int
	// Fields are the field lines in order. Parse reuses the memory.
	Fields []Field
	// ContentLength is -1 where there is no such field. What it says about the body depends on the request: see Body.
	ContentLength int64
	// Chunked says that there is "Transfer-Encoding: chunked". Then ContentLength is -1.
	Chunked bool
	// Close says that the server closes the connection behind the response.
	Close bool
	// ConnectionTokens says that Connection lists names other than close, keep-alive and upgrade: see Listed.
	ConnectionTokens bool
	// Head is the whole head, empty line included.
	Head []byte

	section section
}

// BodyKind says how the end of a body is told.
type BodyKind uint8

// Kinds of bodies (RFC 9112 section 6.3).
const (
	// NoBody: the response ends with its head, whatever its fields say.
	NoBody BodyKind = iota
	// Length: ContentLength bytes follow, possibly none.
	Length
	// ChunkedBody: the body is in the chunked coding.
	ChunkedBody
	// UntilClose: the body ends where the connection is closed.
	UntilClose
)

// Parse parses the head that b begins with and returns its length, as [Request.Parse] does. It is as strict, but takes
// a status line that ends behind the status code, without a space for the empty reason phrase.
func (r *Response) Parse(b []byte) (int, error) {
	b = b[:min(len(b), MaxHeadBytes)]
	s := &r.section
	n, err := 0, s.begin(responseHead, b, r.Fields)
	if err == nil && s.next == 0 {
		s.next, err = r.parseLine(b)
	}
	if err == nil {
		n, err = s.parse(b)
	}
	if err == nil {
		err = s.check(r.Minor)
	}
	if err != nil {
		return 0, s.failed(b, err)
	}
	s.scanned = 0
	r.Fields = s.fields
	r.ContentLength = s.length
	r.Chunked = s.seen&seenTransferEncoding != 0
	r.Close = s.closes(r.Minor)
	r.ConnectionTokens = s.seen&seenNames != 0
	r.Head = b[:n:n]
	return n, nil
}

// parseLine parses the status line (RFC 9112 section 4) and returns where the next line begins.
func (r *Response) parseLine(b []byte) (int, error) {
	minor, err := version(b)
	if err != nil {
		return 0, err
	}
	const code = len("HTTP/1.1 ")
	if len(b) < code+3 || b[code-1] != ' ' || b[code] == '0' || !isDigit(b[code]) || !isDigit(b[code+1]) || !isDigit(b[code+2]) {
		return 0, statusError(b[code-1:])
	}
	end := code + 3
	if end < len(b) && b[end] != '\r' {
		if b[end] != ' ' {
			return 0, errStatusLine
		}
		end = valueEnd(b, end+1)
	}
	if end > maxLineBytes {
		return 0, errStatusLine
	}
	if end+1 >= len(b) && (end == len(b) || b[end] == '\r') {
		return 0, ErrIncomplete
	}
	if b[end] != '\r' || b[end+1] != '\n' {
		return 0, valueError(b[end])
	}
	r.Status = int(b[code]-'0')*100 + int(b[code+1]-'0')*10 + int(b[code+2]-'0')
	r.Reason = ows.Trim(alias(b[code+3 : end]))
	r.Minor = minor
	return end + 2, nil
}

// statusError says what is wrong with what follows the version, where that is no status code: nothing where it is the
// beginning of one.
func statusError(b []byte) error {
	for i := range min(len(b), len(" 200")) {
		switch {
		case i == 0 && b[i] != ' ':
			return errStatusLine
		case i > 0 && !isDigit(b[i]), i == 1 && b[i] == '0':
			return errStatus
		}
	}
	return ErrIncomplete
}

// Body says how the body of the response to a request with that method ends. What comes behind it on the connection
// belongs to no request.
func (r *Response) Body(method string) BodyKind {
	switch {
	case method == http.MethodHead, r.Status < 200, r.Status == http.StatusNoContent, r.Status == http.StatusNotModified:
		return NoBody
	case r.Chunked:
		return ChunkedBody
	case r.ContentLength >= 0:
		return Length
	}
	return UntilClose
}

// Listed reports whether a Connection field lists name, without regard to case. Such fields are about this connection
// only and must not be forwarded (RFC 9110 section 7.6.1).
func (r *Response) Listed(name string) bool {
	return r.Has(KindConnection) && listed(r.Fields, name)
}

// Has reports whether there is a field of that kind.
func (r *Response) Has(kind Kind) bool { return r.section.kinds>>kind&1 != 0 }

// Reset forgets the response, also one that is incomplete, and keeps the memory of Fields.
func (r *Response) Reset() {
	fields := longer(r.section.fields, r.Fields)
	*r = Response{}
	r.section.reset(responseHead, fields)
	r.Fields, r.ContentLength = r.section.fields, -1
}
