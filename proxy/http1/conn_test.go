package http1_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// pair returns both ends of a TCP connection, the first one as a Conn.
func pair(t *testing.T, wrap func(net.Conn) net.Conn) (*http1.Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		near = wrap(near)
	}
	c := http1.NewConn(near)
	t.Cleanup(func() {
		_ = c.Close()
		_ = far.Close()
	})
	return c, far.(*net.TCPConn)
}

// opaque is a connection that nothing is known of.
type opaque struct{ net.Conn }

// wrapped is a TCP connection with something around it.
type wrapped struct {
	*net.TCPConn
	closed *bool
}

func (w wrapped) TCP() *net.TCPConn { return w.TCPConn }

func (w wrapped) Close() error {
	*w.closed = true
	return w.TCPConn.Close()
}

func kinds(t *testing.T) map[string]func(net.Conn) net.Conn {
	t.Helper()
	return map[string]func(net.Conn) net.Conn{
		"TCP":         nil,
		"wrapped TCP": func(c net.Conn) net.Conn { return wrapped{c.(*net.TCPConn), new(bool)} },
		"any other":   func(c net.Conn) net.Conn { return opaque{c} },
	}
}

// TestReadThere: it does not wait, and reads wait afterwards as they did before.
func TestReadThere(t *testing.T) {
	for name, wrap := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t, wrap)
			buffer := make([]byte, 10)
			if n, err := c.ReadThere(buffer); n != 0 || err != nil {
				t.Errorf("read %d, %v where nothing is", n, err)
			}
			var wait sync.WaitGroup
			wait.Go(func() {
				if n, err := c.Read(buffer); n != 5 || err != nil {
					t.Errorf("read %d, %v; want to have waited", n, err)
				}
			})
			if _, err := io.WriteString(far, "hello"); err != nil {
				t.Fatal(err)
			}
			wait.Wait()
		})
	}
}

func TestConnTransfers(t *testing.T) {
	for name, wrap := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t, wrap)
			if n, err := c.Read(nil); n != 0 || err != nil {
				t.Errorf("read nothing: %d, %v", n, err)
			}
			if n, err := c.Write(nil); n != 0 || err != nil {
				t.Errorf("write nothing: %d, %v", n, err)
			}
			sent := bytes.Repeat([]byte("0123456789abcde\n"), 1<<18) // more than the kernel holds
			var wait sync.WaitGroup
			wait.Go(func() {
				if n, err := c.Write(sent); n != len(sent) || err != nil {
					t.Errorf("written %d, %v", n, err)
				}
			})
			wait.Go(func() {
				got := make([]byte, len(sent))
				if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("what was read differs, %v", err)
				}
			})
			wait.Go(func() {
				if _, err := io.Copy(far, io.LimitReader(far, int64(len(sent)))); err != nil {
					t.Errorf("echo: %v", err)
				}
			})
			wait.Wait()
			if err := far.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, io.EOF) {
					t.Errorf("read %d, %v; want the end", n, err)
				}
			}
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			if _, err := c.Read(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("read once closed: %v", err)
			}
			if _, err := c.Write(make([]byte, 10)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("write once closed: %v", err)
			}
		})
	}
}

// TestAsk: a request is written and its answer read; what is too long for one write is left to Write, and kinds of
// connections that can't are left alone.
func TestAsk(t *testing.T) {
	c, far := pair(t, nil)
	answer := make([]byte, 16)
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 4))
		_, _ = io.WriteString(far, "pong")
	}()
	if sent, n, err := c.Ask([]byte("ping"), answer); sent != 4 || string(answer[:n]) != "pong" || err != nil {
		t.Errorf("sent %d, got %q, %v", sent, answer[:n], err)
	}
	long := make([]byte, 64<<20) // more than the kernel holds
	if sent, n, err := c.Ask(long, answer); sent == 0 || sent == len(long) || n != 0 || err != nil {
		t.Errorf("sent %d of %d, got %d, %v", sent, len(long), n, err)
	}
	if sent, n, err := c.Ask(nil, answer); sent != 0 || n != 0 || err != nil {
		t.Errorf("asked nothing: sent %d, got %d, %v", sent, n, err)
	}
	other, _ := pair(t, func(c net.Conn) net.Conn { return opaque{c} })
	if sent, n, err := other.Ask([]byte("ping"), answer); sent != 0 || n != 0 || err != nil {
		t.Errorf("asked on another kind: sent %d, got %d, %v", sent, n, err)
	}
}

