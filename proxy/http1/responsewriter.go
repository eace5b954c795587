package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// heldBody is how much of a body is held back, so that a short one gets its length told and goes with the head.
const heldBody = 4 << 10

// ResponseWriter returns a writer with which handlers made for net/http answer. It behaves as net/http's, but that it does
// not guess a Content-Type, that bodies can always be read while the response is written, and that what a handler leaves
// of a body ends the connection. http.ResponseController's methods work. It is the same for every call.
func (x *Exchange) ResponseWriter() http.ResponseWriter {
	if x.writer == nil {
		x.writer = &responseWriter{x: x, conn: x.conn, header: http.Header{}, length: -1}
	}
	return x.writer
}

// responseWriter answers for net/http's users, some of whom use it longer than they should.
type responseWriter struct {
	mu sync.Mutex
	x  *Exchange // nil once the exchange is over

	// conn is for deadlines, which are set while a write is under way that they are meant to end.
	connMu sync.Mutex
	conn   *Conn // nil once the exchange is over

	header http.Header // the handler's
	sent   http.Header // what it was when WriteHeader was called
	status int         // 0 until then

	length  int64 // what Content-Length says, -1 for nothing
	written int64
	held    []byte // of the body, until the head is sent
	started bool   // the head is sent
	bare    bool   // there is no body to be sent
	chunked bool
	over    bool
	out     []byte
}

var (
	errWriterOver  = errors.New("response used after the handler has returned")
	errEmptyStatus = errors.New("invalid status code")
)

// Header returns the fields that WriteHeader will send, and the trailers behind them.
func (w *responseWriter) Header() http.Header { return w.header }

// WriteHeader decides on the head, or sends an informational response.
func (w *responseWriter) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *responseWriter) writeHeader(status int) {
	if status < 100 || status > 999 {
		panic(errEmptyStatus)
	}
	if w.x == nil || w.x.hijacked || w.status != 0 {
		return
	}
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.inform(status)
		return
	}
	w.status = status
	w.sent = w.header.Clone()
	w.bare = !bodyAllowed(status) || w.x.Request.Method == http.MethodHead
	if lengths := w.sent["Content-Length"]; len(lengths) > 0 {
		length, err := strconv.ParseUint(lengths[0], 10, 63)
		if err != nil || len(lengths) > 1 {
			delete(w.sent, "Content-Length")
		} else {
			w.length = int64(length)
		}
	}
}

// inform sends a response of status 1xx.
func (w *responseWriter) inform(status int) {
	x := w.x
	if x.Request.Minor == 0 {
		return
	}
	if status == http.StatusContinue {
		if x.Request.ExpectContinue {
			_ = x.proceed() // writes to come tell
		}
		return
	}
	out := appendStatusLine(w.out[:0], 1, status)
	for name, values := range w.header {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			out = appendValues(out, name, values)
		}
	}
	out = append(out, '\r', '\n')
	w.out = out
	_ = x.Write(out) // as above
}

