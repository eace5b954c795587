package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// minDirectRead is the least room that chunks are read into without a detour.
const minDirectRead = 512

var errBodyClosed = fmt.Errorf("read the response's body: %w", http.ErrBodyReadAfterClose)

// responseBody is the body of a response. It gives the connection back as soon as it has ended.
type responseBody struct {
	x       *exchange
	resp    *http.Response
	kind    http1.BodyKind
	timeout time.Duration // of each read

	mu      sync.Mutex // held while reading
	in      *inbox     // nil once the exchange has ended
	left    int64      // of a body whose length is known
	chunks  http1.ChunkReader
	surplus bool // behind the last chunk
	err     error
}

// Read reads the next piece of the body. io.EOF comes with the last one.
func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	n, err := b.read(p)
	if err == nil {
		return n, nil
	}
	how := discard
	if errors.Is(err, io.EOF) && b.kind != http1.UntilClose {
		how = keep
	}
	b.finish(how, err)
	return n, err
}

func (b *responseBody) read(p []byte) (int, error) {
	switch b.kind {
	case http1.ChunkedBody:
		return b.readChunks(p)
	case http1.Length:
		n, err := b.receive(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.left == 0 {
			return n, io.EOF
		}
		return n, cut(err)
	default:
		return b.receive(p)
	}
}

// receive takes what came with the head, then what comes.
func (b *responseBody) receive(p []byte) (int, error) {
	if left := b.in.left(); len(left) > 0 {
		n := copy(p, left)
		b.in.r += n
		return n, nil
	}
	conn := b.x.conn.Conn
	conn.ExpireRead(b.timeout)
	return conn.Read(p)
}

// readChunks decodes until there is something of the body.
func (b *responseBody) readChunks(p []byte) (int, error) {
	for {
		n, err := b.readRaw(p)
		switch {
		case err != nil:
			return n, err
		case b.chunks.Done():
			b.trailer()
			return n, io.EOF
		case n > 0:
			return n, nil
		}
	}
}

// readRaw decodes what came with the head, then what comes.
func (b *responseBody) readRaw(p []byte) (int, error) {
	in := b.in
	if in.r < in.w || len(p) < minDirectRead {
		if in.r == in.w {
			in.r, in.w = 0, 0
			n, err := b.receive(in.buf)
			if in.w = n; err != nil {
				return 0, cut(err)
			}
		}
		// No more than there is room for can come of it.
		data, used, err := b.chunks.Next(in.buf[in.r:min(in.w, in.r+len(p))])
		in.r += used
		return copy(p, data), err
	}
	raw, err := b.receive(p)
	if err != nil {
		return 0, cut(err)
	}
	data, used, err := b.chunks.Next(p[:raw])
	b.surplus = used < raw
	return copy(p, data), err
}

// trailer gives the response its trailer fields.
func (b *responseBody) trailer() {
	for _, f := range b.chunks.Trailers() {
		name := textproto.CanonicalMIMEHeaderKey(strings.Clone(f.Name))
		if !trailerName(name) {
			continue
		}
		if b.resp.Trailer == nil {
			b.resp.Trailer = http.Header{}
		}
		b.resp.Trailer[name] = append(b.resp.Trailer[name], strings.Clone(f.Value))
	}
}

// cut is the error of a body that ended too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// finish ends the exchange; err is what reads return from now on.
func (b *responseBody) finish(how disposal, err error) {
	if b.in == nil {
		return
	}
	if b.resp.Close || b.surplus || b.in.r < b.in.w {
		how = discard
	}
	boxes := &b.x.conn.link.owner.conns.in
	b.x.finish(how)
	boxes.put(b.in)
	b.in, b.err = nil, err
}

// Close ends the exchange. The connection is closed unless the body was read to its end.
func (b *responseBody) Close() error {
	if !b.mu.TryLock() {
		b.x.abort() // wakes who reads
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.finish(discard, errBodyClosed)
	return nil
}

// tunnelBody is the connection after 101 Switching Protocols. It lasts until it is closed, whatever becomes of the
// request's context, which may end with the first half of the client's connection.
type tunnelBody struct {
	conn  *http1.Conn
	early []byte // came with the head
	close func()
}

func (x *exchange) tunnel(in *inbox) *tunnelBody {
	conn, boxes := x.conn.Conn, &x.conn.link.owner.conns.in
	t := &tunnelBody{conn: conn, early: append([]byte(nil), in.left()...)}
	boxes.put(in)
	conn.Expire(0)
	x.unwatch() // where that is too late the connection is closed, which reads tell
	t.close = sync.OnceFunc(func() {
		x.abort() // wakes who reads or writes
		x.finish(discard)
	})
	return t
}

// Read reads what the backend sends.
func (t *tunnelBody) Read(p []byte) (int, error) {
	if len(t.early) > 0 {
		n := copy(p, t.early)
		t.early = t.early[n:]
		return n, nil
	}
	return t.conn.Read(p)
}

// Write sends to the backend.
func (t *tunnelBody) Write(p []byte) (int, error) { return t.conn.Write(p) }

// CloseWrite tells the backend that nothing more comes.
func (t *tunnelBody) CloseWrite() error { return t.conn.CloseWrite() }

// Close ends both directions.
func (t *tunnelBody) Close() error {
	t.close()
	return nil
}
