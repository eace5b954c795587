package proxy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/http1"
)

// twiceReader reads the body of each request twice.
type twiceReader struct {
	budget *bodyBudget
	got    chan [2]string
}

func (r twiceReader) ServeHTTP1(x *http1.Exchange) {
	var h wireHead
	_, _ = h.read(x, r.budget)
	var got [2]string
	for i := range got {
		body, err := h.ReadBody(64)
		got[i] = fmt.Sprintf("%s, %v", body, err)
		if errors.Is(err, head.ErrBodyCut) {
			got[i] = string(body) + "cut"
		}
	}
	h.early.release(r.budget)
	r.got <- got
	_ = x.Respond(http.StatusNoContent, nil, "")
}

func (r twiceReader) RefuseHTTP1(*http1.Exchange, *http1.SyntaxError) { r.got <- [2]string{} }

// TestBodyIsReadOnceOffTheWire: whoever asks for it again gets an error, not what is left of it.
func TestBodyIsReadOnceOffTheWire(t *testing.T) {
	t.Parallel()
	sweeper := http1.NewSweeper()
	defer sweeper.Close()
	reader := twiceReader{budget: &bodyBudget{most: 64, timeout: time.Minute}, got: make(chan [2]string, 1)}
	s := http1.NewServer(http1.ServerOptions{Handler: reader, Sweeper: sweeper})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	defer func() {
		if err := s.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 7\r\n\r\ntoken=a"); err != nil {
		t.Fatal(err)
	}
	if got, want := <-reader.got, [2]string{"token=a, <nil>", "cut"}; got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if held := reader.budget.held.Load(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
