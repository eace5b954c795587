package routing

import (
	"errors"
	"fmt"
	"strings"
)

// MaxTargetBytes bounds the request target, and so the path: 8 KiB, as RFC 9112 section 3 recommends at least.
const MaxTargetBytes = 8 << 10

// Why a path is refused; compare with [errors.Is].
var (
	// ErrPathMalformed: the path is not one by RFC 3986 section 3.3. Answered 400 request_malformed.
	ErrPathMalformed = errors.New("malformed path")
	// ErrPathAmbiguous: servers read the path in different ways. Answered 400 path_ambiguous.
	ErrPathAmbiguous = errors.New("ambiguous path")
	// ErrTargetTooLarge: the path is longer than MaxTargetBytes. Answered 414 target_too_large.
	ErrTargetTooLarge = errors.New("request target too large")
)

// The errors are made once: refusing garbage must not cost an allocation.
var (
	errPathNotAbsolute      = fmt.Errorf("%w: does not start with a slash", ErrPathMalformed)
	errPathCharacter        = fmt.Errorf("%w: character that must be escaped", ErrPathMalformed)
	errPathEscape           = fmt.Errorf("%w: invalid escape", ErrPathMalformed)
	errPathBackslash        = fmt.Errorf("%w: backslash", ErrPathAmbiguous)
	errPathEncodedSlash     = fmt.Errorf("%w: encoded slash or backslash", ErrPathAmbiguous)
	errPathEncodedControl   = fmt.Errorf("%w: encoded control character", ErrPathAmbiguous)
	errPathEncodedSpace     = fmt.Errorf("%w: encoded space at the end of a segment", ErrPathAmbiguous)
	errPathOverlong         = fmt.Errorf("%w: overlong UTF-8", ErrPathAmbiguous)
	errPathEncodedTwice     = fmt.Errorf("%w: character encoded twice", ErrPathAmbiguous)
	errPathParametersOfDots = fmt.Errorf("%w: parameters together with a dot segment", ErrPathAmbiguous)
)

// Path is a request's path in its two canonical forms. They differ only where the path has parameters (";...") or
// escapes of characters that need none.
type Path struct {
	// Match is what is matched on: without parameters, and with every escape decoded whose character may stand in a
	// path as it is.
	Match string
	// Forward is what the upstream gets: parameters are kept, and of the escapes only those of unreserved characters
	// (RFC 3986 section 2.3) are decoded.
	Forward string
}

// ParsePath brings the path of a request target (without its query) into canonical form, or refuses it where servers
// are known to disagree about what it means:
//
//  1. refuse a backslash, an encoded slash, backslash or control character, an invalid escape, an encoded space at the
//     end of a segment, overlong UTF-8, and parameters together with a dot segment;
//  2. decode the escapes of unreserved characters, write the others in upper case, and escape printable characters
//     that browsers send raw although RFC 3986 section 3.3 does not allow them;
//  3. refuse the same again, also where a second decoding would bring it about, or would change what is matched on;
//  4. take the parameters away, for matching; an escaped semicolon starts parameters as well;
//  5. merge slashes;
//  6. resolve dot segments (RFC 3986 section 5.2.4).
//
// Only origin-form paths are taken: the asterisk of "OPTIONS *" is refused, and so are the absolute and the authority
// form, which an engine has to take apart before. A path that is canonical already costs no allocation.
func ParsePath(raw string) (Path, error) {
	if len(raw) > MaxTargetBytes {
		return Path{}, ErrTargetTooLarge
	}
	if raw == "" || raw[0] != '/' {
		return Path{}, errPathNotAbsolute
	}
	if isPlain(raw) {
		return Path{Match: raw, Forward: raw}, nil
	}
	decoded, err := decodeUnreserved(raw)
	if err != nil {
		return Path{}, err
	}
	if err := checkSegments(decoded); err != nil {
		return Path{}, err
	}
	forward := cleanPath(decoded)
	return Path{Match: matchForm(forward), Forward: forward}, nil
}

// CanonicalPath returns the form of the path that is matched on: [Path.Match] of [ParsePath].
func CanonicalPath(raw string) (string, error) {
	p, err := ParsePath(raw)
	return p.Match, err
}

