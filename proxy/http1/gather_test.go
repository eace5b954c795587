package http1

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// TestGatherKeepsErrors: an upstream that has reset the connection has not ended its body, and the system tells so once.
func TestGatherKeepsErrors(t *testing.T) {
	if !ownTransfers {
		t.Skip("nothing is gathered here")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	relay := Relay{up: NewConn(near), buf: make([]byte, relayBuffer)}
	if _, err := far.Write(make([]byte, 2*relayBuffer)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(far.(*net.TCPConn).SetLinger(0), far.Close()); err != nil {
		t.Fatal(err)
	}
	if err := relay.read(); err != nil || relay.w != relayBuffer {
		t.Errorf("read %d, %v", relay.w, err)
	}
	if !relay.gather() || relay.w != relayBuffer {
		t.Errorf("gathered %d", relay.w)
	}
	if relay.gather() {
		t.Error("gathered more than there was")
	}
	if err := relay.read(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("read: %v", err)
	}
}
