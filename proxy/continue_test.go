package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestContinueAmongHints: asking the client for its body is one write to the connection, passing on what the upstream
// says meanwhile is another. They must not meet.
func TestContinueAmongHints(t *testing.T) {
	hints := strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n", 7)
	addr := rawUpstream(t, func(conn net.Conn, r *bufio.Reader) {
		_, _ = io.WriteString(conn, hints+"HTTP/1.1 100 Continue\r\n\r\n"+hints)
		if _, err := io.ReadFull(r, make([]byte, 5)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		}
	})
	b := newBed(t)
	b.endpoints(addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	for range 30 {
		statuses, err := statusesOf(b.http)
		if err != nil || statuses[100] != 1 || statuses[103] != 14 || statuses[200] != 1 {
			t.Fatalf("responses by status: %v, %v; want one of 100, 14 of 103 and one of 200", statuses, err)
		}
	}
}

// statusesOf sends a request whose body waits for 100 Continue and counts the responses by status.
func statusesOf(address string) (map[int]int, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"); err != nil {
		return nil, err
	}
	statuses := map[int]int{}
	for r := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses, err
		}
		statuses[resp.StatusCode]++
		switch {
		case resp.StatusCode == http.StatusContinue:
			if _, err := io.WriteString(conn, "hello"); err != nil {
				return statuses, err
			}
		case resp.StatusCode >= http.StatusOK:
			_, err := io.ReadAll(resp.Body)
			return statuses, err
		}
	}
}
