package http1

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// ErrBodyMalformed is what ReadBody returns for a body that breaks its transfer coding, together with the *SyntaxError.
var ErrBodyMalformed = errors.New("malformed request body")

const (
	bodyUnread uint32 = iota
	bodyReading
	bodyWhole
	bodyFailed
)

// bodyReader reads the body of a request.
type bodyReader struct {
	left   int64         // of a body with Content-Length
	by     time.Duration // when it has to be here, on the Sweeper's clock; 0 is any time
	chunks ChunkReader
	err    error
	// state is read by whoever writes the response while another goroutine reads.
	state atomic.Uint32
	none  bool // there is none
	here  bool // all of it came with the head, by Content-Length
}

func (b *bodyReader) begin(x *Exchange) {
	b.left, b.by = max(x.Request.ContentLength, 0), 0
	b.none = b.left == 0 && !x.Request.Chunked
	b.here = !x.Request.Chunked && b.left <= int64(x.w-x.r)
	b.err = nil
	if x.Request.Chunked {
		b.chunks.Reset()
	}
	if b.none {
		b.state.Store(bodyWhole)
	} else {
		b.state.Store(bodyUnread)
		x.conn.awaits.Store(!b.here)
	}
}

// over reports whether nothing more of the body is to come.
func (b *bodyReader) over() bool { return b.state.Load() == bodyWhole }

// endsHere reports whether it is known where the next request begins.
func (b *bodyReader) endsHere() bool { return b.here || b.over() }

// endBody notes that the body was read to its end.
func (x *Exchange) endBody() {
	x.body.state.Store(bodyWhole)
	x.conn.awaits.Store(false)
}

// failBody notes that it can't be.
func (x *Exchange) failBody(err error) error {
	x.body.err = err
	x.body.state.Store(bodyFailed)
	x.conn.awaits.Store(false)
	return err
}

// skipBody drops what was not read of a body that came with the head.
func (x *Exchange) skipBody() {
	if x.body.here {
		x.r += int(x.body.left)
	}
}

// HasBody reports whether the request has a body of at least one byte, or one in the chunked coding.
func (x *Exchange) HasBody() bool { return !x.body.none }

// BodyDone reports whether the body was read to its end; where there is none, it was.
func (x *Exchange) BodyDone() bool { return x.body.over() }

// ReadBody reads the decoded body. Before it waits for the first byte it asks the client for them by 100 Continue, where
// that is expected. It returns io.EOF behind the end, ErrBodyMalformed, io.ErrUnexpectedEOF where the client has closed
// the connection, and os.ErrDeadlineExceeded where it stalls. The time-out is the Server's StallTimeout.
func (x *Exchange) ReadBody(p []byte) (int, error) {
	b := &x.body
	switch b.state.Load() {
	case bodyWhole:
		return 0, io.EOF
	case bodyFailed:
		return 0, b.err
	case bodyUnread:
		b.state.Store(bodyReading)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if x.Request.Chunked {
		return x.readChunked(p)
	}
	return x.readCounted(p)
}

func (x *Exchange) readCounted(p []byte) (int, error) {
	b := &x.body
	p = p[:min(int64(len(p)), b.left)]
	var n int
	if x.r < x.w {
		n = copy(p, x.rest[x.r:x.w])
		x.r += n
	} else {
		var err error
		if n, err = x.receive(p); err != nil {
			return 0, err
		}
	}
	if b.left -= int64(n); b.left == 0 {
		x.endBody()
	}
	return n, nil
}

func (x *Exchange) readChunked(p []byte) (int, error) {
	b := &x.body
	got := 0
	for {
		for x.r < x.w && got < len(p) {
			data, n, err := b.chunks.Next(x.rest[x.r:min(x.w, x.r+len(p)-got)])
			x.r += n
			got += copy(p[got:], data)
			if err != nil {
				return got, x.failBody(fmt.Errorf("%w: %w", ErrBodyMalformed, err))
			}
			if b.chunks.Done() {
				x.endBody()
				if got == 0 {
					return 0, io.EOF
				}
				return got, nil
			}
		}
		if got > 0 {
			return got, nil
		}
		from := 0
		if x.spare == nil {
			from = len(x.Request.Head)
		}
		n, err := x.receive(x.rest[from:])
		if err != nil {
			return 0, err
		}
		x.r, x.w = from, from+n
	}
}

// LimitBody has ReadBody end with os.ErrDeadlineExceeded once that time has passed, however steadily the body comes; 0
// ends the limit.
func (x *Exchange) LimitBody(after time.Duration) {
	x.body.by = 0
	if after > 0 {
		x.body.by = x.sc.server.opts.Sweeper.Now() + after
	}
}

// receive reads more of the body from the connection.
func (x *Exchange) receive(p []byte) (int, error) {
	timeout := x.sc.server.opts.StallTimeout
	if by := x.body.by; by > 0 {
		left := by - x.sc.server.opts.Sweeper.Now()
		if left <= 0 { // what is there already would be read in spite of a time-out
			return 0, x.failBody(os.ErrDeadlineExceeded)
		}
		timeout = min(timeout, left)
	}
	if err := x.proceed(); err != nil {
		return 0, x.failBody(err)
	}
	x.conn.ExpireRead(timeout)
	n, err := x.conn.Read(p)
	x.conn.ExpireRead(0)
	switch {
	case n > 0: // what went wrong shows again with the next read
		return n, nil
	case err == nil:
		err = io.ErrNoProgress
	case errors.Is(err, io.EOF):
		err = io.ErrUnexpectedEOF
	}
	return 0, x.failBody(err)
}

// Trailers returns the trailer section of a body that was read to its end. It is valid as long as x is.
func (x *Exchange) Trailers() []Field {
	if !x.Request.Chunked || !x.body.over() {
		return nil
	}
	return x.body.chunks.Trailers()
}
