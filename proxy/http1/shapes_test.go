package http1_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// shaped is what a client sends on one connection, and what becomes of it.
type shaped struct {
	sent string
	want []string // what the answers say, in order
}

// shape makes up a few requests of all kinds, the last of which may be one behind which the connection ends.
func shape(rng *rand.Rand, name string) shaped {
	var s shaped
	var sent strings.Builder
	for i := range 1 + rng.IntN(12) {
		target := "/" + name + "-" + strconv.Itoa(i)
		head, body, want := "", "", target
		if rng.IntN(6) == 0 {
			head = "X-Fill: " + strings.Repeat("f", rng.IntN(40<<10)) + "\r\n"
		}
		if rng.IntN(2) == 0 {
			size := rng.IntN(100)
			if rng.IntN(5) == 0 {
				size = rng.IntN(40 << 10)
			}
			body = strings.Repeat(string(rune('a'+rng.IntN(26))), size)
			want += "=" + strconv.Itoa(size) + body[:min(size, 1)]
			if rng.IntN(3) == 0 {
				head += "Expect: 100-continue\r\n" // and does not wait for it
			}
			if rng.IntN(3) == 0 {
				head += "Transfer-Encoding: chunked\r\n"
				if size > 0 {
					half := (size + 1) / 2
					body = fmt.Sprintf("%x\r\n%s\r\n", half, body[:half]) + chunk(body[half:]) + "0\r\n\r\n"
				} else {
					body = "0\r\n\r\n"
				}
			} else {
				head += "Content-Length: " + strconv.Itoa(size) + "\r\n"
			}
		}
		sent.WriteString("POST " + target + " HTTP/1.1\r\nHost: app.test\r\n" + head + "\r\n" + body)
		s.want = append(s.want, want)
	}
	s.sent = sent.String()
	return s
}

func chunk(data string) string {
	if data == "" {
		return ""
	}
	return fmt.Sprintf("%x\r\n%s\r\n", len(data), data)
}

// answerShape says what the request was, in one of several ways.
func answerShape(x *http1.Exchange) {
	target := strings.Clone(x.Request.Target)
	if strings.HasSuffix(target, "3") {
		_ = x.Context()
	}
	for range len(target) % 4 {
		runtime.Gosched()
	}
	read := func(body io.Reader) string {
		data, err := io.ReadAll(body)
		if err != nil {
			return err.Error()
		}
		return target + "=" + strconv.Itoa(len(data)) + string(data[:min(len(data), 1)])
	}
	has := x.Request.Chunked || x.Request.ContentLength >= 0
	if strings.HasSuffix(target, "5") || strings.HasSuffix(target, "8") {
		w, r := x.ResponseWriter(), x.HTTPRequest()
		text := target
		if has {
			text = read(r.Body)
		}
		_, _ = io.WriteString(w, text)
		return
	}
	text := target
	if has {
		text = read(bodyOf(x))
	}
	_ = x.Respond(http.StatusOK, nil, text)
}

// tellingListener knows the connections that it has accepted and that are open.
type tellingListener struct {
	net.Listener
	mu    sync.Mutex
	conns map[string]*net.TCPConn // by the other end's address
}

// toldConn is one of them.
type toldConn struct {
	*net.TCPConn
	closed func()
}

func (c toldConn) TCP() *net.TCPConn { return c.TCPConn }

func (c toldConn) Close() error {
	c.closed()
	return c.TCPConn.Close()
}

func (l *tellingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	conn, from := nc.(*net.TCPConn), nc.RemoteAddr().String()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[from] = conn
	return toldConn{conn, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.conns[from] == conn {
			delete(l.conns, from)
		}
	}}, nil
}

func (l *tellingListener) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns)
}

