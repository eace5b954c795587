package http1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

func TestResponses(t *testing.T) {
	fields := []http1.Field{{Name: "X-A", Value: "1"}, {Name: "X-B", Value: "2"}}
	for name, tt := range map[string]struct {
		request string
		status  int
		body    string
		want    string
		ends    bool
	}{
		"GET": {
			request: hello, status: 200, body: "hello",
			want: "HTTP/1.1 200 OK\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 5\r\n\r\nhello",
		},
		"HEAD has the length of what GET would have": {
			request: "HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n", status: 404, body: "hello",
			want: "HTTP/1.1 404 Not Found\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 5\r\n\r\n",
		},
		"204 has neither body nor length": {
			request: hello, status: 204, body: "hello",
			want: "HTTP/1.1 204 No Content\r\n" + date + "X-A: 1\r\nX-B: 2\r\n\r\n",
		},
		"304 has neither body nor length": {
			request: hello, status: 304, body: "hello",
			want: "HTTP/1.1 304 Not Modified\r\n" + date + "X-A: 1\r\nX-B: 2\r\n\r\n",
		},
		"a status without a name": {
			request: hello, status: 799,
			want: "HTTP/1.1 799 \r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\n\r\n",
		},
		"the client wants the end": {
			request: "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Close\r\n\r\n", status: 200,
			want: "HTTP/1.1 200 OK\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ends: true,
		},
		"HTTP/1.0": {
			request: "GET / HTTP/1.0\r\n\r\n", status: 200,
			want: "HTTP/1.0 200 OK\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ends: true,
		},
		"HTTP/1.0 kept": {
			request: "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", status: 200,
			want: "HTTP/1.0 200 OK\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
		},
		"an upgrade that is not made: what follows may be of the other protocol": {
			request: "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + hello, status: 200,
			want: "HTTP/1.1 200 OK\r\n" + date + "X-A: 1\r\nX-B: 2\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", ends: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
				if err := x.Respond(tt.status, fields, tt.body); err != nil {
					t.Errorf("respond: %v", err)
				}
			}})
			c := b.dial(t)
			c.send(tt.request)
			c.expect(tt.want)
			if tt.ends {
				c.end()
				return
			}
			c.send(tt.request)
			c.expect(tt.want)
			c.silent()
		})
	}
}

// TestPipelining: requests that come together are answered one after the other, also when they come in pieces, and what
// one exchange has borrowed is not in the next.
func TestPipelining(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, echo())
	var requests, responses strings.Builder
	for i := range 3000 {
		target := fmt.Sprintf("/%d/%s", i, strings.Repeat("x", i%700))
		fmt.Fprintf(&requests, "GET %s HTTP/1.1\r\nHost: app.test\r\n\r\n", target)
		responses.WriteString(ok("GET " + target))
	}
	c := b.dial(t)
	go func() { _, _ = io.WriteString(c, requests.String()) }()
	c.expect(responses.String())
	c.silent()
}

func TestByteByByte(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, echoBody())
	c := b.dial(t)
	if err := c.Conn.(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	for _, one := range "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1\r\nd\r\n0\r\nX-T: 1\r\n\r\n" + hello {
		c.send(string(one))
	}
	c.expect(ok("abcd|X-T=1") + ok(""))
}

// TestLargeHeads: the buffer grows as far as it has to, and what follows a large head is served as well.
func TestLargeHeads(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		body, err := io.ReadAll(bodyOf(x))
		if err != nil {
			t.Errorf("read: %v", err)
		}
		sum := 0
		for _, f := range x.Request.Fields {
			if strings.Trim(f.Value, "v") == "" {
				sum += len(f.Value)
			}
		}
		_ = x.Respond(200, nil, fmt.Sprint(len(x.Request.Head), sum, string(body)))
	}})
	c := b.dial(t)
	const frame = len("POST / HTTP/1.1\r\nHost: app.test\r\nX: \r\nContent-Length: 5\r\n\r\n")
	for _, size := range []int{100, 12 << 10, 12<<10 + 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, 32 << 10, 60 << 10, 61 << 10, http1.MaxHeadBytes - 1, http1.MaxHeadBytes} {
		one := "POST / HTTP/1.1\r\nHost: app.test\r\nX: " + strings.Repeat("v", size-frame) + "\r\nContent-Length: 5\r\n\r\nhello"
		want := ok(fmt.Sprint(size, size-frame, "hello"))
		c.send(one)
		c.expect(want)
		c.send(one + hello + one)
		c.expect(want + ok(fmt.Sprint(len(hello), 0, "")) + want)
	}
	chunked := "POST / HTTP/1.1\r\nHost: app.test\r\nX: " + strings.Repeat("v", http1.MaxHeadBytes-200) + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	c.send(chunked + "5\r\nhel")
	c.send("lo\r\n0\r\n\r\n" + hello)
	c.expect(ok(fmt.Sprint(len(chunked), http1.MaxHeadBytes-200, "hello")) + ok(fmt.Sprint(len(hello), 0, "")))
}

