package jwt

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/internal/strictjson"
	"github.com/ostiary/ostiary/proxy/jsonpointer"
	"github.com/ostiary/ostiary/proxy/refusal"
)

func (s *sources) inBody() bool { return len(s.forms)+len(s.json) > 0 }

// inBodyOf says whether a token may be in a body of that kind.
func (s *sources) inBodyOf(kind bodyKind) bool {
	return kind == formBody && len(s.forms) > 0 || kind == jsonBody && len(s.json) > 0
}

func (s *sources) addPointer(text string) error {
	pointer, err := jsonpointer.Parse(text)
	if err != nil {
		return fmt.Errorf("token source: %q is no place in a JSON body: %w", text, err)
	}
	if !slices.ContainsFunc(s.json, func(p jsonpointer.Pointer) bool { return p.String() == text }) {
		s.json = append(s.json, pointer)
	}
	return nil
}

// findInBody looks for a token in the body, where there may be one in a body of its kind. It is called where no other
// place has a token, so that whoever sends a token elsewhere has no body read, and streams as ever.
func (s *sources) findInBody(h head.Head, in *search) *Refused {
	kind := kindOfBody(h)
	if !s.inBodyOf(kind) {
		return nil
	}
	reader, ok := h.(head.Body)
	if !ok {
		return nil
	}
	body, err := reader.ReadBody(s.maxBody)
	switch {
	case errors.Is(err, head.ErrBodyTooLarge):
		return refuse(refusal.BodyTooLarge)
	case errors.Is(err, head.ErrBodyTimeout):
		return refuse(refusal.BodyTimeout)
	case errors.Is(err, head.ErrBodyOverload):
		return refuse(refusal.Overloaded)
	case err != nil:
		return refuse(refusal.RequestMalformed)
	}
	if kind == jsonBody {
		s.findInJSON(body, in)
		return nil
	}
	form := string(body)
	for _, name := range s.forms {
		findParameter(form, name, in)
	}
	return nil
}

// findInJSON looks for the token in a JSON object. What is no string is no token, and what is no object has none; where
// another reader could find another token, there are several.
func (s *sources) findInJSON(body []byte, in *search) {
	object, err := strictjson.Parse(body)
	switch {
	case errors.Is(err, strictjson.ErrDuplicate):
		in.ambiguous = true
		return
	case err != nil:
		return
	}
	for _, pointer := range s.json {
		value, found, err := pointer.Find(object)
		if err != nil {
			in.ambiguous = true
			return
		}
		if token, ok := value.Text(); found && ok && token != "" {
			in.take(token)
		}
	}
}

// bodyKind is what a body says that it is.
type bodyKind uint8

const (
	otherBody bodyKind = iota
	formBody
	jsonBody
)

// kindOfBody says what the head says of the body. Only the methods whose bodies have a meaning can carry a token (RFC 6750
// section 2.2), and only bodies that have but one reading: not coded, and in UTF-8.
func kindOfBody(h head.Head) bodyKind {
	switch h.Method() {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
	default:
		return otherBody
	}
	types := h.Values("Content-Type")
	if len(types) != 1 || len(h.Values("Content-Encoding")) > 0 {
		return otherBody
	}
	mediaType, parameters, err := mime.ParseMediaType(types[0])
	if charset, ok := parameters["charset"]; err != nil || ok && !strings.EqualFold(charset, "utf-8") {
		return otherBody
	}
	switch {
	case mediaType == "application/x-www-form-urlencoded":
		return formBody
	case mediaType == "application/json", strings.HasPrefix(mediaType, "application/") && strings.HasSuffix(mediaType, "+json"):
		return jsonBody
	default:
		return otherBody
	}
}
