package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// once answers the first request of a connection with that text and waits for the other end to close it. Whoever sends a
// second request on it gets another answer than those who are entitled to one.
func once(text string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		_, _ = io.WriteString(conn, text)
		if _, err := readHead(r); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nreused")
		}
	}
}

// says answers the first request of a connection and closes it.
func says(text string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err == nil {
			_, _ = io.WriteString(conn, text)
		}
	}
}

func roundTrip(t testing.TB, u *Upstream, method string, body io.Reader) (*http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	req := (&http.Request{Method: method, URL: &url.URL{Opaque: "/"}, Header: http.Header{}}).WithContext(ctx)
	if body != nil {
		req.Body, req.ContentLength = io.NopCloser(body), -1
		if sized, ok := body.(interface{ Len() int }); ok {
			req.ContentLength = int64(sized.Len())
		}
	}
	resp, _, err := u.RoundTrip(req)
	return resp, err
}

// TestResponseFaults is what a bad backend sends (section R of the behaviour catalogue), what comes of it, and whether the
// connection is used again.
func TestResponseFaults(t *testing.T) {
	const (
		length5  = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
		chunks   = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
		poison   = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
		again    = true
		protocol = refusal.UpstreamProtocol
	)
	cases := map[string]struct {
		method   string
		response string
		want     refusal.Reason // of RoundTrip; zero where there is a response
		status   int            // 200 unless said otherwise
		body     string
		cut      error // of reading the body
		reuse    bool
	}{
		"R01 length and chunked":                {response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: protocol},
		"R01 chunked and length":                {response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", want: protocol},
		"R01 chunked twice":                     {response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: protocol},
		"R01 another coding":                    {response: "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", want: protocol},
		"R01 chunked in HTTP/1.0":               {response: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: protocol},
		"R02 two lengths":                       {response: "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", want: protocol},
		"R02 a list of lengths":                 {response: "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab", want: protocol},
		"R02 a length with a sign":              {response: "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", want: protocol},
		"R02 a length that overflows":           {response: "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello", want: protocol},
		"R03 more than the length":              {response: length5 + "hello" + poison, body: "hello"},
		"R03 more than no length":               {response: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + poison},
		"R03 one byte too many":                 {response: length5 + "hello!", body: "hello"},
		"R03 more behind the last chunk":        {response: chunks + "5\r\nhello\r\n0\r\n\r\n" + poison, body: "hello"},
		"R06 less than the length":              {response: length5 + "hell", body: "hell", cut: io.ErrUnexpectedEOF},
		"R06 nothing of the length":             {response: length5, cut: io.ErrUnexpectedEOF},
		"R07 cut before the last chunk":         {response: chunks + "5\r\nhello\r\n", body: "hello", cut: io.ErrUnexpectedEOF},
		"R07 cut within a chunk":                {response: chunks + "5\r\nhel", body: "hel", cut: io.ErrUnexpectedEOF},
		"R07 cut behind the last chunk":         {response: chunks + "5\r\nhello\r\n0\r\n", body: "hello", cut: io.ErrUnexpectedEOF},
		"R07 cut within the trailer":            {response: chunks + "5\r\nhello\r\n0\r\nX: y\r\n", body: "hello", cut: io.ErrUnexpectedEOF},
		"R08 bare LF":                           {response: "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", want: protocol},
		"R08 bare CR":                           {response: "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello", want: protocol},
		"R08 NUL":                               {response: "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello", want: protocol},
		"R08 space before the colon":            {response: "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", want: protocol},
		"R08 folded":                            {response: "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", want: protocol},
		"R08 no name":                           {response: "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 5\r\n\r\nhello", want: protocol},
		"R08 chunk size that is none":           {response: chunks + "xyz\r\nhello\r\n0\r\n\r\n", cut: errAny},
		"R08 chunk that is longer than it says": {response: chunks + "4\r\nhello\r\n0\r\n\r\n", body: "hell", cut: errAny},
		"R08 chunk ended by LF":                 {response: chunks + "5\nhello\n0\n\n", cut: errAny},
		"R09 1 MiB of one field":                {response: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", want: protocol},
		"R09 10 000 fields":                     {response: "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: abcdef\r\n", 10_000) + "\r\n", want: protocol},
		"R09 1 MiB of reason":                   {response: "HTTP/1.1 200 " + strings.Repeat("a", 1<<20) + "\r\n\r\n", want: protocol},
		"R09 1 MiB of trailer":                  {response: chunks + "5\r\nhello\r\n0\r\nX: " + strings.Repeat("a", 1<<20) + "\r\n\r\n", body: "hello", cut: errAny},
		"R10 100 without end":                   {response: strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000), want: protocol},
		"R10 103 without end":                   {response: strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 1000), want: protocol},
		"R11 204 with a body":                   {response: "HTTP/1.1 204 No Content\r\n\r\n" + poison, status: 204},
		"R11 204 with a length":                 {response: "HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", status: 204},
		"R11 304 with a body":                   {response: "HTTP/1.1 304 Not Modified\r\nContent-Length: 6\r\n\r\npoison", status: 304},
		"R11 HEAD with a body":                  {method: "HEAD", response: "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"},
		"R11 HEAD in chunks":                    {method: "HEAD", response: chunks + "5\r\nhello\r\n0\r\n\r\n"},
		"R22 redirect to the metadata service":  {response: "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", status: 302, reuse: again},
		"no HTTP":                               {response: "SSH-2.0-OpenSSH\r\n\r\n", want: protocol},
		"nothing":                               {response: "", want: protocol},
		"half a head":                           {response: "HTTP/1.1 200 OK\r\nContent-", want: protocol},
		"HTTP/2":                                {response: "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", want: protocol},
		"status 99":                             {response: "HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n", want: protocol},
		"four digits":                           {response: "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", want: protocol},
		"the whole of a body":                   {response: length5 + "hello", body: "hello", reuse: again},
		"no reason":                             {response: "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", body: "hello", reuse: again},
		"no body":                               {response: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, reuse: again},
		"HEAD":                                  {method: "HEAD", response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", reuse: again},
		"chunks":                                {response: chunks + "2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n", body: "hello", reuse: again},
		"hints, then the response":              {response: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + length5 + "hello", body: "hello", reuse: again},
		"the connection is to be closed":        {response: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello", body: "hello"},
		"HTTP/1.0":                              {response: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", body: "hello"},
		"HTTP/1.0 that keeps the connection":    {response: "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello", body: "hello", reuse: again},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			script := once(c.response)
			if errors.Is(c.cut, io.ErrUnexpectedEOF) || c.response == "" || name == "half a head" {
				script = says(c.response)
			}
			addr, _ := raw(t, script)
			r, u := using(t, Options{}, nil, addr)
			method := c.method
			if method == "" {
				method = http.MethodGet
			}
			resp, err := roundTrip(t, u, method, nil)
			switch {
			case c.want != 0:
				wantReason(t, err, c.want)
			case err != nil:
				t.Fatal(err)
			default:
				if want := max(c.status, 200); resp.StatusCode != want && c.status != 0 {
					t.Errorf("status %d, want %d", resp.StatusCode, want)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != c.body {
					t.Errorf("body %q, want %q", body, c.body)
				}
				if !errors.Is(err, c.cut) && !(errors.Is(c.cut, errAny) && err != nil) {
					t.Errorf("body ended by %v, want %v", err, c.cut)
				}
			}
			if open := r.open(); (open == 1) != c.reuse {
				t.Errorf("%d connections kept, want it kept: %t", open, c.reuse)
			}
			if n := inflight(u); n != 0 {
				t.Errorf("counted %d in flight, want none", n)
			}
			resp, err = roundTrip(t, u, http.MethodGet, nil)
			if err != nil {
				return
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); (err == nil && string(body) == "reused") != c.reuse {
				t.Errorf("the next request got %q, %v", body, err)
			}
		})
	}
}

// errAny stands for whatever error it is.
var errAny = errors.New("any error")

// TestSilentBackend is R15, and R16: a backend that says nothing, or nothing more, is not waited for without end, and
// nothing of the exchange stays behind.
func TestSilentBackend(t *testing.T) {
	t.Parallel()
	hang := func(text string) func(net.Conn, *bufio.Reader) {
		return func(conn net.Conn, r *bufio.Reader) {
			if _, err := readHead(r); err == nil {
				_, _ = io.WriteString(conn, text)
				_, _ = io.Copy(io.Discard, r)
			}
		}
	}
	for name, c := range map[string]struct {
		response string
		body     string
		want     refusal.Reason
		got      string
	}{
		"R15 no response":               {"", "", refusal.UpstreamTimeout, ""},
		"R15 no response to a body":     {"", "hello", refusal.UpstreamTimeout, ""},
		"R15 half a head":               {"HTTP/1.1 200 OK\r\n", "", refusal.UpstreamTimeout, ""},
		"R15 hints alone":               {"HTTP/1.1 103 Early Hints\r\n\r\n", "", refusal.UpstreamTimeout, ""},
		"R16 half a body":               {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "", 0, "hello"},
		"R16 chunks without a last one": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "", 0, "hello"},
		"R16 until it closes":           {"HTTP/1.1 200 OK\r\n\r\nhello", "", 0, "hello"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for the clock
			addr, _ := raw(t, hang(c.response))
			r, u := using(t, Options{BodyTimeout: 50 * time.Millisecond}, func(cfg *routing.Upstream) { cfg.RequestTimeout = 50 * time.Millisecond }, addr)
			var body io.Reader
			method := http.MethodGet
			if c.body != "" {
				body, method = strings.NewReader(c.body), http.MethodPost
			}
			resp, err := roundTrip(t, u, method, body)
			if c.want != 0 {
				wantReason(t, err, c.want)
			} else {
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got, err := io.ReadAll(resp.Body); string(got) != c.got || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("body %q ended by %v, want %q and a time-out", got, err, c.got)
				}
			}
			if open, n := r.open(), inflight(u); open != 0 || n != 0 {
				t.Errorf("%d connections open, %d in flight, want none", open, n)
			}
		})
	}
}