func TestHeadTooLarge(t *testing.T) {
	for name, tt := range map[string]struct {
		most, size int
	}{
		"one byte more than the most there is": {0, http1.MaxHeadBytes + 1},
		"without end":                          {0, 200 << 10},
		"more than the option":                 {1 << 10, 1<<10 + 1},
		"more than the option, without end":    {1 << 10, 12 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, http1.ServerOptions{MaxHeadBytes: tt.most}, handler{serve: func(x *http1.Exchange) {
				_ = x.Respond(200, nil, "")
			}})
			c := b.dial(t)
			start := "GET / HTTP/1.1\r\nHost: app.test\r\nX: "
			go func() { _, _ = io.WriteString(c, start+strings.Repeat("v", tt.size-len(start)-4)+"\r\n\r\n") }()
			c.expect("HTTP/1.1 431 Request Header Fields Too Large\r\n" + date + "Content-Length: 0\r\nConnection: close\r\n\r\n")
			c.end()
		})
	}
}

// TestMalformed: what can't be a request is answered, and nothing behind it is read as one.
func TestMalformed(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{
		serve: func(x *http1.Exchange) { _ = x.Respond(200, nil, "") },
		refuse: func(x *http1.Exchange, err *http1.SyntaxError) {
			if x.HasBody() || x.Request.Method != "" || x.KeepAlive() || x.Context().Err() != nil {
				t.Errorf("body %t, method %q, kept %t, %v", x.HasBody(), x.Request.Method, x.KeepAlive(), x.Context().Err())
			}
			_ = x.Respond(err.Status, []http1.Field{{Name: "X-Why", Value: "malformed"}}, "no")
		},
	})
	for name, text := range map[string]string{
		"bare LF":      "GET / HTTP/1.1\nHost: app.test\n\n",
		"no Host":      "GET / HTTP/1.1\r\n\r\n",
		"two lengths":  "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"not a method": "G(T / HTTP/1.1\r\nHost: app.test\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := b.dial(t)
			c.send(hello + text + hello)
			c.expect(ok("") + "HTTP/1.1 400 Bad Request\r\n" + date + "X-Why: malformed\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
			c.end()
		})
	}
}

// TestAnswerBeforeBody: an answer that is sent before the body was read reaches a client that goes on sending, and what
// it sends is never a request.
func TestAnswerBeforeBody(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		_ = x.Respond(http.StatusUnauthorized, nil, "no")
	}})
	refused := "HTTP/1.1 401 Unauthorized\r\n" + date + "Content-Length: 2\r\n"
	t.Run("the body came with the head", func(t *testing.T) {
		c := b.dial(t)
		one := "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello"
		c.send(one + one)
		c.expect(refused + "\r\nno" + refused + "\r\nno")
		c.silent()
	})
	t.Run("a part of what came was read", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			if _, err := x.ReadBody(make([]byte, 2)); err != nil {
				t.Errorf("read: %v", err)
			}
			_ = x.Respond(http.StatusUnauthorized, nil, "no")
		}})
		c := b.dial(t)
		one := "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello"
		c.send(one + one)
		c.expect(refused + "\r\nno" + refused + "\r\nno")
		c.silent()
	})
	t.Run("the body follows", func(t *testing.T) {
		c := b.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 500000\r\n\r\n")
		c.expect(refused + closes + "\r\nno")
		c.send(strings.Repeat(hello, 500_000/len(hello)))
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.end()
	})
	t.Run("in chunks", func(t *testing.T) {
		c := b.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hello)
		c.expect(refused + closes + "\r\nno")
		c.end()
	})
	t.Run("the client waits for 100 Continue", func(t *testing.T) {
		c := b.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		c.expect(refused + closes + "\r\nno")
		c.end()
	})
	t.Run("a client that sends without end is not listened to without end", func(t *testing.T) {
		c := b.dial(t)
		c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 50000000000\r\n\r\n")
		c.expect(refused + closes + "\r\nno")
		piece := make([]byte, 64<<10)
		var sent int64
		for {
			n, err := c.Write(piece)
			if sent += int64(n); err != nil {
				break
			}
			if sent > 1<<30 {
				t.Fatal("a gigabyte was taken")
			}
		}
	})
}

func TestHandlerFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		serve  func(x *http1.Exchange)
		want   string
		logged bool
	}{
		"no answer":   {func(*http1.Exchange) {}, "", false},
		"a panic":     {func(*http1.Exchange) { panic("secret") }, "", true},
		"an abort":    {func(*http1.Exchange) { panic(http.ErrAbortHandler) }, "", false},
		"half a body": {func(x *http1.Exchange) { _ = x.Write([]byte("HTTP/1.0 200 OK\r\n\r\nhalf")); x.Abort() }, "HTTP/1.0 200 OK\r\n\r\nhalf", false},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			b := serve(t, http1.ServerOptions{Log: slog.New(slog.NewTextHandler(&log, nil))}, handler{serve: tt.serve})
			c := b.dial(t)
			c.send(hello)
			c.expect(tt.want)
			c.cut()
			shutdown(t, b)
			if text := log.String(); strings.Contains(text, "secret") || strings.Contains(text, "handler panicked") != tt.logged {
				t.Errorf("logged %s", text)
			}
		})
	}
}

func TestRemoteAddr(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		if x.TLS() != nil {
			t.Error("TLS in clear text")
		}
		_ = x.Respond(200, nil, x.RemoteAddr().String())
	}})
	c := b.dial(t)
	c.send(hello)
	c.expect(ok(c.LocalAddr().String()))
}

// TestTimeouts: who sends nothing is left without a word, who sends half a head is told.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	opts := http1.ServerOptions{ReadHeaderTimeout: 100 * time.Millisecond, IdleTimeout: 300 * time.Millisecond}
	b := serve(t, opts, echo())
	slow := "HTTP/1.1 408 Request Timeout\r\n" + date + "Content-Length: 0\r\nConnection: close\r\n\r\n"
	for name, tt := range map[string]struct{ send, want string }{
		"nothing":                      {"", ""},
		"half a head":                  {hello[:20], slow},
		"a request, then nothing":      {hello, ok("GET /")},
		"a request, then half a head":  {hello + hello[:20], ok("GET /") + slow},
		"half a head of more than 16k": {hello[:30] + "\r\nX: " + strings.Repeat("x", 20_000), slow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := b.dial(t)
			c.send(tt.send)
			c.expect(tt.want)
			c.end()
		})
	}
}

// TestSlowHandler: time-outs for heads and between requests do not bound how long an answer takes.
func TestSlowHandler(t *testing.T) {
	opts := http1.ServerOptions{ReadHeaderTimeout: 50 * time.Millisecond, IdleTimeout: 50 * time.Millisecond, StallTimeout: 50 * time.Millisecond}
	b := serve(t, opts, handler{serve: func(x *http1.Exchange) {
		<-time.After(600 * time.Millisecond) // longer than the time-outs with two ticks of the sweeper
		body, err := io.ReadAll(bodyOf(x))
		if err != nil {
			t.Errorf("read: %v", err)
		}
		_ = x.Respond(200, nil, string(body))
	}})
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhel")
	c.send("lo")
	c.expect(ok("hello"))
	c.end()
}

func TestNewServerRequires(t *testing.T) {
	for name, opts := range map[string]http1.ServerOptions{
		"a handler": {Sweeper: newSweeper(t)},
		"a sweeper": {Handler: echo()},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			http1.NewServer(opts)
		})
	}
}

// brokenListener fails as it is told to.
type brokenListener struct {
	net.Listener
	errs chan error
}

func (l brokenListener) Accept() (net.Conn, error) {
	if err, ok := <-l.errs; ok {
		return nil, err
	}
	return l.Listener.Accept()
}

type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }

func TestServeErrors(t *testing.T) {
	broken := errors.New("broken")
	b := serve(t, http1.ServerOptions{}, echo())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error, 2)
	errs <- temporaryError{broken}
	errs <- broken
	if err := b.Serve(brokenListener{l, errs}); !errors.Is(err, broken) || errors.As(err, new(temporaryError)) {
		t.Errorf("error %v, want the second one", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener was left open: %v", err)
	}
}
