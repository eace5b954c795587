// Package badbackend is a backend that breaks the rules of HTTP, for tests that no response reaches another request than
// its own: what it answers tells which request it is for.
package badbackend

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
)

// HeaderTag has the tag that the request's path was.
const HeaderTag = "X-Tag"

// Serve answers each request with what it was tagged with, in one of many ways, right and wrong. What it sends too
// much is with the response, since nobody can tell a late surplus from the answer to the next request.
func Serve(conn net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		tag := req.URL.Path[1:]
		switch rand.N(40) { // before the body was read
		case 0:
			return
		case 1:
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		case 2:
			_, _ = io.WriteString(conn, response(tag, tag))
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		if len(body) > 0 && string(body) != Body(tag) {
			tag = "request-of-another"
		}
		answer := response(tag, tag+":"+strings.Repeat("x", rand.N(9000)))
		switch rand.N(40) {
		case 0: // the end, instead of an answer
			return
		case 1: // a reset
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		case 2: // a part
			_, _ = io.WriteString(conn, answer[:rand.N(len(answer))])
			return
		case 3: // a part and a reset
			_, _ = io.WriteString(conn, answer[:rand.N(len(answer))])
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		case 4: // no HTTP
			_, _ = io.WriteString(conn, strings.Repeat("\x00\xffgarbage ", 1+rand.N(500)))
			return
		case 5: // too much, and on with the connection as if nothing were
			answer += "x"
		case 6:
			answer += response("surplus", "surplus")
		case 7:
			answer += "HTTP/1.1 103 Early Hints\r\n\r\n" + response("surplus", "surplus")
		case 8: // garbage behind it
			answer += "\r\n\r\n\x00"
		case 9: // a body where none may be
			answer = "HTTP/1.1 204 No Content\r\nX-Tag: " + tag + "\r\n\r\n" + response("surplus", "surplus")
		case 10: // one byte after the other
			for i := range min(len(answer), 300) {
				if _, err := conn.Write([]byte{answer[i]}); err != nil {
					return
				}
			}
			answer = answer[min(len(answer), 300):]
		case 11: // hints first
			answer = strings.Repeat("HTTP/1.1 103 Early Hints\r\nX-Tag: hint\r\n\r\n", rand.N(5)) + answer
		case 12: // two ways to say how long it is
			answer = strings.Replace(answer, "\r\n\r\n", "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
		case 13: // the end, behind the answer
			_, _ = io.WriteString(conn, answer)
			return
		case 14: // something that nobody asked for, while the connection is idle or about to be
			_, _ = io.WriteString(conn, answer+response("unsolicited", "unsolicited"))
			continue
		}
		if _, err := io.WriteString(conn, answer); err != nil {
			return
		}
	}
}

// response is framed by its length, or in chunks.
func response(tag, body string) string {
	if rand.N(2) == 0 {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Tag: %s\r\nContent-Length: %d\r\n\r\n%s", tag, len(body), body)
	}
	cut := rand.N(len(body) + 1)
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\nX-Tag: %s\r\nTransfer-Encoding: chunked\r\n\r\n", tag)
	for _, part := range []string{body[:cut], body[cut:]} {
		if part != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
		}
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// Body is what a request with that tag carries, where it has a body.
func Body(tag string) string {
	n := 0
	for _, c := range tag {
		n = n*7 + int(c)
	}
	return strings.Repeat(tag+",", 1+n%700)
}

// Own reports whether a body, or what came of it, is the answer to the request with that tag.
func Own(tag, body string) bool {
	own, rest, _ := strings.Cut(body, ":")
	return strings.HasPrefix(tag, own) && strings.Trim(rest, "x") == ""
}
