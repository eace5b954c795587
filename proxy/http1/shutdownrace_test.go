package http1_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ostiary/ostiary/proxy/http1"
)

// TestShutdownAtAnyMoment: whatever connections are about when the server is to end, it ends at once, and no client gets
// a part of an answer.
func TestShutdownAtAnyMoment(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for round := range 30 {
		b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
			for range len(x.Request.Target) % 8 {
				runtime.Gosched()
			}
			_ = x.Respond(http.StatusOK, nil, x.Request.Target)
		}})
		var wait sync.WaitGroup
		for worker := range 6 {
			rng := rand.New(rand.NewPCG(seed, uint64(round*6+worker+1)))
			conn, err := net.Dial("tcp", b.address)
			if err != nil {
				t.Fatal(err)
			}
			wait.Go(func() {
				defer conn.Close()
				if err := askUntilTheEnd(conn, rng); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			})
		}
		<-time.After(time.Duration(rng.IntN(4000)) * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), patience/2)
		if err := b.Shutdown(ctx); err != nil {
			t.Errorf("round %d: shutdown: %v", round, err)
		}
		cancel()
		wait.Wait()
		if t.Failed() {
			return
		}
	}
}

// askUntilTheEnd sends requests, several at once, and reads the answers, until the connection ends.
func askUntilTheEnd(conn net.Conn, rng *rand.Rand) error {
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	r := bufio.NewReader(conn)
	for i := 0; ; i++ {
		var sent strings.Builder
		var want []string
		for j := range 1 + rng.IntN(3) {
			want = append(want, fmt.Sprintf("/%s%d.%d", strings.Repeat("a", rng.IntN(8)), i, j))
			sent.WriteString("GET " + want[j] + " HTTP/1.1\r\nHost: app.test\r\n\r\n")
		}
		if _, err := io.WriteString(conn, sent.String()); err != nil {
			return over(err)
		}
		for _, want := range want {
			if _, err := r.Peek(1); err != nil {
				return over(err)
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				return fmt.Errorf("a part of an answer: %w", err)
			}
			body, err := io.ReadAll(resp.Body)
			if string(body) != want || err != nil {
				return fmt.Errorf("received %q, %w; want %q", body, err, want)
			}
		}
	}
}

// over returns nil where err is the end of the connection.
func over(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// TestCutWhileItIsHeld: the connection of a handler that heeds nothing is one that is reset, even if the process ends first.
func TestCutWhileItIsHeld(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &tellingListener{Listener: inner, conns: map[string]*net.TCPConn{}}
	entered, leave := make(chan struct{}), make(chan struct{})
	b := serveOn(t, l, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		close(entered)
		<-leave
		if err := x.Respond(http.StatusOK, nil, ""); err == nil {
			t.Error("answered once cut")
		}
	}})
	c := b.dial(t)
	c.send(hello)
	<-entered
	l.mu.Lock()
	conn := l.conns[c.LocalAddr().String()]
	l.mu.Unlock()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var linger *unix.Linger
	if err := raw.Control(func(fd uintptr) {
		if err := b.Shutdown(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("shutdown: %v", err)
		}
		linger, err = unix.GetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil || linger.Onoff == 0 || linger.Linger != 0 {
		t.Errorf("SO_LINGER: %+v, %v", linger, err)
	}
	close(leave)
	c.cut()
}
