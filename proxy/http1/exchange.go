package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Handler answers requests.
type Handler interface {
	// ServeHTTP1 answers one request. The connection is kept if the answer was written whole and KeepAlive said so. A
	// panic cuts the connection.
	ServeHTTP1(x *Exchange)
	// RefuseHTTP1 answers a request whose head is malformed or exceeds a limit, with err.Status. Of x.Request nothing is
	// known. The connection ends behind the answer.
	RefuseHTTP1(x *Exchange, err *SyntaxError)
}

// Exchange is one request on a connection, and the way to answer it. It is valid until the Handler returns, and so is
// every string of Request; then it serves other requests. Its methods are called by the Handler's goroutine, but for
// Context, which any may call until the Handler returns, and for ReadBody, Trailers and BodyDone, which one other goroutine
// may call instead until then.
type Exchange struct {
	// Request is the head of the request.
	Request Request
	// Out is memory to build a head or a message in: use Out[:0], and store what it has grown to.
	Out []byte

	conn *Conn // the client's
	sc   *serverConn

	// in[:headEnd] is the head. rest[r:w] is what came behind it and was not used yet; rest is in, or spare where there
	// is too little room behind the head. Between exchanges in[r:w] is what was read of the next head.
	in, rest []byte
	r, w     int
	inbox    inbox
	small    *[smallBuffer]byte
	large    *[largeBuffer]byte // backs in where small is too small
	spare    *[largeBuffer]byte

	body bodyReader

	reply []byte // memory for Respond
	// writing keeps 100 Continue apart from the response. Who reads the body must not wait for it once the response has
	// begun: a client may read that only when it has sent all.
	writing   sync.Mutex
	continued atomic.Bool // 100 Continue was sent or is not needed
	answered  atomic.Bool // something final is or was written
	broken    atomic.Bool // a write has failed
	last      bool        // CloseAfter was called
	aborted   bool
	hijacked  bool
	keep      decision

	ctxMu  sync.Mutex      // of ctx and cancel, until the Handler has returned
	ctx    context.Context //nolint:containedctx // it is made when it is asked for
	cancel context.CancelCauseFunc
	writer *responseWriter
	bodies *requestBody
}

// decision is what KeepAlive has said.
type decision uint8

const (
	undecided decision = iota
	kept
	ended
)

// errExchangeOver ends the contexts of requests.
var errExchangeOver = errors.New("the request has been answered")

// ErrClientGone is the cause that Context ends with when the client goes away.
var ErrClientGone = errors.New("the client has gone")

// begin makes x ready for the request whose head is in x.in[:headEnd].
func (x *Exchange) begin(sc *serverConn, headEnd int) {
	x.sc, x.conn = sc, &sc.conn
	x.rest, x.r = x.in, headEnd
	if len(x.in)-headEnd < leastRoom {
		x.spare = sc.server.scratch.getLarge()
		x.rest, x.r, x.w = x.spare[:], 0, copy(x.spare[:], x.in[headEnd:x.w])
	}
	x.continued.Store(!x.Request.ExpectContinue)
	x.answered.Store(false)
	x.broken.Store(false)
	x.last, x.aborted, x.hijacked = false, false, false
	x.keep = undecided
	x.body.begin(x)
}

// RemoteAddr returns the client's address; the zero value where it is none of TCP.
func (x *Exchange) RemoteAddr() netip.AddrPort { return x.sc.remote }

// RemoteText returns the client's IP address as text, which is made once for each connection; empty where RemoteAddr is
// the zero value.
func (x *Exchange) RemoteText() string {
	sc := x.sc
	if sc.remoteText == "" && sc.remote.IsValid() {
		sc.remoteText = sc.remote.Addr().String()
	}
	return sc.remoteText
}

// TLS returns what was negotiated, nil in clear text. It is the same for all requests of a connection and must not be
// changed.
func (x *Exchange) TLS() *tls.ConnectionState { return x.sc.tlsState() }

// Conn returns the client's connection.
func (x *Exchange) Conn() *Conn { return x.conn }

// Context returns a context that ends when the Handler has returned, or when the client has gone, which is noticed within
// about a second: its cause is ErrClientGone then.
func (x *Exchange) Context() context.Context {
	x.ctxMu.Lock()
	defer x.ctxMu.Unlock()
	if x.ctx == nil {
		ctx, cancel := context.WithCancelCause(x.sc.server.ctx)
		x.ctx, x.cancel = ctx, cancel
		gone := func() { cancel(ErrClientGone) }
		x.conn.observer.Store(&gone)
	}
	return x.ctx
}

// Buffered returns what was received behind the head and not used yet, as it was sent: the beginning of the body in its
// transfer coding, and what follows it.
func (x *Exchange) Buffered() []byte { return x.rest[x.r:x.w] }

// Write writes a part of the response, as it is, to the client. A write that stalls is ended by the Server's time-out.
func (x *Exchange) Write(p []byte) error {
	if !x.body.none { // else nobody can be asking for it
		x.writing.Lock()
		defer x.writing.Unlock()
	}
	if !x.answered.Load() && !informational(p) {
		x.answered.Store(true)
	}
	return x.send(p)
}

