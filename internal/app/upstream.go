package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// sampleUpstream is the backend of the quickstart: it answers with what reached it, so that people see which headers
// an upstream gets. It prints nothing and never sees a token: the proxy removes it.
type sampleUpstream struct {
	listener net.Listener
	server   *http.Server
}

func listenSampleUpstream(ctx context.Context, address string) (*sampleUpstream, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("open the sample upstream's listener: %w; choose another port with --upstream-address", err)
	}
	return &sampleUpstream{
		listener: listener,
		server:   &http.Server{Handler: http.HandlerFunc(echo), ReadHeaderTimeout: 5 * time.Second},
	}, nil
}

// serve answers until ctx ends.
func (u *sampleUpstream) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = u.server.Close() })
	defer stop()
	if err := u.server.Serve(u.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the sample upstream: %w", err)
	}
	return nil
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := json.MarshalIndent(struct {
		Upstream string      `json:"upstream"`
		Method   string      `json:"method"`
		Path     string      `json:"path"`
		Headers  http.Header `json:"headers"`
	}{"sample", r.Method, r.URL.RequestURI(), r.Header}, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(body, '\n')) // where the proxy has gone away, it says why in its own log
}
