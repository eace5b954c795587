package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// keepAll is a Filter that passes everything on.
type keepAll struct{}

func (keepAll) KeepResponseField(string) bool   { return true }
func (keepAll) KeepResponseTrailer(string) bool { return true }
func (keepAll) KeepRequestTrailer(string) bool  { return true }

// relayBed is a Server that relays each request to a connection of its own, whose other end backend gets.
func relayBed(t *testing.T, opts http1.RelayOptions, backend func(conn net.Conn)) (*bed, <-chan http1.Result) {
	t.Helper()
	l := listen(t, func(conn net.Conn) {
		backend(conn)
		_ = conn.Close()
	})
	if opts.Filter == nil {
		opts.Filter = keepAll{}
	}
	results, relays := make(chan http1.Result, 8), make(chan *http1.Relay, 8)
	sweeper := newSweeper(t)
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		up := http1.NewConn(nc)
		sweeper.Add(up)
		defer up.Close()
		x.Out = append(x.Out[:0], x.Request.Method+" / HTTP/1.1\r\nHost: backend\r\n"...)
		switch {
		case x.Request.Chunked:
			x.Out = append(x.Out, "Transfer-Encoding: chunked\r\n"...)
		case x.Request.ContentLength > 0:
			x.Out = append(x.Out, "Content-Length: "+itoa(int(x.Request.ContentLength))+"\r\n"...)
		}
		relay := &http1.Relay{}
		select {
		case relay = <-relays: // of an exchange before this one
		default:
		}
		result := relay.Run(x, up, append(x.Out, "\r\n"...), opts)
		relays <- relay
		if result.Fault != http1.FaultNone && result.Status == 0 {
			_ = x.Respond(502, nil, "")
		}
		results <- result
	}})
	return b, results
}

// readHead reads a message's head.
func readHead(t *testing.T, conn net.Conn) {
	t.Helper()
	var head strings.Builder
	one := make([]byte, 1)
	for !strings.HasSuffix(head.String(), "\r\n\r\n") {
		if _, err := conn.Read(one); err != nil {
			t.Errorf("read a head: %v", err)
			return
		}
		head.Write(one)
	}
}

// pause lets time pass, since that is what the test is about.
func pause(t *testing.T, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}

// TestBodyMayPause: a client whose upstream pauses is not one that stalls.
func TestBodyMayPause(t *testing.T) {
	const half = 64 << 10
	opts := http1.RelayOptions{ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: 100 * time.Millisecond}
	b, results := relayBed(t, opts, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: "+itoa(2*half)+"\r\n\r\n"+strings.Repeat("a", half))
		pause(t, time.Second)
		_, _ = io.WriteString(conn, strings.Repeat("b", half))
	})
	c := b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(2*half) + "\r\n\r\n" + strings.Repeat("a", half) + strings.Repeat("b", half))
	if result := <-results; result.Fault != http1.FaultNone || !result.Reusable || result.Sent != 2*half {
		t.Errorf("result %+v", result)
	}
	c.send(hello) // which the time-out of the body does not end
	c.expect("HTTP/1.1 200 OK\r\n")
}

// TestBodyThatStops is the upstream's fault.
func TestBodyThatStops(t *testing.T) {
	opts := http1.RelayOptions{BodyTimeout: 100 * time.Millisecond, StallTimeout: patience}
	over := make(chan struct{})
	b, results := relayBed(t, opts, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("a", 40000))
		<-over
	})
	c := b.dial(t)
	c.send(hello)
	if result := <-results; result.Fault != http1.FaultCut || !errors.Is(result.Err, os.ErrDeadlineExceeded) {
		t.Errorf("result %+v", result)
	}
	close(over)
}

// TestClientGoesWithinABody: that is not the upstream's fault.
func TestClientGoesWithinABody(t *testing.T) {
	for name, framing := range map[string]string{"with a length": "Content-Length: 100000000\r\n\r\n", "without": "\r\n"} {
		t.Run(name, func(t *testing.T) {
			opts := http1.RelayOptions{ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}
			b, results := relayBed(t, opts, func(conn net.Conn) {
				readHead(t, conn)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+framing)
				for piece := make([]byte, 64<<10); ; {
					if _, err := conn.Write(piece); err != nil {
						return
					}
				}
			})
			c := b.dial(t)
			c.send(hello)
			c.expect("HTTP/1.1 200 OK\r\n")
			_ = c.Close()
			if result := <-results; result.Fault != http1.FaultClientGone {
				t.Errorf("result %+v", result)
			}
		})
	}
}