// moreFollows says that the next Write, of a final response, is followed by more on the connection at once, so that its end
// may be held back until then. 100 Continue is not sent any more: it would be held back instead.
func (x *Exchange) moreFollows() {
	if !x.body.none {
		x.writing.Lock()
		defer x.writing.Unlock()
	}
	x.answered.Store(true)
	x.conn.write.more = true
}

func (x *Exchange) send(p []byte) error {
	_, err := x.conn.WriteWithin(p, x.sc.server.opts.StallTimeout)
	if err != nil {
		x.broken.Store(true)
	}
	return err
}

// informational reports whether p begins with a head of status 1xx that a final one follows.
func informational(p []byte) bool {
	const status = len("HTTP/1.1 ")
	return len(p) > status+2 && p[status] == '1' && string(p[status:status+3]) != "101"
}

// proceed sends 100 Continue, unless the client does not wait for it any more.
func (x *Exchange) proceed() error {
	if x.continued.Load() || x.answered.Load() {
		return nil
	}
	x.writing.Lock()
	defer x.writing.Unlock()
	if x.answered.Load() || x.continued.Swap(true) {
		return nil
	}
	return x.send([]byte("HTTP/1.1 100 Continue\r\n\r\n"))
}

// KeepAlive reports whether the connection will be kept, which the response's head has to say: Connection: close where it
// is not, Connection: keep-alive where it is and the request is HTTP/1.0. It will not where the client or CloseAfter says
// so, the request's body was not read to its end, the client asks for another protocol, or the Server drains. What was
// said first holds, but for CloseAfter.
func (x *Exchange) KeepAlive() bool {
	if x.keep == undecided {
		x.keep = ended
		if !x.Request.Close && !x.Request.Has(KindUpgrade) && x.body.endsHere() && !x.sc.server.draining.Load() {
			x.keep = kept
		}
	}
	return x.keep == kept && !x.last
}

// CloseAfter has the connection end behind the response, in a way that does not keep a client that still sends from
// reading it.
func (x *Exchange) CloseAfter() { x.last = true }

// Abort has the connection end once the Handler returns, so that what was sent of the response is not taken for the
// whole.
func (x *Exchange) Abort() { x.aborted = true }

// Interrupt has reads from the client and writes to it end, those that wait among them: the connection is of no use any more.
// It may be called from any goroutine until the Handler returns.
func (x *Exchange) Interrupt() { x.conn.Interrupt() }

// Hijack takes the connection over: it returns the connection and what was received behind the head, and the Server has
// nothing more to do with it. Deadlines and time-outs are taken away. Only a request with an Upgrade field lets it: for others
// the error is http.ErrNotSupported.
func (x *Exchange) Hijack() (net.Conn, []byte, error) {
	switch {
	case x.hijacked:
		return nil, nil, http.ErrHijacked
	case !x.Request.Has(KindUpgrade): // the connection may be held by who waits for the next request
		return nil, nil, http.ErrNotSupported
	}
	x.hijacked = true
	x.detach()
	x.conn.observer.Store(nil)
	x.conn.Unwatch()
	x.sc.server.forget(x.sc)
	x.conn.leave()
	x.conn.Revive()
	return x.conn.nc, append([]byte(nil), x.Buffered()...), nil
}

// date is the value of a Date field now.
func (x *Exchange) date() string { return x.sc.server.opts.Sweeper.Date() }

// end is called when the Handler has returned, and reports whether the connection is kept. The bytes of the next request
// that are there are in x.in then.
func (x *Exchange) end() bool {
	x.detach()
	if x.conn.watched.Load() != nil {
		x.conn.Unwatch() // a relay that ended in a panic has not
	}
	if !x.body.none {
		x.conn.awaits.Store(false)
	}
	if x.writer != nil {
		x.writer.leave()
		x.writer = nil
		if !x.hijacked {
			x.conn.Revive() // from what http.ResponseController has set
		}
	}
	if x.cancel != nil {
		x.conn.observer.Store(nil)
		x.cancel(errExchangeOver)
		x.ctx, x.cancel = nil, nil
	}
	if x.hijacked || x.aborted || x.broken.Load() || !x.answered.Load() || !x.KeepAlive() {
		return false
	}
	x.skipBody()
	x.next()
	return true
}

// detach takes the body away from those who read it as net/http's.
func (x *Exchange) detach() {
	if x.bodies == nil {
		return
	}
	x.bodies.detach()
	x.bodies = nil
	x.conn.Revive()
}

// next moves what came behind the request to the front.
func (x *Exchange) next() {
	s := &x.sc.server.scratch
	left := x.rest[x.r:x.w]
	switch {
	case len(left) <= smallBuffer:
		x.w = copy(x.small[:], left)
		x.in = x.small[:]
		s.release(x.large)
		x.large = nil
	case x.spare != nil: // left lies in there
		s.release(x.large)
		x.large, x.spare = x.spare, nil
		x.in = x.large[:]
		x.w = copy(x.in, left)
	default:
		x.w = copy(x.in, left)
	}
	x.r = 0
	s.release(x.spare)
	x.spare, x.rest = nil, nil
}
