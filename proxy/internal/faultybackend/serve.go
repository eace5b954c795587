// Package faultybackend is for tests of what becomes of responses when backends misbehave: a backend that answers each
// request by the tag in its path, rightly or in one of many wrong ways, and a check that a response, or a part of one, is
// the request's own.
package faultybackend

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
)

// Tag is the name of the field that responses carry the tag in.
const Tag = "X-Tag"

const (
	// surplus and unsolicited are the tags of what no request has asked for.
	surplus     = "surplus"
	unsolicited = "unsolicited"
	// foreign is the tag of a request whose body is another one's.
	foreign = "body-of-another"

	maxBodyBytes = 9000
	// ways is of how many requests one is treated in a certain wrong way.
	ways = 40
)

// Serve answers the requests on a connection until it ends. What it sends too much goes with the response, since nobody
// can tell a late surplus from the answer to the next request.
func Serve(conn net.Conn) {
	for r := bufio.NewReader(conn); ; {
		req, err := http.ReadRequest(r)
		if err != nil || !serve(conn, req) {
			return
		}
	}
}

// serve reports whether the connection goes on.
func serve(conn net.Conn, req *http.Request) bool {
	tag := strings.TrimPrefix(req.URL.Path, "/")
	switch pick() { // before the body was read
	case 0:
		return false
	case 1:
		return reset(conn)
	case 2: // an answer that does not wait for the body
		return write(conn, response(tag, tag)) && false
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return false
	}
	if len(body) > 0 && string(body) != Body(tag) {
		tag = foreign
	}
	return answer(conn, tag)
}

func answer(conn net.Conn, tag string) bool {
	text := response(tag, tag+":"+strings.Repeat("x", number(maxBodyBytes)))
	switch way := pick(); way {
	case 0: // the end, instead of an answer
		return false
	case 1:
		return reset(conn)
	case 2: // a part
		return write(conn, text[:number(len(text))]) && false
	case 3:
		return write(conn, text[:number(len(text))]) && reset(conn)
	case 4: // no HTTP
		return write(conn, strings.Repeat("\x00\xffgarbage ", 1+number(500)))
	case 5: // the end, behind the answer
		return write(conn, text) && false
	case 6: // one byte after the other
		for text != "" && len(text)%500 != 0 {
			if !write(conn, text[:1]) {
				return false
			}
			text = text[1:]
		}
		return write(conn, text)
	default:
		return write(conn, distort(text, tag, way))
	}
}

// distort makes the answer one that some read otherwise than others, or more than one.
func distort(text, tag string, way int) string {
	switch way {
	case 7: // too much, and on with the connection as if nothing were
		return text + "x"
	case 8:
		return text + response(surplus, surplus)
	case 9:
		return text + "HTTP/1.1 103 Early Hints\r\n\r\n" + response(surplus, surplus)
	case 10:
		return text + "\r\n\r\n\x00"
	case 11: // a body where none may be
		return "HTTP/1.1 204 No Content\r\n" + Tag + ": " + tag + "\r\n\r\n" + response(surplus, surplus)
	case 12: // hints first
		return strings.Repeat("HTTP/1.1 103 Early Hints\r\n"+Tag+": hint\r\n\r\n", number(5)) + text
	case 13: // two ways to say how long it is
		return strings.Replace(text, "\r\n\r\n", "\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 1)
	case 14: // what the next request is to take for its answer
		return text + response(unsolicited, unsolicited)
	default:
		return text
	}
}

func pick() int { return number(ways) }

func number(n int) int { return rand.N(n) } //nolint:gosec // chance, no secret

func reset(conn net.Conn) bool {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the connection is closed in either case
	}
	return false
}

func write(conn net.Conn, text string) bool {
	_, err := io.WriteString(conn, text)
	return err == nil
}

// response is framed by its length, or in chunks.
func response(tag, body string) string {
	if number(2) == 0 {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", Tag, tag, len(body), body)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 200 OK\r\n%s: %s\r\nTransfer-Encoding: chunked\r\n\r\n", Tag, tag)
	cut := number(len(body) + 1)
	for _, part := range []string{body[:cut], body[cut:]} {
		if part != "" {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(part), part)
		}
	}
	b.WriteString("0\r\n\r\n")
	return b.String()
}

// Body is the body of a request with that tag, of some hundreds to some thousands of bytes.
func Body(tag string) string {
	n := 0
	for _, c := range tag {
		n = n*7 + int(c)
	}
	return strings.Repeat(tag+",", 1+n%700)
}
