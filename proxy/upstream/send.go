package upstream

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ostiary/ostiary/proxy/http1"
)

const (
	// stallTimeout bounds how long a write to a backend may take.
	stallTimeout = 60 * time.Second
	// continueTimeout is how long a request body waits for the backend's 100 Continue (RFC 9110 section 10.1.1).
	continueTimeout = time.Second
	// headPatience is how long the head waits for the beginning of the body, to be sent together with it.
	headPatience = 2 * time.Millisecond
	// settlePatience is how long the end of a request is waited for once the response has ended.
	settlePatience = 50 * time.Millisecond

	sendBytes = 32 << 10
	// chunkRoom is what the line before a chunk's data may take.
	chunkRoom = 16
)

// sendBuffers lends the memory that requests are written through.
type sendBuffers struct{ pool sync.Pool }

func (p *sendBuffers) get() *[sendBytes]byte {
	if b, ok := p.pool.Get().(*[sendBytes]byte); ok {
		return b
	}
	return new([sendBytes]byte)
}

func (p *sendBuffers) put(b *[sendBytes]byte) { p.pool.Put(b) }

// send sends the head, and has the body sent. That the backend does not take it is no error yet: it may have answered all
// the same.
func (x *exchange) send() error {
	conns := x.conn.link.owner.conns
	buf := conns.out.get()
	head, err := x.appendHead(buf[:0])
	if err != nil {
		conns.out.put(buf)
		return err
	}
	if x.body != nil {
		x.sender = newSender(x, buf, head)
		go x.sender.run() // ends with the body, or when the connection is closed
		return nil
	}
	conn := x.conn.Conn
	n, err := conn.WriteWithin(head, stallTimeout)
	conns.out.put(buf)
	x.unsent = n == 0 && err != nil && !isTimeout(err)
	if isTimeout(err) || x.unsent && x.conn.Reused() {
		return err // nothing that may come is an answer
	}
	conn.ExpireRead(x.conn.ResponseTimeout())
	return nil
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// appendHead writes the head of the request.
func (x *exchange) appendHead(dst []byte) ([]byte, error) {
	req, t := x.req, x.conn.target
	method, host := req.Method, req.Host
	if method == "" {
		method = http.MethodGet
	}
	if host == "" {
		host = t.host
	}
	switch {
	case !httpguts.ValidHeaderFieldName(method): // both are tokens
		return nil, invalid("method")
	case !validTarget(t.prefix), !validTarget(req.URL.Opaque), !validTarget(req.URL.RawQuery):
		return nil, invalid("target")
	case host == "" || !httpguts.ValidHostHeader(host):
		return nil, invalid("host")
	}
	dst = append(dst, method...)
	dst = append(dst, ' ')
	dst = append(dst, t.prefix...)
	dst = append(dst, req.URL.Opaque...)
	if req.URL.RawQuery != "" {
		dst = append(dst, '?')
		dst = append(dst, req.URL.RawQuery...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, host...)
	dst = append(dst, '\r', '\n')
	for name, values := range req.Header {
		switch name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer": // are the connection's
			continue
		}
		var err error
		if dst, err = appendFields(dst, name, values); err != nil {
			return nil, err
		}
	}
	return append(x.appendFraming(dst, method), '\r', '\n'), nil
}

// appendFraming says where the body ends.
func (x *exchange) appendFraming(dst []byte, method string) []byte {
	switch {
	case x.body == nil:
		switch method {
		case http.MethodPost, http.MethodPut, http.MethodPatch: // RFC 9110 section 8.6
			dst = append(dst, "Content-Length: 0\r\n"...)
		}
	case x.req.ContentLength > 0:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, x.req.ContentLength, 10)
		dst = append(dst, '\r', '\n')
	default:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		for name := range x.req.Trailer {
			if trailerName(name) {
				dst = append(dst, "Trailer: "...)
				dst = append(dst, name...)
				dst = append(dst, '\r', '\n')
			}
		}
	}
	return dst
}

