package upstream

import (
	"errors"
	"io"
	"net/http"
	"sync/atomic"
)

var errBodyUsed = errors.New("the request body was read already")

// requestBody is the client's body on its way to an endpoint. It remembers whether any of it was read, so that a request
// is tried again only while none was, and what went wrong on the client's side, so that the upstream is not blamed.
// Closing it does not close the client's body: another endpoint may need it, and the server closes it in the end.
// A nil requestBody is that of a request without one.
type requestBody struct {
	src     io.Reader
	started atomic.Bool
	failed  atomic.Pointer[error]
}

func newRequestBody(req *http.Request) *requestBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &requestBody{src: req.Body}
}

// Read reads from the client.
func (b *requestBody) Read(p []byte) (int, error) {
	b.started.Store(true)
	n, err := b.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.fail(err)
	}
	return n, err
}

// fail notes what is wrong with the body.
func (b *requestBody) fail(err error) { b.failed.CompareAndSwap(nil, &err) }

// Close leaves the client's body open.
func (b *requestBody) Close() error { return nil }

// begun reports whether anything of it was read.
func (b *requestBody) begun() bool { return b != nil && b.started.Load() }

// again is the request's GetBody: it offers the same body as long as nothing was read from it.
func (b *requestBody) again() (io.ReadCloser, error) {
	if b.started.Load() {
		return nil, errBodyUsed
	}
	return b, nil
}

func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// trackBody calls done once, when the response's body is closed.
func trackBody(body io.ReadCloser, done func()) io.ReadCloser {
	return &trackedBody{ReadCloser: body, done: done}
}

type trackedBody struct {
	io.ReadCloser
	done   func()
	closed atomic.Bool
}

// Close gives the connection back.
func (b *trackedBody) Close() error {
	err := b.ReadCloser.Close()
	if b.closed.CompareAndSwap(false, true) {
		b.done()
	}
	return err
}
