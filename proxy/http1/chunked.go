package http1

import (
	"bytes"
	"strconv"
)

// Limits of the chunked coding.
const (
	// maxChunkDigits bounds the digits of a chunk size: those of 2^63-1.
	maxChunkDigits = 16
	// maxExtensionBytes bounds the extensions of one chunk.
	maxExtensionBytes = 1 << 10
	// maxExtensionExcess bounds how many bytes all chunks have besides their data beyond 16 for each and two for every
	// byte of data, so that nobody has us parse mostly extensions. It is the rule of net/http.
	maxExtensionExcess = 16 << 10
	// maxTrailerBytes bounds the trailer section.
	maxTrailerBytes = 8 << 10
)

// chunkState is what a ChunkReader expects next.
type chunkState uint8

const (
	chunkFirstDigit   chunkState = iota // the first digit of the size
	chunkDigit                          // a digit, an extension or CR
	chunkSpace                          // ";", perhaps behind white space
	chunkName                           // the first character of an extension's name
	chunkNameRest                       // further ones, "=", ";" or CR
	chunkNameSpace                      // "=" or ";" behind white space
	chunkValue                          // the first character of an extension's value
	chunkToken                          // further ones, ";" or CR
	chunkQuoted                         // a character of a quoted value, or its end
	chunkQuotedEscape                   // a character behind a backslash
	chunkQuotedEnd                      // ";" or CR
	chunkLineLF                         // the LF that ends the line
	chunkData
	chunkDataCR // the CR behind the data
	chunkDataLF
	chunkTrailers
	chunkDone
	chunkFailed
)

// ChunkReader decodes the chunked coding of requests and responses (RFC 9112 section 7.1) and can be interrupted behind
// any byte. Extensions are checked, bounded and dropped. The zero value is ready for use.
type ChunkReader struct {
	left      int64 // of the chunk's data; the size while its digits are read
	excess    int64 // see maxExtensionExcess
	digits    int   // of the size
	extension int   // bytes of the chunk's extensions
	state     chunkState
	err       error

	trailer []byte
	section section
}

// Next decodes what it can of b and returns how many bytes of b it is done with, which are all of them unless the body
// has ended or is malformed. The body bytes that were found are moved together within b[:n], so b is changed; data is a
// part of it, and what was found before an error is there too. An error is a [*SyntaxError], and is returned by every
// later call.
func (c *ChunkReader) Next(b []byte) (data []byte, n int, err error) {
	start, end := 0, 0 // of data
	for n < len(b) && c.state < chunkDone {
		switch c.state {
		case chunkData:
			size := int(min(c.left, int64(len(b)-n)))
			if start == end {
				start, end = n, n
			} else {
				copy(b[end:], b[n:n+size])
			}
			end += size
			n += size
			if c.left -= int64(size); c.left == 0 {
				c.state = chunkDataCR
			}
		case chunkTrailers:
			n += c.readTrailers(b[n:])
		default:
			c.step(b[n])
			n++
		}
	}
	return b[start:end:end], n, c.err
}

// Done reports whether the body has ended.
func (c *ChunkReader) Done() bool { return c.state == chunkDone }

// Trailers are the fields behind the body once it has ended, nil where there are none. They are a copy and are valid
// until Reset. Nobody has judged whether they may be in a trailer section (RFC 9110 section 6.5.1).
func (c *ChunkReader) Trailers() []Field {
	if c.state != chunkDone || len(c.section.fields) == 0 {
		return nil
	}
	return c.section.fields
}

// Reset makes c ready for another body.
func (c *ChunkReader) Reset() {
	*c = ChunkReader{trailer: c.trailer[:0], section: section{fields: c.section.fields[:0]}}
}

// AppendChunkHeader appends the line that begins a chunk of that size, in the shortest form and without extensions.
// Behind the data of every chunk there is another CRLF to write; behind the chunk of size 0 there is the trailer section
// instead, which ends in CRLF.
func AppendChunkHeader(dst []byte, size int) []byte {
	dst = strconv.AppendUint(dst, uint64(max(size, 0)), 16)
	return append(dst, '\r', '\n')
}

func (c *ChunkReader) fail(err *SyntaxError) {
	c.state, c.err = chunkFailed, err
}

// step takes in one byte that is neither data nor of the trailer section.
func (c *ChunkReader) step(b byte) {
	switch c.state {
	case chunkFirstDigit, chunkDigit:
		c.stepSize(b)
	case chunkLineLF:
		if b != '\n' {
			c.fail(errBareCR)
			return
		}
		c.beginData()
	case chunkDataCR:
		c.expect(b, '\r', chunkDataLF)
	case chunkDataLF:
		c.expect(b, '\n', chunkFirstDigit)
	default:
		if c.extension++; c.extension > maxExtensionBytes {
			c.fail(errExtensionLong)
			return
		}
		c.stepExtension(b)
	}
}

