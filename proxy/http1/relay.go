package http1

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"
)

const (
	// relayBuffer is the room for a response's head, and for its body where that is small.
	relayBuffer = 16 << 10
	// gatherUpTo is how much of a response may be collected, where it is there, before a last piece is added and all is sent.
	gatherUpTo = 32 << 10
	// maxInformational bounds the 1xx responses to one request.
	maxInformational = 16
)

// Errors of upstreams' responses.
var (
	errInformational = errors.New("too many informational responses")
	errSwitched      = errors.New("switched protocols without being asked to")
	errStale         = errors.New("something came on an idle connection, or its end")
)

// Relay sends requests to upstreams and responses to clients. It is used for one exchange at a time, and again for the
// next: it holds the state and buffers, so that nothing is allocated for each.
type Relay struct {
	x      *Exchange
	up     *Conn
	opts   RelayOptions
	resp   Response
	chunks ChunkReader
	pump   pump
	// splicer moves large bodies.
	splicer splicer
	out     []byte
	buf     []byte
	// [r:w) of buf is what came from the upstream and was not used yet.
	r, w int
	// asked is what went wrong when the request's answer was waited for first, or when more of it was looked for.
	asked error
	// heard says that something came, early that it did before anything was asked.
	heard, early bool

	result Result
}

// Run sends a request whose head is given, built in x.Out or elsewhere, with the exchange's body, and passes the response
// to the client. The upstream's connection is the caller's to keep or to close.
func (l *Relay) Run(x *Exchange, up *Conn, head []byte, opts RelayOptions) Result {
	if l.buf == nil {
		l.buf = make([]byte, relayBuffer)
		l.splicer.init()
	}
	l.x, l.up, l.opts, l.out, l.r, l.w, l.asked, l.heard, l.early, l.result = x, up, opts, head, 0, 0, nil, false, false, Result{}
	l.resp.Reset() // the last one may have broken off within its head, which lay where this one's will
	l.pump.reset(l)
	l.run()
	x.Out = l.out[:0]
	l.x, l.up, l.opts, l.out = nil, nil, RelayOptions{}, nil
	return l.result
}

func (l *Relay) run() {
	if l.opts.Reused && l.x.HasBody() && !l.up.Quiet() { // before any of the body is taken
		l.fault(FaultStale, errStale)
		return
	}
	if err := l.begin(); err != nil {
		l.fault(FaultRequestBody, err)
		return
	}
	whole := false
	defer func() {
		if !whole { // a panic: what it leaves behind must not be used by the pump, whose exchange is over
			l.pump.stop(0)
		}
	}()
	l.x.conn.Watch(l.up)
	sent := l.send()
	if l.result.Fault == FaultNone && l.receive(sent) {
		l.body()
	}
	l.x.conn.Unwatch()
	whole = true
	if l.result.Fault == FaultNone {
		l.pump.stop(unreadTimeout)
	} else {
		l.pump.stop(0)
	}
	if l.result.Fault == FaultNone {
		// What was there before the request is passed on as its response, but then the response to it may come later.
		l.result.Reusable = l.result.Reusable && sent == nil && !l.early && !l.pump.broken()
		if !l.taken() {
			l.x.CloseAfter()
		}
	} else {
		l.result.Reusable = false
	}
}

// taken reports whether all of the request was read.
func (l *Relay) taken() bool {
	if l.pump.started {
		return l.pump.finished()
	}
	return l.opts.Body != nil || !l.x.HasBody() || l.x.BodyDone()
}

