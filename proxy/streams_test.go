package proxy_test

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// public serves one public Pipeline that forwards to that backend.
func public(t *testing.T, protocol routing.UpstreamProtocol, handler http.HandlerFunc) (*bed, *backend) {
	t.Helper()
	b := newBed(t)
	up := newBackend(t, handler)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines:    []routing.Pipeline{route("public", "", "/", nil)},
		Upstreams:    []routing.Upstream{to(protocol)},
		Certificates: []routing.Certificate{b.certificate(t, "public", "app.test")},
	})
	return b, up
}

// combinations are the protocols in front and behind.
func combinations(t *testing.T, test func(t *testing.T, front string, back routing.UpstreamProtocol)) {
	t.Helper()
	for _, front := range []string{"http/1.1", "h2c"} {
		for name, back := range map[string]routing.UpstreamProtocol{"http/1.1": routing.UpstreamHTTP, "h2c": routing.UpstreamH2C} {
			t.Run(front+" to "+name, func(t *testing.T) { test(t, front, back) })
		}
	}
}

// TestTrailers: trailers pass in both directions, announced or not, without what has no place in them (P070, F27).
func TestTrailers(t *testing.T) {
	combinations(t, func(t *testing.T, front string, back routing.UpstreamProtocol) {
		arrived := make(chan http.Header, 1)
		b, _ := public(t, back, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			_, _ = io.Copy(w, r.Body)
			arrived <- r.Trailer
			w.Header().Set("X-Sum", "out")
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"X-Consumer-Id", "admin")
		})
		req := request(t, "POST", "http://app.test/", struct{ io.Reader }{strings.NewReader("hello")})
		req.Trailer = http.Header{"X-Sum": {"in"}, "X-Consumer-Id": {"admin"}}
		if front == "http/1.1" { // net/http's HTTP/2 resets the stream for it
			req.Trailer.Set("Authorization", "Bearer x")
		}
		resp, body := do(t, b.client(t, front), req)
		if resp.StatusCode != http.StatusOK || body != "hello" {
			t.Fatalf("status %d, body %q", resp.StatusCode, body)
		}
		if diff := cmp.Diff(http.Header{"X-Sum": {"in"}}, <-arrived); diff != "" {
			t.Errorf("upstream's trailers (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(http.Header{"X-Sum": {"out"}, "Grpc-Status": {"0"}}, resp.Trailer); diff != "" {
			t.Errorf("client's trailers (-want +got):\n%s", diff)
		}
	})
}

// TestTrailersInAnySpelling: names have no case, in trailers neither.
func TestTrailersInAnySpelling(t *testing.T) {
	arrived := make(chan http.Header, 1)
	b, _ := public(t, routing.UpstreamHTTP, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- r.Trailer
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: set-cookie, x-sum\r\n\r\n0\r\nset-cookie: a=b\r\nx-sum: 1\r\ncOOKIE: a\r\n\r\n")
		_ = rw.Flush()
	})
	resp, _, _ := b.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nTrailer: authorization, x-sum, cookie\r\nTransfer-Encoding: chunked\r\n\r\n"+
		"1\r\na\r\n0\r\nauthorization: Bearer x\r\nCOOKIE: a=b\r\nx-sum: 1\r\n\r\n")
	if diff := cmp.Diff(http.Header{"X-Sum": {"1"}}, <-arrived); diff != "" {
		t.Errorf("upstream's trailers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(http.Header{"X-Sum": {"1"}}, resp.Trailer); diff != "" {
		t.Errorf("client's trailers (-want +got):\n%s", diff)
	}
}

// TestInformational: 1xx responses pass on.
func TestInformational(t *testing.T) {
	combinations(t, func(t *testing.T, front string, back routing.UpstreamProtocol) {
		b, _ := public(t, back, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.Header().Set("X-Consumer-Id", "admin")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Del("Link")
			w.WriteHeader(http.StatusTeapot)
		})
		got := map[int]string{}
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			got[code] = header.Get("Link") + header.Get("X-Consumer-Id")
			return nil
		}})
		resp, _ := do(t, b.client(t, front), request(t, "GET", "http://app.test/", nil).WithContext(ctx))
		if resp.StatusCode != http.StatusTeapot || resp.Header.Get("Link") != "" || resp.Header.Get("X-Consumer-Id") != "" {
			t.Errorf("status %d, header %v", resp.StatusCode, resp.Header)
		}
		if diff := cmp.Diff(map[int]string{103: "</style.css>; rel=preload"}, got); diff != "" {
			t.Errorf("informational responses (-want +got):\n%s", diff)
		}
	})
}

