//go:build linux && !race

package http1_test

import (
	"net"
	"net/netip"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ostiary/ostiary/proxy/http1"
)

// unpoisoned is serve, but nothing is overwritten: that would hide what the work costs.
func unpoisoned(t testing.TB, h handler) string {
	t.Helper()
	b := &bed{}
	b.sweeper = newSweeper(t)
	b.Server = http1.NewServer(http1.ServerOptions{Handler: h, Sweeper: b.sweeper})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.Serve(l)
	}()
	t.Cleanup(func() {
		if err := b.Shutdown(t.Context()); err == nil {
			<-done
		}
	})
	return l.Addr().String()
}

// rounds sends the request so many times and reads as many bytes as each response has.
func rounds(t testing.TB, conn net.Conn, request []byte, buffer []byte, n int) {
	t.Helper()
	for range n {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(buffer); {
			k, err := conn.Read(buffer[got:])
			if err != nil {
				t.Fatal(err)
			}
			got += k
		}
	}
}

// allocatesNothing counts the allocations of n rounds, once others have filled the pools.
func allocatesNothing(t testing.TB, conn net.Conn, request, buffer []byte, n int) {
	t.Helper()
	rounds(t, conn, request, buffer, 100)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would empty the pools
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rounds(t, conn, request, buffer, n)
	runtime.ReadMemStats(&after)
	// The clock of the sweeper writes a new date each second, and the runtime has its own affairs.
	if got := after.Mallocs - before.Mallocs; got > uint64(n/50) {
		t.Errorf("%d allocations in %d requests", got, n)
	}
}

// TestExchangesAllocateNothing: a request that is answered by Respond costs no allocation, nor does its body, nor what is asked of
// the exchange on the way.
func TestExchangesAllocateNothing(t *testing.T) {
	fields := []http1.Field{{Name: "Content-Type", Value: "text/plain"}}
	body := make([]byte, 64<<10)
	address := unpoisoned(t, handler{serve: func(x *http1.Exchange) {
		_ = x.RemoteAddr()
		for !x.BodyDone() {
			if _, err := x.ReadBody(body); err != nil {
				break
			}
		}
		_ = x.Respond(200, fields, "hello")
	}})
	size := len("HTTP/1.1 200 OK\r\n" + date + "Content-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello")
	for name, request := range map[string]string{
		"GET":            "GET /orders/1 HTTP/1.1\r\nHost: app.test\r\nAccept: */*\r\nUser-Agent: test\r\n\r\n",
		"POST":           "POST /orders HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\nhello",
		"POST in chunks": chunked + "5\r\nhello\r\n0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			buffer := make([]byte, size)
			allocatesNothing(t, conn, []byte(request), buffer, 2000)
		})
	}
}

// TestRelayedBodiesAllocateNothing, whether they are copied or spliced.
func TestRelayedBodiesAllocateNothing(t *testing.T) {
	for name, size := range map[string]int{"in one piece": 1000, "with a rest": 20000, "spliced": 64 << 10, "spliced in pieces": 300000} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			response := []byte("HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: " + itoa(size) + "\r\n\r\n" + strings.Repeat("x", size))
			go func() {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				for buffer := make([]byte, 4096); ; { // until the other end closes
					if _, err := conn.Read(buffer); err != nil {
						return
					}
					if _, err := conn.Write(response); err != nil {
						return
					}
				}
			}()
			b, _ := keptBed(t, patient, l, func(*http1.Server) {})
			conn, err := net.Dial("tcp", b.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			buffer := make([]byte, len(response))
			allocatesNothing(t, conn, []byte(hello), buffer, 1000)
		})
	}
}

// TestIdleMemory measures what a kept connection costs while it waits. The other ends are bare sockets, which are not
// in the figures.
func TestIdleMemory(t *testing.T) {
	const connections = 1000
	const most = 6 << 10
	addr, err := netip.ParseAddrPort(unpoisoned(t, echo()))
	if err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	want := len(ok("GET /"))
	fds := make([]int, 0, connections)
	defer func() {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}()
	before := memory()
	for range connections {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		fds = append(fds, fd)
		if err := unix.Connect(fd, to); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := unix.Write(fd, []byte(hello)); err != nil {
				t.Fatal(err)
			}
			for buffer := make([]byte, want); len(buffer) > 0; {
				n, err := unix.Read(fd, buffer)
				if n <= 0 || err != nil {
					t.Fatal(n, err)
				}
				buffer = buffer[n:]
			}
		}
	}
	each := (memory() - before) / connections
	t.Logf("%d bytes for a connection that waits", each)
	if each > most {
		t.Errorf("%d bytes for a connection that waits, want at most %d", each, most)
	}
}

// memory is what heap and stacks take once everything has settled.
func memory() int64 {
	for range 4 { // stacks shrink by half in a collection, pools empty in two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// BenchmarkRespond measures a request through a socket, the client's part included.
func BenchmarkRespond(b *testing.B) {
	address := unpoisoned(b, echo())
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.ReportAllocs()
	rounds(b, conn, []byte(hello), make([]byte, len(ok("GET /"))), b.N)
}