// begin adds as much of the body to the head as is there.
func (l *Relay) begin() error {
	x := l.x
	switch {
	case l.opts.Body != nil:
		l.out = appendBody(l.out, l.opts.Body, x.framing())
	case !x.HasBody():
		return nil
	}
	for l.opts.Body == nil && len(x.Buffered()) > 0 && !x.BodyDone() && len(l.out) < relayBuffer {
		n, err := x.ReadBody(l.buf)
		l.out = appendBody(l.out, l.buf[:n], x.framing())
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	if x.Request.Chunked && x.BodyDone() {
		l.out = appendEnd(l.out, x.Trailers(), l.opts.Filter.KeepRequestTrailer)
	}
	return nil
}

// send sends what is there, and has the pump send the rest of the body. An upstream that does not take it may have
// answered all the same, which receive finds out.
func (l *Relay) send() error {
	out, whole := l.out, l.taken()
	if whole {
		l.up.ExpireRead(l.opts.ResponseTimeout)
		var sent int
		sent, l.w, l.asked = l.up.Ask(out, l.room())
		l.heard = l.w > 0
		l.early = l.heard && sent == 0
		if sent == 0 && l.opts.Reused && (l.heard || l.asked != nil && !errors.Is(l.asked, ErrPeerGone)) {
			return l.stale()
		}
		if out = out[sent:]; len(out) == 0 {
			return nil
		}
	}
	if _, err := l.up.WriteWithin(out, l.opts.StallTimeout); err != nil {
		l.untaken(err)
		return err
	}
	if !whole {
		l.pump.start()
	}
	return nil
}

// stale ends the relay before anything was sent, since the upstream's connection was not idle any more: what may have come
// on it answers nothing, least of all this request.
func (l *Relay) stale() error {
	l.fault(FaultStale, errStale)
	if l.x.HasBody() {
		l.result.Fault = FaultSilent // some of the body may have been taken from the client
	}
	return errStale
}

// untaken bounds how long a response is waited for from an upstream that did not take the request: no longer, where it has
// let the time for that pass.
func (l *Relay) untaken(err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = l.up.SetReadDeadline(time.Unix(1, 0)) // fails where it was closed, which wakes as well
		return
	}
	l.up.ExpireRead(l.opts.ResponseTimeout)
}

// framing is how a body is sent.
type framing uint8

const (
	// bare is the body as it is: its length was told, or it ends with the connection.
	bare framing = iota
	// chunks is the chunked coding.
	chunks
)

// framing is how the request's body is sent on: as it came.
func (x *Exchange) framing() framing {
	if x.Request.Chunked {
		return chunks
	}
	return bare
}

func appendBody(dst, data []byte, as framing) []byte {
	if as == bare {
		return append(dst, data...)
	}
	if len(data) == 0 {
		return dst // a chunk of no bytes would be the last
	}
	dst = AppendChunkHeader(dst, len(data))
	dst = append(dst, data...)
	return append(dst, '\r', '\n')
}

// appendEnd writes the last chunk with the trailer section.
func appendEnd(dst []byte, trailers []Field, keep func(string) bool) []byte {
	dst = append(dst, '0', '\r', '\n')
	for i := range trailers {
		if f := &trailers[i]; keep(f.Name) {
			dst = AppendField(dst, f.Name, f.Value)
		}
	}
	return append(dst, '\r', '\n')
}

// receive reads the final response's head, passes on those before it, and reports whether there is a final one.
func (l *Relay) receive(sent error) bool {
	for informational := 0; ; {
		n, err := l.resp.Parse(l.buf[l.r:l.w])
		switch {
		case errors.Is(err, ErrIncomplete):
			if !l.fill(sent) {
				return false
			}
			continue
		case err != nil:
			return l.fault(FaultResponse, err)
		}
		l.r += n
		switch status := l.resp.Status; {
		case status >= 200:
			l.pump.answered()
			return true
		case status == http.StatusSwitchingProtocols:
			return l.fault(FaultResponse, errSwitched)
		}
		if informational++; informational > maxInformational {
			return l.fault(FaultResponse, errInformational)
		}
		if !l.inform() {
			return false
		}
	}
}

// fill reads more of the response's head.
func (l *Relay) fill(sent error) bool {
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
		l.resp.Reset()
	}
	if l.w == len(l.buf) {
		if len(l.buf) >= MaxHeadBytes {
			return l.fault(FaultResponse, ErrHeadTooLarge)
		}
		l.buf = append(l.buf, make([]byte, len(l.buf))...) // kept: there will be others like it
	}
	n, err := 0, l.asked
	if l.asked = nil; err == nil {
		n, err = l.up.Read(l.buf[l.w:])
	}
	if n > 0 {
		l.w += n
		l.heard = true
		return true
	}
	switch body := l.pump.err(); {
	case errors.Is(err, ErrPeerGone):
		return l.fault(FaultClientGone, err)
	case body != nil:
		return l.fault(FaultRequestBody, body)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return l.fault(FaultTimeout, err)
	case !l.heard:
		if sent != nil {
			err = sent
		}
		return l.fault(FaultSilent, err)
	default:
		return l.fault(FaultResponse, err)
	}
}

func (l *Relay) fault(f Fault, err error) bool {
	l.result.Fault, l.result.Err = f, err
	return false
}

// inform passes on a 1xx response (RFC 9110 section 15.2), but for 100, which the client gets from us when its body is
// first read.
func (l *Relay) inform() bool {
	if l.resp.Status == http.StatusContinue || l.x.Request.Minor == 0 {
		return true
	}
	l.out = l.appendHead(l.out[:0])
	l.out = append(l.out, '\r', '\n')
	if err := l.write(); err != nil {
		return l.fault(FaultClientGone, err)
	}
	return true
}