// Write writes a part of the body.
func (w *responseWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.x == nil:
		return 0, errWriterOver
	case w.x.hijacked:
		return 0, http.ErrHijacked
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.length >= 0 && w.written+int64(len(p)) > w.length {
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.bare {
		return len(p), nil
	}
	if !w.started && len(w.held)+len(p) <= heldBody {
		w.held = append(w.held, p...)
		return len(p), nil
	}
	if err := w.send(p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString is Write for strings.
func (w *responseWriter) WriteString(s string) (int, error) {
	return w.Write([]byte(s)) //nolint:gocritic // which would be this one
}

// send writes the head where it is not sent yet, what is held back, and p, at once.
func (w *responseWriter) send(p []byte) error {
	out := w.out[:0]
	if !w.started {
		out = w.appendHead(out)
	}
	if size := len(w.held) + len(p); size > 0 && !w.bare {
		if w.chunked {
			out = AppendChunkHeader(out, size)
		}
		out = append(out, w.held...)
		out = append(out, p...)
		if w.chunked {
			out = append(out, '\r', '\n')
		}
		w.held = nil
	}
	w.out = out
	if len(out) == 0 {
		return nil
	}
	return w.x.Write(out)
}

// appendHead writes the head, and decides on how the body is framed.
func (w *responseWriter) appendHead(dst []byte) []byte {
	x := w.x
	w.started = true
	for _, value := range w.sent["Connection"] {
		for token := range options(value) {
			if equalFold(token, "close") {
				x.CloseAfter()
			}
		}
	}
	dst = appendStatusLine(dst, x.Request.Minor, w.status)
	if w.status == http.StatusNotModified {
		delete(w.sent, "Content-Type")
	}
	switch {
	case !bodyAllowed(w.status):
		delete(w.sent, "Content-Length")
	case w.length >= 0: // told by the handler, among its fields
	case w.over && len(w.sent["Trailer"]) == 0 && !w.trails() && (!w.bare || w.written > 0):
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, w.written, 10)
		dst = append(dst, '\r', '\n')
	case x.Request.Minor > 0:
		w.chunked = !w.bare
		if w.chunked {
			dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		}
	case !w.bare:
		x.CloseAfter() // the end of the connection is the end of the body
	}
	if _, ok := w.sent["Date"]; !ok {
		dst = AppendField(dst, "Date", x.date())
	}
	for name, values := range w.sent {
		switch {
		case name == "Transfer-Encoding", strings.HasPrefix(name, http.TrailerPrefix):
		case name == "Connection" && w.status != http.StatusSwitchingProtocols:
			dst = appendConnectionOptions(dst, values)
		default:
			dst = appendValues(dst, name, values)
		}
	}
	dst = x.appendConnection(dst)
	return append(dst, '\r', '\n')
}

// appendConnectionOptions writes what the handler lists in Connection beyond what is decided here.
func appendConnectionOptions(dst []byte, values []string) []byte {
	for _, value := range values {
		for token := range options(value) {
			if isToken(token) && !equalFold(token, "close") && !equalFold(token, "keep-alive") {
				dst = AppendField(dst, "Connection", token)
			}
		}
	}
	return dst
}

// appendValues writes a field line for each value, of fields with a valid name alone. Line ends in values become spaces, as
// with net/http.
func appendValues(dst []byte, name string, values []string) []byte {
	if !isToken(name) {
		return dst
	}
	for _, value := range values {
		value = strings.Trim(strings.NewReplacer("\n", " ", "\r", " ").Replace(value), " \t")
		dst = AppendField(dst, name, value)
	}
	return dst
}

// trails reports whether the handler has set trailers without announcement.
func (w *responseWriter) trails() bool {
	for name := range w.header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}

// finish completes the response once the handler has returned.
func (w *responseWriter) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.x
	if x.hijacked || x.aborted || w.status == 0 && x.answered.Load() { // by other means
		return
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	w.over = true
	if err := w.send(nil); err != nil {
		return // x knows
	}
	switch {
	case w.chunked:
		w.out = w.appendTrailers(append(w.out[:0], "0\r\n"...))
		w.out = append(w.out, '\r', '\n')
		_ = x.Write(w.out) // x knows
	case w.length >= 0 && w.written != w.length && !w.bare:
		x.Abort() // less than was announced
	}
}

func (w *responseWriter) appendTrailers(dst []byte) []byte {
	for _, names := range w.sent["Trailer"] {
		for name := range options(names) {
			name = http.CanonicalHeaderKey(name)
			dst = appendValues(dst, name, w.header[name])
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			dst = appendValues(dst, name, values)
		}
	}
	return dst
}

// leave lets go of the exchange.
func (w *responseWriter) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.x = nil
	w.connMu.Lock()
	defer w.connMu.Unlock()
	w.conn = nil
}

// Flush is FlushError for those who ignore errors.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// FlushError sends what is held back.
func (w *responseWriter) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.x == nil:
		return errWriterOver
	case w.x.hijacked:
		return http.ErrHijacked
	}
	if w.status == 0 {
		w.writeHeader(http.StatusOK)
	}
	return w.send(nil)
}

// SetReadDeadline bounds reads of the body; a deadline in the past wakes who reads.
func (w *responseWriter) SetReadDeadline(t time.Time) error {
	w.connMu.Lock()
	defer w.connMu.Unlock()
	if w.conn == nil {
		return errWriterOver
	}
	return w.conn.SetReadDeadline(t)
}

// SetWriteDeadline bounds writes; a deadline in the past wakes who writes.
func (w *responseWriter) SetWriteDeadline(t time.Time) error {
	w.connMu.Lock()
	defer w.connMu.Unlock()
	if w.conn == nil {
		return errWriterOver
	}
	return w.conn.SetWriteDeadline(t)
}

// EnableFullDuplex has nothing to do: reading and writing never wait for each other.
func (w *responseWriter) EnableFullDuplex() error { return nil }

// Hijack takes the connection over, with what was received behind the head.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.x == nil {
		return nil, nil, errWriterOver
	}
	if w.started {
		return nil, nil, http.ErrHijacked
	}
	conn, buffered, err := w.x.Hijack()
	if err != nil {
		return nil, nil, err
	}
	r := io.Reader(conn)
	if len(buffered) > 0 {
		r = io.MultiReader(bytes.NewReader(buffered), conn)
	}
	rw := bufio.NewReadWriter(bufio.NewReader(r), bufio.NewWriter(conn))
	if len(buffered) > 0 {
		if _, err := rw.Peek(1); err != nil { // so that Buffered tells
			return nil, nil, err
		}
	}
	return conn, rw, nil
}