// TestExpectContinue: the body is asked for when the upstream wants it, and not for a refused request.
func TestExpectContinue(t *testing.T) {
	b, up := public(t, routing.UpstreamHTTP, nil)
	b.credential(t)
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("first line %q: %v, want 100", line, err)
	}
	if err := readHead(r); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "hello")
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, body %q: %v", resp.StatusCode, body, err)
	}
	up.requests()

	refused, _, _ := b.raw(t, "POST /a%2fb HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	if refused.StatusCode != http.StatusBadRequest || len(up.requests()) != 0 {
		t.Errorf("status %d, want 400 without asking for the body", refused.StatusCode)
	}
}

// TestHEAD: the length passes, no body does, and the connection stays in step.
func TestHEAD(t *testing.T) {
	b, _ := public(t, routing.UpstreamHTTP, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1234")
	})
	client := b.client(t, "http/1.1")
	for range 2 {
		if resp, body := do(t, client, request(t, "HEAD", "http://app.test/", nil)); resp.ContentLength != 1234 || body != "" {
			t.Errorf("length %d, body %q", resp.ContentLength, body)
		}
	}
}

// TestEvents is W15: what an upstream sends is with the client before the upstream sends more.
func TestEvents(t *testing.T) {
	combinations(t, func(t *testing.T, front string, back routing.UpstreamProtocol) {
		more := make(chan struct{})
		b, _ := public(t, back, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for i := range 3 {
				fmt.Fprintf(w, "data: %d\n", i)
				_ = http.NewResponseController(w).Flush()
				select {
				case <-more:
				case <-r.Context().Done():
					return
				}
			}
		})
		resp, err := b.client(t, front).Do(request(t, "GET", "http://app.test/", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		r := bufio.NewReader(resp.Body)
		for i := range 3 {
			if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
			more <- struct{}{}
		}
	})
}

// TestBidirectional: an upstream answers while the request's body still comes, as gRPC streams do.
func TestBidirectional(t *testing.T) {
	b, _ := public(t, routing.UpstreamH2C, func(w http.ResponseWriter, r *http.Request) {
		buffer := make([]byte, 16)
		for {
			n, err := r.Body.Read(buffer)
			_, _ = w.Write(buffer[:n])
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	})
	body, feed := io.Pipe()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	responses := make(chan *http.Response, 1)
	go func() {
		defer close(responses)
		resp, err := b.client(t, "h2c").Do(request(t, "POST", "http://app.test/", body).WithContext(ctx))
		if err == nil {
			responses <- resp
		}
	}()
	fmt.Fprint(feed, "ping0")
	resp := <-responses
	if resp == nil {
		t.Fatal("no response while the body is open")
	}
	defer resp.Body.Close()
	got := make([]byte, 5)
	for i := range 3 {
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != fmt.Sprintf("ping%d", i) {
			t.Fatalf("got %q, %v", got, err)
		}
		fmt.Fprintf(feed, "ping%d", i+1)
	}
	_ = feed.Close()
	if rest, err := io.ReadAll(resp.Body); err != nil || string(rest) != "ping3" {
		t.Errorf("rest %q, %v", rest, err)
	}
}

const webSocketKey = "dGhlIHNhbXBsZSBub25jZQ=="

func accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echoTunnel answers a WebSocket handshake with these lines and sends back what comes.
func echoTunnel(lines string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\n"+lines+"\r\n")
		_, _ = io.Copy(conn, r)
	}
}

func handshake(more string) string {
	return "GET /chat HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + webSocketKey + "\r\n" + more + "\r\n"
}

func TestWebSocket(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	b.endpoints(rawUpstream(t, echoTunnel("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept(webSocketKey)+"\r\n")))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", protected)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})

	if resp, _, _ := b.raw(t, handshake("")); resp.StatusCode != http.StatusUnauthorized { // W01
		t.Errorf("without a token: status %d, want 401", resp.StatusCode)
	}
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	// W02: frames right behind the handshake are the tunnel's, not a request.
	fmt.Fprint(conn, handshake("Authorization: Bearer "+token(t, nil)+"\r\n")+"GET /early HTTP/1.1\r\n\r\n")
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols || resp.Header.Get("Upgrade") != "websocket" || resp.Header.Get("Sec-WebSocket-Accept") != accept(webSocketKey) {
		t.Fatalf("status %d, header %v", resp.StatusCode, resp.Header)
	}
	early := make([]byte, len("GET /early HTTP/1.1\r\n\r\n"))
	if _, err := io.ReadFull(r, early); err != nil || string(early) != "GET /early HTTP/1.1\r\n\r\n" {
		t.Fatalf("early data came back as %q, %v", early, err)
	}
	frame := strings.Repeat("\x00\xff\x81", 1<<20)
	go func() { _, _ = io.WriteString(conn, frame) }()
	echoed := make([]byte, len(frame))
	if _, err := io.ReadFull(r, echoed); err != nil || string(echoed) != frame {
		t.Fatalf("the tunnel is not exact: %v", err)
	}
}

// TestHalfClosedTunnel is W07: what the upstream still sends after the client said that it is done arrives.
func TestHalfClosedTunnel(t *testing.T) {
	b := newBed(t)
	b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept(webSocketKey)+"\r\n\r\n")
		if _, err := io.ReadFull(r, make([]byte, 4)); err == nil {
			fmt.Fprint(conn, "late")
		}
	}))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if resp, _, _ := exchange(t, conn, handshake("")); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, want 101", resp.StatusCode)
	}
	fmt.Fprint(conn, "done")
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(conn); err != nil || string(rest) != "late" {
		t.Errorf("got %q, %v", rest, err)
	}
}

