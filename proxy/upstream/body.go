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
type requestBody struct {
	src     io.Reader
	started atomic.Bool
	failed  atomic.Pointer[error]
}

func newRequestBody(req *http.Request) *requestBody { return &requestBody{src: req.Body} }

// Read reads from the client.
func (b *requestBody) Read(p []byte) (int, error) {
	b.started.Store(true)
	n, err := b.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed.Store(&err)
	}
	return n, err
}

// Close leaves the client's body open.
func (b *requestBody) Close() error { return nil }

// again is the request's GetBody: it offers the same body as long as nothing was read from it.
func (b *requestBody) again() (io.ReadCloser, error) {
	if b.started.Load() {
		return nil, errBodyUsed
	}
	return b, nil
}

func (b *requestBody) failure() error {
	if err := b.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// trackBody calls done once, when the response's body is closed. The body of a 101 response stays writable.
func trackBody(resp *http.Response, done func()) io.ReadCloser {
	b := &responseBody{ReadCloser: resp.Body, done: done}
	if w, ok := resp.Body.(io.Writer); ok && resp.StatusCode == http.StatusSwitchingProtocols {
		return &tunnelBody{responseBody: b, Writer: w}
	}
	return b
}

type responseBody struct {
	io.ReadCloser
	done   func()
	closed atomic.Bool
}

// Close gives the connection back.
func (b *responseBody) Close() error {
	err := b.ReadCloser.Close()
	if b.closed.CompareAndSwap(false, true) {
		b.done()
	}
	return err
}

// tunnelBody is the connection after 101 Switching Protocols.
type tunnelBody struct {
	*responseBody
	io.Writer
}

// CloseWrite tells the backend that nothing more comes, where its connection can say so.
func (b *tunnelBody) CloseWrite() error {
	if c, ok := b.Writer.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
