package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
)

// TestHotPathAllocatesNothing: a request with a token that was seen before goes to the upstream and back without a single
// allocation, over real connections, with all that is around it: routing, authentication, metrics.
func TestHotPathAllocatesNothing(t *testing.T) {
	if engine != server.EngineHTTP1 {
		t.Skip("net/http allocates")
	}
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	b := newBed(t)
	b.credential(t)
	b.endpoints(rawUpstream(t, steadily))
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("orders", "app.test", "/orders", protected), route("open", "app.test", "/", nil)},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	address := b.serveWithoutLog(t)
	bearer := "Authorization: Bearer " + token(t, nil) + "\r\n"
	for name, request := range map[string]string{
		"GET": "GET /orders/7?full=true HTTP/1.1\r\nHost: app.test\r\nUser-Agent: test\r\nAccept: */*\r\nCookie: theme=dark\r\n" + bearer + "\r\n",
		"POST": "POST /orders HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nContent-Length: 11\r\n" + bearer + "\r\n" +
			`{"number":7}`[:11],
		"without a policy": "GET /health HTTP/1.1\r\nHost: app.test:80\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			raw, answer := []byte(request), make([]byte, 4096)
			send := func() {
				if _, err := conn.Write(raw); err != nil {
					t.Fatal(err)
				}
				n, err := conn.Read(answer)
				if err != nil || n < 15 || string(answer[:15]) != "HTTP/1.1 200 OK" {
					t.Fatalf("answer %q, %v", answer[:n], err)
				}
			}
			for range 100 {
				send()
			}
			defer debug.SetGCPercent(debug.SetGCPercent(-1)) // what pools hold would be thrown away
			const requests = 2000
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range requests {
				send()
			}
			runtime.ReadMemStats(&after)
			if each := float64(after.Mallocs-before.Mallocs) / requests; each > 0.02 { // what else the process does
				t.Errorf("%.2f allocations a request, want none", each)
			}
		})
	}
}

// serveWithoutLog is another server of the bed's configuration, for clear text, that writes no access log.
func (b *bed) serveWithoutLog(t *testing.T) string {
	t.Helper()
	listening := make(chan string, 1)
	s, err := server.New(server.Options{
		HTTPAddress: "127.0.0.1:0",
		Handler:     proxy.NewHandler(proxy.Options{Live: b.live, Now: clock}),
		Engine:      engine,
		OnListen:    func(_, address string) { listening <- address },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return <-listening
}

// steadily answers requests of any kind, as long as each comes in one piece, and allocates nothing for it.
func steadily(conn net.Conn, r *bufio.Reader) {
	answer := []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Length: %d\r\n\r\nok", 2))
	// The head of the first request was read; its body may be there.
	if _, err := r.Discard(r.Buffered()); err != nil {
		return
	}
	buffer := make([]byte, 16<<10)
	for {
		if _, err := conn.Write(answer); err != nil {
			return
		}
		if _, err := io.ReadAtLeast(conn, buffer, 1); err != nil {
			return
		}
	}
}