// TestAskTooLate: what was there before anything was asked is returned as what it is, and nothing is sent.
func TestAskTooLate(t *testing.T) {
	for name, c := range map[string]struct {
		before func(far net.Conn) error
		want   string
		err    error
	}{
		"bytes":   {func(far net.Conn) error { _, err := io.WriteString(far, "hello"); return err }, "hello", nil},
		"the end": {func(far net.Conn) error { return far.(*net.TCPConn).CloseWrite() }, "", io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			conn, far := pair(t, nil)
			if err := c.before(far); err != nil {
				t.Fatal(err)
			}
			for conn.Quiet() { // until it has come
				runtime.Gosched()
			}
			answer := make([]byte, 16)
			if sent, n, err := conn.Ask([]byte("ping"), answer); sent != 0 || string(answer[:n]) != c.want || !errors.Is(err, c.err) {
				t.Errorf("sent %d, got %q, %v; want nothing sent, %q, %v", sent, answer[:n], err, c.want, c.err)
			}
			if err := conn.Close(); err != nil {
				t.Fatal(err)
			}
			if got, _ := io.ReadAll(far); len(got) > 0 {
				t.Errorf("the other end got %q", got)
			}
		})
	}
}

// TestWriteWithin: a time-out is armed where the other end takes no more, and gone once all is written.
func TestWriteWithin(t *testing.T) {
	for name, wrap := range map[string]func(net.Conn) net.Conn{"TCP": nil, "another kind": func(c net.Conn) net.Conn { return opaque{c} }} {
		for armed, before := range map[string]time.Duration{"nothing armed": 0, "an hour armed": time.Hour} {
			t.Run(name+"/"+armed, func(t *testing.T) {
				conn, far := pair(t, wrap)
				newSweeper(t).Add(conn)
				conn.ExpireWrite(before)
				if n, err := conn.WriteWithin([]byte("ping"), time.Hour); n != 4 || err != nil {
					t.Errorf("wrote %d, %v", n, err)
				}
				if n, err := conn.WriteWithin(make([]byte, 64<<20), 20*time.Millisecond); n == 64<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("wrote %d, %v to an end that does not read", n, err)
				}
				go func() { _, _ = io.Copy(io.Discard, far) }()
				if n, err := conn.WriteWithin(make([]byte, 64<<20), patience); n != 64<<20 || err != nil {
					t.Errorf("wrote %d, %v to an end that reads again", n, err)
				}
			})
		}
	}
}

// TestAskInVain: an end that has gone, and one that is silent, end the wait.
func TestAskInVain(t *testing.T) {
	gone, far := pair(t, nil)
	if err := far.Close(); err != nil {
		t.Fatal(err)
	}
	if _, n, err := gone.Ask([]byte("ping"), make([]byte, 16)); n != 0 || err == nil {
		t.Errorf("got %d, %v from an end that has gone", n, err)
	}
	silent, _ := pair(t, nil)
	silent.ExpireRead(20 * time.Millisecond)
	if sent, n, err := silent.Ask([]byte("ping"), make([]byte, 16)); sent != 4 || n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("sent %d, got %d, %v from an end that is silent", sent, n, err)
	}
}

func TestConnReset(t *testing.T) {
	c, far := pair(t, nil)
	if err := far.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = far.Close()
	if _, err := c.Read(make([]byte, 10)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Write(make([]byte, 10)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("write: %v", err)
	}
}

func TestConnWraps(t *testing.T) {
	closed := false
	c, far := pair(t, func(c net.Conn) net.Conn { return wrapped{c.(*net.TCPConn), &closed} })
	if tcp, ok := c.TCP(); !ok || tcp != c.NetConn().(wrapped).TCPConn {
		t.Errorf("TCP connection %v, %t", tcp, ok)
	}
	if c.RemoteAddr().String() != far.LocalAddr().String() || c.LocalAddr().String() != far.RemoteAddr().String() {
		t.Errorf("from %s to %s", c.RemoteAddr(), c.LocalAddr())
	}
	if err := c.CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := far.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end", err)
	}
	_ = c.Close()
	if !closed {
		t.Error("what is around the TCP connection was not told of the end")
	}
	c, _ = pair(t, func(c net.Conn) net.Conn { return opaque{c} })
	if _, ok := c.TCP(); ok {
		t.Error("TCP where it can't be known")
	}
	if err := c.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("close one half: %v", err)
	}
}

