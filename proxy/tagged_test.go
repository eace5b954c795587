package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/badbackend"
	"github.com/ostiary/ostiary/proxy/routing"
)

// taggedRequests is how many requests TestTaggedUnderFaults sends, unless OSTIARY_TAGGED_REQUESTS says otherwise: a
// million take some minutes.
const taggedRequests = 5_000

// TestTaggedUnderFaults: whatever backends do, and clients that give up, no response, nor a part of one, reaches another
// request than its own.
func TestTaggedUnderFaults(t *testing.T) {
	total := taggedRequests
	if text := os.Getenv("OSTIARY_TAGGED_REQUESTS"); text != "" {
		var err error
		if total, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	b := newBed(t)
	b.endpoints(badUpstream(t), badUpstream(t))
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("open", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	var next, answered, failed atomic.Int64
	var wait sync.WaitGroup
	for range 16 {
		c := &taggedClient{bed: b}
		wait.Go(func() {
			defer c.hangUp()
			for {
				i := next.Add(1)
				if i > int64(total) {
					return
				}
				ok, err := c.send("tag-" + strconv.FormatInt(i, 36))
				switch {
				case err != nil:
					t.Error(err)
					next.Store(int64(total))
				case ok:
					answered.Add(1)
				default:
					failed.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if answered.Load() < int64(total)/2 || failed.Load() < int64(total)/50 {
		t.Errorf("%d answered, %d failed: either hardly anything goes wrong, or hardly anything works", answered.Load(), failed.Load())
	}
	t.Logf("%d answered, %d failed", answered.Load(), failed.Load())
}

// badUpstream starts a backend that breaks the rules.
func badUpstream(t *testing.T) netip.AddrPort {
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
				badbackend.Serve(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wait.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// taggedClient sends one request after the other on a connection, sometimes two at once, and makes a new one when the
// connection has ended.
type taggedClient struct {
	bed  *bed
	conn net.Conn
	r    *bufio.Reader
}

func (c *taggedClient) hangUp() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

// send reports whether the request was answered by the backend; the error is that it was answered with what belongs to
// another one.
func (c *taggedClient) send(tag string) (bool, error) {
	if c.conn == nil {
		conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", c.bed.http)
		if err != nil {
			return false, fmt.Errorf("dial: %w", err)
		}
		c.conn, c.r = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	tags := []string{tag}
	if rand.N(4) == 0 {
		tags = append(tags, tag+"-b") // pipelined
	}
	var out strings.Builder
	for _, tag := range tags {
		writeTagged(&out, tag)
	}
	if _, err := io.WriteString(c.conn, out.String()); err != nil || rand.N(50) == 0 { // some have no patience
		c.hangUp()
		return false, nil
	}
	answered := true
	for _, tag := range tags {
		ok, err := c.receive(tag)
		if err != nil || c.conn == nil {
			return false, err
		}
		answered = answered && ok
	}
	return answered, nil
}

func writeTagged(out *strings.Builder, tag string) {
	body := badbackend.Body(tag)
	switch rand.N(4) {
	case 0:
		fmt.Fprintf(out, "POST /%s HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", tag, len(body), body)
	case 1:
		fmt.Fprintf(out, "POST /%s HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", tag, len(body), body)
	default:
		fmt.Fprintf(out, "GET /%s HTTP/1.1\r\nHost: app.test\r\n\r\n", tag)
	}
}

func (c *taggedClient) receive(tag string) (bool, error) {
	var resp *http.Response
	for {
		var err error
		if resp, err = http.ReadResponse(c.r, nil); err != nil {
			c.hangUp()
			return false, nil
		}
		if resp.StatusCode >= 200 {
			break
		}
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.Close {
		defer c.hangUp()
	}
	got := resp.Header.Get(badbackend.HeaderTag)
	switch {
	case got == "" && resp.Header.Get("Content-Type") == "application/problem+json":
		return false, nil
	case got != tag:
		return false, fmt.Errorf("the request %s got the response of %.80q", tag, got)
	case !badbackend.Own(tag, string(body)):
		return false, fmt.Errorf("the request %s got %.80q", tag, body)
	}
	return err == nil, nil
}
