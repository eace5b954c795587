package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// raw is a backend that does with each connection what the script says, and closes it then. It returns its address and
// the number of connections it got.
func raw(t testing.TB, script func(conn net.Conn, r *bufio.Reader)) (netip.AddrPort, *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	connections := &atomic.Int32{}
	var wait sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wait.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			wait.Go(func() {
				defer stop()
				defer conn.Close()
				script(conn, bufio.NewReader(conn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		cancel()
		wait.Wait()
	})
	return netip.MustParseAddrPort(l.Addr().String()), connections
}

// readHead reads a head and returns its first line.
func readHead(r *bufio.Reader) (string, error) {
	first := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return first, err
		}
		if first == "" {
			first = strings.TrimSuffix(line, "\r\n")
		}
	}
}

// answers is a backend that answers every request on a connection with that text.
func answers(text string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, r *bufio.Reader) {
		for {
			if _, err := readHead(r); err != nil {
				return
			}
			if _, err := io.WriteString(conn, text); err != nil {
				return
			}
		}
	}
}

const okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// using is an upstream of one Service with these endpoints.
func using(t testing.TB, opts Options, edit func(*routing.Upstream), addrs ...netip.AddrPort) (*Registry, *Upstream) {
	t.Helper()
	opts.Loopback = LoopbackAllow
	r := NewRegistry(opts)
	t.Cleanup(r.Close)
	cfg := service(1)
	if edit != nil {
		edit(&cfg)
	}
	r.Apply([]routing.Upstream{cfg})
	r.SetEndpoints(key("svc0"), ports(addrs...))
	u, ok := r.Lookup(key("orders"))
	if !ok {
		t.Fatal("no upstream")
	}
	return r, u
}

// exchangeOn sends a request on a borrowed connection and reads a response of that length.
func exchangeOn(t testing.TB, conn *Conn, length int) {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, length)); err != nil {
		t.Fatal(err)
	}
}

func connect(t testing.TB, u *Upstream, a *Attempt) *Conn {
	t.Helper()
	conn, err := u.Connect(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// inflight is how many requests the upstream's endpoints and transports count.
func inflight(u *Upstream) (n int64) {
	for i := range u.targets {
		n += u.targets[i].transport.inflight.Load()
		for _, e := range u.targets[i].pool.list() {
			n += e.inflight.Load()
		}
	}
	return n
}

// TestConnectAllocatesNothing where a connection is idle.
func TestConnectAllocatesNothing(t *testing.T) {
	addr, connections := raw(t, answers(okay))
	_, u := using(t, Options{}, nil, addr)
	if !u.Direct() {
		t.Fatal("HTTP/1.1 in clear text is not direct")
	}
	a, endpoint := &Attempt{Hint: 3}, addr.String()
	exchangeOn(t, connect(t, u, a), len(okay))
	a.conn.Release()
	for name, lend := range map[string]func() *Conn{
		"Connect": func() *Conn {
			conn, err := u.Connect(t.Context(), a)
			if err != nil {
				t.Error(err)
			}
			return conn
		},
		"Idle": func() *Conn { return u.Idle(a) },
	} {
		allocations := testing.AllocsPerRun(1000, func() {
			a.Reset()
			conn := lend()
			if conn == nil || !conn.Reused() || conn.Endpoint() != endpoint || conn.Host() != "svc0.shop.svc" || conn.Prefix() != "" {
				t.Error("not the idle connection")
				return
			}
			conn.Release()
		})
		if allocations != 0 {
			t.Errorf("%s: %v allocations, want none", name, allocations)
		}
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if n := inflight(u); n != 0 {
		t.Errorf("%d requests in flight, want none", n)
	}
}

// TestLoanEndsOnce: a connection is given back, or closed, once, however often it is said, and is out of reach then.
func TestLoanEndsOnce(t *testing.T) {
	addr, _ := raw(t, answers(okay))
	_, u := using(t, Options{}, nil, addr)
	for name, end := range map[string]func(*Conn){
		"released": func(c *Conn) { c.Release() },
		"closed":   func(c *Conn) { c.Discard() },
	} {
		t.Run(name, func(t *testing.T) {
			var one, two Attempt
			first := connect(t, u, &one)
			exchangeOn(t, first, len(okay))
			if n := inflight(u); n != 2 { // of the endpoint, and of the transport
				t.Errorf("counted %d in flight, want 2", n)
			}
			end(first)
			second := connect(t, u, &two)
			first.Release()
			first.Discard()
			one.Reset()
			if first.Conn != nil {
				t.Error("the connection is still within reach")
			}
			if n := inflight(u); n != 2 {
				t.Errorf("counted %d in flight, want 2", n)
			}
			exchangeOn(t, second, len(okay))
			second.Release()
			if n := inflight(u); n != 0 {
				t.Errorf("counted %d in flight, want 0", n)
			}
		})
	}
}

// TestDisturbedIdleConnections is R04: what came, or ended, while nobody asked for anything is not used.
func TestDisturbedIdleConnections(t *testing.T) {
	for name, disturb := range map[string]func(net.Conn){
		"a response that nobody asked for": func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison") },
		"a single byte":                    func(c net.Conn) { _, _ = io.WriteString(c, "H") },
		"the end":                          func(c net.Conn) { _ = c.Close() },
		"half of the end":                  func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite() },
		"a reset": func(c net.Conn) {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			disturbNow, disturbed := make(chan struct{}), make(chan struct{})
			var first sync.Once
			addr, connections := raw(t, func(conn net.Conn, r *bufio.Reader) {
				answered := false
				first.Do(func() {
					if _, err := readHead(r); err == nil {
						_, _ = io.WriteString(conn, okay)
					}
					<-disturbNow
					disturb(conn)
					close(disturbed)
					answered = true
				})
				if !answered {
					answers(okay)(conn, r)
				} else {
					_, _ = io.Copy(io.Discard, r)
				}
			})
			r, u := using(t, Options{}, nil, addr)
			var a Attempt
			conn := connect(t, u, &a)
			exchangeOn(t, conn, len(okay))
			bare := conn.Conn
			conn.Release()
			close(disturbNow)
			<-disturbed
			waitFor(t, func() bool { return !bare.Quiet() })
			a.Reset()
			conn = connect(t, u, &a)
			exchangeOn(t, conn, len(okay))
			if conn.Reused() || connections.Load() != 2 {
				t.Error("the disturbed connection was lent")
			}
			conn.Release()
			if open := r.open(); open != 1 {
				t.Errorf("%d connections open, want 1", open)
			}
		})
	}
}

// open is how many connections there are.
func (r *Registry) open() int {
	r.conns.mu.Lock()
	defer r.conns.mu.Unlock()
	return r.conns.open
}

// waitFor waits until a condition holds that other goroutines or the kernel bring about.
func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited in vain")
		}
	}
}

