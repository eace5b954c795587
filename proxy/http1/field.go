package http1

import (
	"bytes"
	"math"
	"math/bits"
	"strings"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

// Limits of message heads.
const (
	// MaxHeadBytes bounds a head: the first line and all field lines with their line ends, and the empty line.
	MaxHeadBytes = 64 << 10
	// MaxTargetBytes bounds the request target: 8 KiB, as RFC 9112 section 3 recommends at least.
	MaxTargetBytes = 8 << 10
	// MaxFields bounds the field lines of a head.
	MaxFields = 128

	// maxOptions bounds what the Connection fields of a head list, which each of its fields is compared with.
	maxOptions = 64

	// maxMethodBytes bounds the method. The longest one registered has 17 letters.
	maxMethodBytes = 32
	// maxLineBytes is the length of the longest request line.
	maxLineBytes = maxMethodBytes + MaxTargetBytes + len("  HTTP/1.1\r\n")
)

// Kind says what a field is to the engine.
type Kind uint8

// Kinds of fields. Names are compared without case.
const (
	// KindOther is every field that the engine has no interest in.
	KindOther Kind = iota
	// KindIrregular is a field whose name has other characters than letters, digits and hyphens. Servers may take it for
	// another one: many turn such characters and hyphens alike into underscores.
	KindIrregular
	KindHost
	KindContentLength
	KindTransferEncoding
	KindConnection
	KindKeepAlive
	KindProxyConnection
	KindProxyAuthenticate
	KindProxyAuthorization
	KindExpect
	KindUpgrade
	KindHTTP2Settings
	KindTE
	KindTrailer
	KindDate
	KindAuthorization

	// kindAlias is a field of letters, digits and hyphens for which isFramingAlias holds.
	kindAlias
)

// Field is one field line.
type Field struct {
	// Name is as it was sent.
	Name string
	// Value is what was sent, without white space around it.
	Value string

	start, end int32
	kind       Kind
}

// Kind says what the field is to the engine. It is KindOther in a Field that was not parsed.
func (f *Field) Kind() Kind { return f.kind }

// Extent is where the line lies in Head, from its name to behind its CRLF; both are 0 in a Field that was not parsed.
func (f *Field) Extent() (start, end int) { return int(f.start), int(f.end) }

// What a section's fields say about the message.
const (
	seenHost = 1 << iota
	seenContentLength
	seenTransferEncoding // one that is exactly "chunked"
	seenClose
	seenKeepAlive
	seenExpect
	seenNames // Connection lists others than close, keep-alive and upgrade
)

// part is the part of a message that field lines are in.
type part uint8

const (
	requestHead part = iota
	responseHead
	trailerSection
)

// section parses field lines up to the empty line, one complete line after the other, so that it can go on where the
// bytes ended.
type section struct {
	fields []Field
	length int64 // Content-Length, -1 where there is none
	host   string
	seen   uint8
	listed uint8  // options of Connection fields
	told   uint8  // which field is Content-Length, where there is one
	kinds  uint32 // a bit for every Kind that there is
	of     part

	next    int   // where the first line begins that is not parsed yet
	scanned int   // up to where it was looked at without finding its end; 0 before the first look
	base    *byte // the first byte that was parsed: what was parsed lies there still
}

// noted returns the kinds of fields that mean something to a message in whose part of that sort they are, as a bit for
// each.
func (p part) noted() uint32 {
	const framing = 1<<KindContentLength | 1<<KindTransferEncoding | 1<<KindConnection
	switch p {
	case requestHead:
		return framing | 1<<KindHost | 1<<KindExpect | 1<<KindIrregular | 1<<kindAlias
	case responseHead:
		return framing
	default:
		return 0
	}
}

// parse parses lines of b from s.next on and returns where the section ends.
func (s *section) parse(b []byte) (int, error) {
	text, noted := alias(b), s.of.noted()
	for start := s.next; ; start = s.next {
		colon, kind := start, KindOther
		for ; colon <= len(b)-8; colon += 8 {
			if odd := oddOfName(b[colon:]); odd != 0 {
				colon += bits.TrailingZeros64(odd) / 8
				break
			}
		}
		if colon == start || !at(text, colon, ':') {
			if endsLine(text, start) {
				return start + 2, nil
			}
			var err error
			if colon, kind, err = otherName(b, start, colon); err != nil {
				return 0, err
			}
		}
		if kind == KindOther && isCandidate(text[start], colon-start, s.of) {
			kind = kindOf(b[start:colon], s.of)
		}
		from := colon + 1
		for from < len(text) && ows.Is(text[from]) {
			from++
		}
		end := valueEnd(b, from)
		if !endsLine(text, end) {
			return 0, valueEndError(b[end:])
		}
		s.next = end + 2
		for end > from && ows.Is(text[end-1]) {
			end--
		}
		count := len(s.fields)
		if count == cap(s.fields) {
			if count == MaxFields {
				return 0, errTooManyFields
			}
			s.grow()
		}
		s.fields = s.fields[:count+1]
		f := &s.fields[count]
		f.Name, f.Value = text[start:colon], text[from:end]
		f.start, f.end, f.kind = int32(start), int32(s.next), kind //nolint:gosec // at most MaxHeadBytes
		if kind == KindOther {
			continue
		}
		s.kinds |= 1 << kind
		if noted>>kind&1 != 0 {
			if err := s.note(f); err != nil {
				return 0, err
			}
		}
	}
}

// grow makes room for more fields, up to MaxFields.
func (s *section) grow() {
	n := len(s.fields)
	s.fields = append(make([]Field, 0, min(max(16, 2*n), MaxFields)), s.fields...)
}

// otherName returns where the name ends that the line of b at start begins with, of which i is not the end or the line has
// none, and whether it is irregular. Up to i there are letters and hyphens alone.
func otherName(b []byte, start, i int) (int, Kind, error) {
	for i < len(b) && isNameWord(b[i]) {
		i++
	}
	kind := KindOther
	if i < len(b) && b[i] != ':' {
		kind = KindIrregular
		for i < len(b) && isTokenChar(b[i]) {
			i++
		}
	}
	switch {
	case i == len(b), i == len(b)-1 && b[i] == '\r':
		return 0, 0, ErrIncomplete
	case b[i] != ':' || i == start:
		return 0, 0, nameError(b[start:], i-start)
	}
	return i, kind, nil
}

// at reports whether there is that byte at i.
func at(b string, i int, c byte) bool { return i < len(b) && b[i] == c }

// endsLine reports whether there is a line end at i.
func endsLine(b string, i int) bool { return i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n' }

// valueEndError says what is wrong with what follows a value: nothing where it is the beginning of a line end.
func valueEndError(rest []byte) error {
	if len(rest) == 0 || len(rest) == 1 && rest[0] == '\r' {
		return ErrIncomplete
	}
	return valueError(rest[0])
}

// note takes in what a field of a kind that part.noted has means to the message.
func (s *section) note(f *Field) error {
	value := f.Value
	switch f.kind {
	case kindAlias:
		return errAlias
	case KindIrregular:
		if isFramingAlias(f.Name) {
			return errAlias
		}
	case KindHost:
		if s.seen&seenHost != 0 {
			return errHostTwice
		}
		if !isHost(value) {
			return errHost
		}
		s.seen |= seenHost
		s.host = value
	case KindContentLength:
		if s.seen&seenContentLength != 0 {
			return errLengthTwice
		}
		length, ok := contentLength(value)
		if !ok {
			return errLength
		}
		s.seen |= seenContentLength
		s.length, s.told = length, uint8(len(s.fields)-1) //nolint:gosec // at most MaxFields
	case KindTransferEncoding:
		if s.seen&seenTransferEncoding != 0 {
			return errCodingTwice
		}
		if !equalFold(value, "chunked") {
			return codingError(value)
		}
		s.seen |= seenTransferEncoding
	case KindConnection:
		return s.noteConnection(value)
	case KindExpect:
		if !equalFold(value, "100-continue") {
			return errExpect
		}
		s.seen |= seenExpect
	default: // of no concern to the framing
	}
	return nil
}

// noteConnection takes in the options of a Connection field (RFC 9110 section 7.6.1).
func (s *section) noteConnection(value string) error {
	if equalFold(value, "keep-alive") { // as most are
		s.seen |= seenKeepAlive
		return nil
	}
	for option := range options(value) {
		if s.listed++; s.listed > maxOptions {
			return errOptions
		}
		switch {
		case option == "":
		case equalFold(option, "close"):
			s.seen |= seenClose
		case equalFold(option, "keep-alive"):
			s.seen |= seenKeepAlive
		case equalFold(option, "upgrade"):
		case !isToken(option):
			return errConnection
		default:
			s.seen |= seenNames
		}
	}
	return nil
}

// options yields the members of a comma-separated list, empty ones too.
func options(list string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for more := true; more; {
			var one string
			one, list, more = strings.Cut(list, ",")
			if !yield(ows.Trim(one)) {
				return
			}
		}
	}
}

// listed reports whether a Connection field of fields lists name.
func listed(fields []Field, name string) bool {
	for i := range fields {
		if fields[i].kind != KindConnection {
			continue
		}
		for option := range options(fields[i].Value) {
			if option != "" && sameName(option, name) {
				return true
			}
		}
	}
	return false
}

// check judges what concerns more than one field. It is called with the minor version once the section has ended.
func (s *section) check(minor int) error {
	if s.seen&seenTransferEncoding != 0 {
		if s.seen&seenContentLength != 0 {
			return errLengthAndCoding
		}
		if minor == 0 {
			return errCodingVersion
		}
	}
	if s.of == requestHead && s.seen&seenHost == 0 && minor > 0 {
		return errNoHost
	}
	return nil
}

// closes reports whether the message is the last one on its connection (RFC 9112 section 9.3).
func (s *section) closes(minor int) bool {
	return s.seen&seenClose != 0 || minor == 0 && s.seen&seenKeepAlive == 0
}

// begin makes s ready to parse b, or to go on where b begins with what was parsed before. It returns ErrIncomplete where
// there is nothing new to look at. The memory of fields is used where it is more than there was.
func (s *section) begin(of part, b []byte, fields []Field) error {
	if s.scanned > 0 && s.scanned <= len(b) && s.base == first(b) {
		if !s.lineEnded(b) {
			return ErrIncomplete
		}
		return nil
	}
	s.reset(of, longer(s.fields, fields))
	s.base = first(b)
	return nil
}

// reset makes s ready for another section, whose fields are kept in the given memory.
func (s *section) reset(of part, fields []Field) {
	s.fields, s.host, s.base = fields[:0:min(cap(fields), MaxFields)], "", nil
	s.length, s.next, s.scanned = -1, 0, 0
	s.seen, s.listed, s.told, s.kinds, s.of = 0, 0, 0, 0, of
}

// longer returns the longer one of two pieces of memory.
func longer(a, b []Field) []Field {
	if cap(b) > cap(a) {
		return b
	}
	return a
}

// lineEnded reports whether the line that was incomplete has an end now. It also does where there can't be one any more
// within the limits, which is to be told at once.
func (s *section) lineEnded(b []byte) bool {
	return bytes.IndexByte(b[s.scanned:], '\n') >= 0 || s.next == 0 && len(b) > maxLineBytes || len(b) >= MaxHeadBytes
}

// failed takes in why a head could not be parsed. What is incomplete is parsed from there on the next time, unless there
// may be no more of it.
func (s *section) failed(b []byte, err error) error {
	s.scanned = 0
	if err != ErrIncomplete { //nolint:errorlint // ours, never wrapped
		return err
	}
	if len(b) >= MaxHeadBytes {
		return ErrHeadTooLarge
	}
	s.scanned = len(b)
	return err
}

// contentLength parses a Content-Length: digits alone, and at most 19 of them, of which leading ones may be zero (RFC
// 9110 section 8.6).
func contentLength(value string) (int64, bool) {
	if value == "" || len(value) > 19 {
		return 0, false
	}
	var n uint64
	for i := range len(value) {
		c := value[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + uint64(c)
	}
	return int64(n), n <= math.MaxInt64
}
