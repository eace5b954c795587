package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/http1"
)

const (
	counted = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: "
	chunked = "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n"
)

func TestBodies(t *testing.T) {
	t.Parallel()
	b := serve(t, http1.ServerOptions{}, echoBody())
	long := strings.Repeat("0123456789abcdef", 20_000)
	var chunks strings.Builder
	for i, rest := 1, long; rest != ""; i = i*3%70_000 + 1 {
		size := min(i, len(rest))
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", size, rest[:size])
		rest = rest[size:]
	}
	for name, tt := range map[string]struct{ send, want string }{
		"none":                       {hello, ok("")},
		"length 0":                   {counted + "0\r\n\r\n", ok("")},
		"a length":                   {counted + "5\r\n\r\nhello", ok("hello")},
		"a long one with a length":   {counted + itoa(len(long)) + "\r\n\r\n" + long, ok(long)},
		"chunks":                     {chunked + "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", ok("hello")},
		"no chunk but the last":      {chunked + "0\r\n\r\n", ok("")},
		"extensions":                 {chunked + "2;a=b\r\nhe\r\n3;c=\"d\"\r\nllo\r\n0;e\r\n\r\n", ok("hello")},
		"trailers":                   {chunked + "5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", ok("hello|X-A=1|X-B=2")},
		"many chunks":                {chunked + chunks.String() + "0\r\n\r\n", ok(long)},
		"HTTP/1.0 with a length":     {"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello", strings.Replace(ok("hello", "Connection: keep-alive\r\n"), "1.1", "1.0", 1)},
		"a method that rarely has":   {"GET / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello", ok("hello")},
		"two requests with trailers": {strings.Repeat(chunked+"1\r\na\r\n0\r\nX-A: 1\r\n\r\n", 2), ok("a|X-A=1") + ok("a|X-A=1")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.dial(t)
			go func() { _, _ = io.WriteString(c, tt.send+hello+tt.send) }()
			c.expect(tt.want + ok("") + tt.want)
			c.silent()
		})
	}
}

// TestReadBodyPieces: the body is the same however small the pieces are that are read, and BodyDone tells its end at once.
func TestReadBodyPieces(t *testing.T) {
	const pieces = 7
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		var got []byte
		p := make([]byte, pieces)
		if n, err := x.ReadBody(nil); n != 0 || err != nil {
			t.Errorf("reading nothing: %d, %v", n, err)
		}
		for !x.BodyDone() {
			n, err := x.ReadBody(p)
			if n == 0 && err == nil || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("read %d, %v", n, err)
				break
			}
			got = append(got, p[:n]...)
		}
		if n, err := x.ReadBody(p); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("behind the end: %d, %v", n, err)
		}
		_ = x.Respond(200, nil, string(got))
	}})
	c := b.dial(t)
	body := strings.Repeat("abcdefghij", 100)
	c.send(counted + "1000\r\n\r\n" + body + chunked + "3e8\r\n" + body + "\r\n0\r\n\r\n")
	c.expect(ok(body) + ok(body))
	c.send(chunked + "3e8\r\n" + body[:500])
	c.send(body[500:] + "\r\n0\r\n\r\n")
	c.expect(ok(body))
}

