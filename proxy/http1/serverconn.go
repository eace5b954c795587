package http1

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// What is read of what a client still sends when its connection is closed, so that the answer is not lost by a reset.
	lingerTimeout = 2 * time.Second
	lingerBytes   = 1 << 20

	// preface is what HTTP/2 by prior knowledge begins with (RFC 9113 section 3.4).
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// What a connection does.
const (
	idle   uint32 = iota // waits for the first byte of a request
	active               // has one
	ending               // waited, and has been told to end
)

// serverConn is a client's connection.
type serverConn struct {
	server *Server
	conn   Conn
	secure *tls.Conn // nil in clear text
	tls    *tls.ConnectionState
	remote netip.AddrPort
	// remoteText is the address as text, once somebody has asked for it.
	remoteText string

	state atomic.Uint32
	used  bool // had a request

	// x is the memory for the exchange; nil while the connection waits.
	x      *Exchange
	err    error // of arrive
	arrive func(fd uintptr) bool
	one    [1]byte
	// headEnd is the length of a head that arrive has found whole and left to others; otherwise 0.
	headEnd int
	// served is what became of the requests that arrive has answered.
	served served
}

func (sc *serverConn) init(nc net.Conn) {
	if addr, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		at := addr.AddrPort()
		sc.remote = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	if sc.conn.raw != nil {
		sc.arrive = sc.take
		_ = sc.conn.raw.Control(tellRemainder) // fails where it was closed, which reads tell
	}
}

func (sc *serverConn) tlsState() *tls.ConnectionState {
	if sc.secure != nil && sc.tls == nil {
		state := sc.secure.ConnectionState()
		sc.tls = &state
	}
	return sc.tls
}

// handshake is the goroutine of a new connection with TLS. Requests are served by another one, whose stack does not have
// to be as large as a handshake's.
func (sc *serverConn) handshake() {
	s := sc.server
	sc.conn.Expire(s.opts.HandshakeTimeout)
	if err := sc.secure.HandshakeContext(s.ctx); err != nil {
		s.opts.Log.Debug("TLS handshake failed", "client", sc.remote, "error", err)
		if header, ok := errors.AsType[tls.RecordHeaderError](err); ok && header.Conn != nil && looksLikeHTTP(header.RecordHeader) {
			_, _ = io.WriteString(header.Conn, "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\nThis port speaks HTTPS.\n")
		}
		s.forget(sc)
		_ = sc.conn.Close() // it is of no use any more
		return
	}
	sc.conn.Revive()
	if sc.secure.ConnectionState().NegotiatedProtocol == "h2" && s.opts.HTTP2 != nil {
		sc.handOver(sc.secure)
		return
	}
	go sc.serve() // ends with the connection, which Shutdown sees to
}