func appendFields(dst []byte, name string, values []string) ([]byte, error) {
	if len(values) > 0 && !httpguts.ValidHeaderFieldName(name) {
		return nil, invalid("field name")
	}
	for _, value := range values {
		if !httpguts.ValidHeaderFieldValue(value) {
			return nil, invalid("field " + name)
		}
		dst = append(dst, name...)
		dst = append(dst, ':', ' ')
		dst = append(dst, strings.Trim(value, " \t")...)
		dst = append(dst, '\r', '\n')
	}
	return dst, nil
}

// validTarget reports whether a part of the request target ends neither the target nor the line.
func validTarget(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// trailerName reports whether a field can be in a trailer section without changing what the message is.
func trailerName(name string) bool {
	switch name {
	case "Content-Length", "Transfer-Encoding", "Trailer", "Host", "Connection":
		return false
	}
	return httpguts.ValidHeaderFieldName(name)
}

var (
	errBodyShort = errors.New("the request's body is shorter than its Content-Length")
	errBodyLong  = errors.New("the request's body is longer than its Content-Length")
	errAnswered  = errors.New("the backend answered without asking for the body")
)

// sender sends the body of a request, in a goroutine of its own, since the response may come before its end.
type sender struct {
	conn     *http1.Conn
	body     *requestBody
	trailer  http.Header
	left     int64 // of a body whose length is known, -1 otherwise
	response time.Duration
	out      *sendBuffers

	// proceed gets a value when the body is asked for; nil where it is not waited for.
	proceed chan struct{}
	over    chan struct{} // closed when the final response has begun, or will not
	halt    func()        // closes over
	done    chan struct{} // closed when nothing more is written
	reading atomic.Bool   // from the client

	buf *[sendBytes]byte

	mu sync.Mutex // held while writing
	// head is what was not written yet of it, the beginning of buf unless it is large.
	head     []byte
	whole    bool
	answered bool
	err      error
}

func newSender(x *exchange, buf *[sendBytes]byte, head []byte) *sender {
	s := &sender{
		conn:     x.conn.Conn,
		body:     x.body,
		trailer:  x.req.Trailer,
		left:     -1,
		response: x.conn.ResponseTimeout(),
		out:      &x.conn.link.owner.conns.out,
		over:     make(chan struct{}),
		done:     make(chan struct{}),
		buf:      buf,
		head:     head,
	}
	s.halt = sync.OnceFunc(func() { close(s.over) })
	if x.req.ContentLength > 0 {
		s.left, s.trailer = x.req.ContentLength, nil
	}
	if httpguts.HeaderValuesContainsToken(x.req.Header["Expect"], "100-continue") {
		s.proceed = make(chan struct{}, 1)
	}
	return s
}

func (s *sender) run() {
	defer close(s.done)
	err := s.send()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.whole, s.err, s.head = err == nil, err, nil
	s.out.put(s.buf)
	switch {
	case err == nil && !s.answered:
		s.conn.ExpireRead(s.response)
	case s.body.failure() != nil, isTimeout(err):
		// The backend has a part of a request, which it must not take for the whole.
		_ = s.conn.NetConn().Close()
	}
}

func (s *sender) send() error {
	start := len(s.head) // which may be written while something is read behind it
	switch {
	case s.proceed != nil:
		if err := s.flush(); err != nil {
			return err
		}
		if err := s.wait(); err != nil {
			return err
		}
	case start > sendBytes/2:
		if err := s.flush(); err != nil {
			return err
		}
	default:
		timer := time.AfterFunc(headPatience, func() { _ = s.flush() }) // what fails once fails again
		defer timer.Stop()
	}
	if start > sendBytes/2 {
		start = 0
	}
	for {
		n, err := s.read(s.buf[start+chunkRoom : len(s.buf)-2])
		which := last
		if !errors.Is(err, io.EOF) {
			which = notLast
		}
		if err != nil && which == notLast {
			s.body.fail(err)
			return err
		}
		if err := s.write(start, n, which); err != nil || which == last {
			return err
		}
	}
}

// wait returns when the backend has asked for the body, or is not waited for any longer.
func (s *sender) wait() error {
	timer := time.NewTimer(continueTimeout)
	defer timer.Stop()
	select {
	case <-s.proceed:
	case <-timer.C:
	case <-s.over:
		return errAnswered
	}
	return nil
}

// read reads from the client. io.EOF comes with the last bytes.
func (s *sender) read(p []byte) (int, error) {
	s.reading.Store(true)
	defer s.reading.Store(false)
	if s.left < 0 {
		return s.body.Read(p)
	}
	n, err := s.body.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	if s.left == 0 {
		for idle := 0; err == nil; idle++ { // the end is to be seen before the backend can answer
			var one [1]byte
			var more int
			if more, err = s.body.Read(one[:]); more > 0 {
				return n, errBodyLong
			}
			if err == nil && idle > 100 {
				return n, io.ErrNoProgress
			}
		}
		return n, err
	}
	if errors.Is(err, io.EOF) {
		return n, errBodyShort
	}
	return n, err
}

// flush writes the head if that was not done.
func (s *sender) flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	head := s.head
	s.head = nil
	return s.put(head)
}

