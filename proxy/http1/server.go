package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of ServerOptions.
const (
	DefaultReadHeaderTimeout = 10 * time.Second
	DefaultIdleTimeout       = 75 * time.Second
	DefaultStallTimeout      = 60 * time.Second
	DefaultHandshakeTimeout  = 10 * time.Second
)

const (
	leastAcceptDelay = 5 * time.Millisecond
	mostAcceptDelay  = time.Second
	// shutdownPoll is how often Shutdown looks for connections that have become idle.
	shutdownPoll = 20 * time.Millisecond
)

// ServerOptions are the settings of a Server.
type ServerOptions struct {
	// Handler answers requests. Required.
	Handler Handler
	// Sweeper ends what takes too long. Required; it outlives the Server.
	Sweeper *Sweeper
	// Log gets panics and refused connections at level Error, and failed handshakes at level Debug. The default discards.
	Log *slog.Logger
	// TLS is what connections are to be protected by. Nil, the default, is clear text.
	TLS *tls.Config
	// HTTP2 gets connections that have negotiated h2, as *tls.Conn, and those in clear text that begin with the preface of
	// HTTP/2 (RFC 9113 section 3.4), whose bytes it reads once more. It owns them: Shutdown does not know of them. Nil, the
	// default, has the preface refused as a version that is not supported.
	HTTP2 func(conn net.Conn)
	// ReadHeaderTimeout bounds how long a head takes from its first byte, or a new connection's from the beginning.
	// The default, 0, is DefaultReadHeaderTimeout.
	ReadHeaderTimeout time.Duration
	// IdleTimeout bounds how long a kept connection may wait for the next request. The default, 0, is DefaultIdleTimeout.
	IdleTimeout time.Duration
	// StallTimeout bounds each read of a body, and each write. The default, 0, is DefaultStallTimeout.
	StallTimeout time.Duration
	// HandshakeTimeout bounds TLS handshakes. The default, 0, is DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
	// MaxHeadBytes bounds heads; larger ones are refused with status 431. The default, 0, is MaxHeadBytes, which is the
	// most as well.
	MaxHeadBytes int
}

// Server serves HTTP/1.1. A connection has one goroutine, and no memory for messages while it waits for one.
type Server struct {
	opts    ServerOptions
	scratch scratches
	// ctx is what requests' contexts are derived from; cut ends it.
	ctx context.Context //nolint:containedctx // a server has no caller whose context it could take
	cut context.CancelFunc

	draining, stopping atomic.Bool

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
}

// NewServer returns a Server. It panics where a required option is missing.
func NewServer(opts ServerOptions) *Server {
	if opts.Handler == nil || opts.Sweeper == nil {
		panic("http1: a server without handler or sweeper")
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	orDefault(&opts.ReadHeaderTimeout, DefaultReadHeaderTimeout)
	orDefault(&opts.IdleTimeout, DefaultIdleTimeout)
	orDefault(&opts.StallTimeout, DefaultStallTimeout)
	orDefault(&opts.HandshakeTimeout, DefaultHandshakeTimeout)
	if opts.MaxHeadBytes <= 0 || opts.MaxHeadBytes > MaxHeadBytes {
		opts.MaxHeadBytes = MaxHeadBytes
	}
	s := &Server{opts: opts, listeners: map[net.Listener]struct{}{}, conns: map[*serverConn]struct{}{}}
	s.ctx, s.cut = context.WithCancel(context.Background()) //nolint:forbidigo // as the field says
	return s
}

func orDefault(d *time.Duration, def time.Duration) {
	if *d <= 0 {
		*d = def
	}
}

// Serve takes connections from l until Shutdown, and returns http.ErrServerClosed then, or l fails. It closes l. It may be
// called for several listeners.
func (s *Server) Serve(l net.Listener) error {
	if !s.listen(l) {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	defer s.unlisten(l)
	var delay time.Duration
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			delay = 0
			s.start(nc)
		case s.stopping.Load():
			return http.ErrServerClosed
		case !temporary(err):
			return fmt.Errorf("accept: %w", err)
		default: // out of descriptors, most likely: others have to go first
			delay = min(max(2*delay, leastAcceptDelay), mostAcceptDelay)
			s.opts.Log.Error("connections can't be accepted for now", "error", err, "wait", delay)
			select {
			case <-time.After(delay):
			case <-s.ctx.Done():
			}
		}
	}
}

func temporary(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](err)
	return ok && t.Temporary()
}

func (s *Server) listen(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) unlisten(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
	_ = l.Close() // Shutdown may have
}

// start serves a connection.
func (s *Server) start(nc net.Conn) {
	sc := &serverConn{server: s}
	if s.opts.TLS != nil {
		sc.secure = tls.Server(NewConn(nc), s.opts.TLS)
		sc.conn.init(sc.secure)
	} else {
		sc.conn.init(nc)
	}
	sc.init(nc)
	s.opts.Sweeper.Add(&sc.conn)
	if !s.remember(sc) {
		_ = sc.conn.Close() // nobody is told: it has said nothing yet
		return
	}
	if sc.secure != nil {
		go sc.handshake() // ends within HandshakeTimeout, and by Shutdown
	} else {
		go sc.serve() // ends with the connection, which Shutdown sees to
	}
}

// remember notes the connection, unless it comes too late.
func (s *Server) remember(sc *serverConn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping.Load() {
		return false
	}
	s.conns[sc] = struct{}{}
	return true
}

// forget ends remember. It may be called again.
func (s *Server) forget(sc *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, sc)
}

// Drain asks clients to take their next request elsewhere: responses say Connection: close from now on.
func (s *Server) Drain() { s.draining.Store(true) }

// Shutdown closes the listeners and the connections without a request, and waits for the others to answer theirs. When ctx
// ends first, it cuts them and returns the cause.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	s.mu.Lock()
	s.stopping.Store(true)
	for l := range s.listeners {
		_ = l.Close() // Serve tells whether it could
	}
	s.mu.Unlock()
	defer s.cut()
	ticker := time.NewTicker(shutdownPoll)
	defer ticker.Stop()
	for !s.closeIdle() {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			s.cutAll()
			return fmt.Errorf("requests were in flight: %w", context.Cause(ctx))
		}
	}
	return nil
}

// closeIdle has the connections end that wait for a request, and reports whether there are none at all.
func (s *Server) closeIdle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sc := range s.conns {
		sc.endIdle()
	}
	return len(s.conns) == 0
}

func (s *Server) cutAll() {
	s.mu.Lock()
	conns := make([]*serverConn, 0, len(s.conns))
	for sc := range s.conns {
		conns = append(conns, sc)
	}
	s.mu.Unlock()
	for _, sc := range conns {
		sc.conn.Interrupt() // before handlers learn of it: nothing is an answer any more
	}
	s.cut()
	for _, sc := range conns {
		sc.conn.lost(absent)   // the Sweeper won't tell any more
		sc.conn.resetByClose() // whoever closes it, be it the system once the process has ended
		go sc.conn.abort()     // ends with the handler, which may be holding the connection
	}
}
