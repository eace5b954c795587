package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// rawUpstream answers each connection with a script: it gets the connection once the head of a request was read.
func rawUpstream(t *testing.T, script func(conn net.Conn, r *bufio.Reader)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			wait.Go(func() {
				defer stop()
				defer conn.Close()
				r := bufio.NewReader(conn)
				if readHead(r) == nil {
					script(conn, r)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wait.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

func readHead(r *bufio.Reader) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err
		}
	}
}

// says writes bytes and closes the connection.
func says(text string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, _ *bufio.Reader) { _, _ = io.WriteString(conn, text) }
}

// TestUpstreamFaults is what a bad upstream sends, and what the client gets.
func TestUpstreamFaults(t *testing.T) {
	hangs := func(conn net.Conn, r *bufio.Reader) { _, _ = io.Copy(io.Discard, r) }
	cases := map[string]struct {
		script     func(net.Conn, *bufio.Reader)
		method     string
		wantStatus int
		wantReason string
		wantCut    bool
		wantBody   string
	}{
		"closes without an answer":       {script: says(""), wantStatus: 502, wantReason: "upstream_protocol"},
		"no HTTP":                        {script: says("SSH-2.0-x\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"length and chunked (R01)":       {script: says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"two lengths (R02)":              {script: says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), wantStatus: 502, wantReason: "upstream_protocol"},
		"space before the colon (R08)":   {script: says("HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"bare LF (R08)":                  {script: says("HTTP/1.1 200 OK\r\nX: 1\nContent-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"bare CR (R08)":                  {script: says("HTTP/1.1 200 OK\r\nX: 1\r2\r\nContent-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"NUL (R08)":                      {script: says("HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"1 MiB of head (R09)":            {script: says("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20) + "\r\nContent-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"10 000 fields (R09)":            {script: says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: abcdef\r\n", 10_000) + "Content-Length: 0\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"endless 103 (R10)":              {script: says(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000)), wantStatus: 502, wantReason: "upstream_protocol"},
		"endless 100 (R10)":              {script: says(strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000)), wantStatus: 502, wantReason: "upstream_protocol"},
		"never answers (R15)":            {script: hangs, wantStatus: 504, wantReason: "upstream_timeout"},
		"101 that nobody asked for":      {script: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), wantStatus: 502, wantReason: "upstream_protocol"},
		"fewer bytes than length (R06)":  {script: says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), wantStatus: 200, wantReason: "upstream_protocol", wantCut: true},
		"chunks cut short (R07)":         {script: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), wantStatus: 200, wantReason: "upstream_protocol", wantCut: true},
		"more bytes than length (R03)":   {script: says("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\npoison"), wantStatus: 200, wantBody: "hello"},
		"more behind the chunks (R03)":   {script: says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\npoison"), wantStatus: 200, wantBody: "hello"},
		"304 with a body (R11)":          {script: says("HTTP/1.1 304 Not Modified\r\n\r\npoison"), wantStatus: 304},
		"204 with a body (R11)":          {script: says("HTTP/1.1 204 No Content\r\n\r\npoison"), wantStatus: 204},
		"HEAD with a body (R11)":         {script: says("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"), method: "HEAD", wantStatus: 200},
		"redirect to metadata (R22)":     {script: says("HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"), wantStatus: 302},
		"body until the connection ends": {script: says("HTTP/1.0 200 OK\r\n\r\nhello"), wantStatus: 200, wantBody: "hello"},
	}
	for name, c := range cases {
		for _, front := range []string{"http/1.1", "h2c"} {
			t.Run(name+" behind "+front, func(t *testing.T) {
				b := newBed(t)
				b.endpoints(rawUpstream(t, c.script))
				up := to(routing.UpstreamHTTP)
				up.RequestTimeout = 100 * time.Millisecond
				if c.wantStatus != 504 {
					up.RequestTimeout = 10 * time.Second
				}
				b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{up}})
				method := c.method
				if method == "" {
					method = "GET"
				}
				before := b.access.String()
				resp, err := b.client(t, front).Do(request(t, method, "http://app.test/", nil))
				if err != nil && c.wantCut {
					return // the end overtook the head
				}
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != c.wantStatus || (err != nil) != c.wantCut {
					t.Errorf("status %d, body error %v; want %d, cut %t", resp.StatusCode, err, c.wantStatus, c.wantCut)
				}
				if c.wantStatus < 400 && !c.wantCut && string(body) != c.wantBody {
					t.Errorf("body %q, want %q", body, c.wantBody)
				}
				reason, _ := b.record(t, before)["reason"].(string)
				if reason != c.wantReason {
					t.Errorf("reason %q, want %q", reason, c.wantReason)
				}
			})
		}
	}
}

// TestPoisonedIdleConnection is R04: what an upstream sends while nobody has asked for anything is no answer to the next
// request, nor does its end then fail one, whatever the method: nothing of the request was sent.
func TestPoisonedIdleConnection(t *testing.T) {
	for disturbance, disturb := range map[string]func(net.Conn){
		"a response": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison") },
		"a byte":     func(c net.Conn) { _, _ = io.WriteString(c, "H") },
		"the end":    func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
	} {
		for kind, body := range map[string]func() io.Reader{
			"GET":               func() io.Reader { return nil },
			"POST of a length":  func() io.Reader { return strings.NewReader("pay") },
			"POST in chunks":    func() io.Reader { return io.MultiReader(strings.NewReader("pay")) },
			"POST of megabytes": func() io.Reader { return bytes.NewReader(make([]byte, 2<<20)) },
		} {
			for _, front := range []string{"http/1.1", "h2c"} {
				t.Run(disturbance+"/"+kind+"/"+front, func(t *testing.T) { poisonIdle(t, front, strings.Fields(kind)[0], body(), disturb) })
			}
		}
	}
}

func poisonIdle(t *testing.T, front, method string, body io.Reader, disturb func(net.Conn)) {
	b := newBed(t)
	poison, poisoned := make(chan struct{}), make(chan struct{})
	var connections atomic.Int32
	b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		nth := connections.Add(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		if nth == 1 {
			<-poison
			disturb(conn)
			close(poisoned)
		}
		_, _ = io.Copy(io.Discard, r)
	}))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	client := b.client(t, front)
	if _, body := do(t, client, request(t, "GET", "http://app.test/", nil)); body != "ok" {
		t.Fatalf("body %q", body)
	}
	close(poison)
	<-poisoned
	if _, body := do(t, client, request(t, method, "http://app.test/", body)); body != "ok" || connections.Load() != 2 {
		t.Errorf("body %q on connection %d, want ok on a new one", body, connections.Load())
	}
}

// TestFieldsOfTheResponse is R14: an upstream may ask for authentication of its own; what tells who calls passes in no
// direction.
func TestFieldsOfTheResponse(t *testing.T) {
	for _, front := range []string{"http/1.1", "h2c"} {
		t.Run(front, func(t *testing.T) {
			b := newBed(t)
			b.endpoints(rawUpstream(t, says("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"theirs\"\r\nX-Consumer-Id: admin\r\n"+
				"x-consumer-username: admin\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nContent-Length: 0\r\n\r\n")))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			resp, _ := do(t, b.client(t, front), request(t, "GET", "http://app.test/", nil))
			if got := resp.Header.Values("WWW-Authenticate"); resp.StatusCode != http.StatusUnauthorized || len(got) != 1 || got[0] != `Basic realm="theirs"` {
				t.Errorf("status %d, WWW-Authenticate %q", resp.StatusCode, got)
			}
			for _, name := range []string{"X-Consumer-Id", "X-Consumer-Username", "X-Hop", "Keep-Alive"} {
				if got := resp.Header.Values(name); len(got) > 0 {
					t.Errorf("%s: %q reached the client", name, got)
				}
			}
		})
	}
}

// TestUpstreamFallsSilent is R16: the client of an upstream that says nothing more within a response is let go, and learns
// that it has a part only.
func TestUpstreamFallsSilent(t *testing.T) {
	for _, front := range []string{"http/1.1", "h2c"} {
		t.Run(front, func(t *testing.T) {
			b := newBed(t)
			b.upstreams.Close()
			b.upstreams = upstream.NewRegistry(upstream.Options{Loopback: upstream.LoopbackAllow, BodyTimeout: 50 * time.Millisecond})
			left := make(chan struct{})
			b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
				_, _ = io.Copy(io.Discard, r)
				close(left)
			}))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			resp, err := b.client(t, front).Do(request(t, "GET", "http://app.test/", nil))
			if err == nil {
				if body, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("body %q ended as if it were whole", body)
				}
				_ = resp.Body.Close()
			}
			<-left
			if record := b.record(t, ""); record["reason"] != "upstream_protocol" {
				t.Errorf("record %v", record)
			}
		})
	}
}

