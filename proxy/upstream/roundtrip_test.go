package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// pattern is n bytes of which no part looks like another.
func pattern(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}

// TestBodies sends and receives bodies of many sizes, framed in every way, on one connection.
func TestBodies(t *testing.T) {
	var mu sync.Mutex
	remotes := map[string]bool{}
	s, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		remotes[r.RemoteAddr] = true
		mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("the backend read %v", err)
		}
		if r.URL.Query().Has("length") {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		} else {
			_ = http.NewResponseController(w).Flush()
		}
		w.Header().Set("X-Framing", fmt.Sprint(r.ContentLength, r.TransferEncoding))
		_, _ = w.Write(body)
	})
	s.Config.SetKeepAlivesEnabled(true)
	_, u := using(t, Options{}, nil, addr)
	for _, size := range []int{0, 1, 5, 511, 512, 4095, 4096, sendBytes - 18, sendBytes - 17, sendBytes, 100_000, 1 << 20} {
		for _, out := range []string{"length", "chunked"} {
			for _, back := range []string{"length", "chunked"} {
				for _, piece := range []int{1 << 20, 7, 600} {
					if piece == 7 && size > 5000 {
						continue
					}
					text := pattern(size)
					req := get(t, "/")
					req.Method, req.URL.RawQuery = http.MethodPost, back
					req.Body, req.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(text))), int64(size)
					if out == "chunked" {
						req.ContentLength = -1
					} else if size == 0 {
						req.Body = nil
					}
					resp, _, err := u.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					got, err := readInPieces(resp.Body, piece)
					if err != nil || got != text {
						t.Errorf("%d bytes, sent by %s, back by %s, in pieces of %d: %d bytes, %v", size, out, back, piece, len(got), err)
					}
					_ = resp.Body.Close()
				}
			}
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(remotes) != 1 {
		t.Errorf("%d connections, want 1", len(remotes))
	}
}

func readInPieces(r io.Reader, size int) (string, error) {
	var b strings.Builder
	piece := make([]byte, size)
	for {
		n, err := r.Read(piece)
		b.Write(piece[:n])
		if errors.Is(err, io.EOF) {
			return b.String(), nil
		}
		if err != nil {
			return b.String(), err
		}
	}
}

// TestRequestHead is what a backend sees.
func TestRequestHead(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(*http.Request)
		want []string // lines, without order behind the second
	}{
		"GET":            {func(*http.Request) {}, []string{"GET /a HTTP/1.1", "Host: svc0.shop.svc"}},
		"query and host": {func(r *http.Request) { r.URL.RawQuery, r.Host = "b=c&d", "app.test:81" }, []string{"GET /a?b=c&d HTTP/1.1", "Host: app.test:81"}},
		"fields": {func(r *http.Request) {
			r.Header = http.Header{"X-A": {"1", "2"}, "X-Empty": {""}, "User-Agent": nil, "Content-Length": {"7"}, "Transfer-Encoding": {"gzip"}, "Host": {"evil"}, "Trailer": {"X"}}
		}, []string{"GET /a HTTP/1.1", "Host: svc0.shop.svc", "X-A: 1", "X-A: 2", "X-Empty: "}},
		"POST without a body": {func(r *http.Request) { r.Method = "POST" }, []string{"POST /a HTTP/1.1", "Host: svc0.shop.svc", "Content-Length: 0"}},
		"POST": {func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), 5
		}, []string{"POST /a HTTP/1.1", "Host: svc0.shop.svc", "Content-Length: 5"}},
		"chunks": {func(r *http.Request) {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("hello")), -1
			r.Trailer = http.Header{"X-Sum": nil, "Content-Length": nil}
		}, []string{"POST /a HTTP/1.1", "Host: svc0.shop.svc", "Transfer-Encoding: chunked", "Trailer: X-Sum"}},
	} {
		t.Run(name, func(t *testing.T) {
			heads := make(chan []string, 1)
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				var lines []string
				for {
					line, err := r.ReadString('\n')
					if err != nil || line == "\r\n" {
						break
					}
					lines = append(lines, strings.TrimSuffix(line, "\r\n"))
				}
				heads <- lines
				_, _ = io.WriteString(conn, okay)
				_, _ = io.Copy(io.Discard, r)
			})
			_, u := using(t, Options{}, nil, addr)
			req := get(t, "/a")
			c.edit(req)
			resp, _, err := u.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			got := <-heads
			if len(got) < 2 || len(c.want) != len(got) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
			less := cmp.Comparer(func(a, b []string) bool {
				for _, line := range a[2:] {
					if !strings.Contains("\n"+strings.Join(b, "\n")+"\n", "\n"+line+"\n") {
						return false
					}
				}
				return a[0] == b[0] && a[1] == b[1]
			})
			if diff := cmp.Diff(c.want, got, less); diff != "" {
				t.Errorf("head (-want +got):\n%s", diff)
			}
		})
	}
}