// TestExpire: a time-out ends reads and writes under way, and those to come, until another one is armed.
func TestExpire(t *testing.T) {
	t.Parallel()
	sweeper := newSweeper(t)
	for name, wrap := range kinds(t) {
		for how, swept := range map[string]bool{"by the sweeper": true, "by net": false} {
			t.Run(name+" "+how, func(t *testing.T) {
				t.Parallel()
				c, far := pair(t, wrap)
				if swept {
					sweeper.Add(c)
				}
				p := make([]byte, 10)
				for range 2 {
					c.Expire(10 * time.Millisecond)
					for range 2 {
						if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
							t.Fatalf("read: %v", err)
						}
					}
					var err error
					for err == nil { // until the kernel holds no more
						_, err = c.Write(make([]byte, 1<<20))
					}
					if !errors.Is(err, os.ErrDeadlineExceeded) {
						t.Fatalf("write: %v", err)
					}
					c.Expire(time.Hour)
					go func() { _, _ = far.Write([]byte("hello")) }()
					if n, err := c.Read(p); n == 0 || err != nil {
						t.Fatalf("armed again: read %d, %v", n, err)
					}
				}
				c.ExpireRead(10 * time.Millisecond)
				c.ExpireRead(0)
				c.ExpireWrite(10 * time.Millisecond)
				go func() {
					<-time.After(400 * time.Millisecond) // longer than what was armed, by the sweeper's clock
					_, _ = far.Write([]byte("hello"))
				}()
				if n, err := c.Read(p); n == 0 || err != nil {
					t.Errorf("disarmed: read %d, %v", n, err)
				}
				if _, err := c.Write(make([]byte, 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("write: %v", err)
				}
				go func() { _, _ = io.Copy(io.Discard, far) }()
				c.Revive()
				if _, err := c.Write(make([]byte, 1<<20)); err != nil {
					t.Errorf("revived: %v", err)
				}
			})
		}
	}
}

// TestExpireIsNotEarly: the clock is coarse, but not at the cost of who keeps to the time.
func TestExpireIsNotEarly(t *testing.T) {
	sweeper := newSweeper(t)
	for range 5 {
		c, _ := pair(t, nil)
		sweeper.Add(c)
		const after = 150 * time.Millisecond
		start := time.Now()
		c.ExpireRead(after)
		_, err := c.Read(make([]byte, 1))
		if took := time.Since(start); !errors.Is(err, os.ErrDeadlineExceeded) || took < after {
			t.Errorf("%v after %v", err, took)
		}
	}
}

// TestExpireMany: no connection is overlooked, however many there are.
func TestExpireMany(t *testing.T) {
	sweeper := newSweeper(t)
	var wait sync.WaitGroup
	for range 1100 {
		c, _ := pair(t, nil)
		sweeper.Add(c)
		c.ExpireRead(time.Millisecond)
		wait.Go(func() {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("read: %v", err)
			}
		})
	}
	wait.Wait()
}

// TestDeadlines: those of net.Conn work beside the Sweeper's.
func TestDeadlines(t *testing.T) {
	c, far := pair(t, nil)
	newSweeper(t).Add(c)
	c.Expire(time.Hour)
	if err := c.SetDeadline(time.Now().Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	if _, err := c.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	c.Revive()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Errorf("write: %v", err)
	}
	if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
		t.Error(err)
	}
}

func TestQuiet(t *testing.T) {
	for name, tt := range map[string]struct {
		wrap func(net.Conn) net.Conn
		far  func(c *http1.Conn, far *net.TCPConn) error
		want bool
	}{
		"open": {nil, func(*http1.Conn, *net.TCPConn) error { return nil }, true},
		"bytes that nobody asked for": {nil, func(_ *http1.Conn, far *net.TCPConn) error {
			_, err := far.Write([]byte("x"))
			return err
		}, false},
		"closed by the other end": {nil, func(_ *http1.Conn, far *net.TCPConn) error { return far.CloseWrite() }, false},
		"closed by this end":      {nil, func(c *http1.Conn, _ *net.TCPConn) error { return c.Close() }, false},
		"where it can't be known": {func(c net.Conn) net.Conn { return opaque{c} }, func(*http1.Conn, *net.TCPConn) error { return nil }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, far := pair(t, tt.wrap)
			if err := tt.far(c, far); err != nil {
				t.Fatal(err)
			}
			// What the other end does shows at once on loopback, but that is not promised.
			for start := time.Now(); c.Quiet() != tt.want && time.Since(start) < patience; {
			}
			if c.Quiet() != tt.want {
				t.Errorf("want quiet %t", tt.want)
			}
			if name == "bytes that nobody asked for" {
				if n, err := c.Read(make([]byte, 2)); n != 1 || err != nil {
					t.Errorf("read %d, %v; want what is there", n, err)
				}
			}
		})
	}
}