// TestUpstreamEndsTunnel: the client learns at once that the upstream is done, and may still say goodbye.
func TestUpstreamEndsTunnel(t *testing.T) {
	b := newBed(t)
	goodbye := make(chan string, 1)
	b.endpoints(rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept(webSocketKey)+"\r\n\r\n")
		_ = conn.(*net.TCPConn).CloseWrite()
		text, _ := io.ReadAll(io.LimitReader(r, 3))
		goodbye <- string(text)
	}))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if resp, _, _ := exchange(t, conn, handshake("")); resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %d, want 101", resp.StatusCode)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end of this direction", err)
	}
	fmt.Fprint(conn, "bye")
	if got := <-goodbye; got != "bye" {
		t.Errorf("the upstream read %q", got)
	}
}

// TestNoTunnel: whatever does not prove a WebSocket handshake makes no tunnel.
func TestNoTunnel(t *testing.T) {
	good := "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " + accept(webSocketKey) + "\r\n"
	cases := map[string]struct {
		request string
		script  func(net.Conn, *bufio.Reader)
		want    int
	}{
		"the upstream says no (W03)":          {handshake(""), says("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"), 426},
		"101 without Upgrade (W04)":           {handshake(""), echoTunnel(""), 502},
		"101 to another protocol (W04)":       {handshake(""), echoTunnel("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 502},
		"101 without the key's answer (P151)": {handshake(""), echoTunnel("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n"), 502},
		"a handshake without a key":           {strings.ReplaceAll(handshake(""), "Sec-WebSocket-Key", "X-Key"), echoTunnel(good), 502},
		"h2c":                                 {strings.ReplaceAll(handshake(""), "websocket", "h2c"), echoTunnel(good), 502},
		"websocket and h2c":                   {strings.ReplaceAll(handshake(""), "websocket", "websocket, h2c"), echoTunnel(good), 502},
		"POST":                                {strings.Replace(handshake(""), "GET", "POST", 1), echoTunnel(good), 502},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			b.endpoints(rawUpstream(t, c.script))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			if resp, _, _ := b.raw(t, c.request); resp.StatusCode != c.want {
				t.Errorf("status %d, want %d", resp.StatusCode, c.want)
			}
		})
	}
}

// TestResponseBeforeTheBody: an upstream may answer while the client still sends. What reads the body then outlives the
// handler, and must not touch what belongs to it: on HTTP/2 that was the end of the whole process.
func TestResponseBeforeTheBody(t *testing.T) {
	combinations(t, func(t *testing.T, front string, back routing.UpstreamProtocol) {
		if front != "h2c" {
			t.Skip("net/http's client for HTTP/1.1 sends its body to the end first")
		}
		b, _ := public(t, back, func(w http.ResponseWriter, _ *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex() // HTTP/2 always is
			w.WriteHeader(http.StatusAccepted)
			_ = control.Flush()
		})
		client := b.client(t, front)
		for range 20 {
			body, feed := io.Pipe()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			fed := make(chan struct{})
			go func() {
				defer close(fed)
				_, _ = feed.Write([]byte("the first part")) // fails where the response ended it
			}()
			resp, err := client.Do(request(t, "POST", "http://app.test/", body).WithContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			if resp.StatusCode != http.StatusAccepted {
				t.Errorf("status %d, want 202", resp.StatusCode)
			}
			_ = resp.Body.Close()
			_ = feed.Close()
			<-fed
			cancel()
		}
	})
}