// TestInvalidRequests are never sent: whatever made them, they would be more than one request, or another one.
func TestInvalidRequests(t *testing.T) {
	for name, edit := range map[string]func(*http.Request){
		"line end in the path":  func(r *http.Request) { r.URL.Opaque = "/a HTTP/1.1\r\nX: y\r\n\r\nGET /b" },
		"space in the path":     func(r *http.Request) { r.URL.Opaque = "/a b" },
		"line end in the query": func(r *http.Request) { r.URL.RawQuery = "a\r\nb" },
		"line end in a value":   func(r *http.Request) { r.Header.Set("X-A", "b\r\nX-Consumer-Id: admin") },
		"NUL in a value":        func(r *http.Request) { r.Header.Set("X-A", "b\x00") },
		"space in a name":       func(r *http.Request) { r.Header["X A"] = []string{"b"} },
		"colon in a name":       func(r *http.Request) { r.Header["X:A"] = []string{"b"} },
		"line end in the host":  func(r *http.Request) { r.Host = "a\r\nX: y" },
		"method of two words":   func(r *http.Request) { r.Method = "GET /x" },
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := raw(t, func(_ net.Conn, r *bufio.Reader) {
				if first, err := readHead(r); err == nil {
					t.Errorf("sent %q", first)
				}
			})
			r, u := using(t, Options{}, nil, addr)
			req := get(t, "/a")
			edit(req)
			_, _, err := u.RoundTrip(req)
			wantReason(t, err, refusal.Internal)
			if open, n := r.open(), inflight(u); open != 0 || n != 0 {
				t.Errorf("%d connections open, %d in flight, want none", open, n)
			}
		})
	}
}

