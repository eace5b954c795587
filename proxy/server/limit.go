package server

import (
	"net"
	"sync"
)

// limitedListener takes at most so many connections at the same time; more wait in the kernel's queue. Other than
// netutil.LimitListener its connections are still TCP connections, of which one direction can be closed.
type limitedListener struct {
	*net.TCPListener
	slots  chan struct{}
	closed chan struct{}
	close  func() error
}

func limit(listener *net.TCPListener, most int) *limitedListener {
	l := &limitedListener{TCPListener: listener, slots: make(chan struct{}, most), closed: make(chan struct{})}
	l.close = sync.OnceValue(func() error {
		close(l.closed)
		return listener.Close()
	})
	return l
}

// Accept waits for a connection, and for room for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptTCP()
	if err != nil {
		<-l.slots
		return nil, err // as it is: net/http looks at its type to tell whether to try again
	}
	return &limitedConn{TCPConn: conn, leave: sync.OnceFunc(func() { <-l.slots })}, nil
}

// Close closes the listener and ends Accept.
func (l *limitedListener) Close() error { return l.close() }

// limitedConn gives its slot back when it is closed.
type limitedConn struct {
	*net.TCPConn
	leave func()
}

// TCP is the connection, for whoever reads and writes it by other means.
func (c *limitedConn) TCP() *net.TCPConn { return c.TCPConn }

// Close closes the connection.
func (c *limitedConn) Close() error {
	defer c.leave()
	return c.TCPConn.Close()
}
