package server

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"

	"github.com/ostiary/ostiary/proxy/http1"
)

// front is a listener with the engines that serve it.
type front struct {
	listener net.Listener
	// serve are to run side by side until shutdown; they return http.ErrServerClosed then.
	serve []func() error
	drain func()
	// shutdown ends what is in flight when ctx does, and tells that there was something.
	shutdown func(ctx context.Context) error
}

// newFront returns a front in clear text, or one with TLS.
func (s *Server) newFront(listener net.Listener, tlsConfig *tls.Config, sweeper *http1.Sweeper) *front {
	if s.opts.Engine == EngineNetHTTP {
		return s.newNetHTTP(listener, tlsConfig)
	}
	h2 := s.newHTTPServer(tlsConfig)
	handedOver := newHandover(listener.Addr())
	if tlsConfig != nil {
		tlsConfig = tlsConfig.Clone()
		tlsConfig.NextProtos = []string{"h2", "http/1.1"}
		h2.TLSConfig = tlsConfig
	}
	own := http1.NewServer(http1.ServerOptions{
		Handler:           s.opts.Handler,
		Sweeper:           sweeper,
		Log:               s.opts.Log,
		TLS:               tlsConfig,
		HTTP2:             handedOver.put,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		StallTimeout:      stallTimeout,
		MaxHeadBytes:      maxHeadBytes,
	})
	return &front{
		listener: listener,
		serve: []func() error{
			func() error { return own.Serve(listener) },
			func() error { return h2.Serve(handedOver) },
		},
		drain: own.Drain,
		shutdown: func(ctx context.Context) error {
			err := make(chan error, 1)
			go func() { err <- own.Shutdown(ctx) }() // ends when ctx does, at the latest
			return errors.Join(shutdown(ctx, h2), <-err)
		},
	}
}

// newNetHTTP returns a front of net/http alone.
func (s *Server) newNetHTTP(listener net.Listener, tlsConfig *tls.Config) *front {
	server := s.newHTTPServer(tlsConfig)
	serve := func() error { return server.Serve(listener) }
	if tlsConfig != nil {
		serve = func() error { return server.ServeTLS(listener, "", "") }
	}
	return &front{
		listener: listener,
		serve:    []func() error{serve},
		drain:    func() {}, // serveHTTP sees to it
		shutdown: func(ctx context.Context) error { return shutdown(ctx, server) },
	}
}

func shutdown(ctx context.Context, server *http.Server) error {
	err := server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, server.Close())
	}
	return err
}

func (s *Server) newHTTPServer(tlsConfig *tls.Config) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:                      http.HandlerFunc(s.serveHTTP),
		TLSConfig:                    tlsConfig,
		Protocols:                    protocols,
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            readHeaderTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeadBytes,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          maxStreams,
			MaxReceiveBufferPerConnection: maxConnectionBuffer,
			MaxReceiveBufferPerStream:     maxStreamBuffer,
			SendPingTimeout:               pingAfter,
			PingTimeout:                   pingTimeout,
			WriteByteTimeout:              stallTimeout,
		},
		ErrorLog: slog.NewLogLogger(s.opts.Log.Handler(), slog.LevelDebug),
	}
}