// isPlain reports whether the path is canonical and has neither escapes nor parameters, as nearly all are.
func isPlain(path string) bool {
	start := 1 // of the segment
	for i := 1; i < len(path); i++ {
		c := path[i]
		if c == '/' {
			if i == start || isDotSegment(path[start:i]) {
				return false
			}
			start = i + 1
			continue
		}
		if !isPlainChar(c) {
			return false
		}
	}
	return !isDotSegment(path[start:])
}

// What is unreserved or a delimiter, as bit sets of the characters 0 to 63 and 64 to 127.
const (
	plain0 uint64 = 1<<'!' | 1<<'$' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | (1<<10-1)<<'0' | 1<<':' | 1<<'='
	plain1 uint64 = 1<<('@'-64) | (1<<26-1)<<('A'-64) | 1<<('_'-64) | (1<<26-1)<<('a'-64) | 1<<('~'-64)
)

// isPlainChar is classOf(c)&(classUnreserved|classDelimiter) != 0, for every character of nearly every path.
func isPlainChar(c byte) bool {
	switch c >> 6 {
	case 0:
		return plain0>>(c&63)&1 != 0
	case 1:
		return plain1>>(c&63)&1 != 0
	}
	return false
}

// decodeUnreserved is steps 1 and 2, as far as they look at single characters.
func decodeUnreserved(path string) (string, error) {
	out := lazyBuffer{source: path}
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c == '%':
			decoded, ok := unescape(path, i)
			if !ok {
				return "", errPathEscape
			}
			switch {
			case decoded == '/' || decoded == '\\':
				return "", errPathEncodedSlash
			case isControl(decoded):
				return "", errPathEncodedControl
			case classOf(decoded)&classUnreserved != 0:
				out.append(decoded)
			default:
				out.appendEscaped(decoded)
			}
			i += 2
		case c == '/' || c == ';' || classOf(c)&(classUnreserved|classDelimiter) != 0:
			out.append(c)
		case c == '\\':
			return "", errPathBackslash
		case classOf(c)&classTolerated != 0:
			out.appendEscaped(c)
		default:
			return "", errPathCharacter
		}
	}
	return out.String(), nil
}

// checkSegments is what steps 1 and 3 say of segments and of sequences of escapes. The path went through
// decodeUnreserved: its escapes are valid and upper case.
func checkSegments(path string) error {
	var dots, parameters bool
	for rest := path[1:]; ; {
		segment, tail, more := strings.Cut(rest, "/")
		name := segmentName(segment)
		parameters = parameters || len(name) < len(segment)
		dots = dots || isDotSegment(name)
		if strings.HasSuffix(name, "%20") || strings.HasSuffix(segment, "%20") ||
			strings.HasSuffix(name, "%2520") || strings.HasSuffix(segment, "%2520") {
			return errPathEncodedSpace
		}
		if err := checkEscapes(segment); err != nil {
			return err
		}
		if !more {
			break
		}
		rest = tail
	}
	if dots && parameters {
		return errPathParametersOfDots
	}
	return nil
}

// checkEscapes refuses what a second decoding would turn into something else than was judged, and UTF-8 that is not in
// its shortest form, which lenient decoders take for a dot or a slash.
func checkEscapes(segment string) error {
	for i := strings.IndexByte(segment, '%'); i >= 0 && i < len(segment); i++ {
		if segment[i] != '%' {
			continue
		}
		first, _ := unescape(segment, i)
		if first == '%' {
			second, ok := unescape(segment, i+2)
			switch {
			case !ok: // a percent sign and nothing more
			case second == '/' || second == '\\':
				return errPathEncodedSlash
			case isControl(second):
				return errPathEncodedControl
			case second == ';' || classOf(second)&(classUnreserved|classDelimiter) != 0:
				return errPathEncodedTwice
			}
			continue
		}
		next, ok := unescape(segment, i+3)
		if ok && next&0xC0 == 0x80 &&
			(first == 0xC0 || first == 0xC1 || first == 0xE0 && next < 0xA0 || first == 0xF0 && next < 0x90) {
			return errPathOverlong
		}
	}
	return nil
}

// cleanPath is steps 5 and 6, with the parameters still in place: an empty segment vanishes with its parameters, which
// then belong to nothing, unless it is the last one.
func cleanPath(path string) string {
	out := lazyBuffer{source: path}
	out.append('/')
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch name := segmentName(segment); {
		case segment == "." || name == "" && more:
		case segment == "..":
			out.dropSegment()
		default:
			out.appendString(segment)
			if more {
				out.append('/')
			}
		}
	}
	return out.String()
}