// TestRequestTrailers have the values that they have at the end of the body.
func TestRequestTrailers(t *testing.T) {
	trailers := make(chan http.Header, 1)
	_, addr := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	})
	_, u := using(t, Options{}, nil, addr)
	req := get(t, "/")
	req.Method, req.ContentLength = http.MethodPost, -1
	req.Trailer = http.Header{"X-Sum": nil}
	body := strings.NewReader("hello")
	req.Body = io.NopCloser(readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p)
		if err != nil {
			req.Trailer["X-Sum"] = []string{"5"}
		}
		return n, err
	}))
	resp, _, err := u.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if diff := cmp.Diff(http.Header{"X-Sum": {"5"}}, <-trailers); diff != "" {
		t.Errorf("trailers (-want +got):\n%s", diff)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestResponseTrailers come with the end of the body, announced or not, and frame nothing.
func TestResponseTrailers(t *testing.T) {
	addr, _ := raw(t, answers("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum, content-length\r\n\r\n"+
		"5\r\nhello\r\n0\r\nx-sum: 5\r\ngrpc-status: 0\r\ncontent-length: 7\r\ngrpc-status: 1\r\n\r\n"))
	r, u := using(t, Options{}, nil, addr)
	for range 2 {
		resp, err := roundTrip(t, u, http.MethodGet, nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(http.Header{"X-Sum": nil}, resp.Trailer); diff != "" {
			t.Errorf("announced (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(http.Header{}, resp.Header); diff != "" {
			t.Errorf("header (-want +got):\n%s", diff)
		}
		if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
			t.Errorf("body %q, %v", body, err)
		}
		if diff := cmp.Diff(http.Header{"X-Sum": {"5"}, "Grpc-Status": {"0", "1"}}, resp.Trailer); diff != "" {
			t.Errorf("trailers (-want +got):\n%s", diff)
		}
		_ = resp.Body.Close()
	}
	if open := r.open(); open != 1 {
		t.Errorf("%d connections, want 1", open)
	}
}

// TestInformational: 1xx responses are told to the trace, which may have enough of them.
func TestInformational(t *testing.T) {
	addr, _ := raw(t, answers("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nLink: </b>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+okay))
	_, u := using(t, Options{}, nil, addr)
	enough := errors.New("enough")
	for name, c := range map[string]struct {
		most int
		want map[int][]string
	}{
		"all":      {9, map[int][]string{103: {"</a>", "</b>"}, 102: nil}},
		"one only": {1, map[int][]string{103: {"</a>", "</b>"}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[int][]string{}
			ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				if len(got) == c.most {
					return enough
				}
				got[code] = header["Link"]
				return nil
			}})
			resp, _, err := u.RoundTrip(get(t, "/").WithContext(ctx))
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err == nil) != (c.most > 1) {
				t.Errorf("error %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("responses (-want +got):\n%s", diff)
			}
		})
	}
}

// TestExpectContinue: the body waits until it is asked for, for a second at most, and is not sent where it is not wanted.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script func(net.Conn, *bufio.Reader)
		status int
		kept   int
	}{
		"asked for": {func(conn net.Conn, r *bufio.Reader) {
			if r.Buffered() > 0 {
				t.Error("the body came with the head")
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
			if _, err := io.ReadFull(r, make([]byte, 5)); err == nil {
				_, _ = io.WriteString(conn, okay)
			}
			_, _ = io.Copy(io.Discard, r)
		}, 200, 1},
		"not asked for, but waited for": {func(conn net.Conn, r *bufio.Reader) {
			if _, err := io.ReadFull(r, make([]byte, 5)); err == nil {
				_, _ = io.WriteString(conn, okay)
			}
			_, _ = io.Copy(io.Discard, r)
		}, 200, 1},
		"not wanted": {func(conn net.Conn, r *bufio.Reader) {
			_, _ = io.WriteString(conn, "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
			if rest, _ := io.ReadAll(r); len(rest) > 0 {
				t.Errorf("the body was sent: %q", rest)
			}
		}, 417, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // one waits for the clock
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err == nil {
					c.script(conn, r)
				}
			})
			r, u := using(t, Options{}, nil, addr)
			req := get(t, "/")
			req.Method, req.ContentLength, req.Body = http.MethodPost, 5, io.NopCloser(strings.NewReader("hello"))
			req.Header.Set("Expect", "100-continue")
			resp, _, err := u.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != c.status {
				t.Errorf("status %d, want %d", resp.StatusCode, c.status)
			}
			if open := r.open(); open != c.kept {
				t.Errorf("%d connections kept, want %d", open, c.kept)
			}
		})
	}
}

