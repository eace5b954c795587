package http1

import (
	"net/http"
	"strconv"
)

// Respond writes a whole response with one write: the status line, Date, the fields, Content-Length and Connection, and
// the body. A body that must not be there is left out: of responses to HEAD, which get the length it would have, and of
// those with status 1xx, 204 and 304. The fields must be valid, and none of those that it writes itself.
func (x *Exchange) Respond(status int, fields []Field, body string) error {
	out := appendStatusLine(x.reply[:0], x.Request.Minor, status)
	out = AppendField(out, "Date", x.date())
	for i := range fields {
		out = AppendField(out, fields[i].Name, fields[i].Value)
	}
	if bodyAllowed(status) {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		out = append(out, '\r', '\n')
	}
	out = x.appendConnection(out)
	out = append(out, '\r', '\n')
	if bodyAllowed(status) && x.Request.Method != http.MethodHead {
		out = append(out, body...)
	}
	x.reply = out
	return x.Write(out)
}

// appendConnection tells what becomes of the connection, where that is not what the version lets the client expect.
func (x *Exchange) appendConnection(dst []byte) []byte {
	switch {
	case !x.KeepAlive():
		return append(dst, "Connection: close\r\n"...)
	case x.Request.Minor == 0:
		return append(dst, "Connection: keep-alive\r\n"...)
	}
	return dst
}

// appendStatusLine writes the status line in the client's version.
func appendStatusLine(dst []byte, minor, status int) []byte {
	return appendStatus(dst, minor, status, http.StatusText(status))
}

// appendStatus writes a status line.
func appendStatus(dst []byte, minor, status int, reason string) []byte {
	if minor == 0 {
		dst = append(dst, "HTTP/1.0 "...)
	} else {
		dst = append(dst, "HTTP/1.1 "...)
	}
	dst = strconv.AppendInt(dst, int64(status), 10)
	dst = append(dst, ' ')
	dst = append(dst, reason...)
	return append(dst, '\r', '\n')
}

// bodyAllowed reports whether responses of that status may have a body (RFC 9110 section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}
