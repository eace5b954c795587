// Package strictjson reads one JSON object (RFC 8259) without any of the freedom that lets two readers see two things.
//
// encoding/json takes the last of several members with one name, matches names without regard to case and replaces
// invalid UTF-8. A token or key that relies on any of these means something else to another reader, so this package
// refuses it: the names of an object's own members differ in more than case, all text is valid UTF-8, escaped
// surrogates come in pairs, and nothing follows the object.
package strictjson

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how many objects and arrays may be open at once.
const MaxDepth = 32

// ErrInvalid is a text that is not one JSON object, or one that two readers could understand in two ways. It says no
// more: the text may come from anyone.
var ErrInvalid = errors.New("not one unambiguous JSON object")

// ErrDuplicate is the ErrInvalid of an object with two members whose names differ in nothing but case.
var ErrDuplicate = fmt.Errorf("%w: a member twice", ErrInvalid)

// Object is a JSON object that was read whole.
type Object struct {
	members []member
}

type member struct {
	name  string
	value Value
}

// manyMembers is from when on an index finds equal names, so that an object of many members costs no quadratic time.
const manyMembers = 16

// Parse reads text as one object. The Object keeps nothing of text.
func Parse(text []byte) (Object, error) { return ParseString(string(text)) }

// ParseString reads text as one object, whose values are parts of text.
func ParseString(text string) (Object, error) {
	if !utf8.ValidString(text) {
		return Object{}, ErrInvalid
	}
	s := scanner{text: text}
	s.space()
	o := Object{members: make([]member, 0, 8)}
	if !s.object(&o) {
		return Object{}, ErrInvalid
	}
	s.space()
	if s.pos != len(text) {
		return Object{}, ErrInvalid
	}
	if !o.distinct() {
		return Object{}, ErrDuplicate
	}
	return o, nil
}

// Get returns the value of the member with exactly that name.
func (o Object) Get(name string) (Value, bool) {
	for i := range o.members {
		if o.members[i].name == name {
			return o.members[i].value, true
		}
	}
	return Value{}, false
}

// Has says whether there is a member with exactly that name.
func (o Object) Has(name string) bool {
	_, ok := o.Get(name)
	return ok
}

// distinct says whether no two names are equal when case is ignored.
func (o Object) distinct() bool {
	if len(o.members) > manyMembers {
		seen := make(map[string]struct{}, len(o.members))
		for i := range o.members {
			seen[fold(o.members[i].name)] = struct{}{}
		}
		return len(seen) == len(o.members)
	}
	for i := range o.members {
		for j := range i {
			if strings.EqualFold(o.members[i].name, o.members[j].name) {
				return false
			}
		}
	}
	return true
}

// Size is how much memory the Object holds beside the text that it was read from, in bytes, where no name is written
// with escapes.
func (o Object) Size() int {
	const memberBytes = 32 // two strings
	return cap(o.members) * memberBytes
}

// Value is a JSON value that was read whole.
type Value struct {
	raw string
}

// Raw is the value's text.
func (v Value) Raw() string { return v.raw }

// Text returns the value, where it is a string. One that is written without escapes costs no allocation.
func (v Value) Text() (string, bool) {
	if len(v.raw) < 2 || v.raw[0] != '"' {
		return "", false
	}
	return unquote(v.raw)
}

// Number returns the text of the value, where it is a number (RFC 8259 section 6).
func (v Value) Number() (string, bool) {
	if len(v.raw) == 0 || (v.raw[0] != '-' && (v.raw[0] < '0' || v.raw[0] > '9')) {
		return "", false
	}
	return v.raw, true
}

// Texts returns the elements of the value, where it is an array of strings alone. An empty array has no elements.
func (v Value) Texts() ([]string, bool) {
	if len(v.raw) == 0 || v.raw[0] != '[' {
		return nil, false
	}
	s := scanner{text: v.raw, pos: 1}
	s.space()
	texts := []string{}
	if s.peek() == ']' {
		return texts, true
	}
	for {
		s.space()
		raw, ok := s.str()
		if !ok {
			return nil, false
		}
		text, ok := unquote(raw)
		if !ok {
			return nil, false
		}
		texts = append(texts, text)
		s.space()
		switch s.next() {
		case ',':
		case ']':
			return texts, true
		default:
			return nil, false
		}
	}
}

// Elements returns the elements of the value, where it is an array.
func (v Value) Elements() ([]Value, bool) {
	if len(v.raw) == 0 || v.raw[0] != '[' {
		return nil, false
	}
	s := scanner{text: v.raw, pos: 1}
	s.space()
	elements := []Value{}
	if s.peek() == ']' {
		return elements, true
	}
	for {
		s.space()
		from := s.pos
		if !s.value() {
			return nil, false
		}
		elements = append(elements, Value{raw: v.raw[from:s.pos]})
		s.space()
		switch s.next() {
		case ',':
		case ']':
			return elements, true
		default:
			return nil, false
		}
	}
}

// unquote returns the text of a string that the scanner took.
func unquote(raw string) (string, bool) {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1], true
	}
	var text string
	if err := json.Unmarshal([]byte(raw), &text); err != nil {
		return "", false
	}
	return text, true
}
