package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// keptBed is a Server that relays all requests, one at a time, to one connection that is kept, with the target as it came.
func keptBed(t testing.TB, opts http1.RelayOptions, l net.Listener, prepare func(s *http1.Server)) (*bed, <-chan http1.Result) {
	t.Helper()
	opts.Filter = keepAll{}
	results := make(chan http1.Result, 100)
	sweeper := newSweeper(t)
	var mu sync.Mutex // of all that follows
	var relay http1.Relay
	var up *http1.Conn
	b := prepared(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		if up == nil {
			nc, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Error(err)
				return
			}
			up = http1.NewConn(nc)
			sweeper.Add(up)
		}
		x.Out = append(x.Out[:0], "GET "...)
		x.Out = append(x.Out, x.Request.Target...)
		x.Out = append(x.Out, " HTTP/1.1\r\nHost: backend\r\n\r\n"...)
		result := relay.Run(x, up, x.Out, opts)
		if !result.Reusable {
			_ = up.Close()
			up = nil
		}
		select {
		case results <- result:
		default: // nobody wants to know
		}
	}}, prepare)
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		if up != nil {
			_ = up.Close()
		}
	})
	return b, results
}

// pattern is a body of n bytes that is unlike any other's, at each of its places.
func pattern(id, n int) []byte {
	b := make([]byte, 0, n+32)
	for at := 0; len(b) < n; at++ {
		b = strconv.AppendInt(b, int64(id), 10)
		b = append(b, ':')
		b = strconv.AppendInt(b, int64(at), 10)
		b = append(b, ',')
	}
	return b[:n]
}

// patterns is a backend: /ID/N/PACE answers with the pattern of that length, sent at that pace.
func patterns(t testing.TB) net.Listener {
	t.Helper()
	return listen(t, func(conn net.Conn) {
		served := make(chan struct{})
		go func() {
			defer close(served)
			defer conn.Close()
			serve := newClient(t, conn)
			for serve.pattern() == nil { // until the other end closes
			}
		}()
		t.Cleanup(func() { <-served })
	})
}

// pattern answers one request for a pattern.
func (c *client) pattern() error {
	var target string
	for line := "-"; line != ""; {
		text, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimRight(text, "\r\n")
		if strings.HasPrefix(line, "GET ") {
			target = strings.Fields(line)[1]
		}
	}
	part := strings.Split(target, "/")
	id, _ := strconv.Atoi(part[1])
	n, _ := strconv.Atoi(part[2])
	head := []byte("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(n) + "\r\n\r\n")
	body := pattern(id, n)
	whole := slices.Concat(head, body)
	var pieces [][]byte
	switch part[3] {
	case "whole":
		pieces = [][]byte{whole}
	case "head":
		pieces = [][]byte{head, body}
	case "last":
		pieces = [][]byte{whole[:len(whole)-1], whole[len(whole)-1:]}
	case "pieces":
		pieces = [][]byte{head}
		for len(body) > 0 {
			k := min(len(body), 1+len(body)/3)
			pieces = append(pieces, body[:k])
			body = body[k:]
		}
	case "excess":
		pieces = [][]byte{append(whole, "more"...)}
	case "chunks", "broken":
		pieces = [][]byte{[]byte("HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\n\r\n")}
		for left := body; len(left) > 0; {
			k := min(len(left), 1+len(left)/3)
			pieces = append(pieces, slices.Concat([]byte(strconv.FormatInt(int64(k), 16)+"\r\n"), left[:k], []byte("\r\n")))
			left = left[k:]
		}
		pieces = append(pieces, []byte("0\r\n\r\n"))
		if part[3] == "broken" {
			pieces = pieces[:2]
		}
		pieces = [][]byte{slices.Concat(pieces...)}
	case "close":
		pieces = [][]byte{slices.Concat([]byte("HTTP/1.1 200 OK\r\nDate: x\r\n\r\n"), body)}
	case "end":
		pieces = [][]byte{whole[:len(head)+n/2]}
	}
	for i, piece := range pieces {
		if i > 0 {
			runtime.Gosched() // so that it may be read by itself
		}
		if _, err := c.Write(piece); err != nil {
			return err
		}
	}
	switch part[3] {
	case "end", "close", "broken":
		return io.EOF
	}
	return nil
}

func (c *client) get(id, n int, pace string) {
	c.t.Helper()
	c.send(fmt.Sprintf("GET /%d/%d/%s HTTP/1.1\r\nHost: app.test\r\n\r\n", id, n, pace))
}

// receive expects the response to get.
func (c *client) receive(id, n int) {
	c.t.Helper()
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(n) + "\r\n\r\n")
	c.body(pattern(id, n))
}

func (c *client) body(want []byte) {
	c.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c.r, got); err != nil {
		c.t.Fatalf("%d of %d bytes of a body: %v", n, len(want), err)
	}
	for i := range want {
		if got[i] != want[i] {
			c.t.Fatalf("a body of %d bytes has %.40q at %d, want %.40q", len(want), got[i:], i, want[i:])
		}
	}
}

