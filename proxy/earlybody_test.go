package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
)

// inBody takes tokens from bodies of at most 2048 bytes.
func inBody(p *routing.Pipeline) {
	protected(p)
	p.JWT.TokenSources = append(p.JWT.TokenSources,
		routing.TokenSource{Type: routing.SourceFormBody, Name: "access_token"},
		routing.TokenSource{Type: routing.SourceJSONBody, Name: "/access_token"})
	p.JWT.MaxBodyBytes = 2048
}

// echoing is a bed whose upstream answers with the body that it got.
func echoing(t *testing.T, protocol routing.UpstreamProtocol) *bed {
	t.Helper()
	b := newBed(t)
	b.credential(t)
	up := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("X-Length", fmt.Sprint(r.ContentLength))
		w.Header().Set("X-Trailer", r.Trailer.Get("X-Sum"))
		_, _ = w.Write(body)
	})
	b.endpoints(up.addr)
	b.tls = b.certificate(t, "body", "app.test")
	b.serve(t, routing.Config{
		Pipelines:    []routing.Pipeline{route("body", "", "/", inBody)},
		Upstreams:    []routing.Upstream{to(protocol)},
		Certificates: []routing.Certificate{b.tls},
	})
	return b
}

// TestTokenInBody: the upstream gets the body as the client sent it, over HTTP/1.1 and HTTP/2, with and without a length.
func TestTokenInBody(t *testing.T) {
	b := echoing(t, routing.UpstreamHTTP)
	good := token(t, nil)
	form := "a=b&access_token=" + good
	object := `{"access_token":"` + good + `","x":[1]}`
	const typeForm, typeJSON = "application/x-www-form-urlencoded", "application/json"
	tests := map[string]struct {
		contentType, body string
		bearer            string
		unknownLength     bool
		status            int
		reason            string
	}{
		"a form":                      {contentType: typeForm, body: form, status: 200},
		"JSON":                        {contentType: typeJSON, body: object, status: 200},
		"a form of unknown length":    {contentType: typeForm, body: form, unknownLength: true, status: 200},
		"too long":                    {contentType: typeForm, body: form + strings.Repeat("x", 2048), status: 413, reason: "body_too_large"},
		"too long, length unknown":    {contentType: typeForm, body: form + strings.Repeat("x", 2048), unknownLength: true, status: 413, reason: "body_too_large"},
		"long, the token in the head": {contentType: typeForm, body: strings.Repeat("x", 100_000), bearer: good, status: 200},
		"a bad token":                 {contentType: typeForm, body: form + "x", status: 401, reason: "signature_invalid"},
		"twice":                       {contentType: typeForm, body: form + "&access_token=a", status: 400, reason: "token_ambiguous"},
		"no token":                    {contentType: typeForm, body: "a=b", status: 401, reason: "token_missing"},
		"no token, no body":           {contentType: typeForm, status: 401, reason: "token_missing"},
		"another type":                {contentType: "text/plain", body: form, status: 401, reason: "token_missing"},
	}
	for _, protocol := range []string{"http/1.1", "h2"} {
		client, scheme := b.client(t, protocol), "http"
		if protocol == "h2" {
			scheme = "https"
		}
		for name, tc := range tests {
			t.Run(protocol+" "+name, func(t *testing.T) {
				before := b.access.String()
				var body io.Reader = strings.NewReader(tc.body)
				if tc.unknownLength {
					body = io.MultiReader(body)
				}
				header := []string{"Content-Type", tc.contentType}
				if tc.bearer != "" {
					header = append(header, "Authorization", "Bearer "+tc.bearer)
				}
				resp, got := do(t, client, request(t, http.MethodPost, scheme+"://app.test/", body, header...))
				if resp.StatusCode != tc.status || tc.status == http.StatusOK && got != tc.body {
					t.Errorf("status %d, body %q", resp.StatusCode, got)
				}
				if reason, _ := b.record(t, before)["reason"].(string); reason != tc.reason {
					t.Errorf("reason %q, want %q", reason, tc.reason)
				}
			})
		}
	}
	if strings.Contains(b.access.String(), good[:40]) {
		t.Error("the log has the token")
	}
}

// TestTokenInBodyKeepsTheConnection: a body that was read is no reason to close, whatever became of the request.
func TestTokenInBodyKeepsTheConnection(t *testing.T) {
	b := echoing(t, routing.UpstreamHTTP)
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	good := "access_token=" + token(t, nil)
	for i, tc := range []struct {
		body   string
		status int
	}{{"a=b", 401}, {good, 200}, {good + "x", 401}, {good, 200}} {
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s", len(tc.body), tc.body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != tc.status || resp.Close {
			t.Errorf("request %d: status %d, closes %t, %v", i, resp.StatusCode, resp.Close, err)
		}
	}
}

// TestTokenInBodyWithTrailers: what follows the body passes as well.
func TestTokenInBodyWithTrailers(t *testing.T) {
	b := echoing(t, routing.UpstreamHTTP)
	form := "access_token=" + token(t, nil)
	resp, body, _ := b.raw(t, fmt.Sprintf("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/x-www-form-urlencoded\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Sum: 7\r\n\r\n", len(form), form))
	if resp.StatusCode != http.StatusOK || body != form || resp.Header.Get("X-Trailer") != "7" || resp.Header.Get("X-Length") != "-1" {
		t.Errorf("status %d, body %q, head %v", resp.StatusCode, body, resp.Header)
	}
}