// TestWatch: who waits for the peer is woken when the watched one's other end goes, and can use the peer afterwards.
func TestWatch(t *testing.T) {
	t.Parallel()
	sweeper := newSweeper(t)
	for name, leave := range map[string]func(*net.TCPConn) error{
		"closes":     (*net.TCPConn).Close,
		"half":       (*net.TCPConn).CloseWrite,
		"with reset": func(c *net.TCPConn) error { return errors.Join(c.SetLinger(0), c.Close()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, far := pair(t, nil)
			peer, upstream := pair(t, nil)
			sweeper.Add(client)
			sweeper.Add(peer)
			client.Watch(peer)
			if err := leave(far); err != nil {
				t.Fatal(err)
			}
			if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, http1.ErrPeerGone) {
				t.Errorf("read: %v", err)
			}
			if _, err := peer.Write(make([]byte, 1)); !errors.Is(err, http1.ErrPeerGone) {
				t.Errorf("write: %v", err)
			}
			client.Unwatch()
			if _, err := peer.Write([]byte("hello")); err != nil {
				t.Errorf("write: %v", err)
			}
			if _, err := io.Copy(upstream, io.LimitReader(upstream, 5)); err != nil {
				t.Error(err)
			}
			if n, err := io.ReadFull(peer, make([]byte, 5)); err != nil {
				t.Errorf("read: %d, %v", n, err)
			}
		})
	}
}

// TestUnwatch: a peer that is not watched any more stays as it is.
func TestUnwatch(t *testing.T) {
	client, far := pair(t, nil)
	peer, _ := pair(t, nil)
	sweeper := newSweeper(t)
	sweeper.Add(client)
	sweeper.Add(peer)
	for range 1000 {
		client.Watch(peer)
		client.Unwatch()
	}
	_ = far.Close()
	peer.ExpireRead(1500 * time.Millisecond) // the sweeper has looked then
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// TestSweeper: connections come and go in any order, from many goroutines.
func TestSweeper(t *testing.T) {
	sweeper := newSweeper(t)
	if sweeper.Now() > time.Second || !dates.MatchString("Date: "+sweeper.Date()+"\r\n") {
		t.Errorf("time %v, date %s", sweeper.Now(), sweeper.Date())
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			var conns []*http1.Conn
			for i := range 100 {
				near, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Error(err)
					break
				}
				c := http1.NewConn(near)
				sweeper.Add(c)
				c.Expire(time.Duration(i%3) * time.Millisecond)
				conns = append(conns, c)
				if i%2 == 1 {
					one := conns[i/3%len(conns)]
					_ = one.Close()
					sweeper.Remove(one)
				}
			}
			for _, c := range conns {
				_ = c.Close()
			}
		})
	}
	wait.Wait()
	for before := sweeper.Now(); sweeper.Now() == before; {
		<-time.After(time.Millisecond)
	}
}

// TestInterruptIsFinal: no deadline that a handler sets afterwards brings the connection back.
func TestInterruptIsFinal(t *testing.T) {
	for name, sweeper := range map[string]func(*http1.Conn){"with a sweeper": newSweeper(t).Add, "without": func(*http1.Conn) {}} {
		t.Run(name, func(t *testing.T) {
			for way, revive := range map[string]func(*http1.Conn) error{
				"a deadline": func(c *http1.Conn) error { return c.SetDeadline(time.Now().Add(patience)) },
				"none":       func(c *http1.Conn) error { return c.SetDeadline(time.Time{}) },
				"a time-out": func(c *http1.Conn) error { c.Expire(patience); return nil },
				"revival":    func(c *http1.Conn) error { c.Revive(); return nil },
			} {
				c, far := pair(t, nil)
				sweeper(c)
				c.Interrupt()
				if err := revive(c); err != nil {
					t.Fatal(err)
				}
				if _, err := io.WriteString(far, "pong"); err != nil {
					t.Fatal(err)
				}
				if n, err := c.WriteWithin([]byte("ping"), patience); n != 0 || !errors.Is(err, http1.ErrPeerGone) {
					t.Errorf("%s: wrote %d, %v", way, n, err)
				}
				if n, err := c.Read(make([]byte, 4)); n != 0 || !errors.Is(err, http1.ErrPeerGone) {
					t.Errorf("%s: read %d, %v", way, n, err)
				}
			}
		})
	}
}
