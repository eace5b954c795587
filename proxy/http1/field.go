package http1

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
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
	kinds  uint32 // a bit for every Kind that there is
	of     part

	next    int   // where the first line begins that is not parsed yet
	scanned int   // up to where it was looked at without finding its end; 0 before the first look
	base    *byte // the first byte that was parsed: what was parsed lies there still
}

// parse parses lines of b from s.next on and returns where the section ends.
func (s *section) parse(b []byte) (int, error) {
	fields, at := s.fields, s.next
	for at < len(b) {
		line := b[at:]
		if line[0] == '\r' && len(line) > 1 && line[1] == '\n' {
			s.fields, s.next = fields, at
			return at + 2, nil
		}
		i, kind := nameEnd(line), KindIrregular
		if 0 < i && i < len(line) && line[i] == ':' {
			kind = kindOf(line[:i])
			if kind == KindOther && i >= shortestAlias && isRegularAlias(line[:i]) {
				kind = kindAlias
			}
		} else {
			var err error
			if i, err = irregularName(line, i); err != nil {
				s.fields, s.next = fields, at
				return 0, err
			}
		}
		value, n, err := fieldValue(line[i+1:])
		if err != nil {
			s.fields, s.next = fields, at
			return 0, err
		}
		next := at + i + 1 + n
		if len(fields) == MaxFields {
			return 0, errTooManyFields
		}
		if len(fields) == cap(fields) {
			fields = slices.Grow(fields, max(16, len(fields)))
			s.fields = fields // the memory is kept, whatever becomes of the message
		}
		fields = fields[:len(fields)+1]
		f := &fields[len(fields)-1]
		f.Name, f.Value, f.kind = alias(line[:i]), alias(value), kind
		f.start, f.end = int32(at), int32(next) //nolint:gosec // at most MaxHeadBytes
		at = next
		if kind != KindOther {
			if err := s.take(f); err != nil {
				return 0, err
			}
		}
	}
	s.fields, s.next = fields, at
	return 0, ErrIncomplete
}

// irregularName returns how long the name is that a line begins with, if i letters, digits and hyphens are not the whole
// of it.
func irregularName(line []byte, i int) (int, error) {
	for i < len(line) && isTokenChar(line[i]) {
		i++
	}
	switch {
	case i == len(line), i == len(line)-1 && line[i] == '\r':
		return 0, ErrIncomplete
	case line[i] != ':' || i == 0:
		return 0, nameError(line, i)
	}
	return i, nil
}

// fieldValue returns the value that b begins with, without the white space around it, and how long it is with that and
// its line end.
func fieldValue(b []byte) (value []byte, n int, err error) {
	value = b
	for len(value) > 0 && (value[0] == ' ' || value[0] == '\t') {
		value = value[1:]
	}
	end := valueEnd(value)
	if end >= len(value)-1 || value[end] != '\r' || value[end+1] != '\n' {
		if end == len(value) || end == len(value)-1 && value[end] == '\r' {
			return nil, 0, ErrIncomplete
		}
		return nil, 0, valueError(value[end])
	}
	n = len(b) - len(value) + end + 2
	value = value[:end]
	for len(value) > 0 && (value[len(value)-1] == ' ' || value[len(value)-1] == '\t') {
		value = value[:len(value)-1]
	}
	return value, n, nil
}

// take takes in what a field of any kind but KindOther means to the message.
func (s *section) take(f *Field) error {
	if f.kind == KindIrregular && isFramingAlias(f.Name) || f.kind == kindAlias {
		if s.of == requestHead {
			return errAlias
		}
		if f.kind == kindAlias {
			f.kind = KindOther
			return nil
		}
	}
	s.kinds |= 1 << f.kind
	if s.of == trailerSection {
		return nil
	}
	return s.note(f.kind, f.Value)
}