// TestStaleGetIsRepeated is R19: a GET on a connection that ends before anything of the response came is sent again, to
// another endpoint, and no client notices.
func TestStaleGetIsRepeated(t *testing.T) {
	for _, front := range []string{"http/1.1", "h2c"} {
		t.Run(front, func(t *testing.T) {
			b := newBed(t)
			var requests atomic.Int32
			dies := func(conn net.Conn, r *bufio.Reader) {
				requests.Add(1)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				if readHead(r) == nil {
					requests.Add(1) // and the end, instead of an answer
				}
			}
			b.endpoints(rawUpstream(t, dies), rawUpstream(t, dies))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			client := b.client(t, front)
			for range 20 {
				if resp, body := do(t, client, request(t, "GET", "http://app.test/", nil)); resp.StatusCode != http.StatusOK || body != "ok" {
					t.Fatalf("status %d, body %q", resp.StatusCode, body)
				}
			}
			if requests.Load() == 20 {
				t.Error("no connection was used twice")
			}
		})
	}
}

// TestNothingOfAResponseIsLogged: an upstream that sends a token back where HTTP is expected does not bring it into the log,
// which says what is wrong in other words.
func TestNothingOfAResponseIsLogged(t *testing.T) {
	const token = "eyJhbGciOi"
	for name, c := range map[string]struct{ response, wantCause string }{
		"as the status line":      {token + "\r\n\r\n", "the response breaks a rule of HTTP, or was reset"},
		"as the status code":      {"HTTP/1.1 " + token + " OK\r\n\r\n", "the response breaks a rule of HTTP, or was reset"},
		"as a line of the header": {"HTTP/1.1 200 OK\r\n" + token + "\r\n\r\n", "the response breaks a rule of HTTP, or was reset"},
		"as a length":             {"HTTP/1.1 200 OK\r\nContent-Length: " + token + "\r\n\r\n", "the response breaks a rule of HTTP, or was reset"},
		"as a coding":             {"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + token + "\r\n\r\n", "the response breaks a rule of HTTP, or was reset"},
		"as a line of the trailer": {
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + token + "\r\n\r\n",
			"the response breaks a rule of HTTP, or was reset",
		},
		"in a head that is too large": {"HTTP/1.1 200 OK\r\nX: " + strings.Repeat(token, 1<<16) + "\r\n\r\n", "the head of the response is too large"},
		"in a body that is cut":       {"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + token, "the backend closed the connection before the response was complete"},
		"in a head that is cut":       {"HTTP/1.1 200 OK\r\nX: " + token, "the backend closed the connection before the response was complete"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.endpoints(rawUpstream(t, says(c.response)))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			if resp, err := b.client(t, "http/1.1").Do(request(t, "GET", "http://app.test/", nil)); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			b.record(t, "")
			if log := b.access.String(); strings.Contains(log, token) || !strings.Contains(log, c.wantCause) {
				t.Errorf("the log quotes the response, or lacks %q:\n%s", c.wantCause, log)
			}
		})
	}
}

// TestCutOnHTTP2 is R06 in front of HTTP/2: the stream is reset, never ended.
func TestCutOnHTTP2(t *testing.T) {
	b := newBed(t)
	b.endpoints(rawUpstream(t, says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	resp, err := b.client(t, "h2c").Do(request(t, "GET", "http://app.test/", nil))
	if err != nil {
		return // the reset overtook the head
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("body %q ended as if it were whole", body)
	}
}

// TestStaleRequestIsRepeatedOnlyWhereItMayBe is R18: an upstream that takes a request on a connection it used before, and
// dies, may have acted on it. It sees no request twice that is unsafe, or that has a body.
func TestStaleRequestIsRepeatedOnlyWhereItMayBe(t *testing.T) {
	const line = " / HTTP/1.1\r\nHost: app.test\r\n"
	for name, tc := range map[string]struct {
		request string
		want    int
	}{
		"GET":                          {"GET" + line + "\r\n", 200},
		"HEAD":                         {"HEAD" + line + "\r\n", 200},
		"OPTIONS":                      {"OPTIONS" + line + "\r\n", 200},
		"GET with a body":              {"GET" + line + "Content-Length: 3\r\n\r\npay", 502},
		"POST":                         {"POST" + line + "Content-Length: 3\r\n\r\npay", 502},
		"POST without a body":          {"POST" + line + "Content-Length: 0\r\n\r\n", 502},
		"PUT without a body":           {"PUT" + line + "Content-Length: 0\r\n\r\n", 502},
		"DELETE":                       {"DELETE" + line + "\r\n", 502},
		"POST that is marked":          {"POST" + line + "Idempotency-Key: a\r\nContent-Length: 0\r\n\r\n", 200},
		"POST that is marked as X":     {"POST" + line + "X-Idempotency-Key: a\r\nContent-Length: 0\r\n\r\n", 200},
		"POST with a body, marked":     {"POST" + line + "Idempotency-Key: a\r\nContent-Length: 3\r\n\r\npay", 502},
		"POST with a mark that is not": {"POST" + line + "Connection: Idempotency-Keys\r\nIdempotency-Keys: a\r\nContent-Length: 0\r\n\r\n", 502},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			var connections, stale atomic.Int32
			b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
				connections.Add(1)
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				if readHead(r) == nil {
					stale.Add(1)
					_, _ = r.Discard(r.Buffered()) // and the end, instead of an answer
				}
			}))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			conn, err := net.Dial("tcp", b.http) // one: when it is read from again, the first request has let its connection go
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if resp, _, _ := exchange(t, conn, "GET"+line+"\r\n"); resp.StatusCode != http.StatusOK {
				t.Fatalf("first: status %d", resp.StatusCode)
			}
			resp, _, _ := exchange(t, conn, tc.request)
			if resp.StatusCode != tc.want {
				t.Errorf("status %d, want %d", resp.StatusCode, tc.want)
			}
			want := int32(1) // the first request's
			if tc.want == http.StatusOK {
				want = 2
			}
			if connections.Load() != want || stale.Load() != 1 {
				t.Errorf("%d connections, %d requests on a connection that died; want %d, 1", connections.Load(), stale.Load(), want)
			}
		})
	}
}