// TestTokenInBodyExpectsContinue: the body is asked for once, and not where it can't help.
func TestTokenInBodyExpectsContinue(t *testing.T) {
	b := echoing(t, routing.UpstreamHTTP)
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(conn)
	form := "access_token=" + token(t, nil)
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n", len(form))
	if line, err := r.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("first line %q: %v, want 100", line, err)
	}
	if err := readHead(r); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, form)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != form || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, body %q: %v", resp.StatusCode, body, err)
	}
	refused, _, _ := b.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 4096\r\n\r\n")
	if refused.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want 413 without asking for the body", refused.StatusCode)
	}
}

// TestCutBody: a client that goes away, or breaks the chunked coding, is refused and never forwarded.
func TestCutBody(t *testing.T) {
	b := echoing(t, routing.UpstreamHTTP)
	resp, body, closed := b.raw(t, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
	if resp.StatusCode != http.StatusBadRequest || !closed {
		t.Errorf("status %d, closed %t, body %s", resp.StatusCode, closed, body)
	}
	var told struct{ Status int }
	if err := json.Unmarshal([]byte(body), &told); err != nil || told.Status != http.StatusBadRequest {
		t.Errorf("body %q: %v", body, err)
	}
}

// limited is a handler with bounds that a test can reach, on a server of its own.
type limited struct {
	bed     *bed
	address string
}

func newLimited(t *testing.T, bytes int64, timeout time.Duration) limited {
	t.Helper()
	b := echoing(t, routing.UpstreamHTTP)
	l := limited{bed: b}
	listening := make(chan string, 1)
	s, err := server.New(server.Options{
		HTTPSAddress: "127.0.0.1:0",
		Handler:      proxy.NewHandler(proxy.Options{Live: b.live, Now: clock, EarlyBodyBytes: bytes, EarlyBodyTimeout: timeout}),
		Engine:       engine,
		Live:         b.live,
		OnListen:     func(_, address string) { listening <- address },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	l.address = <-listening
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l
}

// client speaks one protocol.
func (l limited) client(t *testing.T, protocol string) *http.Client {
	t.Helper()
	client := l.bed.client(t, protocol)
	client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, l.address)
	}
	return client
}

func (l limited) post(t *testing.T, client *http.Client, body io.Reader) (int, string) {
	t.Helper()
	resp, text := do(t, client, request(t, http.MethodPost, "https://app.test/", body, "Content-Type", "application/x-www-form-urlencoded"))
	return resp.StatusCode, text
}

// TestSlowTokenInBody: a body that does not come is not waited for, and its request answered.
func TestSlowTokenInBody(t *testing.T) {
	l := newLimited(t, 0, 100*time.Millisecond)
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			body, writer := io.Pipe()
			defer writer.Close()
			go func() { _, _ = io.WriteString(writer, "access_token=") }()
			if status, text := l.post(t, l.client(t, protocol), body); status != http.StatusRequestTimeout {
				t.Errorf("status %d, body %s, want 408", status, text)
			}
		})
	}
}

// TestMemoryOfBodies: what is held is bounded, and given back whatever becomes of a request.
func TestMemoryOfBodies(t *testing.T) {
	l := newLimited(t, 3000, time.Minute) // one of unknown length, which counts as the most that is read, 2049
	client := l.client(t, "http/1.1")
	good := "access_token=" + token(t, nil)
	done := make(chan int, 1)
	start := func() *io.PipeWriter {
		body, writer := io.Pipe()
		go func() {
			status, _ := l.post(t, client, body)
			done <- status
		}()
		return writer
	}
	writer := start()
	fill := good + strings.Repeat("&x", 500)
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, _ := l.post(t, client, strings.NewReader(fill))
		if status == http.StatusServiceUnavailable {
			break
		}
		select {
		case first := <-done: // it came while the other was held
			if first != http.StatusServiceUnavailable {
				t.Fatalf("status %d of the body that is not sent yet", first)
			}
			_ = writer.Close()
			writer = start()
		default:
		}
		if status != http.StatusOK || time.Now().After(deadline) {
			t.Fatalf("status %d while another body is being read, want 503", status)
		}
	}
	if status, _ := l.post(t, client, strings.NewReader(good)); status != http.StatusOK {
		t.Errorf("status %d for a body that there is room for", status)
	}
	if _, err := io.WriteString(writer, good); err != nil {
		t.Fatal(err)
	}
	writer.Close()
	if status := <-done; status != http.StatusOK {
		t.Errorf("status %d of the body that was waited for", status)
	}
	for i := range 20 {
		want, body := http.StatusOK, fill
		if i%2 == 0 {
			want, body = http.StatusUnauthorized, fill+"&y"+strings.ReplaceAll(good, "access_token", "z")
			body = strings.Replace(body, "access_token=", "access_token=a", 1)
		}
		if status, text := l.post(t, client, strings.NewReader(body)); status != want {
			t.Fatalf("request %d: status %d, %s, want %d", i, status, text, want)
		}
	}
}