// TestEarlyResponse is R17: a response that comes while the body is being sent is passed on, and the rest of the body
// goes nowhere.
func TestEarlyResponse(t *testing.T) {
	for name, closes := range map[string]bool{"that ends the connection": true, "that leaves the connection open": false} {
		t.Run(name, func(t *testing.T) {
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err != nil {
					return
				}
				if _, err := io.ReadFull(r, make([]byte, 5)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
				if !closes {
					_, _ = io.Copy(io.Discard, r)
				}
			})
			r, u := using(t, Options{}, nil, addr)
			body, feed := io.Pipe()
			go func() { _, _ = feed.Write([]byte("first")) }()
			req := get(t, "/")
			req.Method, req.ContentLength, req.Body = http.MethodPost, 1_000_000, body
			resp, _, err := u.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusRequestEntityTooLarge || string(got) != "big" || err != nil {
				t.Errorf("status %d, body %q, %v", resp.StatusCode, got, err)
			}
			_ = resp.Body.Close()
			if open, n := r.open(), inflight(u); open != 0 || n != 0 {
				t.Errorf("%d connections open, %d in flight, want none", open, n)
			}
			_ = feed.Close()
		})
	}
}

// TestBothWays: a backend answers while the body still comes, piece by piece.
func TestBothWays(t *testing.T) {
	_, addr := serve(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		_ = control.Flush()
		for buffer := make([]byte, 64); ; {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			_ = control.Flush()
			if err != nil {
				return
			}
		}
	})
	r, u := using(t, Options{}, nil, addr)
	body, feed := io.Pipe()
	req := get(t, "/")
	req.Method, req.ContentLength, req.Body = http.MethodPost, -1, body
	resp, _, err := u.RoundTrip(req) // before anything of the body came
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, 5)
	for i := range 5 {
		want := fmt.Sprintf("ping%d", i)
		_, _ = io.WriteString(feed, want)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	_ = feed.Close()
	if rest, err := io.ReadAll(resp.Body); len(rest) > 0 || err != nil {
		t.Errorf("rest %q, %v", rest, err)
	}
	if open := r.open(); open != 1 {
		t.Errorf("%d connections kept, want 1", open)
	}
}

// TestClientFaults: what the client does wrong is not the backend's fault, and what it has of the request is cut.
func TestClientFaults(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		body   io.Reader
		length int64
		want   error
	}{
		"the body breaks":                   {io.MultiReader(strings.NewReader("he"), errorReader{broken}), 5, broken},
		"the body breaks, in chunks":        {io.MultiReader(strings.NewReader("he"), errorReader{broken}), -1, broken},
		"the body is shorter than it says":  {strings.NewReader("hell"), 5, errBodyShort},
		"the body is longer than it says":   {strings.NewReader("hello!"), 5, errBodyLong},
		"the body breaks behind its length": {io.MultiReader(strings.NewReader("hello"), errorReader{broken}), 5, broken},
	} {
		t.Run(name, func(t *testing.T) {
			whole := make(chan bool, 1)
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					whole <- false
					return
				}
				_, err = io.Copy(io.Discard, req.Body)
				whole <- err == nil
			})
			r, u := using(t, Options{}, nil, addr)
			req := get(t, "/")
			req.Method, req.ContentLength, req.Body = http.MethodPost, c.length, io.NopCloser(c.body)
			_, _, err := u.RoundTrip(req)
			wantReason(t, err, refusal.RequestMalformed)
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if <-whole {
				t.Error("the backend took the request for whole")
			}
			if open, n := r.open(), inflight(u); open != 0 || n != 0 {
				t.Errorf("%d connections open, %d in flight, want none", open, n)
			}
		})
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

