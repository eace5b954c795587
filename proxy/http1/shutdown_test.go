package http1_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

func shutdown(t *testing.T, b *bed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

// TestDrain: responses ask the client to leave, and the listener stays open.
func TestDrain(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, echo())
	c := b.dial(t)
	c.send(hello)
	c.expect(ok("GET /"))
	b.Drain()
	c.silent()
	c.send(hello)
	c.expect(ok("GET /", closes))
	c.end()
	c = b.dial(t)
	c.send(hello)
	c.expect(ok("GET /", closes))
	c.end()
}

// TestShutdownIdle: connections that wait for a request are closed at once, new ones among them.
func TestShutdownIdle(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, echo())
	used, fresh := b.dial(t), b.dial(t)
	used.send(hello)
	used.expect(ok("GET /"))
	shutdown(t, b)
	used.end()
	if rest, err := io.ReadAll(fresh.r); len(rest) > 0 {
		t.Errorf("received %q, %v", rest, err)
	}
	if conn, err := net.Dial("tcp", b.address); err == nil {
		_ = conn.Close()
		t.Error("the listener is open")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		t.Errorf("serve: %v", err)
	}
}

// TestShutdownWaits: a request in flight is answered, the one behind it is not.
func TestShutdownWaits(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		close(entered)
		<-leave
		_ = x.Respond(200, nil, "")
	}})
	c := b.dial(t)
	c.send(hello + hello)
	<-entered
	done := make(chan struct{})
	go func() {
		defer close(done)
		shutdown(t, b)
	}()
	for { // until the listener is closed
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case <-done:
		t.Fatal("the request was not waited for")
	default:
	}
	close(leave)
	<-done
	c.expect(ok("", closes))
	c.end()
}

// TestShutdownCuts: what does not end is cut, and its context ends.
func TestShutdownCuts(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		close(entered)
		<-x.Context().Done()
		close(left)
	}})
	c := b.dial(t)
	c.send(hello)
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline's", err)
	}
	<-left
	c.cut()
}

// TestShutdownCutsReaders: cutting wakes who reads a body.
func TestShutdownCutsReaders(t *testing.T) {
	entered, left := make(chan struct{}), make(chan error, 1)
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		close(entered)
		_, err := io.ReadAll(bodyOf(x))
		left <- err
	}})
	c := b.dial(t)
	c.send(counted + "5\r\n\r\n")
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if err := <-left; !errors.Is(err, net.ErrClosed) && !errors.Is(err, http1.ErrPeerGone) {
		t.Errorf("read: %v, want that the connection is of no use any more", err)
	}
}

// TestClientGone: the context of a request ends when its client goes, whether it has read the response or not.
func TestClientGone(t *testing.T) {
	entered, cause := make(chan struct{}), make(chan error, 1)
	wait := func(x *http1.Exchange) {
		ctx := x.Context()
		if ctx != x.Context() {
			t.Error("a context of its own for each call")
		}
		entered <- struct{}{}
		<-ctx.Done()
		cause <- context.Cause(ctx)
	}
	t.Run("before the answer", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, handler{serve: wait})
		c := b.dial(t)
		c.send(hello)
		<-entered
		_ = c.Close()
		if err := <-cause; !errors.Is(err, http1.ErrClientGone) {
			t.Errorf("cause %v", err)
		}
	})
	t.Run("not while there is a body to read", func(t *testing.T) {
		b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			ctx := x.Context()
			peer, far := pair(t, nil)
			x.Conn().Watch(peer)
			entered <- struct{}{}
			time.AfterFunc(2500*time.Millisecond, func() { _, _ = far.Write([]byte("x")) }) // two looks
			if _, err := peer.Read(make([]byte, 1)); err != nil || ctx.Err() != nil {
				t.Errorf("read: %v; ended by %v", err, context.Cause(ctx))
			}
			body, err := io.ReadAll(bodyOf(x))
			if err != nil {
				t.Errorf("read: %v", err)
			}
			if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, http1.ErrPeerGone) {
				t.Errorf("read: %v, want that the client has gone", err)
			}
			_ = x.Respond(200, nil, string(body))
		}})
		c := b.dial(t)
		c.send(counted + "5\r\n\r\n")
		<-entered
		c.send("hello")
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		c.expect("HTTP/1.1 200 OK\r\n")
		_ = c.Close()
	})
	t.Run("when it is answered", func(t *testing.T) {
		ctx := make(chan context.Context, 1)
		b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			ctx <- x.Context()
			_ = x.Respond(200, nil, "")
		}})
		c := b.dial(t)
		c.send(hello)
		c.expect(ok(""))
		if of := <-ctx; true {
			<-of.Done()
			if errors.Is(context.Cause(of), http1.ErrClientGone) {
				t.Error("the client is said to have gone")
			}
		}
		c.send(hello)
		c.expect(ok(""))
	})
}

// TestHijack: the connection is the handler's, with what was received behind the head, and Shutdown does not wait for it.
func TestHijack(t *testing.T) {
	taken, stopped := make(chan struct{}), make(chan struct{})
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		conn, early, err := x.Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer conn.Close()
		if _, ok := conn.(*net.TCPConn); !ok {
			t.Errorf("a %T", conn)
		}
		if _, _, err := x.Hijack(); !errors.Is(err, http.ErrHijacked) {
			t.Errorf("hijacked twice: %v", err)
		}
		close(taken)
		<-stopped
		rest, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("read: %v", err)
		}
		_, _ = io.WriteString(conn, string(early)+string(rest))
	}})
	c := b.dial(t)
	c.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly")
	<-taken
	shutdown(t, b)
	close(stopped)
	c.send(" and late")
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	c.expect("early and late")
	c.end()
}