// piece says which part of a body it is.
type piece uint8

const (
	notLast piece = iota
	last
)

// write writes n bytes of the body, which lie in buf behind start and chunkRoom, with the head if it was not written.
func (s *sender) write(start, n int, which piece) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	from, to := start+chunkRoom, start+chunkRoom+n
	if s.left < 0 && n > 0 {
		var array [chunkRoom]byte
		line := http1.AppendChunkHeader(array[:0], n)
		from -= copy(s.buf[from-len(line):], line)
		to += copy(s.buf[to:], "\r\n")
	}
	if head := s.head; head != nil {
		s.head = nil
		from -= len(head)
		copy(s.buf[from:], head)
	}
	out := s.buf[from:to]
	if s.left < 0 && which == last {
		var err error
		if out, err = s.appendEnd(out); err != nil {
			s.body.fail(err)
			return err
		}
	}
	return s.put(out)
}

// appendEnd writes the last chunk with the trailer section.
func (s *sender) appendEnd(dst []byte) ([]byte, error) {
	dst = append(dst, '0', '\r', '\n')
	for name, values := range s.trailer {
		if !trailerName(name) {
			continue
		}
		var err error
		if dst, err = appendFields(dst, name, values); err != nil {
			return nil, err
		}
	}
	return append(dst, '\r', '\n'), nil
}

func (s *sender) put(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	_, err := s.conn.WriteWithin(p, stallTimeout)
	return err
}

// failure is why the body was not sent, nil as long as that is not known, and where there is no body.
func (s *sender) failure() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// ask lets the body go that waits for 100 Continue.
func (s *sender) ask() {
	if s != nil && s.proceed != nil {
		select {
		case s.proceed <- struct{}{}:
		default:
		}
	}
}

// reply is called when the final response has begun: how long it may take is another matter then, and a body that nobody
// has asked for is not sent.
func (s *sender) reply() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.answered = true
	s.mu.Unlock()
	s.halt()
}

// settle reports whether the request was sent as a whole, so that the connection may carry another. The end may be just
// about to be written; a client that is still being waited for is another matter.
func (s *sender) settle(how disposal) bool {
	if s == nil {
		return true
	}
	s.halt()
	if how == keep && !s.finished() && !s.reading.Load() {
		timer := time.NewTimer(settlePatience)
		defer timer.Stop()
		select {
		case <-s.done:
		case <-timer.C:
		}
	}
	if !s.finished() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.whole
}

// finished reports whether nothing more is written.
func (s *sender) finished() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}