var patient = http1.RelayOptions{ResponseTimeout: patience, BodyTimeout: patience, StallTimeout: patience}

// TestBodiesOfAllSizes go one after the other over two connections that are kept, by each of the ways that are meant for
// their size.
func TestBodiesOfAllSizes(t *testing.T) {
	for name, prepare := range map[string]func(s *http1.Server){
		"spliced": func(*http1.Server) {},
		"copied":  (*http1.Server).ExhaustPipes,
	} {
		t.Run(name, func(t *testing.T) {
			b, results := keptBed(t, patient, patterns(t), prepare)
			before := b.OpenPipes()
			c := b.dial(t)
			id := 0
			for _, pace := range []string{"whole", "head", "last", "pieces"} {
				for _, n := range []int{
					0, 1, 4000, 4095, 4096, 16283, 16284, 16285, 16384, 16385, 20479, 20480, 32667, 32668, 32767, 32768, 32769, 65536,
					131071, 131072, 131073, 1<<20 + 3, 100, 16384, 65536, 65536, 30000,
				} {
					id++
					c.get(id, n, pace)
					c.receive(id, n)
					if result := <-results; result.Fault != http1.FaultNone || !result.Reusable || result.Sent != int64(n) {
						t.Fatalf("%d bytes, %s: result %+v", n, pace, result)
					}
				}
			}
			if got := b.OpenPipes(); before > 0 && got != before {
				t.Errorf("%d pipes, though there may be no more than %d", got, before)
			}
		})
	}
}

// TestBodiesWithoutALength of all sizes arrive as well.
func TestBodiesWithoutALength(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	c := b.dial(t)
	id := 0
	for _, pace := range []string{"chunks", "close"} {
		for _, n := range []int{0, 1, 4096, 16300, 16384, 32768, 49152, 50000, 65536, 131072, 1<<20 + 3} {
			id++
			c.get(id, n, pace)
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(got, pattern(id, n)) {
				t.Fatalf("%d bytes, %s: received %d bytes, %v", n, pace, len(got), err)
			}
			if result := <-results; result.Fault != http1.FaultNone || result.Reusable != (pace == "chunks") || result.Sent != int64(n) {
				t.Fatalf("%d bytes, %s: result %+v", n, pace, result)
			}
		}
	}
}

// TestBodyWithoutALengthThatEnds too early is cut.
func TestBodyWithoutALengthThatEnds(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	for id, n := range []int{100, 49152, 65536, 1 << 20} {
		c := b.dial(t)
		c.get(id, n, "broken")
		if _, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("received %v; want a reset", err)
		}
		if result := <-results; result.Fault != http1.FaultCut || !errors.Is(result.Err, io.ErrUnexpectedEOF) || result.Reusable {
			t.Errorf("%d bytes: result %+v", n, result)
		}
	}
}

// TestSlowClientIsNotTheUpstreamsFault: the time for the body's next piece does not run while the client takes the last one,
// though the next one is there.
func TestSlowClientIsNotTheUpstreamsFault(t *testing.T) {
	opts := patient
	opts.BodyTimeout = 400 * time.Millisecond
	b, results := keptBed(t, opts, patterns(t), func(*http1.Server) {})
	for id, pace := range []string{"whole", "chunks", "close"} {
		c := b.dial(t)
		c.get(id, 16<<20, pace)
		pause(t, 800*time.Millisecond)
		resp, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(resp.Body); err != nil || len(got) != 16<<20 {
			t.Errorf("%s: received %d bytes, %v", pace, len(got), err)
		}
		if result := <-results; result.Fault != http1.FaultNone {
			t.Errorf("%s: result %+v", pace, result)
		}
	}
}

// TestExcessIsNoticed where it is read with the body.
func TestExcessIsNoticed(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	c := b.dial(t)
	for id, n := range []int{0, 100, 16384, 20000, 30000} {
		c.get(id, n, "excess")
		c.receive(id, n)
		if result := <-results; result.Fault != http1.FaultNone || result.Reusable || result.Sent != int64(n) {
			t.Errorf("%d bytes: result %+v", n, result)
		}
	}
}

// TestBodyThatEnds too early is cut at the client as well, of whatever size.
func TestBodyThatEnds(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	for id, n := range []int{100, 16384, 20000, 32768, 65536, 1 << 20} {
		c := b.dial(t)
		c.get(id, n, "end")
		c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(n) + "\r\n\r\n")
		if rest, err := io.ReadAll(c.r); !errors.Is(err, syscall.ECONNRESET) || len(rest) > n/2 {
			t.Errorf("received %d bytes, %v; want a reset", len(rest), err)
		}
		if result := <-results; result.Fault != http1.FaultCut || !errors.Is(result.Err, io.ErrUnexpectedEOF) || result.Reusable {
			t.Errorf("%d bytes: result %+v", n, result)
		}
	}
}

