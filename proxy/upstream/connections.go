package upstream

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// ticketPatience is how long a TLS connection on which something came is given to show that it was nothing that matters.
const ticketPatience = time.Millisecond

// connections are all that HTTP/1.1 is spoken on. They share the goroutine that ends what takes too long, which is there
// from the first connection until the registry is closed and the last one is.
type connections struct {
	sweeper atomic.Pointer[http1.Sweeper]
	reaper  reaper
	in      inboxes
	out     sendBuffers

	mu     sync.Mutex
	open   int
	closed bool
}

// add takes a new connection in.
func (c *connections) add(nc net.Conn) *http1.Conn {
	conn := http1.NewConn(nc)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open++
	sweeper := c.sweeper.Load()
	if sweeper == nil {
		sweeper = http1.NewSweeper()
		c.sweeper.Store(sweeper)
	}
	sweeper.Add(conn)
	return conn
}

// close closes a connection that was added. It is called once for each.
func (c *connections) close(conn *http1.Conn) {
	_ = conn.Close() // the other end may have been faster
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.end()
}

// shutdown lets go of the goroutines, as soon as the last connection is closed.
func (c *connections) shutdown() {
	c.reaper.close()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.end()
}

// end closes the sweeper when nobody needs it any more. The caller holds mu.
func (c *connections) end() {
	if sweeper := c.sweeper.Load(); c.closed && c.open == 0 && sweeper != nil {
		c.sweeper.Store(nil)
		sweeper.Close()
	}
}

// now is a coarse clock that runs while there are connections.
func (c *connections) now() time.Duration {
	if sweeper := c.sweeper.Load(); sweeper != nil {
		return sweeper.Now()
	}
	return 0
}

// drained reports whether nothing is left of what was read from the connection, as there is behind a response that was
// longer than it said. Over TCP all that was read was looked at; TLS reads by the record.
func drained(conn *http1.Conn) bool {
	if _, ok := conn.NetConn().(*tls.Conn); !ok {
		return true
	}
	return silent(conn, time.Unix(1, 0))
}

// quiet reports whether nothing has come on an idle connection. On TLS there may be messages of TLS itself, such as
// tickets that arrive after the handshake.
func quiet(conn *http1.Conn) bool {
	if conn.Quiet() {
		return true
	}
	if _, ok := conn.NetConn().(*tls.Conn); !ok {
		return false
	}
	return silent(conn, time.Now().Add(ticketPatience)) && conn.Quiet()
}

// silent reads until then, and reports whether there was nothing.
func silent(conn *http1.Conn, until time.Time) bool {
	if err := conn.SetReadDeadline(until); err != nil {
		return false
	}
	var one [1]byte
	n, err := conn.Read(one[:])
	return n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && conn.SetReadDeadline(time.Time{}) == nil
}
