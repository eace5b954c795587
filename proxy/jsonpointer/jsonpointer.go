// Package jsonpointer finds values in JSON objects by JSON Pointers (RFC 6901).
//
// Pointers come from the configuration, objects from anyone: a pointer is bounded, and where an object on its way could
// be read in two ways, nothing is found and the caller is told so.
package jsonpointer

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/proxy/internal/strictjson"
)

const (
	// MaxBytes bounds the text of a pointer.
	MaxBytes = 256
	// MaxTokens bounds the steps of a pointer.
	MaxTokens = 16
)

// ErrAmbiguous is an object on a pointer's way whose members two readers could understand in two ways. It quotes nothing.
var ErrAmbiguous = errors.New("ambiguous JSON object")

// Pointer is a JSON Pointer to something inside of an object. It is immutable.
type Pointer struct {
	text   string
	tokens []string
}

// Parse parses a pointer such as /realm_access/roles. In a name "~" is written ~0, and "/" ~1. The pointer to the whole
// document, which is empty, is refused.
func Parse(text string) (Pointer, error) {
	switch {
	case text == "":
		return Pointer{}, errors.New("the pointer is empty")
	case text[0] != '/':
		return Pointer{}, fmt.Errorf("a pointer starts with a slash: write %q", "/"+text)
	case len(text) > MaxBytes:
		return Pointer{}, fmt.Errorf("the pointer is longer than %d bytes", MaxBytes)
	}
	tokens := strings.Split(text[1:], "/")
	if len(tokens) > MaxTokens {
		return Pointer{}, fmt.Errorf("the pointer has more than %d steps", MaxTokens)
	}
	for i, token := range tokens {
		name, ok := unescape(token)
		if !ok {
			return Pointer{}, errors.New(`a "~" is followed by neither 0 nor 1: write ~0 for "~" and ~1 for "/"`)
		}
		tokens[i] = name
	}
	return Pointer{text: text, tokens: tokens}, nil
}

// unescape is RFC 6901 section 4: ~1 first, so that ~01 is ~1.
func unescape(token string) (string, bool) {
	for i := 0; i < len(token); i++ {
		if token[i] != '~' {
			continue
		}
		if i++; i == len(token) || token[i] != '0' && token[i] != '1' {
			return "", false
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(token, "~1", "/"), "~0", "~"), true
}

// String is the pointer as it was written.
func (p Pointer) String() string { return p.text }

// Find returns the value that the pointer leads to, if it leads anywhere. An element of an array is named by its index,
// from 0. The only error is ErrAmbiguous.
func (p Pointer) Find(o strictjson.Object) (value strictjson.Value, found bool, err error) {
	if len(p.tokens) == 0 {
		return strictjson.Value{}, false, nil
	}
	value, found = o.Get(p.tokens[0])
	for _, token := range p.tokens[1:] {
		switch {
		case !found:
			return strictjson.Value{}, false, nil
		case value.IsObject():
			inner, ok := value.Object()
			if !ok {
				return strictjson.Value{}, false, ErrAmbiguous
			}
			value, found = inner.Get(token)
		case value.IsArray():
			value, found = element(value, token)
		default:
			return strictjson.Value{}, false, nil
		}
	}
	return value, found, nil
}

// element returns an array's element (RFC 6901 section 4: digits without leading zeros).
func element(array strictjson.Value, token string) (strictjson.Value, bool) {
	if token == "" || token[0] < '0' || token[0] > '9' || token[0] == '0' && token != "0" {
		return strictjson.Value{}, false
	}
	i, err := strconv.Atoi(token)
	if err != nil {
		return strictjson.Value{}, false
	}
	elements, ok := array.Elements()
	if !ok || i >= len(elements) {
		return strictjson.Value{}, false
	}
	return elements[i], true
}
