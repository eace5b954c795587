package proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestSwapUnderLoad replaces tables, upstream settings and endpoints while requests run: none fails, none gets through
// without a token.
func TestSwapUnderLoad(t *testing.T) {
	b := newBed(t)
	b.credential(t)
	one, two := newBackend(t, nil), newBackend(t, nil)
	b.endpoints(one.addr, two.addr)
	config := func(i int) routing.Config {
		up := to(routing.UpstreamHTTP)
		up.RequestTimeout += time.Duration(i%3) * time.Second // a new pool each time
		cfg := routing.Config{
			Pipelines:    []routing.Pipeline{route("orders", "app.test", "/orders", protected), route("public", "app.test", "/", nil)},
			Upstreams:    []routing.Upstream{up},
			Certificates: []routing.Certificate{b.tls},
		}
		if i%2 == 0 {
			cfg.Pipelines = append(cfg.Pipelines, route(fmt.Sprintf("more-%d", i%10), "more.test", "/", nil))
		}
		return cfg
	}
	b.tls = b.certificate(t, "orders", "app.test")
	b.serve(t, config(0))

	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var served, failed atomic.Int64
	for front, scheme := range map[string]string{"http/1.1": "http", "h2c": "http", "h2": "https"} {
		client := b.client(t, front)
		for i := range 4 {
			wait.Go(func() {
				for ctx.Err() == nil {
					want, header := http.StatusUnauthorized, "X-None"
					if i%2 == 0 {
						want, header = http.StatusOK, "Authorization"
					}
					req := request(t, "POST", scheme+"://app.test/orders/7", strings.NewReader("hello"), header, "Bearer "+token(t, nil))
					resp, err := client.Do(req)
					if err != nil {
						failed.Add(1)
						t.Errorf("%s: %v", front, err)
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if err != nil || resp.StatusCode != want {
						failed.Add(1)
						t.Errorf("%s: status %d, %v; want %d", front, resp.StatusCode, err, want)
						return
					}
					served.Add(1)
				}
			})
		}
	}
	for i := 1; i <= 200 && failed.Load() == 0; i++ {
		before := served.Load()
		b.serve(t, config(i))
		switch i % 4 {
		case 1:
			b.endpoints(one.addr)
		case 3:
			b.endpoints(two.addr, one.addr)
		}
		waitFor(t, "requests after the swap", func() bool { return served.Load() > before+4 || failed.Load() > 0 })
	}
	cancel()
	wait.Wait()
	t.Logf("%d requests, %d failed", served.Load(), failed.Load())
}

// TestDrainUnderLoad ends the process while requests run: after it asked its clients to leave, none of theirs fails.
func TestDrainUnderLoad(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	var wait sync.WaitGroup
	var served atomic.Int64
	for _, front := range []string{"http/1.1", "h2c"} {
		client := b.client(t, front)
		for range 4 {
			wait.Go(func() {
				for {
					resp, err := client.Do(request(t, "POST", "http://app.test/", strings.NewReader("hello")))
					if err != nil {
						t.Errorf("%s: %v", front, err)
						return
					}
					_, err = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
					if err != nil || resp.StatusCode != http.StatusOK {
						t.Errorf("%s: status %d, %v", front, resp.StatusCode, err)
						return
					}
					served.Add(1)
					if resp.Close || resp.ProtoMajor == 2 && b.leaving.Load() {
						return // asked to leave; a load balancer sends the next request elsewhere
					}
				}
			})
		}
	}
	waitFor(t, "load", func() bool { return served.Load() > 200 })
	b.leaving.Store(true)
	b.server.Drain()
	wait.Wait()
	b.stop()
}
