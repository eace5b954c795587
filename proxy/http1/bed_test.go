package http1_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/proxy/http1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long anything may take that is expected to happen.
const patience = 20 * time.Second

// handler is a Handler made of functions.
type handler struct {
	serve  func(x *http1.Exchange)
	refuse func(x *http1.Exchange, err *http1.SyntaxError)
}

func (h handler) ServeHTTP1(x *http1.Exchange) { h.serve(x) }

func (h handler) RefuseHTTP1(x *http1.Exchange, err *http1.SyntaxError) {
	if h.refuse == nil {
		_ = x.Respond(err.Status, nil, "")
		return
	}
	h.refuse(x, err)
}

// bed is a Server on loopback with TCP connections.
type bed struct {
	*http1.Server
	sweeper *http1.Sweeper
	address string
	done    chan error
}

func newSweeper(t testing.TB) *http1.Sweeper {
	t.Helper()
	s := http1.NewSweeper()
	t.Cleanup(s.Close)
	return s
}

// serve starts a Server; it ends with the test.
func serve(t testing.TB, opts http1.ServerOptions, h handler) *bed {
	t.Helper()
	return prepared(t, opts, h, func(*http1.Server) {})
}

// serveOn is serve with a listener.
func serveOn(t testing.TB, l net.Listener, opts http1.ServerOptions, h handler) *bed {
	t.Helper()
	return preparedOn(t, l, opts, h, func(*http1.Server) {})
}

// prepared is serve, with something that is done to the Server before.
func prepared(t testing.TB, opts http1.ServerOptions, h handler, prepare func(s *http1.Server)) *bed {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return preparedOn(t, l, opts, h, prepare)
}

func preparedOn(t testing.TB, l net.Listener, opts http1.ServerOptions, h handler, prepare func(s *http1.Server)) *bed {
	t.Helper()
	b := &bed{sweeper: newSweeper(t), done: make(chan error, 1)}
	opts.Sweeper, opts.Handler = b.sweeper, h
	b.Server = http1.NewServer(opts)
	b.PoisonScratch()
	prepare(b.Server)
	b.address = l.Addr().String()
	go func() { b.done <- b.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-b.done; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return b
}

// listen is a listener on loopback whose connections accepted gets, one after the other. It ends with the test.
func listen(t testing.TB, accepted func(conn net.Conn)) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted(conn)
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-served
	})
	return l
}

// client is the other end of a connection.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

func (b *bed) dial(t testing.TB) *client {
	t.Helper()
	conn, err := net.Dial("tcp", b.address)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Helper()
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &client{Conn: conn, t: t, r: bufio.NewReader(conn)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// date stands for any Date in what is expected.
const date = "Date: Mon, 02 Jan 2006 15:04:05 GMT\r\n"

var dates = regexp.MustCompile(`Date: [A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT\r\n`)

// expect reads as much as want and compares.
func (c *client) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.r, got)
	text := dates.ReplaceAllString(string(got[:n]), date)
	if diff := cmp.Diff(want, text); diff != "" {
		c.t.Fatalf("received (-want +got), %v:\n%s", err, diff)
	}
}

// end expects the connection to end well.
func (c *client) end() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || err != nil {
		c.t.Fatalf("received %.200q, %v; want the end", rest, err)
	}
}

// cut expects the connection to break.
func (c *client) cut() {
	c.t.Helper()
	if rest, err := io.ReadAll(c.r); len(rest) > 0 || !errors.Is(err, syscall.ECONNRESET) {
		c.t.Fatalf("received %.200q, %v; want a reset", rest, err)
	}
}

// silent expects that nothing comes, for a while.
func (c *client) silent() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	var timeout net.Error
	if b, err := c.r.ReadByte(); !errors.As(err, &timeout) || !timeout.Timeout() {
		c.t.Fatalf("received %q, %v; want nothing", b, err)
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

const hello = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"

// ok is a response with that body.
func ok(body string, more ...string) string {
	return "HTTP/1.1 200 OK\r\n" + date + "Content-Length: " + itoa(len(body)) + "\r\n" + strings.Join(more, "") + "\r\n" + body
}

const closes = "Connection: close\r\n"

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// echo answers with what the request was.
func echo() handler {
	return handler{serve: func(x *http1.Exchange) {
		_ = x.Respond(http.StatusOK, nil, x.Request.Method+" "+x.Request.Target)
	}}
}

// echoBody answers with the body.
func echoBody() handler {
	return handler{serve: func(x *http1.Exchange) {
		body, err := io.ReadAll(bodyOf(x))
		if err != nil {
			_ = x.Respond(http.StatusBadRequest, nil, err.Error())
			return
		}
		text := string(body)
		for _, f := range x.Trailers() {
			text += "|" + f.Name + "=" + f.Value
		}
		_ = x.Respond(http.StatusOK, nil, text)
	}}
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

func bodyOf(x *http1.Exchange) io.Reader { return reader(x.ReadBody) }