// TestReaper closes what nobody asks for: connections that the other end has closed, and those that were idle too long.
func TestReaper(t *testing.T) {
	for name, c := range map[string]struct {
		idle   time.Duration
		script func(net.Conn, *bufio.Reader)
	}{
		"closed by the backend": {time.Hour, func(conn net.Conn, r *bufio.Reader) {
			if _, err := readHead(r); err == nil {
				_, _ = io.WriteString(conn, okay)
			}
		}},
		"idle for too long": {50 * time.Millisecond, answers(okay)},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := raw(t, c.script)
			r, u := using(t, Options{}, func(cfg *routing.Upstream) { cfg.IdleTimeout = c.idle }, addr)
			r.conns.reaper.period = 5 * time.Millisecond
			for range 2 { // it begins anew
				var a Attempt
				conn := connect(t, u, &a)
				exchangeOn(t, conn, len(okay))
				conn.Release()
				waitFor(t, func() bool { return r.open() == 0 && !r.conns.reaper.running.Load() })
			}
		})
	}
}

// TestIdleConnectionsAreBounded, and the last one used is used first.
func TestIdleConnectionsAreBounded(t *testing.T) {
	addr, _ := raw(t, answers(okay))
	r, u := using(t, Options{}, nil, addr)
	attempts := make([]Attempt, maxIdlePerEndpoint+20)
	for i := range attempts {
		attempts[i].Hint = i
		connect(t, u, &attempts[i])
	}
	if open := r.open(); open != len(attempts) {
		t.Fatalf("%d open, want %d", open, len(attempts))
	}
	for i := range attempts {
		attempts[i].conn.Release()
	}
	if open := r.open(); open != maxIdlePerEndpoint {
		t.Errorf("%d idle, want %d", open, maxIdlePerEndpoint)
	}
	var a Attempt
	bare := connect(t, u, &a).Conn
	a.conn.Release()
	for range 3 {
		a.Reset()
		if conn := connect(t, u, &a); conn.Conn != bare {
			t.Error("not the connection that was used last")
		}
		a.conn.Release()
	}
}