// TestClientGone: the backend learns of it, in whatever state the exchange is, and is not blamed.
func TestClientGone(t *testing.T) {
	for name, response := range map[string]string{
		"before the response": "",
		"within the head":     "HTTP/1.1 200 OK\r\n",
		"within the body":     "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
	} {
		t.Run(name, func(t *testing.T) {
			started, gone := make(chan struct{}), make(chan struct{})
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err != nil {
					return
				}
				_, _ = io.WriteString(conn, response)
				close(started)
				_, _ = io.Copy(io.Discard, r)
				close(gone)
			})
			r, u := using(t, Options{}, nil, addr)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-started
				cancel()
			}()
			resp, _, err := u.RoundTrip(get(t, "/").WithContext(ctx))
			if err != nil {
				wantReason(t, err, refusal.RequestMalformed)
				if !errors.Is(err, ErrClientGone) {
					t.Errorf("error %v, want %v", err, ErrClientGone)
				}
			} else {
				if _, err := io.ReadAll(resp.Body); err == nil {
					t.Error("the body ended as if it were whole")
				}
				_ = resp.Body.Close()
			}
			<-gone
			if open, n := r.open(), inflight(u); open != 0 || n != 0 {
				t.Errorf("%d connections open, %d in flight, want none", open, n)
			}
			if _, healthy := r.Endpoints(key("orders")); healthy != 1 {
				t.Error("the endpoint was blamed")
			}
		})
	}
}

// TestCloseWhileReading: a body may be closed by another goroutine, whose reader is woken.
func TestCloseWhileReading(t *testing.T) {
	addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
			_, _ = io.Copy(io.Discard, r)
		}
	})
	r, u := using(t, Options{}, nil, addr)
	resp, err := roundTrip(t, u, http.MethodGet, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := resp.Body.Read(make([]byte, 5))
		ended <- err
	}()
	_ = resp.Body.Close()
	if err := <-ended; err == nil || errors.Is(err, io.EOF) {
		t.Errorf("reading ended by %v", err)
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("read from a closed body")
	}
	if open, n := r.open(), inflight(u); open != 0 || n != 0 {
		t.Errorf("%d connections open, %d in flight, want none", open, n)
	}
}

// TestUpgrade: the body of a 101 response is the connection, with what came behind the head, until it is closed.
func TestUpgrade(t *testing.T) {
	addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
		text, err := io.ReadAll(r) // up to CloseWrite
		if err == nil {
			_, _ = fmt.Fprintf(conn, "<%s>", text)
		}
	})
	r, u := using(t, Options{BodyTimeout: time.Nanosecond}, nil, addr) // is not for tunnels
	req := get(t, "/")
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "websocket")
	resp, _, err := u.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	tunnel, ok := resp.Body.(interface {
		io.ReadWriteCloser
		CloseWrite() error
	})
	if !ok || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, body %T", resp.StatusCode, resp.Body)
	}
	if _, err := io.WriteString(tunnel, "hello"); err != nil {
		t.Error(err)
	}
	if err := tunnel.CloseWrite(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(tunnel); string(got) != "early<hello>" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if n := inflight(u); n != 2 {
		t.Errorf("counted %d in flight, want 2", n)
	}
	for range 2 {
		if err := tunnel.Close(); err != nil {
			t.Error(err)
		}
	}
	if open, n := r.open(), inflight(u); open != 0 || n != 0 {
		t.Errorf("%d connections open, %d in flight, want none", open, n)
	}
}

// overTLS makes the upstream one by TLS to backends with that certificate.
func overTLS(ca string) func(*routing.Upstream) {
	return func(cfg *routing.Upstream) {
		cfg.Protocol, cfg.TLS = routing.UpstreamHTTPS, &routing.UpstreamTLS{RootCAs: ca}
		cfg.Backends[0].ServerName = "example.com"
	}
}

// TestHTTP1OverTLS: a backend that speaks HTTP/1.1 alone keeps its connections, tickets of TLS 1.3 notwithstanding.
func TestHTTP1OverTLS(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Errorf("the backend read %v", err)
				}
				_, _ = io.WriteString(w, r.RemoteAddr+string(body))
			}))
			s.TLS = &tls.Config{MinVersion: version, MaxVersion: version}
			s.StartTLS()
			t.Cleanup(s.Close)
			r, u := using(t, Options{}, overTLS(pemOf(s.Certificate().Raw)), netip.MustParseAddrPort(s.Listener.Addr().String()))
			if u.Direct() {
				t.Error("TLS is direct")
			}
			first := send(t, u)
			for range 5 {
				if got := send(t, u); got != first {
					t.Errorf("connection from %s, then from %s", first, got)
				}
			}
			resp, err := roundTrip(t, u, http.MethodPost, strings.NewReader(pattern(300_000)))
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(resp.Body); string(body) != first+pattern(300_000) || err != nil {
				t.Errorf("%d bytes, %v", len(body), err)
			}
			_ = resp.Body.Close()
			if open := r.open(); open != 1 {
				t.Errorf("%d connections, want 1", open)
			}
		})
	}
}

