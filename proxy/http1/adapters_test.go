package http1_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/ostiary/proxy/http1"
)

// adapted serves by a handler made for net/http.
func adapted(h http.HandlerFunc) handler {
	return handler{serve: func(x *http1.Exchange) { h(x.ResponseWriter(), x.HTTPRequest()) }}
}

// TestResponseWriter compares answers with those of net/http's server, without regard to the order of fields.
func TestResponseWriter(t *testing.T) {
	const get, head, old = hello, "HEAD / HTTP/1.1\r\nHost: app.test\r\n\r\n", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
	long := strings.Repeat("long ", 10_000)
	for name, tt := range map[string]struct {
		request string
		serve   func(w http.ResponseWriter)
		// differs is what is ours where it is not net/http's.
		differs func(want *answer)
	}{
		"nothing":      {get, func(http.ResponseWriter) {}, nil},
		"a short body": {get, func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") }, nil},
		"a long body":  {get, func(w http.ResponseWriter) { _, _ = io.WriteString(w, long) }, nil},
		"a long body of HTTP/1.0": {old, func(w http.ResponseWriter) { _, _ = io.WriteString(w, long) }, func(want *answer) {
			// it is closed behind it, which is said
			want.Header.Set("Connection", "close")
		}},
		"a short one of HTTP/1.0": {old, func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") }, nil},
		"a long body with length": {get, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", itoa(len(long)))
			_, _ = io.WriteString(w, long)
		}, nil},
		"status and fields": {get, func(w http.ResponseWriter) {
			w.Header().Add("X-A", "1")
			w.Header().Add("X-A", " 2\r\nX-Injected: 3")
			w.Header().Add("No token", "4")
			w.Header().Set("Date", "today")
			w.WriteHeader(http.StatusTeapot)
			w.Header().Set("X-Late", "5")
			w.WriteHeader(http.StatusOK)
		}, nil},
		"flushed": {get, func(w http.ResponseWriter) {
			for range 3 {
				_, _ = io.WriteString(w, "piece")
				if err := http.NewResponseController(w).Flush(); err != nil {
					panic(err)
				}
			}
		}, nil},
		"flushed before the body": {get, func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "hello")
		}, nil},
		"HEAD of a short body": {head, func(w http.ResponseWriter) { _, _ = io.WriteString(w, "hello") }, nil},
		"HEAD of nothing":      {head, func(http.ResponseWriter) {}, nil},
		"HEAD with a length": {head, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "12345")
			w.WriteHeader(http.StatusOK)
		}, nil},
		"204": {get, func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusNoContent)
			if _, err := io.WriteString(w, "hello"); !errors.Is(err, http.ErrBodyNotAllowed) {
				panic(err)
			}
		}, nil},
		"304": {get, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "12345")
			w.Header().Set("ETag", `"a"`)
			w.WriteHeader(http.StatusNotModified)
		}, nil},
		"informational": {get, func(w http.ResponseWriter) {
			w.Header().Set("Link", "</style.css>")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			w.Header().Del("Link")
			_, _ = io.WriteString(w, "hello")
		}, nil},
		"informational for HTTP/1.0": {old, func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "hello")
		}, nil},
		"the end": {get, func(w http.ResponseWriter) {
			w.Header().Set("Connection", "close")
			_, _ = io.WriteString(w, "hello")
		}, nil},
		"announced trailers": {get, func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "X-Sum, X-None")
			_, _ = io.WriteString(w, "hello")
			w.Header().Set("X-Sum", "1")
		}, nil},
		"trailers": {get, func(w http.ResponseWriter) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "hello")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		}, nil},
		"trailers behind a short body": {get, func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "hello")
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		}, func(want *answer) {
			// which net/http drops
			want.Trailer, want.ContentLength, want.Coding = http.Header{"X-Sum": {"1"}}, -1, []string{"chunked"}
			want.Header.Del("Content-Length")
		}},
		"a length that is none": {get, func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "five")
			_, _ = io.WriteString(w, "hello")
		}, func(want *answer) {
			// net/http has decided on chunks by then
			want.ContentLength, want.Coding = 5, nil
			want.Header.Set("Content-Length", "5")
		}},
		"a switch of protocols by hand": {get, func(w http.ResponseWriter) {
			w.Header().Set("Upgrade", "test")
			w.Header().Set("Connection", "X-A, upgrade")
			w.WriteHeader(http.StatusOK)
		}, func(want *answer) {
			want.Header["Connection"] = []string{"X-A", "upgrade"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			serveHTTP := func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = nil // net/http guesses one
				tt.serve(w)
			}
			b := serve(t, http1.ServerOptions{}, adapted(serveHTTP))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			reference := &http.Server{Handler: http.HandlerFunc(serveHTTP), ErrorLog: log.New(io.Discard, "", 0)}
			go func() { _ = reference.Serve(l) }()
			defer reference.Close()
			got, want := responses(t, b.address, tt.request), responses(t, l.Addr().String(), tt.request)
			if tt.differs != nil {
				tt.differs(&want[len(want)-1])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("other than net/http's (-want +got):\n%s", diff)
			}
		})
	}
}

