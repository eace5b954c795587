package server

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

	"golang.org/x/sync/errgroup"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/http1"
)

const (
	// The limits of Envoy's edge configuration.
	maxStreams          = 100
	maxStreamBuffer     = 64 << 10
	maxConnectionBuffer = 1 << 20

	maxHeadBytes      = 64 << 10
	readHeaderTimeout = 10 * time.Second
	idleTimeout       = 75 * time.Second
	pingAfter         = 30 * time.Second
	pingTimeout       = 15 * time.Second
	stallTimeout      = 60 * time.Second

	// DefaultMaxConnections is the number of connections that one listener takes at the same time.
	DefaultMaxConnections = 32768
	// DefaultShutdownTimeout is how long a drain may take.
	DefaultShutdownTimeout = 30 * time.Second
)

// Handler answers requests of both engines. Shutdown ends what these do not know of, the tunnels, as proxy.Handler does.
type Handler interface {
	http.Handler
	http1.Handler
	Shutdown(ctx context.Context) error
}

// Engine is what serves HTTP/1.1. HTTP/2 is served by net/http in any case.
type Engine uint8

const (
	// EngineHTTP1 is package http1, the default.
	EngineHTTP1 Engine = iota
	// EngineNetHTTP is net/http: slower and less strict, for comparison and as a way out.
	EngineNetHTTP
)

// ParseEngine returns the engine of that name: "http1" or "net/http".
func ParseEngine(name string) (Engine, error) {
	for _, e := range []Engine{EngineHTTP1, EngineNetHTTP} {
		if e.String() == name {
			return e, nil
		}
	}
	return 0, fmt.Errorf("no HTTP engine %q: write http1 or net/http", name)
}

// String returns the engine's name.
func (e Engine) String() string {
	if e == EngineNetHTTP {
		return "net/http"
	}
	return "http1"
}

// Options of a Server.
type Options struct {
	// HTTPAddress and HTTPSAddress are where to listen for clear text and TLS, as "host:port"; an empty one turns the
	// listener off. One of them is required.
	HTTPAddress  string
	HTTPSAddress string
	// Handler answers the requests. Required.
	Handler Handler
	// Engine serves HTTP/1.1. The default is EngineHTTP1.
	Engine Engine
	// Live holds the certificates. Required with HTTPSAddress.
	Live *proxy.Live
	// Log gets faults, and failed handshakes at level Debug. The default discards.
	Log *slog.Logger
	// ShutdownTimeout bounds how long requests and tunnels in flight are waited for when Run is to end; then their
	// connections are closed. The default, 0, is DefaultShutdownTimeout.
	ShutdownTimeout time.Duration
	// MaxConnections bounds the connections of each listener; more wait to be accepted. The default, 0, is
	// DefaultMaxConnections.
	MaxConnections int
	// OnListen is called once for each listener, before it serves, with its name ("http" or "https") and the address it
	// is bound to. Optional.
	OnListen func(name, address string)
}

// Server runs the listeners.
type Server struct {
	opts     Options
	draining atomic.Bool

	mu     sync.Mutex
	fronts []*front // while Run serves
}

var (
	errNoAddress = errors.New("neither an http nor an https address to listen on")
	errNoHandler = errors.New("no handler")
	errNoLive    = errors.New("an https address without a source of certificates")
)

// New returns a Server. It listens once Run is called.
func New(opts Options) (*Server, error) {
	switch {
	case opts.HTTPAddress == "" && opts.HTTPSAddress == "":
		return nil, errNoAddress
	case opts.Handler == nil:
		return nil, errNoHandler
	case opts.HTTPSAddress != "" && opts.Live == nil:
		return nil, errNoLive
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.ShutdownTimeout <= 0 {
		opts.ShutdownTimeout = DefaultShutdownTimeout
	}
	if opts.MaxConnections <= 0 {
		opts.MaxConnections = DefaultMaxConnections
	}
	return &Server{opts: opts}, nil
}

// Drain asks clients to take their next request elsewhere: from now on HTTP/1.1 responses say Connection: close and
// HTTP/2 connections get GOAWAY with their next response. The listeners stay open, for those that have not heard yet.
// Run calls it when its context ends; a process that waits between failing its readiness and ending Run calls it before.
func (s *Server) Drain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining.Store(true)
	for _, f := range s.fronts {
		f.drain()
	}
}

// Run listens and serves until ctx ends, and drains then: the listeners close, requests and tunnels in flight get
// ShutdownTimeout to end, and what is left is cut. It returns an error where a listener can't be opened or breaks.
func (s *Server) Run(ctx context.Context) error {
	sweeper := http1.NewSweeper()
	defer sweeper.Close()
	var fronts []*front
	for _, l := range []struct{ name, address string }{{"http", s.opts.HTTPAddress}, {"https", s.opts.HTTPSAddress}} {
		if l.address == "" {
			continue
		}
		listener, err := s.listen(ctx, l.name, l.address)
		if err != nil {
			// A listener that was opened is closed again when a later one can't be.
			for _, f := range fronts {
				err = errors.Join(err, f.listener.Close())
			}
			return err
		}
		var tlsConfig *tls.Config
		if l.name == "https" {
			tlsConfig = newTLSConfig(s.opts.Live)
		}
		fronts = append(fronts, s.newFront(listener, tlsConfig, sweeper))
	}
	s.mu.Lock()
	s.fronts = fronts
	s.mu.Unlock()
	if s.draining.Load() {
		s.Drain() // those that were not there yet
	}

	group, groupCtx := errgroup.WithContext(ctx)
	for _, f := range fronts {
		for _, serve := range f.serve {
			group.Go(func() error { // ends when its front is shut down
				if err := serve(); !errors.Is(err, http.ErrServerClosed) {
					return fmt.Errorf("serve: %w", err)
				}
				return nil
			})
		}
	}
	group.Go(func() error {
		<-groupCtx.Done()
		s.Drain()
		s.shutdown(context.WithoutCancel(ctx), fronts)
		return nil
	})
	return group.Wait()
}

func (s *Server) listen(ctx context.Context, name, address string) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for %s: %w", name, err)
	}
	tcp, ok := listener.(*net.TCPListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("listen for %s: %T is no TCP listener", name, listener), listener.Close())
	}
	if s.opts.OnListen != nil {
		s.opts.OnListen(name, listener.Addr().String())
	}
	return limit(tcp, s.opts.MaxConnections), nil
}

func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if s.draining.Load() {
		w = &drainingWriter{w}
	}
	s.opts.Handler.ServeHTTP(w, r)
}

// shutdown ends everything within ShutdownTimeout.
func (s *Server) shutdown(ctx context.Context, fronts []*front) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.ShutdownTimeout)
	defer cancel()
	var wait sync.WaitGroup
	for _, f := range fronts {
		wait.Go(func() {
			if err := f.shutdown(ctx); err != nil {
				s.opts.Log.Warn("requests were in flight at the deadline and have been cut", "error", err)
			}
		})
	}
	wait.Go(func() {
		if err := s.opts.Handler.Shutdown(ctx); err != nil {
			s.opts.Log.Warn("tunnels ended early", "error", err)
		}
	})
	wait.Wait()
}

// drainingWriter says Connection: close with the response's head; net/http turns it into GOAWAY on HTTP/2.
type drainingWriter struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (w *drainingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the head. Informational responses and switches of protocol leave the connection be.
func (w *drainingWriter) WriteHeader(status int) {
	if status >= 200 {
		w.Header().Set("Connection", "close")
	}
	w.ResponseWriter.WriteHeader(status)
}