// matchForm is step 4: it takes the parameters away and decodes what was kept encoded for forwarding only. The path
// went through cleanPath.
func matchForm(path string) string {
	out := lazyBuffer{source: path}
	for i := 0; i < len(path); {
		switch c := path[i]; {
		case c == ';' || c == '%' && path[i:i+3] == "%3B":
			i = len(path) - len(cutSegment(path[i:]))
		case c == '%':
			if decoded, _ := unescape(path, i); classOf(decoded)&classDelimiter != 0 {
				out.append(decoded)
			} else {
				out.appendString(path[i : i+3])
			}
			i += 3
		default:
			out.append(c)
			i++
		}
	}
	return out.String()
}

// cutSegment returns the path from its first slash on.
func cutSegment(path string) string {
	if i := strings.IndexByte(path, '/'); i >= 0 {
		return path[i:]
	}
	return ""
}

// segmentName returns the segment without its parameters.
func segmentName(segment string) string {
	for i := range len(segment) {
		if segment[i] == ';' || segment[i] == '%' && strings.HasPrefix(segment[i:], "%3B") {
			return segment[:i]
		}
	}
	return segment
}

func isDotSegment(segment string) bool { return segment == "." || segment == ".." }

// isControl reports whether c is an ASCII control character.
func isControl(c byte) bool { return c < 0x20 || c == 0x7F }

// unescape decodes the escape that starts at s[i]. At a percent sign's last digit it decodes what would be an escape if
// the sign were decoded, so the character at s[i] is not looked at.
func unescape(s string, i int) (decoded byte, ok bool) {
	if i+2 >= len(s) {
		return 0, false
	}
	high, low := unhex(s[i+1]), unhex(s[i+2])
	return high<<4 | low&0x0F, high <= 0x0F && low <= 0x0F
}

// unhex returns the digit's value, or 0xFF.
func unhex(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xFF
}

// class is a set of characters of RFC 3986.
type class uint8

const (
	// classUnreserved: letters, digits and "-._~". Escaped or not, they mean the same.
	classUnreserved class = 1 << iota
	// classDelimiter: what else may stand in a segment as it is, but for the semicolon.
	classDelimiter
	// classTolerated: printable ASCII that must be escaped, but which browsers send as it is (WHATWG URL).
	classTolerated
)

func classOf(c byte) class {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return classUnreserved
	}
	switch c {
	case '-', '.', '_', '~':
		return classUnreserved
	case '!', '$', '&', '\'', '(', ')', '*', '+', ',', '=', ':', '@':
		return classDelimiter
	case '"', '<', '>', '[', ']', '^', '`', '{', '|', '}':
		return classTolerated
	}
	return 0
}

// lazyBuffer collects a string that is expected to be its source. It allocates where they begin to differ.
type lazyBuffer struct {
	source string
	buf    []byte
	length int
}

func (b *lazyBuffer) append(c byte) {
	if b.buf == nil {
		if b.length < len(b.source) && b.source[b.length] == c {
			b.length++
			return
		}
		b.buf = make([]byte, b.length, len(b.source)+16)
		copy(b.buf, b.source)
	}
	b.buf = append(b.buf[:b.length], c)
	b.length++
}

func (b *lazyBuffer) appendString(s string) {
	for i := range len(s) {
		b.append(s[i])
	}
}

func (b *lazyBuffer) appendEscaped(c byte) {
	const digits = "0123456789ABCDEF"
	b.append('%')
	b.append(digits[c>>4])
	b.append(digits[c&0x0F])
}

// dropSegment takes the last segment away, which a slash ends; the first slash stays.
func (b *lazyBuffer) dropSegment() {
	for b.length > 1 {
		b.length--
		if b.at(b.length-1) == '/' {
			return
		}
	}
}

func (b *lazyBuffer) at(i int) byte {
	if b.buf == nil {
		return b.source[i]
	}
	return b.buf[i]
}

func (b *lazyBuffer) String() string {
	if b.buf == nil {
		return b.source[:b.length]
	}
	return string(b.buf[:b.length])
}