// TestAllShardsAreSearched: whatever the hints, an idle connection is found.
func TestAllShardsAreSearched(t *testing.T) {
	addr, connections := raw(t, answers(okay))
	_, u := using(t, Options{}, nil, addr)
	for hint := range 64 {
		a := Attempt{Hint: hint}
		conn := connect(t, u, &a)
		exchangeOn(t, conn, len(okay))
		conn.Release()
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// TestConnectionsEnd with the settings, and with the endpoint, that they are for.
func TestConnectionsEnd(t *testing.T) {
	for name, change := range map[string]func(*Registry, netip.AddrPort){
		"the upstream is no more": func(r *Registry, _ netip.AddrPort) { r.Apply(nil) },
		"its settings change": func(r *Registry, _ netip.AddrPort) {
			changed := service(1)
			changed.RequestTimeout++
			r.Apply([]routing.Upstream{changed})
		},
		"the endpoint is no more": func(r *Registry, _ netip.AddrPort) { r.SetEndpoints(key("svc0"), nil) },
		"the registry is closed":  func(r *Registry, _ netip.AddrPort) { r.Close() },
		"the endpoint comes again": func(r *Registry, a netip.AddrPort) {
			r.SetEndpoints(key("svc0"), nil)
			r.SetEndpoints(key("svc0"), ports(a))
		},
	} {
		t.Run(name, func(t *testing.T) {
			addr, _ := raw(t, answers(okay))
			r, u := using(t, Options{}, nil, addr)
			var idle, used Attempt
			connect(t, u, &idle)
			connect(t, u, &used)
			idle.conn.Release()
			change(r, addr)
			if open := r.open(); open != 1 {
				t.Errorf("%d open, want the one in use", open)
			}
			exchangeOn(t, &used.conn, len(okay)) // as if nothing had happened
			used.conn.Release()
			if open := r.open(); open != 0 {
				t.Errorf("%d open, want none", open)
			}
			if n := inflight(u); n != 0 {
				t.Errorf("counted %d in flight, want none", n)
			}
		})
	}
}

// TestAgain is R19's way: after a reused connection has ended, another endpoint is taken, on a new connection; where there
// is no other, the same.
func TestAgain(t *testing.T) {
	one, _ := raw(t, answers(okay))
	two, _ := raw(t, answers(okay))
	refused := refusingAddress(t)
	for name, c := range map[string]struct {
		addrs []netip.AddrPort
		want  func(first, second string) bool
	}{
		"another endpoint":                      {[]netip.AddrPort{one, two}, func(first, second string) bool { return first != second }},
		"no other endpoint":                     {[]netip.AddrPort{one}, func(first, second string) bool { return first == second }},
		"another that can't be connected to":    {[]netip.AddrPort{one, refused}, func(_, second string) bool { return second == one.String() }},
		"two others that can't be connected to": {[]netip.AddrPort{one, refused, refusingAddress(t)}, func(_, second string) bool { return second == one.String() }},
	} {
		t.Run(name, func(t *testing.T) {
			_, u := using(t, Options{}, nil, c.addrs...)
			var a Attempt
			connect(t, u, &a).Release()
			a.Reset()
			conn := connect(t, u, &a)
			first := conn.Endpoint()
			conn, err := u.Again(t.Context(), &a)
			if err != nil {
				t.Fatal(err)
			}
			if conn.Reused() || !c.want(first, conn.Endpoint()) || a.Endpoint() != conn.Endpoint() {
				t.Errorf("first %s, then %s, reused: %t", first, conn.Endpoint(), conn.Reused())
			}
			if _, err := u.Again(t.Context(), &a); err == nil {
				t.Error("tried a third time")
			}
			if n := inflight(u); n != 0 {
				t.Errorf("counted %d in flight, want none", n)
			}
		})
	}
}

// TestRenew: in place of a connection that was not idle any more, others are lent, and the endpoint counts as not tried.
func TestRenew(t *testing.T) {
	addr, connections := raw(t, answers(okay))
	r, u := using(t, Options{}, nil, addr)
	var first, second Attempt
	a, b := connect(t, u, &first), connect(t, u, &second)
	second.Hint = first.Hint
	idle := a.Conn
	a.Release()
	b.hint = first.Hint
	b.Release() // is lent first
	var attempt Attempt
	attempt.Hint = first.Hint
	stale := u.Idle(&attempt)
	if stale == nil || stale.Conn == idle {
		t.Fatal("the connection that was used last is not lent first")
	}
	conn, err := u.Renew(t.Context(), &attempt)
	if err != nil || conn.Conn != idle || !conn.Reused() {
		t.Errorf("lent %v, reused %t, %v; want the other one that is idle", conn, conn != nil && conn.Reused(), err)
	}
	conn, err = u.Renew(t.Context(), &attempt)
	if err != nil || conn.Reused() {
		t.Errorf("reused %t, %v; want a third one", conn != nil && conn.Reused(), err)
	}
	exchangeOn(t, conn, len(okay))
	if n := connections.Load(); n != 3 { // which the backend counts once it accepts
		t.Errorf("%d connections, want 3", n)
	}
	conn.Release()
	if n, open := inflight(u), r.open(); n != 0 || open != 1 {
		t.Errorf("%d in flight, %d connections open; want none, and 1", n, open)
	}
}

// refusingAddress is one that nobody listens on.
func refusingAddress(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// TestConnectFailures: who can't be connected to, and why.
func TestConnectFailures(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		addrs []netip.AddrPort
		opts  LoopbackPolicy
		want  refusal.Reason
		is    error
	}{
		"no endpoints":         {t.Context(), nil, LoopbackAllow, refusal.NoEndpoints, ErrNoEndpoints},
		"refused":              {t.Context(), []netip.AddrPort{refusingAddress(t)}, LoopbackAllow, refusal.UpstreamConnect, nil},
		"an address forbidden": {t.Context(), []netip.AddrPort{netip.MustParseAddrPort("169.254.169.254:80")}, LoopbackAllow, refusal.UpstreamConnect, ErrAddressRefused},
		"the client has gone":  {gone, []netip.AddrPort{refusingAddress(t)}, LoopbackAllow, refusal.RequestMalformed, ErrClientGone},
	} {
		t.Run(name, func(t *testing.T) {
			_, u := using(t, Options{}, nil, c.addrs...)
			var a Attempt
			_, err := u.Connect(c.ctx, &a)
			wantReason(t, err, c.want)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %v", err, c.is)
			}
			if len(c.addrs) > 0 && a.Endpoint() != c.addrs[0].String() {
				t.Errorf("endpoint %q", a.Endpoint())
			}
		})
	}
}

// TestConnectRace borrows from many goroutines while endpoints and settings change; nothing is lost or lent twice.
func TestConnectRace(t *testing.T) {
	one, _ := raw(t, answers(okay))
	two, _ := raw(t, answers(okay))
	r, u := using(t, Options{}, nil, one, two)
	r.conns.reaper.period = time.Millisecond
	var lent sync.Map
	var wait sync.WaitGroup
	stop := make(chan struct{})
	wait.Go(func() {
		ticker := time.NewTicker(500 * time.Microsecond)
		defer ticker.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
			cfg := service(1)
			cfg.RequestTimeout += time.Duration(i % 3)
			r.Apply([]routing.Upstream{cfg})
			r.SetEndpoints(key("svc0"), ports([]netip.AddrPort{one, two}[:1+i%2]...))
		}
	})
	var users sync.WaitGroup
	for worker := range 8 {
		users.Go(func() {
			a := Attempt{Hint: worker}
			for i := range 300 {
				a.Reset()
				u := u
				if i%2 == 0 {
					if now, ok := r.Lookup(key("orders")); ok {
						u = now
					}
				}
				conn, err := u.Connect(context.Background(), &a)
				if err != nil {
					t.Errorf("connect: %v", err)
					return
				}
				bare := conn.Conn
				if _, twice := lent.LoadOrStore(bare, worker); twice {
					t.Error("a connection was lent twice")
				}
				if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
					t.Errorf("write: %v", err)
				}
				if _, err := io.ReadFull(conn, make([]byte, len(okay))); err != nil {
					t.Errorf("read: %v", err)
				}
				lent.Delete(bare)
				if i%7 == 0 {
					conn.Discard()
				} else {
					conn.Release()
				}
			}
		})
	}
	users.Wait()
	close(stop)
	wait.Wait()
	r.Close()
	if open, n := r.open(), inflight(u); open != 0 || n != 0 {
		t.Errorf("%d connections open, %d requests in flight, want none", open, n)
	}
}

func BenchmarkConnect(b *testing.B) {
	addr, _ := raw(b, answers(okay))
	_, u := using(b, Options{}, nil, addr)
	for _, workers := range []int{1, 8} {
		b.Run(fmt.Sprintf("goroutines=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(workers)
			var hints atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				a := Attempt{Hint: int(hints.Add(1))}
				for pb.Next() {
					a.Reset()
					conn, err := u.Connect(context.Background(), &a)
					if err != nil {
						b.Error(err)
						return
					}
					conn.Release()
				}
			})
		})
	}
}
