package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/refusal"
)

// TestFault says whose fault it is that an exchange on a borrowed connection failed, in words of our own.
func TestFault(t *testing.T) {
	var response http1.Response
	_, syntax := response.Parse([]byte("secret\r\n\r\n"))
	_, large := response.Parse([]byte("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: secret\r\n", 1000)))
	addr, _ := raw(t, answers(okay))
	_, u := using(t, Options{}, nil, addr)
	for name, c := range map[string]struct {
		err  error
		want refusal.Reason
		is   error
	}{
		"the client has gone":      {http1.ErrPeerGone, refusal.RequestMalformed, ErrClientGone},
		"the backend is too slow":  {fmt.Errorf("read: %w", os.ErrDeadlineExceeded), refusal.UpstreamTimeout, errTimedOut},
		"the backend closes":       {io.EOF, refusal.UpstreamProtocol, errClosed},
		"the backend cuts":         {io.ErrUnexpectedEOF, refusal.UpstreamProtocol, errClosed},
		"the backend speaks wrong": {syntax, refusal.UpstreamProtocol, errMalformed},
		"the backend says a lot":   {large, refusal.UpstreamProtocol, errHeadTooLarge},
		"something else":           {errors.New("secret"), refusal.UpstreamProtocol, errMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			var a Attempt
			conn := connect(t, u, &a)
			conn.Discard()
			failed := conn.Fault(c.err) // the loan has ended, the endpoint is known still
			if failed.Reason != c.want || !errors.Is(failed, c.is) || failed.Endpoint != addr.String() || strings.Contains(failed.Error(), "secret") {
				t.Errorf("fault %v, want %s: %v", failed, c.want, c.is)
			}
		})
	}
}

// TestBusyParts: who finds a part of the idle connections locked looks at the others, and waits only then.
func TestBusyParts(t *testing.T) {
	addr, _ := raw(t, answers(okay))
	r, u := using(t, Options{}, nil, addr)
	l := u.targets[0].transport.link(u.targets[0].pool.list()[0])
	l.shards = make([]shard, 2)
	var a, b Attempt
	a.Hint, b.Hint = 2, 2
	first, second := connect(t, u, &a).Conn, connect(t, u, &b).Conn

	l.shards[0].mu.Lock()
	a.conn.Release() // into the other part
	if got := l.take(2, proven); got != first {
		t.Error("the part that is free was not searched")
	} else {
		l.put(got, 3)
	}
	l.shards[0].mu.Unlock()

	b.conn.Release() // into the part with that hint
	taken := make(chan *http1.Conn)
	l.shards[0].mu.Lock()
	l.shards[1].mu.Lock()
	go func() { taken <- l.take(2, proven) }()
	l.shards[1].mu.Unlock()
	l.shards[0].mu.Unlock()
	got := <-taken
	if got != first && got != second {
		t.Error("a connection was not found behind a lock")
	}
	r.conns.close(got)
}

// TestUnsentIsRepeated: what the system did not take has not reached the backend, and may be sent whatever it is.
func TestUnsentIsRepeated(t *testing.T) {
	addr, connections := raw(t, func(conn net.Conn, r *bufio.Reader) {
		answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(conn, r)
		<-t.Context().Done() // does not close its half
	})
	_, u := using(t, Options{}, nil, addr)
	var a Attempt
	conn := connect(t, u, &a)
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	conn.Release()
	resp, err := roundTrip(t, u, http.MethodPost, nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if n := inflight(u); n != 0 || connections.Load() != 2 {
		t.Errorf("%d connections, %d in flight; want 2, none", connections.Load(), n)
	}
}

// TestLargeHeads are sent whole, with whatever body.
func TestLargeHeads(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the backend read %v", err)
		}
		_, _ = fmt.Fprintf(w, "%d %s", len(r.Header.Get("X-Large")), body)
	})
	_, u := using(t, Options{}, nil, addr)
	for _, size := range []int{10, sendBytes/2 - 100, sendBytes / 2, sendBytes - 100, sendBytes, 60_000} {
		for _, expect := range []string{"", "100-continue"} {
			for _, length := range []int64{5, -1} {
				req := get(t, "/")
				req.Method, req.ContentLength, req.Body = http.MethodPost, length, io.NopCloser(strings.NewReader("hello"))
				req.Header.Set("X-Large", strings.Repeat("a", size))
				if expect != "" {
					req.Header.Set("Expect", expect)
				}
				resp, _, err := u.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				if body, err := io.ReadAll(resp.Body); string(body) != fmt.Sprintf("%d hello", size) || err != nil {
					t.Errorf("head of %d bytes, expect %q, length %d: %q, %v", size, expect, length, body, err)
				}
				_ = resp.Body.Close()
			}
		}
	}
}

// TestSlowBody: the head does not wait for a body that does not come.
func TestSlowBody(t *testing.T) {
	came := make(chan struct{})
	addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		close(came)
		if _, err := io.ReadFull(r, make([]byte, 5)); err == nil {
			_, _ = io.WriteString(conn, okay)
		}
		_, _ = io.Copy(io.Discard, r)
	})
	r, u := using(t, Options{}, nil, addr)
	req := get(t, "/")
	text := strings.NewReader("hello")
	req.Method, req.ContentLength = http.MethodPost, 5
	req.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		<-came
		return text.Read(p)
	}))
	resp, _, err := u.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); string(body) != "ok" || err != nil {
		t.Errorf("body %q, %v", body, err)
	}
	_ = resp.Body.Close()
	if open := r.open(); open != 1 {
		t.Errorf("%d connections kept, want 1", open)
	}
}

// TestCloseRace: closing a body, or giving a request up, while its last bytes are read harms no exchange but its own.
func TestCloseRace(t *testing.T) {
	addr, _ := raw(t, answers(okay))
	_, u := using(t, Options{}, nil, addr)
	var wait sync.WaitGroup
	for worker := range 4 {
		wait.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				resp, _, err := u.RoundTrip(get(t, "/").WithContext(ctx))
				if err != nil {
					t.Errorf("exchange: %v", err)
					cancel()
					return
				}
				if worker%2 == 0 { // the others must not notice
					closed := make(chan struct{})
					go func() {
						defer close(closed)
						if i%2 == 0 {
							_ = resp.Body.Close()
						} else {
							cancel()
						}
					}()
					_, _ = io.ReadAll(resp.Body)
					<-closed
				} else if body, err := io.ReadAll(resp.Body); string(body) != "ok" || err != nil {
					t.Errorf("body %q, %v", body, err)
				}
				_ = resp.Body.Close()
				cancel()
			}
		})
	}
	wait.Wait()
	if n := inflight(u); n != 0 {
		t.Errorf("counted %d in flight, want none", n)
	}
}
