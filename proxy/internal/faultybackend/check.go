package faultybackend

import (
	"fmt"
	"io"
	"net/http"
	"strings"
)

// MixedUpError is what must never happen: a request got what is not its own.
type MixedUpError struct {
	// Tag is the request's.
	Tag string
	// Got is what it got instead.
	Got string
}

// Error says what the request got, in part.
func (e *MixedUpError) Error() string { return fmt.Sprintf("the request %s got %.80q", e.Tag, e.Got) }

// CheckHead returns a *MixedUpError where the response is not that of the request with the tag.
func CheckHead(tag string, resp *http.Response) error {
	if got := resp.Header.Get(Tag); got != tag {
		return &MixedUpError{tag, got}
	}
	return nil
}

// CheckBody reads the response's body. It returns a *MixedUpError where a part of it is another request's, and the error
// that the body ended by otherwise.
func CheckBody(tag string, resp *http.Response) error {
	body, err := io.ReadAll(resp.Body)
	own, rest, _ := strings.Cut(string(body), ":")
	if !strings.HasPrefix(tag, own) || strings.Trim(rest, "x") != "" {
		return &MixedUpError{tag, string(body)}
	}
	return err //nolint:wrapcheck // it is the answer
}
