// Command backend is a sample application for tests and demonstrations: it answers
// every request with what it has received, as JSON. It speaks HTTP/1.1 and HTTP/2
// in clear text on one port.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// echo is the answer's body.
type echo struct {
	// Pod is the name of the answering pod: $POD_NAME, or the host's name.
	Pod string `json:"pod"`
	// Method, Host, Path and Query are those of the request. Path is as it was
	// sent, not decoded.
	Method string `json:"method"`
	Host   string `json:"host"`
	Path   string `json:"path"`
	Query  string `json:"query,omitempty"`
	// Protocol is HTTP/1.1 or HTTP/2.0.
	Protocol string `json:"protocol"`
	// Headers are the request's header fields under their canonical names, but for
	// Host.
	Headers http.Header `json:"headers"`
	// BodyBytes is the length of the request's body.
	BodyBytes int64 `json:"bodyBytes"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
}

func run() error {
	address := flag.String("addr", ":"+cmp.Or(os.Getenv("PORT"), "8080"), "address to listen on; the port is $PORT by default")
	drain := flag.Duration("drain-timeout", 10*time.Second, "how long requests may take to finish after SIGTERM")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	pod := os.Getenv("POD_NAME")
	if pod == "" {
		name, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the host's name: %w", err)
		}
		pod = name
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: handler(pod), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second}
	fmt.Println("listening on", listener.Addr())

	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop() // a second signal ends the process at once
	fmt.Println("draining")
	limited, cancel := context.WithTimeout(context.Background(), *drain)
	defer cancel()
	if err := server.Shutdown(limited); err != nil {
		return errors.Join(fmt.Errorf("drain: %w", err), server.Close())
	}
	return nil
}

func handler(pod string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, "can't read the request's body", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		// The status has been sent: a client that has gone can't be told.
		_ = encoder.Encode(echo{
			Pod: pod, Method: r.Method, Host: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
			Protocol: r.Proto, Headers: r.Header, BodyBytes: n,
		})
	})
	return mux
}