// TestRefusingEndpointCostsNothing is R20: one of three endpoints refuses connections, and no client notices, whether it
// sends a body or not.
func TestRefusingEndpointCostsNothing(t *testing.T) {
	b := newBed(t)
	one, two := newBackend(t, nil), newBackend(t, nil)
	b.endpoints(one.addr, refusingAddress(t), two.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	client := b.client(t, "http/1.1")
	for range 50 {
		if resp, body := do(t, client, request(t, "POST", "http://app.test/", strings.NewReader("hello"))); resp.StatusCode != http.StatusOK || body != "hello" {
			t.Fatalf("status %d, body %q", resp.StatusCode, body)
		}
	}
	if total, healthy := b.upstreams.Endpoints(key2("backend")); total != 3 || healthy != 2 {
		t.Errorf("%d of %d endpoints healthy, want 2 of 3", healthy, total)
	}
}

// TestEarlyAnswer is R17: an upstream that answers before it read the body.
func TestEarlyAnswer(t *testing.T) {
	b := newBed(t)
	b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
		_, _ = io.Copy(io.Discard, r)
	}))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	resp, body, _ := exchange(t, conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\n\r\nfirst")
	if resp.StatusCode != http.StatusRequestEntityTooLarge || body != "big" {
		t.Errorf("status %d, body %q; want the upstream's 413", resp.StatusCode, body)
	}
}

// TestClientGone: an upstream stops working for a client that went away.
func TestClientGone(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2c"} {
		t.Run(protocol, func(t *testing.T) {
			b := newBed(t)
			started, gone := make(chan struct{}), make(chan struct{})
			up := newBackend(t, func(_ http.ResponseWriter, r *http.Request) {
				close(started)
				<-r.Context().Done()
				close(gone)
			})
			b.endpoints(up.addr)
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			ctx, cancel := context.WithCancel(t.Context())
			before := b.access.String()
			go func() {
				<-started
				cancel()
			}()
			_, err := b.client(t, protocol).Do(request(t, "GET", "http://app.test/", nil).WithContext(ctx))
			if !errors.Is(err, context.Canceled) {
				t.Fatalf("error %v, want canceled", err)
			}
			<-gone
			if record := b.record(t, before); record["status"] != float64(499) || record["clientGone"] != true || record["reason"] != nil {
				t.Errorf("record %v", record)
			}
			if _, healthy := b.upstreams.Endpoints(key2("backend")); healthy != 1 {
				t.Error("the endpoint was blamed")
			}
		})
	}
}