// write sends what is in out to the client.
func (l *Relay) write() error {
	err := l.x.Write(l.out)
	l.out = l.out[:0]
	return err
}

// body passes the final response on.
func (l *Relay) body() {
	x, resp := l.x, &l.resp
	l.result.Status = resp.Status
	l.result.Reusable = !resp.Close
	if !l.taken() {
		x.CloseAfter() // what is left of the body must never be read as a request
	}
	kind, as := resp.Body(x.Request.Method), bare
	l.streamBegins(kind)
	defer l.streamEnds(kind)
	switch {
	case kind != ChunkedBody && kind != UntilClose:
	case x.Request.Minor > 0:
		as = chunks
	default:
		x.CloseAfter() // the end of the connection is the end of the body
	}
	l.out = l.appendFinal(l.out[:0], kind, as)
	var err error
	switch kind {
	case Length:
		err = l.counted(resp.ContentLength)
	case ChunkedBody:
		err = l.inChunks(as)
	case UntilClose:
		l.result.Reusable = false
		err = l.untilClose(as)
	default:
		if l.r < l.w {
			l.result.Reusable = false // content where there must be none
		}
		err = l.flush(0)
	}
	if err == nil {
		return
	}
	l.result.Fault, l.result.Err = FaultCut, err
	// Where the request's body broke off, the upstream was cut for it.
	if errors.As(err, new(*clientError)) || errors.Is(err, ErrPeerGone) || l.pump.err() != nil {
		l.result.Fault = FaultClientGone
	}
	x.Abort()
}

// clientError is a failure to write to the client.
type clientError struct{ err error }

func (e *clientError) Error() string { return "write to the client: " + e.err.Error() }
func (e *clientError) Unwrap() error { return e.err }

// flush sends what is in out, of which n bytes are body.
func (l *Relay) flush(n int) error {
	if err := l.write(); err != nil {
		return &clientError{err}
	}
	l.result.Sent += int64(n)
	return nil
}

// gather reads the next piece of the body if it is there already and out has room for it: to send it by itself would cost
// more than all else that is done with it. Where the last read did not fill the buffer it is not looked for. read tells what
// went wrong.
func (l *Relay) gather() bool {
	if l.w < len(l.buf) || len(l.out) > gatherUpTo {
		return false
	}
	l.up.ExpireRead(l.opts.BodyTimeout) // what was armed may be about to pass
	n, err := l.up.readThere(l.buf)
	l.asked = err
	if n == 0 {
		return false
	}
	l.r, l.w = 0, n
	return true
}

// read reads the next piece of the body.
func (l *Relay) read() error {
	if err := l.asked; err != nil {
		l.asked = nil
		return err
	}
	l.up.ExpireRead(l.opts.BodyTimeout)
	n, err := l.up.Read(l.buf)
	l.r, l.w = 0, n
	if n > 0 {
		return nil
	}
	return err
}

// inChunks passes on a body in the chunked coding, framed anew.
func (l *Relay) inChunks(as framing) error {
	l.chunks.Reset()
	for body := 0; ; {
		for l.r < l.w && !l.chunks.Done() {
			data, n, err := l.chunks.Next(l.buf[l.r:l.w])
			if err != nil {
				return err
			}
			l.r += n
			body += len(data)
			l.out = appendBody(l.out, data, as)
		}
		done := l.chunks.Done()
		if done {
			if l.r < l.w {
				l.result.Reusable = false
			}
			if as == chunks {
				l.out = appendEnd(l.out, l.chunks.Trailers(), l.opts.Filter.KeepResponseTrailer)
			}
		} else if l.gather() {
			continue
		}
		if err := l.flush(body); err != nil || done {
			return err
		}
		if err := l.read(); err != nil {
			return cut(err)
		}
		body = 0
	}
}

// untilClose passes on a body that ends with the connection.
func (l *Relay) untilClose(as framing) error {
	for body := 0; ; body = 0 {
		for more := true; more; more = l.gather() {
			l.out = appendBody(l.out, l.buf[l.r:l.w], as)
			body += l.w - l.r
			l.r = l.w
		}
		if err := l.flush(body); err != nil {
			return err
		}
		switch err := l.read(); {
		case err == nil:
		case errors.Is(err, io.EOF):
			if as == bare {
				return nil
			}
			l.out = appendEnd(l.out, nil, nil)
			return l.flush(0)
		default:
			return err
		}
	}
}

// cut is the error of a body that ended too early.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