// TestUpstreamThatTakesNoBody: it neither takes the request nor answers it, which must not last for ever.
func TestUpstreamThatTakesNoBody(t *testing.T) {
	opts := http1.RelayOptions{ResponseTimeout: 100 * time.Millisecond, BodyTimeout: patience, StallTimeout: 100 * time.Millisecond}
	over := make(chan struct{})
	b, results := relayBed(t, opts, func(net.Conn) { <-over })
	defer close(over)
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000000\r\n\r\n")
	go func() {
		for piece := make([]byte, 64<<10); ; { // ends with the connection
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}()
	select {
	case result := <-results:
		if result.Fault != http1.FaultTimeout {
			t.Errorf("result %+v", result)
		}
	case <-time.After(patience / 2):
		t.Error("the exchange does not end")
	}
}

// TestBodyEndsWithinTheResponse: a client that breaks its own request off is to blame for what its response lacks.
func TestBodyEndsWithinTheResponse(t *testing.T) {
	opts := http1.RelayOptions{ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}
	over := make(chan struct{})
	b, results := relayBed(t, opts, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
		<-over
	})
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	c.expect("HTTP/1.1 200 OK\r\n")
	c.send("malformed\r\n")
	if result := <-results; result.Fault != http1.FaultClientGone {
		t.Errorf("result %+v", result)
	}
	close(over)
}

// panicking is a Filter with a fault.
type panicking struct{ keepAll }

func (panicking) KeepResponseField(string) bool { panic("a fault") }

// TestPanicWithinARelay: nobody reads the body for an exchange that is over.
func TestPanicWithinARelay(t *testing.T) {
	opts := http1.RelayOptions{Filter: panicking{}, ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}
	over := make(chan struct{})
	b, _ := relayBed(t, opts, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 0\r\n\r\n")
		<-over
	})
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n12345")
	if _, err := io.ReadAll(c.r); err == nil {
		t.Error("the connection was not cut")
	}
	close(over)
}

// TestShutdownCutsRelays: an exchange whose client was cut does not wait for its upstream any longer.
func TestShutdownCutsRelays(t *testing.T) {
	opts := http1.RelayOptions{ResponseTimeout: 2 * patience, BodyTimeout: patience, StallTimeout: patience}
	asked, over := make(chan struct{}), make(chan struct{})
	b, results := relayBed(t, opts, func(conn net.Conn) {
		readHead(t, conn)
		close(asked)
		<-over
	})
	defer close(over)
	c := b.dial(t)
	c.send(hello)
	<-asked
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Shutdown(ctx); err == nil {
		t.Error("nothing was in flight")
	}
	select {
	case result := <-results:
		if result.Fault != http1.FaultClientGone {
			t.Errorf("result %+v", result)
		}
	case <-time.After(patience / 2):
		t.Error("the exchange does not end")
	}
}

// TestRelayForgets: a response that broke off within its head leaves nothing behind for the exchange that uses the relay
// next.
func TestRelayForgets(t *testing.T) {
	responses := make(chan string, 2)
	b, results := relayBed(t, http1.RelayOptions{ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, <-responses)
	})
	responses <- "HTTP/1.1 299 Old\r\nX-Of-Another: secret\r\nContent-Length: 1000\r\nX-"
	c := b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 502 Bad Gateway\r\n")
	if result := <-results; result.Fault != http1.FaultResponse {
		t.Errorf("result %+v", result)
	}
	responses <- "HTTP/1.1 200 OK\r\nDate: x\r\nX-Mine: a field that is as long as those before it\r\nX-Other: b\r\nContent-Length: 2\r\n\r\nok"
	c = b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nX-Mine: a field that is as long as those before it\r\nX-Other: b\r\nContent-Length: 2\r\n\r\nok")
	if result := <-results; result.Fault != http1.FaultNone {
		t.Errorf("result %+v", result)
	}
}

// TestEarlyResponse: on a connection whose upstream speaks first, the response to the request may still come, which must not
// be another request's.
func TestEarlyResponse(t *testing.T) {
	up, far := pair(t, nil)
	newSweeper(t).Add(up)
	if _, err := io.WriteString(far, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nearly"); err != nil {
		t.Fatal(err)
	}
	for up.Quiet() { // until it has come
		runtime.Gosched()
	}
	results := make(chan http1.Result, 1)
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		opts := http1.RelayOptions{Filter: keepAll{}, ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}
		results <- new(http1.Relay).Run(x, up, append(x.Out[:0], hello...), opts)
	}})
	c := b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\n\r\nearly")
	if result := <-results; result.Fault != http1.FaultNone || result.Reusable {
		t.Errorf("result %+v, want a connection that is of no use any more", result)
	}
}