func TestBodyErrors(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		send  string
		close bool
		want  error
	}{
		"a chunk without size":          {chunked + "x\r\n", false, http1.ErrBodyMalformed},
		"a chunk longer than it says":   {chunked + "1\r\nab\r\n", false, http1.ErrBodyMalformed},
		"a trailer that is none":        {chunked + "0\r\nnone\r\n\r\n", false, http1.ErrBodyMalformed},
		"the end before the length":     {counted + "5\r\n\r\nhell", true, io.ErrUnexpectedEOF},
		"the end before the last chunk": {chunked + "5\r\nhello\r\n", true, io.ErrUnexpectedEOF},
		"a stall":                       {counted + "5\r\n\r\nhell", false, os.ErrDeadlineExceeded},
		"a stall within a chunk":        {chunked + "5\r\nhell", false, os.ErrDeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := serve(t, http1.ServerOptions{StallTimeout: 100 * time.Millisecond}, handler{serve: func(x *http1.Exchange) {
				_, err := io.ReadAll(bodyOf(x))
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if _, again := x.ReadBody(make([]byte, 1)); !errors.Is(again, tt.want) {
					t.Errorf("error %v when read again, want %v", again, tt.want)
				}
				if x.BodyDone() || x.KeepAlive() || x.Trailers() != nil {
					t.Errorf("done %t, kept %t, trailers %v", x.BodyDone(), x.KeepAlive(), x.Trailers())
				}
				_ = x.Respond(400, nil, "no")
			}})
			c := b.dial(t)
			c.send(tt.send)
			if tt.close {
				if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
					t.Fatal(err)
				}
			}
			c.expect("HTTP/1.1 400 Bad Request\r\n" + date + "Content-Length: 2\r\nConnection: close\r\n\r\nno")
			c.end()
		})
	}
}

func TestContinue(t *testing.T) {
	const expecting = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
	const proceed = "HTTP/1.1 100 Continue\r\n\r\n"
	t.Run("asked for when the body is read", func(t *testing.T) {
		c := serve(t, http1.ServerOptions{}, echoBody()).dial(t)
		for range 2 {
			c.send(expecting)
			c.expect(proceed)
			c.silent()
			c.send("hello")
			c.expect(ok("hello"))
		}
	})
	t.Run("not asked for when the body is there", func(t *testing.T) {
		c := serve(t, http1.ServerOptions{}, echoBody()).dial(t)
		c.send(expecting + "hello" + expecting + "hello")
		c.expect(ok("hello") + ok("hello"))
	})
	t.Run("asked for once, when the body is there in part", func(t *testing.T) {
		c := serve(t, http1.ServerOptions{}, echoBody()).dial(t)
		c.send(expecting + "hel")
		c.expect(proceed)
		c.send("l")
		c.silent()
		c.send("o")
		c.expect(ok("hello"))
	})
	t.Run("not within a response", func(t *testing.T) {
		c := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			head := "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"
			if x.KeepAlive() {
				t.Error("the connection would be kept")
			}
			_ = x.Write([]byte(head + closes + "\r\n"))
			body, err := io.ReadAll(bodyOf(x))
			if err != nil {
				t.Errorf("read: %v", err)
			}
			_ = x.Write(body)
		}}).dial(t)
		c.send(expecting + "hel")
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n" + closes + "\r\n")
		c.send("lo")
		c.expect("hello")
		c.end()
	})
	t.Run("after other informational responses", func(t *testing.T) {
		const hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
		c := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			_ = x.Write([]byte(hints))
			body, err := io.ReadAll(bodyOf(x))
			if err != nil {
				t.Errorf("read: %v", err)
			}
			_ = x.Respond(200, nil, string(body))
		}}).dial(t)
		c.send(expecting)
		c.expect(hints + proceed)
		c.send("hello")
		c.expect(ok("hello"))
	})
	t.Run("only hints are no answer", func(t *testing.T) {
		c := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			_ = x.Write([]byte("HTTP/1.1 103 Early Hints\r\n\r\n"))
		}}).dial(t)
		c.send(hello)
		c.expect("HTTP/1.1 103 Early Hints\r\n\r\n")
		c.cut()
	})
}

