package http1

import (
	"errors"
	"net"
	"testing"
)

// TestWatchForOneThatHasGone: who watches too late is told at once, since nobody looks for its client again.
func TestWatchForOneThatHasGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var conns [2]*Conn
	for i := range conns {
		nc, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = NewConn(nc)
		t.Cleanup(func() { _ = conns[i].Close() })
	}
	client, peer := conns[0], conns[1]
	client.lost(absent)
	client.Watch(peer)
	if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, ErrPeerGone) {
		t.Errorf("read: %v, want %v", err, ErrPeerGone)
	}
	client.Unwatch()
}
