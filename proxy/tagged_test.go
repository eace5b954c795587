package proxy_test

import (
	"context"
	"errors"
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

	"github.com/ostiary/ostiary/proxy/internal/faultybackend"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// taggedRequests is how many requests TestTaggedUnderFaults sends by each protocol, unless the environment says
	// otherwise: a million take some minutes.
	taggedRequests    = 3_000
	taggedRequestsEnv = "OSTIARY_TAGGED_REQUESTS"
)

// TestTaggedUnderFaults: whatever upstreams do, no response, nor a part of one, reaches another request than its own, on
// the way through the whole proxy.
func TestTaggedUnderFaults(t *testing.T) {
	total := int64(taggedRequests)
	if text, ok := os.LookupEnv(taggedRequestsEnv); ok {
		var err error
		if total, err = strconv.ParseInt(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	for _, front := range []string{"http/1.1", "h2c"} {
		t.Run(front, func(t *testing.T) {
			b := newBed(t)
			b.endpoints(faulty(t), faulty(t))
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			client := b.client(t, front)
			var next, answered, failed atomic.Int64
			var wait sync.WaitGroup
			for range 16 {
				wait.Go(func() {
					for i := next.Add(1); i <= total; i = next.Add(1) {
						err := sendTagged(t, client, "tag-"+strconv.FormatInt(i, 36))
						switch {
						case err == nil:
							answered.Add(1)
						case errors.As(err, new(*faultybackend.MixedUpError)):
							t.Error(err)
							next.Store(total)
						default:
							failed.Add(1)
						}
						if i%1000 == 0 {
							b.access.forget()
						}
					}
				})
			}
			wait.Wait()
			if answered.Load() < total/2 || failed.Load() < total/20 {
				t.Errorf("%d answered, %d failed: either hardly anything goes wrong, or hardly anything works", answered.Load(), failed.Load())
			}
			t.Logf("%d answered, %d failed", answered.Load(), failed.Load())
		})
	}
}

// faulty is a backend that misbehaves.
func faulty(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			wait.Go(func() {
				defer stop()
				defer conn.Close()
				faultybackend.Serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		wait.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String())
}

// forget drops what was written so far.
func (l *lines) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
}

var errRefused = errors.New("the proxy answered in the upstream's place")

func sendTagged(t *testing.T, client *http.Client, tag string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	method, body := http.MethodGet, io.Reader(nil)
	switch rand.N(4) {
	case 0:
		method, body = http.MethodPost, strings.NewReader(faultybackend.Body(tag))
	case 1: // without a length
		method, body = http.MethodPost, struct{ io.Reader }{strings.NewReader(faultybackend.Body(tag))}
	}
	if rand.N(50) == 0 { // a client that has no patience
		time.AfterFunc(time.Duration(rand.N(int64(time.Millisecond))), cancel)
	}
	resp, err := client.Do(request(t, method, "http://app.test/"+tag, body).WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 500 && resp.Header.Get(faultybackend.Tag) == "" {
		return errRefused
	}
	if err := faultybackend.CheckHead(tag, resp); err != nil {
		return err
	}
	if rand.N(20) == 0 {
		return nil // closed unread
	}
	return faultybackend.CheckBody(tag, resp)
}
