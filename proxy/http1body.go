package proxy

import (
	"errors"
	"io"
	"os"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/http1"
)

// wireBody is a body that was read before its request was judged, since a token may be in it.
type wireBody struct {
	read     bool
	whole    bool
	bytes    []byte
	reserved int64
}

// release gives the memory back.
func (b *wireBody) release(budget *bodyBudget) {
	if b.reserved > 0 {
		budget.held.Add(-b.reserved)
	}
	*b = wireBody{}
}

// whole reports whether the body was read as a whole before the request was judged.
func (h *wireHead) whole() bool { return h.early.whole }

// ReadBody reads the whole body for whoever judges the request by it (head.Body).
func (h *wireHead) ReadBody(most int) ([]byte, error) {
	if h.early.read {
		return nil, head.ErrBodyCut // it is read once
	}
	if !h.x.HasBody() {
		return nil, nil
	}
	reserved := h.x.Request.ContentLength
	switch {
	case reserved > int64(most):
		return nil, head.ErrBodyTooLarge
	case reserved < 0:
		reserved = int64(most) + 1
	}
	if !h.budget.take(reserved) {
		return nil, head.ErrBodyOverload
	}
	h.early.read, h.early.reserved = true, reserved
	h.x.LimitBody(h.budget.timeout)
	body, err := io.ReadAll(io.LimitReader(bodyReader{h.x}, int64(most)+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, head.ErrBodyTimeout
	case err != nil:
		return nil, head.ErrBodyCut
	case len(body) > most:
		return nil, head.ErrBodyTooLarge
	}
	h.early.bytes, h.early.whole = body, true
	return body, nil
}

// bodyReader reads a request's body.
type bodyReader struct{ x *http1.Exchange }

// Read reads from the client.
func (b bodyReader) Read(p []byte) (int, error) { return b.x.ReadBody(p) }