// looksLikeHTTP reports whether clear text came instead of a TLS record.
func looksLikeHTTP(header [5]byte) bool {
	switch string(header[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// handOver gives the connection to whoever speaks HTTP/2.
func (sc *serverConn) handOver(nc net.Conn) {
	s := sc.server
	s.forget(sc)
	sc.conn.leave()
	sc.conn.Revive()
	s.opts.HTTP2(nc)
}

// serve is the goroutine of a connection.
func (sc *serverConn) serve() {
	for sc.serveOne() {
	}
}

// serveOne serves one request, and reports whether there may be another one. It sees to the connection's end otherwise.
func (sc *serverConn) serveOne() bool {
	headEnd, err := sc.readHead()
	switch {
	case err == nil:
	case errors.Is(err, errServed):
		sc.part()
		return false
	case errors.Is(err, errPreface):
		replay := &replayConn{Conn: sc.conn.nc, first: bytes.Clone(sc.x.in[:sc.x.w])}
		sc.drop()
		sc.handOver(replay)
		return false
	default:
		sc.refuse(err)
		return false
	}
	x := sc.x
	if !sc.answer(headEnd) {
		sc.part()
		return false
	}
	if sc.server.stopping.Load() {
		sc.close()
		return false
	}
	if x.w == 0 {
		sc.drop()
	}
	return true
}

// answer has the request answered whose head is in x.in[:headEnd], and reports whether the connection is kept. Otherwise
// part has to be called.
func (sc *serverConn) answer(headEnd int) bool {
	x := sc.x
	x.begin(sc, headEnd)
	sc.used = true
	sc.guard(func() { sc.server.opts.Handler.ServeHTTP1(x) })
	return x.end()
}

// drop gives the memory back.
func (sc *serverConn) drop() {
	x := sc.x
	sc.x = nil
	x.sc, x.conn = nil, nil
	sc.server.scratch.put(x)
}

// close ends the connection.
func (sc *serverConn) close() {
	if sc.x != nil {
		sc.drop()
	}
	_ = sc.conn.Close() // nothing depends on it any more
	sc.server.forget(sc)
}

// abort ends the connection so that what was sent last is not taken for the whole.
func (sc *serverConn) abort() {
	sc.drop()
	sc.conn.abort()
	sc.server.forget(sc)
}

var (
	errPreface = errors.New("preface of HTTP/2")
	// errEnd ends a connection without an answer.
	errEnd = errors.New("connection is over")
	// errServed ends a connection whose last request was answered.
	errServed = errors.New("connection was served")
	// errSlow is a head that has begun and did not end in time.
	errSlow = errors.New("head took too long")
)

// readHead reads and parses the head of the next request and returns its length.
func (sc *serverConn) readHead() (int, error) {
	if sc.x == nil {
		if err := sc.await(); err != nil {
			return 0, err
		}
	}
	if n := sc.headEnd; n > 0 {
		sc.headEnd = 0
		sc.conn.ExpireRead(0)
		return n, nil
	}
	for timed := false; ; {
		n, err := sc.parse()
		if !errors.Is(err, ErrIncomplete) {
			if err == nil {
				sc.conn.ExpireRead(0)
			}
			return n, err
		}
		if !timed {
			timed = true
			if sc.used { // a new connection's time began with it
				sc.conn.ExpireRead(sc.server.opts.ReadHeaderTimeout)
			}
		}
		if err := sc.more(); err != nil {
			return 0, err
		}
	}
}

// await waits for the first bytes of a request. Meanwhile the connection holds no memory but its own.
func (sc *serverConn) await() error {
	if !sc.rest() {
		return errEnd
	}
	err := sc.receive()
	switch sc.served {
	case servedNone:
	case servedSome:
		sc.served = servedNone
		return nil
	case servedLast:
		return errServed
	}
	if !sc.state.CompareAndSwap(idle, active) || err != nil {
		return errEnd
	}
	return nil
}

// rest makes the connection one that waits for a request. It reports false where there is to be none.
func (sc *serverConn) rest() bool {
	s := sc.server
	timeout := s.opts.IdleTimeout
	if !sc.used {
		timeout = s.opts.ReadHeaderTimeout
	}
	sc.conn.ExpireRead(timeout)
	sc.state.Store(idle)
	return !s.stopping.Load() // since before: whoever stops may have seen it active
}

// endIdle ends the connection where it waits for a request.
func (sc *serverConn) endIdle() {
	if sc.state.CompareAndSwap(idle, ending) {
		_ = sc.conn.SetReadDeadline(time.Unix(1, 0)) // fails where it was closed
	}
}

// receive reads what there is behind x.in[:x.w], of an x that is only taken once there is something.
func (sc *serverConn) receive() error {
	if sc.arrive != nil {
		sc.err = nil
		if err := sc.conn.raw.Read(sc.arrive); err != nil {
			return sc.conn.fault(err)
		}
		return sc.err
	}
	if sc.x == nil {
		if _, err := sc.conn.Read(sc.one[:]); err != nil {
			return err
		}
		sc.x = sc.server.scratch.get()
		sc.x.in[0], sc.x.w = sc.one[0], 1
		return nil
	}
	n, err := sc.conn.Read(sc.x.in[sc.x.w:])
	if n > 0 {
		sc.x.w += n
		return nil
	}
	return err
}

// parse parses what is there.
func (sc *serverConn) parse() (int, error) {
	x := sc.x
	most := sc.server.opts.MaxHeadBytes
	head := x.in[:x.w]
	if !sc.used && sc.secure == nil && sc.server.opts.HTTP2 != nil && head[0] == preface[0] {
		if len(head) >= len(preface) && string(head[:len(preface)]) == preface {
			return 0, errPreface
		}
		if len(head) < len(preface) && string(head) == preface[:len(head)] {
			return 0, ErrIncomplete
		}
	}
	n, err := x.Request.Parse(head)
	if n > most || errors.Is(err, ErrIncomplete) && len(head) >= most {
		return 0, ErrHeadTooLarge
	}
	return n, err
}

// more reads more of a head, into a larger buffer where it has to.
func (sc *serverConn) more() error {
	x := sc.x
	if x.w == len(x.in) {
		x.large = sc.server.scratch.getLarge()
		copy(x.large[:], x.in)
		x.in = x.large[:]
	}
	err := sc.receive()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlow
	default:
		return errEnd
	}
}

// refuse ends the connection for which there is no request, with an answer where it makes sense.
func (sc *serverConn) refuse(err error) {
	syntax, malformed := errors.AsType[*SyntaxError](err)
	if !malformed && !errors.Is(err, errSlow) {
		sc.close()
		return
	}
	x := sc.x
	x.Request.Reset()
	x.Request.Minor = 1
	x.Request.Close = true
	sc.conn.Revive()
	x.begin(sc, 0)
	x.CloseAfter()
	sc.guard(func() {
		if malformed {
			sc.server.opts.Handler.RefuseHTTP1(x, syntax)
		} else {
			_ = x.Respond(http.StatusRequestTimeout, nil, "") // it ends either way
		}
	})
	_ = x.end() // never kept, after CloseAfter
	sc.part()
}

// part ends the connection behind a request as it has to end.
func (sc *serverConn) part() {
	x := sc.x
	switch {
	case x == nil:
		sc.close()
	case x.hijacked:
		sc.drop()
	case x.aborted || x.broken.Load() || !x.answered.Load():
		sc.abort()
	default:
		sc.linger()
	}
}

// guard calls answer, and completes what was answered by ResponseWriter. A panic cuts the connection.
func (sc *serverConn) guard(answer func()) {
	x := sc.x
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		x.aborted = true
		if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			// The value may quote the request; the stack tells enough.
			sc.server.opts.Log.Error("handler panicked", "client", sc.remote, "stack", string(debug.Stack()))
		}
	}()
	answer()
	if x.writer != nil {
		x.writer.finish()
	}
}

// linger closes the connection. Where the client may still send, it is told that this is the end, and what it sends is
// read for a while: closing at once would have its system throw the answer away (RFC 9112 section 9.6).
func (sc *serverConn) linger() {
	x := sc.x
	if x.last || !x.body.over() || x.r < x.w {
		if sc.conn.CloseWrite() == nil {
			sc.drain(x.small[:])
		}
	}
	sc.close()
}

func (sc *serverConn) drain(p []byte) {
	sc.conn.ExpireRead(lingerTimeout)
	for got := 0; got < lingerBytes; {
		n, err := sc.conn.Read(p)
		if err != nil {
			return
		}
		got += n
	}
}

// replayConn is a connection of which the first bytes were read already.
type replayConn struct {
	net.Conn
	first []byte
}

// Read reads those bytes again, then what follows them.
func (c *replayConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		if c.first = c.first[n:]; len(c.first) == 0 {
			c.first = nil
		}
		return n, nil
	}
	return c.Conn.Read(p)
}