// TestBothWays: a response is written while the body comes, by another goroutine, and neither waits for the other.
func TestBothWays(t *testing.T) {
	const size = 8 << 20
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		x.CloseAfter()
		if err := x.Write([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")); err != nil {
			t.Errorf("write: %v", err)
		}
		pieces := make(chan []byte, 1)
		go func() {
			defer close(pieces)
			for {
				p := make([]byte, 10_000)
				n, err := x.ReadBody(p)
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("read: %v", err)
					}
					return
				}
				pieces <- p[:n]
			}
		}()
		for p := range pieces {
			if err := x.Write(p); err != nil {
				t.Errorf("write: %v", err)
			}
		}
	}})
	for name, frame := range map[string][3]string{
		"length": {counted + itoa(size) + "\r\n\r\n", "", ""},
		"chunks": {chunked, fmt.Sprintf("%x\r\n", 1<<16), "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := b.dial(t)
			sent := make([]byte, size)
			for i := range sent {
				sent[i] = byte(i * i >> 3)
			}
			go func() {
				_, _ = io.WriteString(c, frame[0])
				for i := 0; i < size; i += 1 << 16 {
					_, _ = io.WriteString(c, frame[1]+string(sent[i:i+1<<16])+frame[2])
				}
				if frame[1] != "" {
					_, _ = io.WriteString(c, "0\r\n\r\n")
				}
			}()
			c.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			got, err := io.ReadAll(c.r)
			if err != nil || !bytes.Equal(got, sent) {
				t.Errorf("received %d bytes, %v; want %d that were sent", len(got), err, size)
			}
		})
	}
}

// TestReadWhileWritesWait: a client that reads the response only when it has sent the body gets both done.
func TestReadWhileWritesWait(t *testing.T) {
	const answer = 16 << 20 // more than the kernel holds
	for name, expect := range map[string]string{"": "", "expecting 100 Continue": "Expect: 100-continue\r\n"} {
		t.Run(name, func(t *testing.T) {
			begun := make(chan struct{})
			b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
				read := make(chan error)
				go func() {
					<-begun
					_, err := io.Copy(io.Discard, bodyOf(x))
					read <- err
				}()
				x.CloseAfter()
				if err := x.Write([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")); err != nil {
					t.Errorf("write: %v", err)
				}
				close(begun)
				if err := x.Write(make([]byte, answer)); err != nil {
					t.Errorf("write: %v", err)
				}
				if err := <-read; err != nil {
					t.Errorf("read: %v", err)
				}
			}})
			c := b.dial(t)
			c.send("POST / HTTP/1.1\r\nHost: app.test\r\n" + expect + "Content-Length: " + itoa(answer) + "\r\n\r\n")
			<-begun
			c.send(strings.Repeat("a", answer))
			c.expect("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			if n, err := io.Copy(io.Discard, c.r); n != answer || err != nil {
				t.Errorf("received %d, %v", n, err)
			}
		})
	}
}

// TestWriteStall: a client that does not read is not waited for without end.
func TestWriteStall(t *testing.T) {
	failed := make(chan error, 1)
	b := serve(t, http1.ServerOptions{StallTimeout: 100 * time.Millisecond}, handler{serve: func(x *http1.Exchange) {
		failed <- x.Respond(200, nil, strings.Repeat("a", 64<<20))
	}})
	c := b.dial(t)
	c.send(hello)
	if err := <-failed; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v, want a time-out", err)
	}
	if _, err := io.Copy(io.Discard, c.r); err == nil {
		t.Error("the response looks complete")
	}
}

// TestKept: what belongs to the exchange can be kept by copying, and is gone otherwise.
func TestKept(t *testing.T) {
	var targets, copies []string
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		targets = append(targets, x.Request.Target)
		copies = append(copies, strings.Clone(x.Request.Target))
		x.Out = append(x.Out[:0], "built here"...)
		_ = x.Respond(http.StatusOK, nil, string(x.Out))
	}})
	c := b.dial(t)
	for range 2 {
		c.send("GET /secret HTTP/1.1\r\nHost: app.test\r\n\r\n")
		c.expect(ok("built here"))
	}
	shutdown(t, b)
	if diff := cmp.Diff([]string{"/secret", "/secret"}, copies); diff != "" {
		t.Errorf("copies (-want +got):\n%s", diff)
	}
	for _, target := range targets {
		if target == "/secret" {
			t.Error("memory that was given back has not been overwritten")
		}
	}
}