// answer is a response as a client sees it.
type answer struct {
	Status        int
	Proto         string
	Header        http.Header
	Body          string
	Trailer       http.Header
	ContentLength int64
	Coding        []string
	Close         bool
	Ended         bool // the connection was closed behind it
}

// responses are those that one request gets on a connection.
func responses(t *testing.T, address, request string) []answer {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	c.send(request)
	method, _, _ := strings.Cut(request, " ")
	var all []answer
	for {
		resp, err := http.ReadResponse(c.r, &http.Request{Method: method})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("Date") != "" && resp.Header.Get("Date") != "today" {
			resp.Header.Set("Date", "now")
		}
		all = append(all, answer{
			resp.StatusCode, resp.Proto, resp.Header, string(body), resp.Trailer, resp.ContentLength, resp.TransferEncoding, resp.Close, false,
		})
		if resp.StatusCode >= 200 {
			break
		}
	}
	last := &all[len(all)-1]
	if last.Close {
		_, err := c.r.ReadByte()
		last.Ended = errors.Is(err, io.EOF)
		return all
	}
	c.send(hello)
	if _, err := http.ReadResponse(c.r, nil); err != nil {
		t.Errorf("the next response: %v", err)
	}
	return all
}

// TestContentLength: no more is written than was announced, and the connection is kept.
func TestContentLength(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		_, _ = io.WriteString(w, "hello")
		if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
			t.Errorf("error %v", err)
		}
	}))
	c := b.dial(t)
	for range 2 {
		c.send(hello)
		c.expect("HTTP/1.1 200 OK\r\n" + date + "Content-Length: 5\r\n\r\nhello")
	}
}

// TestHTTPRequest compares requests with those of net/http's server.
func TestHTTPRequest(t *testing.T) {
	for name, text := range map[string]string{
		"GET":           "GET /a%2Fb/c?d=e HTTP/1.1\r\nhost: app.test:8080\r\nx-a: 1\r\nX-A: 2\r\naccept: */*\r\n\r\n",
		"HTTP/1.0":      "GET / HTTP/1.0\r\n\r\n",
		"absolute form": "GET http://other.test/a HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"asterisk form": "OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n",
		"CONNECT":       "CONNECT other.test:443 HTTP/1.1\r\nHost: other.test:443\r\n\r\n",
		"a length":      counted + "5\r\n\r\nhello",
		"length 0":      counted + "0\r\n\r\n",
		"chunks":        chunked + "5\r\nhello\r\n0\r\n\r\n",
		"trailers":      "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-A, x-b\r\nTE: trailers\r\n\r\n5\r\nhello\r\n0\r\nX-A: 1\r\nx-c: 2\r\n\r\n",
		"the end":       "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
		"expects":       "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\nhello",
		"a double path": "GET //a//b HTTP/1.1\r\nHost: app.test\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			type seen struct {
				Request *http.Request
				Body    string
			}
			requests := make(chan seen, 1)
			serveHTTP := func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("read: %v", err)
				}
				requests <- seen{r, string(body)}
				w.WriteHeader(http.StatusNoContent)
			}
			b := serve(t, http1.ServerOptions{}, adapted(serveHTTP))
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			reference := &http.Server{Handler: http.HandlerFunc(serveHTTP), DisableGeneralOptionsHandler: true}
			go func() { _ = reference.Serve(l) }()
			defer reference.Close()
			send := func(address string) (seen, string) {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				c := newClient(t, conn)
				c.send(text)
				return <-requests, conn.LocalAddr().String()
			}
			want, _ := send(l.Addr().String())
			got, from := send(b.address)
			if got.Request.RemoteAddr != from {
				t.Errorf("from %s, want %s", got.Request.RemoteAddr, from)
			}
			shutdown(t, b) // now nothing of the exchange is left
			ignore := cmpopts.IgnoreFields(http.Request{}, "Body", "RemoteAddr", "Pattern")
			if diff := cmp.Diff(want, got, ignore, cmpopts.IgnoreUnexported(http.Request{}), cmpopts.EquateEmpty(), cmp.AllowUnexported(url.Userinfo{})); diff != "" {
				t.Errorf("other than net/http's (-want +got):\n%s", diff)
			}
		})
	}
}