// TestSurplusOverTLS is R03 and R04 where TLS has taken the surplus out of the kernel's sight already.
func TestSurplusOverTLS(t *testing.T) {
	for name, c := range map[string]struct{ response, body string }{
		"behind a length":     {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello"},
		"behind a long body":  {"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + pattern(9000), pattern(9000)},
		"behind chunks":       {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "hello"},
		"behind a head alone": {"HTTP/1.1 204 No Content\r\n\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(nil) // for its certificate
			s.StartTLS()
			t.Cleanup(s.Close)
			ca := pemOf(s.Certificate().Raw)
			addr, connections := raw(t, func(conn net.Conn, _ *bufio.Reader) {
				c2 := tls.Server(conn, &tls.Config{Certificates: s.TLS.Certificates})
				once(c.response+"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")(c2, bufio.NewReader(c2))
			})
			_, u := using(t, Options{}, overTLS(ca), addr)
			for range 3 {
				if got := send(t, u); got != c.body {
					t.Fatalf("got %d bytes, want %d", len(got), len(c.body))
				}
			}
			if got := connections.Load(); got != 3 {
				t.Errorf("%d connections, want 3", got)
			}
		})
	}
}

// TestALPNChanges: a backend speaks what it says, and may change its mind.
func TestALPNChanges(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	var mu sync.Mutex
	offered := []string{"h2", "http/1.1"}
	s.TLS.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: offered}, nil
	}
	_, u := using(t, Options{}, overTLS(pemOf(s.Certificate().Raw)), netip.MustParseAddrPort(s.Listener.Addr().String()))
	for _, c := range []struct {
		offered []string
		want    string
	}{
		{[]string{"h2", "http/1.1"}, "HTTP/2.0"},
		{[]string{"http/1.1"}, "HTTP/1.1"},
		{nil, "HTTP/1.1"},
		{[]string{"h2"}, "HTTP/2.0"},
	} {
		mu.Lock()
		offered = c.offered
		mu.Unlock()
		s.CloseClientConnections()
		var got string
		waitFor(t, func() bool { // until the end of the old connections has been noticed
			resp, _, err := u.RoundTrip((&http.Request{Method: http.MethodGet, URL: &url.URL{Opaque: "/"}, Header: http.Header{}}).WithContext(t.Context()))
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			got = string(body)
			return err == nil
		})
		if got != c.want {
			t.Errorf("offered %q: spoken %s, want %s", c.offered, got, c.want)
		}
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	addr, _ := raw(b, func(conn net.Conn, r *bufio.Reader) {
		for {
			head, err := readHead(r)
			if err == nil && strings.HasPrefix(head, http.MethodPost) {
				_, err = r.Discard(5)
			}
			if err == nil {
				_, err = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\nContent-Length: 2\r\n\r\nok")
			}
			if err != nil {
				return
			}
		}
	})
	_, u := using(b, Options{}, nil, addr)
	for name, body := range map[string]string{"GET": "", "POST": "hello"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				req := &http.Request{Method: name, URL: &url.URL{Opaque: "/"}, Header: http.Header{"Accept": {"*/*"}, "X-Request-Id": {"1"}}}
				if body != "" {
					req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
				}
				resp, _, err := u.RoundTrip(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		})
	}
}