// note takes in what a field says about the message.
func (s *section) note(kind Kind, value string) error {
	switch kind {
	case KindHost:
		if s.of != requestHead {
			return nil
		}
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
		s.length = length
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
		if s.of != requestHead {
			return nil
		}
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
			if !yield(trimSpace(one)) {
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

// reset makes s ready for another section. The memory of fields is used where it is more than there was.
func (s *section) reset(of part, fields []Field) {
	if cap(fields) > cap(s.fields) {
		s.fields = fields
	}
	s.fields = s.fields[:0]
	s.length, s.host, s.seen, s.listed, s.kinds, s.of = -1, "", 0, 0, 0, of
	s.next, s.scanned, s.base = 0, 0, nil
}

// again reports whether b are the bytes that were parsed without coming to the end, and more.
func (s *section) again(b []byte) bool {
	return s.scanned > 0 && s.scanned <= len(b) && s.base == first(b)
}

// lineEnded reports whether the line that was incomplete has an end now. It also does where there can't be one any more
// within the limits, which is to be told at once.
func (s *section) lineEnded(b []byte) bool {
	return bytes.IndexByte(b[s.scanned:], '\n') >= 0 || s.next == 0 && len(b) > maxLineBytes || len(b) >= MaxHeadBytes
}

// incomplete judges what can be judged of a head whose end is not among b.
func (s *section) incomplete(b []byte) error {
	if len(b) >= MaxHeadBytes {
		s.scanned = 0
		return ErrHeadTooLarge
	}
	s.scanned = len(b)
	return ErrIncomplete
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

// kindOf returns the kind of a field with that name, which is made of letters, digits and hyphens.
func kindOf(name []byte) Kind {
	switch len(name) {
	case 2:
		return ifNamed(name, "te", KindTE)
	case 4:
		switch name[0] | 0x20 {
		case 'h':
			return ifNamed(name, "host", KindHost)
		case 'd':
			return ifNamed(name, "date", KindDate)
		}
	case 6:
		return ifNamed(name, "expect", KindExpect)
	case 7:
		switch name[0] | 0x20 {
		case 'u':
			return ifNamed(name, "upgrade", KindUpgrade)
		case 't':
			return ifNamed(name, "trailer", KindTrailer)
		}
	case 10:
		switch name[0] | 0x20 {
		case 'c':
			return ifNamed(name, "connection", KindConnection)
		case 'k':
			return ifNamed(name, "keep-alive", KindKeepAlive)
		}
	case 13:
		return ifNamed(name, "authorization", KindAuthorization)
	case 14:
		switch name[0] | 0x20 {
		case 'c':
			return ifNamed(name, "content-length", KindContentLength)
		case 'h':
			return ifNamed(name, "http2-settings", KindHTTP2Settings)
		}
	case 16:
		return ifNamed(name, "proxy-connection", KindProxyConnection)
	case 17:
		return ifNamed(name, "transfer-encoding", KindTransferEncoding)
	case 18:
		return ifNamed(name, "proxy-authenticate", KindProxyAuthenticate)
	case 19:
		return ifNamed(name, "proxy-authorization", KindProxyAuthorization)
	}
	return KindOther
}

// ifNamed returns kind if name, which is made of letters, digits and hyphens and as long as lower, is lower in whatever
// case.
func ifNamed(name []byte, lower string, kind Kind) Kind {
	i := 0
	for ; i+8 <= len(lower); i += 8 {
		if binary.LittleEndian.Uint64(name[i:])|0x20*ones != word(lower[i:]) {
			return KindOther
		}
	}
	for ; i < len(lower); i++ {
		if name[i]|0x20 != lower[i] {
			return KindOther
		}
	}
	return kind
}

// shortestAlias is the length of the shortest name for which isFramingAlias holds.
const shortestAlias = len("contentlength")

// isFramingAlias reports whether some server could take name, which is none of the names that we know, for a field that
// says how long the message is, because it drops or replaces other characters than letters. Such a name is never sent in
// good faith.
func isFramingAlias(name string) bool {
	return isAlias(name, "contentlength") || isAlias(name, "transferencoding")
}

// isRegularAlias is isFramingAlias for a name that begins with a letter, of which most are told by that.
func isRegularAlias(name []byte) bool {
	initial := name[0] | 0x20
	return (initial == 'c' || initial == 't') && isFramingAlias(alias(name))
}

// isAlias reports whether the letters and digits of name are those of lower.
func isAlias(name, lower string) bool {
	for i := range len(name) {
		c := name[i]
		if c == '-' || !isNameWord(c) {
			continue
		}
		if lower == "" || c|0x20 != lower[0] {
			return false
		}
		lower = lower[1:]
	}
	return lower == ""
}

// isHost reports whether value is uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2.2) and not empty.
// Whether there can be such a host is not judged here.
func isHost(value string) bool {
	host, port := value, ""
	if strings.HasPrefix(value, "[") {
		end := strings.IndexByte(value, ']')
		if end < 0 {
			return false
		}
		host, port = value[1:end], value[end+1:]
		for i := range len(host) {
			switch c := host[i]; {
			case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'f', c == ':', c == '.':
			default:
				return false
			}
		}
		if port != "" && port[0] != ':' {
			return false
		}
	} else if i := strings.IndexByte(value, ':'); i >= 0 {
		host, port = value[:i], value[i:]
	}
	if host == "" {
		return false
	}
	if value[0] != '[' && !isRegName(host) {
		return false
	}
	if port == "" {
		return true
	}
	for i := range len(port) - 1 {
		if c := port[i+1]; c < '0' || c > '9' || i >= 5 {
			return false
		}
	}
	return true
}

// isRegName reports whether host is a reg-name, of which IPv4 addresses are.
func isRegName(host string) bool {
	for i := 0; i < len(host); i++ {
		c := host[i]
		switch {
		case isNameWord(c), c == '.', c == '_':
		case c == '%':
			if i+2 >= len(host) || !isHex(host[i+1]) || !isHex(host[i+2]) {
				return false
			}
			i += 2
		case strings.IndexByte("~!$&'()*+,;=", c) >= 0:
		default:
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	_, ok := hexDigit(c)
	return ok
}
