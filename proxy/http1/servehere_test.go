package http1_test

import (
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// TestNothingIsOverheard: whatever comes while a request is being answered is seen when the connection waits for the next
// one, though nobody looked for it in between. With the default time-out of idle connections, what is missed hangs.
func TestNothingIsOverheard(t *testing.T) {
	const bodied = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\npay"
	halfClose := func(c *client) error { return c.Conn.(*net.TCPConn).CloseWrite() }
	for name, tc := range map[string]struct {
		first  string                // at once
		during func(c *client) error // while the first request is being answered
		want   int                   // answers
		after  func(c *client) error // once they are there
	}{
		"the end behind the request":            {first: hello, during: halfClose, want: 1},
		"the end behind a body":                 {first: bodied, during: halfClose, want: 1},
		"the end later":                         {first: hello, want: 1, after: halfClose},
		"two requests at once":                  {first: hello + hello, want: 2, after: halfClose},
		"two requests at once, and the end":     {first: hello + hello, during: halfClose, want: 2},
		"a request during the other":            {first: hello, during: func(c *client) error { c.send(hello); return nil }, want: 2, after: halfClose},
		"a half during the other":               {first: hello + hello[:9], during: func(c *client) error { c.send(hello[9:]); return nil }, want: 2, after: halfClose},
		"a request and the end during a body's": {first: bodied, during: func(c *client) error { c.send(bodied); return halfClose(c) }, want: 2},
		"more than a buffer during the other": {
			first: hello, during: func(c *client) error { c.send(strings.Repeat(hello, 1000)); return nil }, want: 1001, after: halfClose,
		},
	} {
		t.Run(name, func(t *testing.T) {
			began, sent := make(chan struct{}), make(chan struct{})
			answered := 0
			b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
				if answered == 0 {
					close(began)
					<-sent
				}
				answered++
				if err := x.Respond(http.StatusOK, nil, ""); err != nil {
					t.Errorf("respond: %v", err)
				}
			}})
			c := b.dial(t)
			c.send(tc.first)
			<-began
			if tc.during != nil {
				if err := tc.during(c); err != nil {
					t.Fatal(err)
				}
			}
			close(sent)
			c.expect(strings.Repeat(ok(""), tc.want))
			if tc.after != nil {
				if err := tc.after(c); err != nil {
					t.Fatal(err)
				}
			}
			c.end()
		})
	}
}

// TestResetDuringARequest: a client that has reset its connection is noticed when it is answered.
func TestResetDuringARequest(t *testing.T) {
	reset, over := make(chan struct{}), make(chan error, 1)
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		<-reset
		for {
			if err := x.Write([]byte("HTTP/1.1 103 Early Hints\r\n\r\n")); err != nil {
				over <- err
				return
			}
			select {
			case <-x.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
	}})
	c := b.dial(t)
	c.send(hello)
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	close(reset)
	if err := <-over; err == nil {
		t.Error("written to a connection that was reset")
	}
}

// TestHijackNeedsUpgrade: the connection of any other request may be held by who waits for the next one.
func TestHijackNeedsUpgrade(t *testing.T) {
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		if _, _, err := x.Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("hijacked: %v", err)
		}
		if err := x.Respond(http.StatusOK, nil, ""); err != nil {
			t.Errorf("respond: %v", err)
		}
	}})
	c := b.dial(t)
	c.send(hello)
	c.expect(ok(""))
}
