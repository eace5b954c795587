package proxy

import (
	"errors"
	"io"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
)

const (
	// defaultEarlyBodyTimeout bounds how long a body is waited for that has to be read before the request is judged.
	defaultEarlyBodyTimeout = 10 * time.Second
	// defaultEarlyBodyBytes bounds the memory of all such bodies of the process.
	defaultEarlyBodyBytes = 64 << 20
)

// bodyBudget bounds the memory of the bodies that are held at once, and the time that each may take.
type bodyBudget struct {
	most    int64
	timeout time.Duration // for one body
	held    atomic.Int64
}

// take reports whether n bytes may be held.
func (b *bodyBudget) take(n int64) bool {
	if b.held.Add(n) > b.most {
		b.held.Add(-n)
		return false
	}
	return true
}

// earlyBody is a body that was read before the request was judged. Read returns it once more, and then what the client
// sends after it: nothing, that is, but the end.
type earlyBody struct {
	src     io.ReadCloser
	release func()

	mu   sync.Mutex
	rest []byte
}

// Read returns what was read before, then the client's body. It gives the memory back as soon as it can.
func (b *earlyBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	if len(b.rest) == 0 {
		b.rest = nil
		b.mu.Unlock()
		b.release()
		return b.src.Read(p)
	}
	defer b.mu.Unlock()
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// Close closes the client's body.
func (b *earlyBody) Close() error {
	b.release()
	return b.src.Close()
}

// ReadBody reads the whole body for whoever judges the request by it (head.Body).
func (h *requestHead) ReadBody(most int) ([]byte, error) {
	if h.early != nil {
		return nil, head.ErrBodyCut // it is read once
	}
	reserved := h.r.ContentLength
	switch {
	case reserved > int64(most):
		return nil, head.ErrBodyTooLarge
	case reserved == 0 || h.r.Body == nil || h.r.Body == http.NoBody:
		return nil, nil
	case reserved < 0:
		reserved = int64(most) + 1
	}
	if !h.budget.take(reserved) {
		return nil, head.ErrBodyOverload
	}
	h.early = &earlyBody{src: h.r.Body, release: sync.OnceFunc(func() { h.budget.held.Add(-reserved) })}
	_ = h.control.SetReadDeadline(time.Now().Add(h.budget.timeout))
	body, err := io.ReadAll(io.LimitReader(h.r.Body, int64(most)+1))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, head.ErrBodyTimeout
	case err != nil:
		return nil, head.ErrBodyCut
	case len(body) > most:
		return nil, head.ErrBodyTooLarge
	}
	_ = h.control.SetReadDeadline(time.Time{})
	h.early.rest = body
	h.whole = true
	h.Delete("Expect") // the client has sent what it asked about
	return body, nil
}

// releaseBody gives back the memory of a body that was read early, when the request is over.
func (h *requestHead) releaseBody() {
	if h.early != nil {
		h.early.release()
	}
}
