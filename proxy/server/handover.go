package server

import (
	"net"
	"sync"
)

// handover is the listener of an http.Server whose connections come from another engine.
type handover struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newHandover(addr net.Addr) *handover {
	h := &handover{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.closed) })
	return h
}

// put hands a connection over. It is closed where nobody takes it any more.
func (h *handover) put(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.closed:
		_ = conn.Close() // there is nobody to tell
	}
}

// Accept waits for a connection.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (h *handover) Close() error {
	h.close()
	return nil
}

// Addr is the address of the listener that the connections came in on.
func (h *handover) Addr() net.Addr { return h.addr }
