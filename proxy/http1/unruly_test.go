package http1_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

// TestUnrulyClients: clients that pipeline, send in pieces, break off amidst a message or stop reading get the answers to
// what they have asked, or none, and never those of others.
func TestUnrulyClients(t *testing.T) {
	connections := 500
	if testing.Short() {
		connections = 100
	}
	b := serve(t, http1.ServerOptions{}, handler{serve: func(x *http1.Exchange) {
		early := strings.HasPrefix(x.Request.Target, "/early")
		var body []byte
		if !early {
			var err error
			if body, err = io.ReadAll(bodyOf(x)); err != nil {
				x.Abort()
				return
			}
		}
		_ = x.Respond(200, []http1.Field{{Name: "X-Tag", Value: x.Request.Target}}, x.Request.Target+"|"+string(body))
	}})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	work := make(chan uint64)
	var wait sync.WaitGroup
	for range 16 {
		wait.Go(func() {
			for i := range work {
				unruly(t, b.address, rand.New(rand.NewPCG(seed, i)), i)
			}
		})
	}
	for i := range uint64(connections) {
		work <- i
	}
	close(work)
	wait.Wait()
}

// unruly is one client.
func unruly(t *testing.T, address string, random *rand.Rand, id uint64) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Error(err)
		return
	}
	var text strings.Builder
	var want []string
	ends := false // a response to come that ends the connection
	for i := range 1 + random.IntN(6) {
		tag := fmt.Sprintf("/%d/%d", id, i)
		body := strings.Repeat(string(rune('a'+random.IntN(26))), random.IntN(3)*random.IntN(20_000))
		switch random.IntN(4) {
		case 0:
			fmt.Fprintf(&text, "GET %s HTTP/1.1\r\nHost: app.test\r\nX: %s\r\n\r\n", tag, strings.Repeat("x", random.IntN(2)*random.IntN(40_000)))
			body = ""
		case 1:
			fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: app.test\r\nContent-Length: %d\r\n\r\n%s", tag, len(body), body)
		case 2:
			fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n", tag)
			for rest := body; rest != ""; {
				n := 1 + random.IntN(len(rest))
				fmt.Fprintf(&text, "%x\r\n%s\r\n", n, rest[:n])
				rest = rest[n:]
			}
			text.WriteString("0\r\n\r\n")
		case 3:
			tag = "/early" + tag
			fmt.Fprintf(&text, "POST %s HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", tag)
			body, ends = "", true
		}
		want = append(want, tag+"|"+body)
		if ends {
			break
		}
	}
	sent := text.String()
	if random.IntN(3) == 0 {
		sent = sent[:random.IntN(len(sent)+1)]
	}
	patient := len(want)
	if random.IntN(8) == 0 {
		patient = random.IntN(len(want))
	}
	go func() { // ends with the connection
		for rest := sent; rest != ""; {
			n := min(len(rest), 1+random.IntN(30_000))
			if _, err := io.WriteString(conn, rest[:n]); err != nil {
				return
			}
			rest = rest[n:]
		}
		if len(sent) < text.Len() {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	r := bufio.NewReader(conn)
	for i := range patient {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if len(sent) == text.Len() {
				t.Errorf("client %d: response %d of %d: %v", id, i, len(want), err)
			}
			return
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Errorf("client %d: body of response %d: %v", id, i, err)
			return
		}
		tag, _, _ := strings.Cut(want[i], "|")
		if string(body) != want[i] || resp.Header.Get("X-Tag") != tag {
			t.Errorf("client %d: response %d is %.60q of %.60q, want %.60q", id, i, body, resp.Header.Get("X-Tag"), want[i])
			return
		}
	}
}