// untold takes from the connection whose other end has that address that reads tell what they leave, as on systems that
// can't.
func (l *tellingListener) untold(t *testing.T, address string) {
	t.Helper()
	l.mu.Lock()
	conn := l.conns[address]
	l.mu.Unlock()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { err = untell(fd) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRequestsOfAllShapes: however requests are cut into pieces, and whatever the client does at their end, each is
// answered once and in order, and the end is seen. What is missed hangs.
func TestRequestsOfAllShapes(t *testing.T) {
	rounds := 60
	if text, ok := os.LookupEnv("OSTIARY_SHAPES"); ok {
		var err error
		if rounds, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &tellingListener{Listener: inner, conns: map[string]*net.TCPConn{}}
	b := serveOn(t, l, http1.ServerOptions{}, handler{serve: answerShape})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var wait sync.WaitGroup
	for worker := range 8 {
		wait.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(worker)))
			for round := range rounds {
				if !shapeOnce(t, b, l, rng, fmt.Sprintf("%d.%d", worker, round)) {
					return
				}
			}
		})
	}
	wait.Wait()
	for late := time.After(patience); l.open() > 0 && !t.Failed(); { // long before the time-out of idle connections
		select {
		case <-late:
			t.Errorf("%d connections are open whose clients have gone", l.open())
		case <-time.After(time.Millisecond):
		}
	}
}

func shapeOnce(t *testing.T, b *bed, l *tellingListener, rng *rand.Rand, name string) bool {
	var dialer net.Dialer
	dialer.SetMultipathTCP(rng.IntN(3) == 0) // listeners take it, where the system has it
	nc, err := dialer.DialContext(t.Context(), "tcp", b.address)
	if err != nil {
		t.Error(err)
		return false
	}
	defer nc.Close()
	conn := nc.(*net.TCPConn)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return false
	}
	r := bufio.NewReader(conn)
	if rng.IntN(3) == 0 { // once it is known to have been accepted
		_, _ = io.WriteString(conn, "GET /first HTTP/1.1\r\nHost: app.test\r\n\r\n")
		if got, err := answered(r); got != "/first" || err != nil {
			t.Errorf("%s: received %q, %v", name, got, err)
			return false
		}
		l.untold(t, conn.LocalAddr().String())
	}
	s := shape(rng, name)
	end, lockstep := rng.IntN(5), rng.IntN(3) == 0
	got := make(chan error, 1)
	next := make(chan struct{}, len(s.want))
	go func() {
		for i, want := range s.want {
			text, err := answered(r)
			if text != want || err != nil {
				got <- fmt.Errorf("answer %d of %d: received %.100q, %w; want %q", i, len(s.want), text, err, want)
				return
			}
			next <- struct{}{}
		}
		got <- nil
	}()
	for rest := s.sent; rest != ""; {
		n := 1 + rng.IntN(len(rest))
		switch rng.IntN(4) {
		case 0:
			n = min(n, 1+rng.IntN(60))
		case 1: // a whole request and more
			if i := strings.Index(rest[1:], "POST /"); i >= 0 {
				n = min(len(rest), i+1+rng.IntN(3))
			}
		}
		if _, err := io.WriteString(conn, rest[:n]); err != nil {
			t.Errorf("%s: send: %v", name, err)
			return false
		}
		rest = rest[n:]
		for range rng.IntN(8) {
			runtime.Gosched()
		}
		if lockstep && rest != "" && strings.HasPrefix(rest, "POST /") {
			select {
			case <-next:
			case <-time.After(time.Duration(rng.IntN(300)) * time.Microsecond):
			}
		}
	}
	switch end {
	case 0: // right behind the last request
		_ = conn.CloseWrite()
	case 4:
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return true
	}
	if err := <-got; err != nil {
		t.Errorf("%s: %v", name, err)
		return false
	}
	switch end {
	case 1:
		_ = conn.CloseWrite()
	case 2:
		_ = conn.SetLinger(0)
		return true
	case 3:
		return true
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%s: received %.100q, %v; want the end", name, rest, err)
		return false
	}
	return true
}

// answered reads an answer and returns its body.
func answered(r *bufio.Reader) (string, error) {
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return "", err
		}
		if resp.StatusCode == http.StatusContinue {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return string(body), err
	}
}
