package strictjson

import (
	"strings"
	"unicode"
)

// scanner takes JSON apart by the grammar of RFC 8259. Its methods say whether the text follows the grammar from pos on
// and leave pos behind what they took.
type scanner struct {
	text  string
	pos   int
	depth int
}

// end is what peek and next return behind the text; no JSON token starts with it.
const end = 0

func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return end
}

func (s *scanner) next() byte {
	c := s.peek()
	s.pos++
	return c
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) value() bool {
	switch c := s.peek(); {
	case c == '{':
		return s.object(nil)
	case c == '[':
		return s.array()
	case c == '"':
		_, ok := s.str()
		return ok
	case c == 't':
		return s.word("true")
	case c == 'f':
		return s.word("false")
	case c == 'n':
		return s.word("null")
	default:
		return s.number()
	}
}

func (s *scanner) word(w string) bool {
	if !strings.HasPrefix(s.text[s.pos:], w) {
		return false
	}
	s.pos += len(w)
	return true
}

// object takes an object and keeps its members in o, unless that is nil.
func (s *scanner) object(o *Object) bool {
	if s.next() != '{' || !s.open() {
		return false
	}
	s.space()
	if s.peek() == '}' {
		s.pos++
		s.depth--
		return true
	}
	for {
		s.space()
		raw, ok := s.str()
		if !ok {
			return false
		}
		s.space()
		if s.next() != ':' {
			return false
		}
		s.space()
		from := s.pos
		if !s.value() {
			return false
		}
		if o != nil {
			name, ok := unquote(raw)
			if !ok {
				return false
			}
			o.members = append(o.members, member{name: name, value: Value{raw: s.text[from:s.pos]}})
		}
		s.space()
		switch s.next() {
		case ',':
		case '}':
			s.depth--
			return true
		default:
			return false
		}
	}
}

func (s *scanner) array() bool {
	s.pos++ // the bracket that value saw
	if !s.open() {
		return false
	}
	s.space()
	if s.peek() == ']' {
		s.pos++
		s.depth--
		return true
	}
	for {
		s.space()
		if !s.value() {
			return false
		}
		s.space()
		switch s.next() {
		case ',':
		case ']':
			s.depth--
			return true
		default:
			return false
		}
	}
}

func (s *scanner) open() bool {
	s.depth++
	return s.depth <= MaxDepth
}

// str takes a string and returns it with its quotation marks. The text is valid UTF-8 already.
func (s *scanner) str() (string, bool) {
	from := s.pos
	if s.next() != '"' {
		return "", false
	}
	for s.pos < len(s.text) {
		switch c := s.next(); {
		case c == '"':
			return s.text[from:s.pos], true
		case c == '\\':
			if !s.escape() {
				return "", false
			}
		case c < ' ':
			return "", false
		}
	}
	return "", false
}

// escape takes what follows a backslash.
func (s *scanner) escape() bool {
	switch s.next() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
	default:
		return false
	}
	unit, ok := s.hex4()
	switch {
	case !ok:
		return false
	case unit >= 0xdc00 && unit < 0xe000:
		return false // the second half of a pair, alone
	case unit >= 0xd800 && unit < 0xdc00:
		if s.next() != '\\' || s.next() != 'u' {
			return false
		}
		unit, ok = s.hex4()
		return ok && unit >= 0xdc00 && unit < 0xe000
	}
	return true
}

func (s *scanner) hex4() (int, bool) {
	unit := 0
	for range 4 {
		c := s.next()
		switch {
		case c >= '0' && c <= '9':
			unit = unit<<4 | int(c-'0')
		case c >= 'a' && c <= 'f':
			unit = unit<<4 | int(c-'a'+10)
		case c >= 'A' && c <= 'F':
			unit = unit<<4 | int(c-'A'+10)
		default:
			return 0, false
		}
	}
	return unit, true
}

func (s *scanner) number() bool {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return false
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return false
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		return s.digits()
	}
	return true
}

func (s *scanner) digits() bool {
	from := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > from
}

// fold returns one text for all texts that strings.EqualFold calls equal.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' && r != 'k' && r != 's' {
			return r - 'a' + 'A' // K and S alone have relatives outside ASCII
		}
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, name)
}