// TestDrip is what R16 is not: a backend that is slow, but goes on.
func TestDrip(t *testing.T) {
	addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		for _, c := range "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" {
			if _, err := io.WriteString(conn, string(c)); err != nil {
				return
			}
		}
		_, _ = io.Copy(io.Discard, r)
	})
	r, u := using(t, Options{}, nil, addr)
	if got := send(t, u); got != "hello" {
		t.Errorf("body %q", got)
	}
	if open := r.open(); open != 1 {
		t.Errorf("%d connections kept, want it kept", open)
	}
}

// TestRepetition is R18 and R19: what a backend may have acted on is sent once; what it can't have, or what may be done
// twice, is sent again once, on a new connection.
func TestRepetition(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		header string
		body   string
		want   int32 // requests that arrive after the first
		fails  bool
	}{
		"R19 GET":                         {method: "GET", want: 2},
		"R19 HEAD":                        {method: "HEAD", want: 2},
		"R19 OPTIONS":                     {method: "OPTIONS", want: 2},
		"R19 POST that may be repeated":   {method: "POST", header: "Idempotency-Key", want: 2},
		"R18 POST":                        {method: "POST", body: "pay", want: 1, fails: true},
		"R18 POST without a body":         {method: "POST", want: 1, fails: true},
		"R18 DELETE":                      {method: "DELETE", want: 1, fails: true},
		"R18 PUT":                         {method: "PUT", body: "x", want: 1, fails: true},
		"R18 GET with a body":             {method: "GET", body: "x", want: 1, fails: true},
		"R18 with a key, but with a body": {method: "POST", header: "Idempotency-Key", body: "pay", want: 1, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var arrived, conns atomic.Int32
			addr, _ := raw(t, func(conn net.Conn, r *bufio.Reader) {
				first := conns.Add(1) == 1
				for i := 0; ; i++ {
					if _, err := readHead(r); err != nil {
						return
					}
					if first && i == 0 {
						_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						continue
					}
					arrived.Add(1)
					if first {
						return
					}
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				}
			})
			_, u := using(t, Options{}, nil, addr)
			send(t, u)
			req := get(t, "/")
			req.Method = c.method
			if c.header != "" {
				req.Header.Set(c.header, "7")
			}
			if c.body != "" {
				req.Body, req.ContentLength = io.NopCloser(strings.NewReader(c.body)), int64(len(c.body))
			}
			resp, _, err := u.RoundTrip(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			if (err != nil) != c.fails || arrived.Load() != c.want {
				t.Errorf("error %v, arrived %d times; want it to fail: %t, %d times", err, arrived.Load(), c.fails, c.want)
			}
			if err != nil {
				wantReason(t, err, refusal.UpstreamProtocol)
			}
			if n := inflight(u); n != 0 {
				t.Errorf("counted %d in flight, want none", n)
			}
		})
	}
}

// TestRepeatedOnce: an upstream whose every connection ends without an answer is asked twice, not for ever.
func TestRepeatedOnce(t *testing.T) {
	var arrived atomic.Int32
	addr, connections := raw(t, func(conn net.Conn, r *bufio.Reader) {
		if _, err := readHead(r); err != nil {
			return
		}
		if arrived.Add(1) == 1 {
			_, _ = io.WriteString(conn, okay)
			_, _ = readHead(r)
			arrived.Add(1)
		}
	})
	_, u := using(t, Options{}, nil, addr)
	send(t, u)
	_, err := roundTrip(t, u, http.MethodGet, nil)
	wantReason(t, err, refusal.UpstreamProtocol)
	if arrived.Load() != 3 || connections.Load() != 2 {
		t.Errorf("%d requests on %d connections, want 3 on 2", arrived.Load(), connections.Load())
	}
}