func (c *ChunkReader) expect(b, want byte, next chunkState) {
	if b != want {
		c.fail(errChunkData)
		return
	}
	c.state = next
}

func (c *ChunkReader) stepSize(b byte) {
	digit, ok := hexDigit(b)
	switch {
	case ok:
		if c.state == chunkFirstDigit {
			c.left, c.digits, c.extension, c.state = 0, 0, 0, chunkDigit
		}
		if c.digits++; c.digits > maxChunkDigits || c.left>>59 != 0 {
			c.fail(errChunkSize)
			return
		}
		c.left = c.left<<4 | int64(digit)
	case c.state == chunkFirstDigit:
		c.fail(errChunkSize)
	case b == '\r':
		c.state = chunkLineLF
	case b == ';':
		c.extension, c.state = 1, chunkName
	case b == ' ' || b == '\t':
		c.extension, c.state = 1, chunkSpace
	case b == '\n':
		c.fail(errBareLF)
	default:
		c.fail(errChunkLine)
	}
}

// stepExtension follows the grammar of RFC 9112 section 7.1.1. The white space that it allows around ";" and "=" is
// never at the end of the line.
func (c *ChunkReader) stepExtension(b byte) {
	var next chunkState
	switch c.state {
	case chunkSpace, chunkName, chunkNameRest, chunkNameSpace:
		next = nameStep(c.state, b)
	case chunkValue, chunkToken, chunkQuotedEnd:
		next = valueStep(c.state, b)
	default:
		next = quotedStep(c.state, b)
	}
	switch {
	case next != chunkFailed:
		c.state = next
	case b == '\n':
		c.fail(errBareLF)
	default:
		c.fail(errExtension)
	}
}

// nameStep returns the state behind b, in front of an extension and in its name; chunkFailed where b is malformed.
func nameStep(state chunkState, b byte) chunkState {
	switch {
	case b == ' ' || b == '\t':
		if state == chunkNameRest {
			return chunkNameSpace
		}
		return state
	case b == ';' && state != chunkName:
		return chunkName
	case state == chunkSpace:
		return chunkFailed
	case b == '=' && state != chunkName:
		return chunkValue
	case isTokenChar(b) && state != chunkNameSpace:
		return chunkNameRest
	case b == '\r' && state == chunkNameRest:
		return chunkLineLF
	}
	return chunkFailed
}

// valueStep returns the state behind b, in a value that is no quotation and behind one.
func valueStep(state chunkState, b byte) chunkState {
	switch {
	case state == chunkValue && (b == ' ' || b == '\t'):
		return chunkValue
	case state == chunkValue && b == '"':
		return chunkQuoted
	case state != chunkQuotedEnd && isTokenChar(b):
		return chunkToken
	case state == chunkValue:
		return chunkFailed
	case b == ' ' || b == '\t':
		return chunkSpace
	case b == ';':
		return chunkName
	case b == '\r':
		return chunkLineLF
	}
	return chunkFailed
}

// quotedStep returns the state behind b within a quotation.
func quotedStep(state chunkState, b byte) chunkState {
	switch {
	case !isFieldChar(b):
		return chunkFailed
	case state == chunkQuotedEscape:
		return chunkQuoted
	case b == '"':
		return chunkQuotedEnd
	case b == '\\':
		return chunkQuotedEscape
	}
	return chunkQuoted
}

// beginData begins the data that follows a size line.
func (c *ChunkReader) beginData() {
	overhead := c.digits + c.extension + len("\r\n") - 16
	c.excess = max(0, c.excess+int64(overhead)-2*min(c.left, maxExtensionExcess))
	if c.excess > maxExtensionExcess {
		c.fail(errExtensionLong)
		return
	}
	c.state = chunkData
	if c.left == 0 {
		c.state = chunkTrailers
	}
}

// readTrailers takes in what b has of the trailer section and returns how much that is.
func (c *ChunkReader) readTrailers(b []byte) int {
	if len(c.trailer) == 0 && len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		c.state = chunkDone
		return 2
	}
	size, ended := len(b), false
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		size, ended = i+1, true
	}
	if len(c.trailer)+size > maxTrailerBytes {
		c.fail(errTrailersLong)
		return size
	}
	c.trailer = append(c.trailer, b[:size]...)
	if !ended {
		return size
	}
	s := &c.section
	if base := first(c.trailer); s.base != base {
		s.reset(trailerSection, s.fields)
		s.base = base
	}
	if _, err := s.parse(c.trailer); err == nil {
		c.state = chunkDone
	} else if err != ErrIncomplete { //nolint:errorlint // ours, never wrapped
		c.state, c.err = chunkFailed, err
	}
	return size
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return c | 0x20 - 'a' + 10, true
	}
	return 0, false
}
