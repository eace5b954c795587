package http1

import "encoding/binary"

// Request is the head of a request. Its strings and Head alias the bytes that were parsed. The zero value is ready for
// use; a Request that is used again allocates nothing, once Fields has grown.
type Request struct {
	// Method is as it was sent: it is compared with case.
	Method string
	// Target is the request target in whatever form it was sent (RFC 9112 section 3.2): visible ASCII without "#".
	Target string
	// Minor is the minor version: 0 or 1.
	Minor int
	// Fields are the field lines in order. Parse reuses the memory.
	Fields []Field
	// Host is the value of the Host field. It is empty only in HTTP/1.0, where there needs to be none.
	Host string
	// ContentLength is -1 where there is no such field.
	ContentLength int64
	// Chunked says that the body is in the chunked coding. Then ContentLength is -1.
	Chunked bool
	// Close says that the client wants the connection closed behind the response.
	Close bool
	// ExpectContinue says that the client waits for 100 Continue before it sends the body. It is never set where there is
	// no body, nor in HTTP/1.0 (RFC 9110 section 10.1.1).
	ExpectContinue bool
	// ConnectionTokens says that Connection lists names other than close, keep-alive and upgrade: see Listed.
	ConnectionTokens bool
	// Head is the whole head, empty line included.
	Head []byte

	section section
}

// Parse parses the head that b begins with and returns its length. With [ErrIncomplete] more bytes are needed: call it
// again with the same bytes and those that came behind them. As long as they lie where they did, no byte is looked at
// more than three times, however few come at once; where they were moved, it begins anew. Any other error is a
// [*SyntaxError], and r holds nothing of use then.
func (r *Request) Parse(b []byte) (int, error) {
	b = b[:min(len(b), MaxHeadBytes)]
	s := &r.section
	n, err := 0, s.begin(requestHead, b, r.Fields)
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
	r.Host = s.host
	r.ContentLength = s.length
	r.Chunked = s.seen&seenTransferEncoding != 0
	r.Close = s.closes(r.Minor)
	r.ConnectionTokens = s.seen&seenNames != 0
	r.ExpectContinue = s.seen&seenExpect != 0 && r.Minor > 0 && (r.Chunked || s.length > 0)
	r.Head = b[:n:n]
	return n, nil
}

// parseLine parses the request line (RFC 9112 section 3) and returns where the next line begins.
func (r *Request) parseLine(b []byte) (int, error) {
	i := 0
	for i < len(b) && (isUpper(b[i]) || isTokenChar(b[i])) { // methods in other letters are rare
		i++
	}
	if i > maxMethodBytes {
		return 0, errMethodLong
	}
	if i == len(b) {
		return 0, ErrIncomplete
	}
	if b[i] != ' ' || i == 0 {
		return 0, methodError(b, i)
	}
	start := i + 1
	end := targetEnd(b, start)
	if end-start > MaxTargetBytes {
		return 0, ErrTargetTooLarge
	}
	if end == len(b) {
		return 0, ErrIncomplete
	}
	if b[end] != ' ' || end == start {
		return 0, targetError(b[end])
	}
	rest := b[end+1:]
	minor, err := version(rest)
	if err != nil {
		return 0, err
	}
	const size = len("HTTP/1.1\r\n")
	if len(rest) < size || rest[size-2] != '\r' || rest[size-1] != '\n' {
		return 0, lineEndError(rest[size-2:])
	}
	r.Method, r.Target, r.Minor = alias(b[:i]), alias(b[start:end]), minor
	return end + 1 + size, nil
}

// version returns the minor version that b begins with, which must be "HTTP/1.0" or "HTTP/1.1".
func version(b []byte) (int, error) {
	const (
		last  = 56 // where the minor version is
		http1 = 'H' | 'T'<<8 | 'T'<<16 | 'P'<<24 | '/'<<32 | '1'<<40 | '.'<<48 | '1'<<last
	)
	if len(b) >= 8 {
		if w := binary.LittleEndian.Uint64(b); w|1<<last == http1 { // '0' is '1' without its lowest bit
			return int(w >> last & 1), nil
		}
	}
	return 0, versionError(b)
}

// versionError says what is wrong with a version that is neither: nothing where it is the beginning of one.
func versionError(b []byte) error {
	const shape = "HTTP/0.0" // digits stand for any
	for i := range min(len(b), len(shape)) {
		if digit := '0' <= b[i] && b[i] <= '9'; shape[i] == '0' && !digit || shape[i] != '0' && shape[i] != b[i] {
			return errVersion
		}
	}
	if len(b) <= len(shape) {
		return ErrIncomplete
	}
	if c := b[len(shape)]; c != '\r' && c != '\n' && c != ' ' {
		return errVersion
	}
	return errUnsupported
}

// lineEndError says what is wrong with what follows a version: nothing where it is the beginning of a line end.
func lineEndError(rest []byte) error {
	switch {
	case len(rest) == 0, len(rest) == 1 && rest[0] == '\r':
		return ErrIncomplete
	case rest[0] == '\r':
		return errBareCR
	case rest[0] == '\n':
		return errBareLF
	}
	return errRequestLine
}

// methodError says what is wrong with a request line that begins with i token characters and no space behind them.
func methodError(b []byte, i int) error {
	switch {
	case i == 0 && (b[0] == '\r' || b[0] == '\n'):
		return errEmptyLine
	case b[i] == '\r', b[i] == '\n', b[i] == '\t':
		return errRequestLine
	}
	return errMethod
}

// targetError says what is wrong with a target that is followed by c and not by a space, or is empty.
func targetError(c byte) error {
	switch c {
	case '\r', '\n', '\t', ' ':
		return errRequestLine
	}
	return errTarget
}

// Listed reports whether a Connection field lists name, without regard to case. Such fields are about this connection
// only and must not be forwarded (RFC 9110 section 7.6.1).
func (r *Request) Listed(name string) bool {
	return r.Has(KindConnection) && listed(r.Fields, name)
}

// Has reports whether there is a field of that kind.
func (r *Request) Has(kind Kind) bool { return r.section.kinds>>kind&1 != 0 }

// Reset forgets the request, also one that is incomplete, and keeps the memory of Fields.
func (r *Request) Reset() {
	fields := longer(r.section.fields, r.Fields)
	*r = Request{}
	r.section.reset(requestHead, fields)
	r.Fields, r.ContentLength = r.section.fields, -1
}
