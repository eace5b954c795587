package http1_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// TestLimitBodyOfADrip: a body that never pauses is limited like any other, although there is always more to read.
func TestLimitBodyOfADrip(t *testing.T) {
	sent, done := make(chan struct{}), make(chan error, 1)
	var b *bed
	begun := make(chan struct{})
	b = serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		x.LimitBody(time.Nanosecond)
		close(begun)
		<-sent
		for from := b.sweeper.Now(); b.sweeper.Now() == from; {
			pause(t, time.Millisecond)
		}
		_, err := x.ReadBody(make([]byte, 1))
		done <- err
		_ = x.Respond(http.StatusRequestTimeout, nil, "")
	}})
	c := b.dial(t)
	c.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 100000\r\n\r\n")
	<-begun
	c.send("a")
	close(sent)
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
}

// TestContextOfSeveral: those who do something for one request at the same time share its context, and it ends with it.
func TestContextOfSeveral(t *testing.T) {
	contexts := make(chan context.Context, 8)
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		var wait sync.WaitGroup
		for range cap(contexts) {
			wait.Go(func() { contexts <- x.Context() })
		}
		wait.Wait()
		_ = x.Respond(http.StatusOK, nil, "")
	}})
	c := b.dial(t)
	c.send(hello)
	c.expect(ok(""))
	for range cap(contexts) {
		select {
		case <-(<-contexts).Done():
		case <-time.After(patience):
			t.Fatal("a context outlives its request")
		}
	}
}

// TestConnectionLists is bounded, since every field is compared with all that Connection lists.
func TestConnectionLists(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, echo())
	for text, want := range map[string]string{
		"Connection: " + strings.Repeat("a, ", 60) + "a\r\n":               "200",
		"Connection: " + strings.Repeat("a, ", 70) + "a\r\n":               "431",
		"Connection: " + strings.Repeat(",", 1000) + "\r\n":                "431",
		strings.Repeat("Connection: a, b, c, d, e, f, g, h, i, j\r\n", 10): "431",
	} {
		c := b.dial(t)
		c.send("GET / HTTP/1.1\r\nHost: app.test\r\n" + text + "\r\n")
		c.expect("HTTP/1.1 " + want)
	}
}

// TestAnsweredBesideTheWriter: there is one answer, although somebody has asked for a writer.
func TestAnsweredBesideTheWriter(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		x.ResponseWriter().Header().Set("X", "y")
		_ = x.Respond(http.StatusInternalServerError, nil, "")
		x.CloseAfter()
	}})
	c := b.dial(t)
	c.send(hello)
	c.expect("HTTP/1.1 500 Internal Server Error\r\n" + date + "Content-Length: 0\r\n\r\n")
	c.end()
}