// TestCutResponse: a response that is shorter than it says never looks whole.
func TestCutResponse(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"shorter than its length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "6")
			_, _ = io.WriteString(w, "hello")
		},
		"a panic amidst chunks": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := serve(t, http1.ServerOptions{}, adapted(h))
			c := b.dial(t)
			c.send(hello)
			resp, err := http.ReadResponse(c.r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); err == nil || string(body) != "hello" {
				t.Errorf("body %q, %v", body, err)
			}
		})
	}
}

// TestController: the methods of http.ResponseController do what they do on net/http.
func TestController(t *testing.T) {
	t.Run("deadlines", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			if err := control.EnableFullDuplex(); err != nil {
				t.Error(err)
			}
			if err := control.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
				t.Error(err)
			}
			if _, err := r.Body.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
			if err := control.SetWriteDeadline(time.Now().Add(-time.Second)); err != nil {
				t.Error(err)
			}
			if err := control.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("flush: %v", err)
			}
		}))
		c := b.dial(t)
		c.send(counted + "5\r\n\r\n")
		c.cut()
	})
	t.Run("deadlines do not outlive the request", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
			control := http.NewResponseController(w)
			if err := errors.Join(control.Flush(), control.SetReadDeadline(time.Unix(1, 0)), control.SetWriteDeadline(time.Now().Add(20*time.Millisecond))); err != nil {
				t.Error(err)
			}
		}))
		c := b.dial(t)
		for range 2 {
			c.send(hello)
			c.expect("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n" + date + "\r\n5\r\nhello\r\n0\r\n\r\n")
			c.silent()
		}
	})
	t.Run("a deadline wakes who reads", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, r *http.Request) {
			reading := make(chan error, 1)
			go func() {
				_, err := r.Body.Read(make([]byte, 1))
				reading <- err
			}()
			if err := http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
			if err := <-reading; !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
		}))
		c := b.dial(t)
		c.send(counted + "5\r\n\r\n")
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + date + closes + "\r\n")
		c.end()
	})
	t.Run("hijack", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			conn, rw, err := control.Hijack()
			if err != nil {
				t.Errorf("hijack: %v", err)
				return
			}
			defer conn.Close()
			if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("write: %v", err)
			}
			if _, _, err := control.Hijack(); !errors.Is(err, http.ErrHijacked) {
				t.Errorf("hijacked twice: %v", err)
			}
			if rw.Reader.Buffered() != len("early") {
				t.Errorf("%d bytes are there", rw.Reader.Buffered())
			}
			text, err := io.ReadAll(rw)
			if err != nil {
				t.Errorf("read: %v", err)
			}
			_, _ = fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\n\r\n%s", text)
			_ = rw.Flush()
		}))
		c := b.dial(t)
		c.send(strings.TrimSuffix(hello, "\r\n") + "Upgrade: test\r\nConnection: upgrade\r\n\r\nearly")
		c.silent()
		c.send(" and late")
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.expect("HTTP/1.1 101 Switching Protocols\r\n\r\nearly and late")
		c.end()
	})
}

// TestOutlived: who uses what belongs to an exchange once it is over gets errors, and disturbs nobody.
func TestOutlived(t *testing.T) {
	type leftover struct {
		w http.ResponseWriter
		r *http.Request
		e chan error
	}
	left := make(chan leftover, 1)
	b := serve(t, http1.ServerOptions{}, adapted(func(w http.ResponseWriter, r *http.Request) {
		errs := make(chan error, 1)
		reading := make(chan struct{})
		go func() {
			close(reading)
			_, err := io.ReadAll(r.Body)
			errs <- err
		}()
		<-reading
		left <- leftover{w, r, errs}
		w.WriteHeader(http.StatusNoContent)
	}))
	c := b.dial(t)
	c.send(counted + "5\r\n\r\nhel")
	one := <-left
	if err := <-one.e; err == nil {
		t.Error("the body looks whole")
	}
	c.expect("HTTP/1.1 204 No Content\r\n" + date + closes + "\r\n")
	c.end()
	<-one.r.Context().Done()
	control := http.NewResponseController(one.w)
	for what, err := range map[string]error{
		"write": func() error { _, err := one.w.Write([]byte("x")); return err }(),
		"flush": control.Flush(), "read deadline": control.SetReadDeadline(time.Time{}), "write deadline": control.SetWriteDeadline(time.Time{}),
		"hijack": func() error { _, _, err := control.Hijack(); return err }(),
		"read":   func() error { _, err := one.r.Body.Read(make([]byte, 1)); return err }(),
	} {
		if err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	one.w.WriteHeader(http.StatusOK)
	if one.r.URL.Path != "/" || one.r.Host != "app.test" || one.r.Method != http.MethodPost {
		t.Errorf("the request has become %s %s of %s", one.r.Method, one.r.URL, one.r.Host)
	}
}
