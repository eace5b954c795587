package upstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/faultybackend"
)

// taggedRequests is how many requests TestTaggedUnderFaults sends, unless the environment says otherwise: a million take
// some minutes.
const (
	taggedRequests    = 10_000
	taggedRequestsEnv = "OSTIARY_TAGGED_REQUESTS"
)

func faulty(conn net.Conn, _ *bufio.Reader) { faultybackend.Serve(conn) }

// TestTaggedUnderFaults: whatever backends do, no response, nor a part of one, reaches another request than its own.
func TestTaggedUnderFaults(t *testing.T) {
	total := taggedRequests
	if text, ok := os.LookupEnv(taggedRequestsEnv); ok {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	} else if testing.Short() {
		total /= 10
	}
	one, _ := raw(t, faulty)
	two, _ := raw(t, faulty)
	r, u := using(t, Options{BodyTimeout: 20 * time.Second}, nil, one, two)
	var next, answered, failed atomic.Int64
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(total) {
					return
				}
				tag := "tag-" + strconv.FormatInt(i, 36)
				switch err := sendTagged(u, tag); {
				case err == nil:
					answered.Add(1)
				case errors.As(err, new(*faultybackend.MixedUpError)):
					t.Error(err)
					next.Store(int64(total))
				default:
					failed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if answered.Load() < int64(total)/2 || failed.Load() < int64(total)/20 {
		t.Errorf("%d answered, %d failed: either hardly anything goes wrong, or hardly anything works", answered.Load(), failed.Load())
	}
	if n := inflight(u); n != 0 {
		t.Errorf("counted %d in flight, want none", n)
	}
	r.Close()
	if open := r.open(); open != 0 {
		t.Errorf("%d connections open, want none", open)
	}
	t.Logf("%d answered, %d failed", answered.Load(), failed.Load())
}

func sendTagged(u *Upstream, tag string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req := (&http.Request{Method: http.MethodGet, URL: &url.URL{Opaque: "/" + tag}, Header: http.Header{}}).WithContext(ctx)
	if rand.N(2) == 0 {
		body := faultybackend.Body(tag)
		req.Method, req.Body, req.ContentLength = http.MethodPost, io.NopCloser(strings.NewReader(body)), int64(len(body))
		if rand.N(2) == 0 {
			req.ContentLength = -1
		}
	}
	if rand.N(50) == 0 { // a client that has no patience
		time.AfterFunc(time.Duration(rand.N(int64(time.Millisecond))), cancel)
	}
	resp, _, err := u.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := faultybackend.CheckHead(tag, resp); err != nil {
		return err
	}
	if rand.N(20) == 0 {
		return nil // closed unread
	}
	return faultybackend.CheckBody(tag, resp)
}

// FuzzResponse: whatever a backend sends, it is taken as net/http takes it, or refused, and nothing of it reaches the next
// request.
func FuzzResponse(f *testing.F) {
	for _, seed := range []string{
		okay,
		"HTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
		"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + okay,
		"HTTP/1.0 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n\r\npoison",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close, X\r\nX: y\r\nTrailer: Z\r\n\r\nhello",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nframes",
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			f.Add([]byte(seed), method)
		}
	}
	var mu sync.Mutex
	var response []byte
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wait.Go(func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				_, _ = conn.Write(response)
			})
		}
	})
	f.Cleanup(func() {
		_ = l.Close()
		wait.Wait()
	})
	r, u := using(f, Options{}, nil, netip.MustParseAddrPort(l.Addr().String()))
	f.Fuzz(func(t *testing.T, text []byte, method string) {
		if len(text) > 1<<16 || method != http.MethodGet && method != http.MethodHead && method != http.MethodPost {
			t.Skip()
		}
		mu.Lock()
		response = text
		mu.Unlock()
		resp, err := roundTrip(t, u, method, nil)
		if err != nil {
			if !errors.As(err, new(*Error)) {
				t.Fatalf("error %T", err)
			}
			if strings.Contains(err.Error(), string(text)) && len(text) > 8 {
				t.Errorf("the error quotes the response: %v", err)
			}
		} else {
			compareResponses(t, resp, text, method)
			_ = resp.Body.Close()
		}
		// Each connection ends behind its response, so that none is left that could be used again.
		waitFor(t, func() bool {
			for _, l := range r.links() {
				l.reap()
			}
			return r.open() == 0
		})
		if n := inflight(u); n != 0 {
			t.Errorf("counted %d in flight, want none", n)
		}
	})
}

// compareResponses holds a response that was taken against what net/http reads.
func compareResponses(t *testing.T, resp *http.Response, text []byte, method string) {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	reader := bufio.NewReader(strings.NewReader(string(text)))
	var want *http.Response
	for {
		var wantErr error
		if want, wantErr = http.ReadResponse(reader, &http.Request{Method: method}); wantErr != nil {
			t.Fatalf("net/http refuses what was taken: %v", wantErr)
		}
		if want.StatusCode >= 200 || want.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	if want.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	wantBody, wantErr := io.ReadAll(want.Body)
	delete(resp.Header, "Connection") // which net/http drops where it says close, with the names that it lists besides
	delete(want.Header, "Connection")
	if resp.StatusCode != want.StatusCode || len(resp.Header) != len(want.Header) {
		t.Errorf("status %d, header %v; net/http has %d, %v", resp.StatusCode, resp.Header, want.StatusCode, want.Header)
	}
	if err == nil && (wantErr != nil || !bytes.Equal(body, wantBody)) {
		t.Errorf("body %q; net/http has %q, %v", body, wantBody, wantErr)
	}
}
