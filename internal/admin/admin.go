// Package admin serves what operators and the kubelet ask for, on listeners of its own that no route can reach:
// /healthz, /readyz and /metrics on the admin address, and the debug pages and pprof on a loopback address.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options of the admin and debug listeners.
type Options struct {
	// AdminAddress serves /healthz, /readyz and /metrics; empty turns it off.
	AdminAddress string
	// DebugAddress serves /debug/ and pprof; it must be a loopback address; empty turns it off.
	DebugAddress string
	// Ready says why this process should get no requests, nil when it should.
	Ready func() error
	// Metrics are what /metrics shows.
	Metrics prometheus.Gatherer
	// Status is what /debug/status shows as JSON. It must hold no secrets.
	Status func() any
	// Keys is what /debug/keys shows as JSON. It must hold no secrets.
	Keys func() any
	// OnListen is called with the name ("admin", "debug") and address of every listener that was opened.
	OnListen func(name, address string)
	Log      *slog.Logger
}

// Validate says what is wrong with the options.
func (o Options) Validate() error {
	if o.DebugAddress == "" {
		return nil
	}
	host, _, err := net.SplitHostPort(o.DebugAddress)
	if err != nil {
		return fmt.Errorf("parse --debug-address %q: %w; write a loopback address with a port, such as 127.0.0.1:9091", o.DebugAddress, err)
	}
	addr, err := netip.ParseAddr(host)
	if host != "localhost" && (err != nil || !addr.IsLoopback()) {
		return fmt.Errorf("--debug-address %q is not a loopback address: profiles and debug pages must not be reachable from elsewhere; write 127.0.0.1:9091", o.DebugAddress)
	}
	return nil
}

// Run serves until ctx ends. It returns an error when a listener can't be opened or fails.
func Run(ctx context.Context, o Options) error {
	if err := o.Validate(); err != nil {
		return err
	}
	listeners := []struct {
		name, address string
		handler       http.Handler
	}{
		{"admin", o.AdminAddress, adminHandler(o)},
		{"debug", o.DebugAddress, debugHandler(o)},
	}
	failed := make(chan error, len(listeners))
	var servers []*http.Server
	for _, l := range listeners {
		if l.address == "" {
			continue
		}
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", l.address)
		if err != nil {
			closeAll(servers)
			return fmt.Errorf("open the %s listener: %w", l.name, err)
		}
		if o.OnListen != nil {
			o.OnListen(l.name, listener.Addr().String())
		}
		server := &http.Server{
			Handler:           l.handler,
			ReadHeaderTimeout: 5 * time.Second,
			IdleTimeout:       60 * time.Second,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		}
		servers = append(servers, server)
		go func() {
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serve the %s listener: %w", l.name, err)
			}
		}()
	}
	defer closeAll(servers)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

func closeAll(servers []*http.Server) {
	for _, s := range servers {
		_ = s.Close() // the process is leaving; a connection that is cut short here is a scrape or a probe
	}
}

func adminHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { // never depends on configuration
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			plain(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		plain(w, http.StatusOK, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}))
	return mux
}

func debugHandler(o Options) http.Handler {
	mux := http.NewServeMux()
	for path, shown := range map[string]func() any{"/debug/status": o.Status, "/debug/keys": o.Keys} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			encoder := json.NewEncoder(w)
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(shown()); err != nil {
				o.Log.Warn("write a debug page", "path", path, "error", err)
			}
		})
	}
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopbackHost(r.Host) {
			plain(w, http.StatusForbidden, "the debug pages are served under localhost and loopback addresses alone; write http://localhost and the port")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// isLoopbackHost reports whether a Host field names this machine: localhost or a loopback address. Any other name may be
// one that a page of another site made resolve to a loopback address, to have the browser read the pages for it (DNS
// rebinding).
func isLoopbackHost(host string) bool {
	name := host
	if withoutPort, _, err := net.SplitHostPort(host); err == nil {
		name = withoutPort
	} else if inner, ok := strings.CutPrefix(host, "["); ok {
		name = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(name)
	return err == nil && addr.IsLoopback()
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = fmt.Fprintln(w, text) // the prober has gone; nobody is left to tell
}