// TestFailedBodyStaysWhereItIs: what a client did not take is never sent to another one.
func TestFailedBodyStaysWhereItIs(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // a pool's memory that one processor gives back is what it gets next
	opts := patient
	opts.StallTimeout = 20 * time.Millisecond
	b, results := keptBed(t, opts, patterns(t), func(*http1.Server) {})
	for id := range 4 {
		stalled := b.dial(t)
		stalled.get(1000+id, 16<<20, "whole") // more than sockets take
		result := <-results
		if result.Fault != http1.FaultClientGone || !errors.Is(result.Err, os.ErrDeadlineExceeded) || result.Sent == 0 {
			t.Fatalf("result %+v", result)
		}
		_ = stalled.Close()
		for next := range 3 {
			c := b.dial(t)
			c.get(10*id+next, 65536, "whole")
			c.receive(10*id+next, 65536)
			if result := <-results; result.Fault != http1.FaultNone {
				t.Errorf("result %+v", result)
			}
			_ = c.Close()
		}
		collect(t, b)
	}
}

// collect has the collector close the pipes that nobody uses.
func collect(t *testing.T, b *bed) {
	t.Helper()
	for end := time.Now().Add(patience); b.OpenPipes() > 0; runtime.Gosched() {
		if runtime.GC(); time.Now().After(end) {
			t.Fatalf("%d pipes are open still", b.OpenPipes())
		}
	}
}

// TestSlowClient takes its body in small pieces, so that none gets there at once.
func TestSlowClient(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096)
		})
		return errors.Join(err, failed)
	}}
	conn, err := dialer.DialContext(t.Context(), "tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	for id := range 2 {
		c.get(id, 4<<20, "pieces")
		c.receive(id, 4<<20)
		if result := <-results; result.Fault != http1.FaultNone {
			t.Errorf("result %+v", result)
		}
	}
}

// TestPartsAreNotHeldBack: a client gets what has come, though more is to come, and at once.
func TestPartsAreNotHeldBack(t *testing.T) {
	const length, times = 200000, 10
	head := "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(length) + "\r\n\r\n"
	ends := []int{40000, 40000, 40001, 60000, length - 1, length}
	received := make(chan struct{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		for range times {
			readHead(t, conn)
			_, _ = conn.Write(append([]byte(head), pattern(7, ends[0])...))
			for i, end := range ends[1:] {
				<-received
				_, _ = conn.Write(pattern(7, length)[ends[i]:end])
			}
			readHead(t, conn) // what follows a body is not held back either
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok")
		}
	}()
	b, results := keptBed(t, patient, l, func(*http1.Server) {})
	c := b.dial(t)
	fastest := patience
	for range times {
		begun := time.Now()
		c.send(hello)
		c.expect(head)
		at := 0
		for i, end := range ends {
			if i > 0 {
				received <- struct{}{}
			}
			c.body(pattern(7, length)[at:end])
			at = end
		}
		c.send(hello)
		c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok")
		fastest = min(fastest, time.Since(begun))
		for range 2 {
			if result := <-results; result.Fault != http1.FaultNone {
				t.Errorf("result %+v", result)
			}
		}
	}
	// The system sends what is held back after 200 ms, each time.
	if fastest > 150*time.Millisecond {
		t.Errorf("a body took %v", fastest)
	}
	_ = l.Close()
	<-done
}

// TestResponseWhileTheBodyIsAskedFor: what asks the client for its body stays apart from a response that comes meanwhile.
func TestResponseWhileTheBodyIsAskedFor(t *testing.T) {
	const length, rest = 200000, 100
	asked := make(chan struct{})
	b, results := relayBed(t, patient, func(conn net.Conn) {
		readHead(t, conn)
		<-asked
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: "+itoa(length)+"\r\n\r\n"+strings.Repeat("a", length))
		_, _ = io.CopyN(io.Discard, conn, rest)
	})
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: " + itoa(rest) + "\r\nExpect: 100-continue\r\n\r\n")
	c.expect("HTTP/1.1 100 Continue\r\n\r\n")
	close(asked)
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(length) + "\r\n" + closes + "\r\n" + strings.Repeat("a", length))
	c.send(strings.Repeat("b", rest))
	if result := <-results; result.Fault != http1.FaultNone || result.Sent != length {
		t.Errorf("result %+v", result)
	}
}

// TestClientGoesWhileItsBodyPauses: the upstream is not to blame, though it is who is waited for.
func TestClientGoesWhileItsBodyPauses(t *testing.T) {
	over := make(chan struct{})
	b, results := relayBed(t, patient, func(conn net.Conn) {
		readHead(t, conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 1000000\r\n\r\n"+strings.Repeat("a", 100000))
		<-over
	})
	defer close(over)
	c := b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("a", 100000))
	_ = c.Close()
	if result := <-results; result.Fault != http1.FaultClientGone || !errors.Is(result.Err, http1.ErrPeerGone) || result.Sent != 100000 {
		t.Errorf("result %+v", result)
	}
}

// TestIdlePipesAreClosed once nobody needs them for a while.
func TestIdlePipesAreClosed(t *testing.T) {
	b, results := keptBed(t, patient, patterns(t), func(*http1.Server) {})
	c := b.dial(t)
	c.get(1, 1<<20, "whole")
	c.receive(1, 1<<20)
	<-results
	collect(t, b)
}
