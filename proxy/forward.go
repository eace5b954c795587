package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

const (
	// stallTimeout bounds how long one read from a client, or one write to it, may take.
	stallTimeout = 60 * time.Second
	// unreadTimeout bounds how long the rest of a request's body is waited for once the response is complete.
	unreadTimeout = time.Second
	// maxInformational bounds the 1xx responses of one request.
	maxInformational = 16
	bufferBytes      = 32 << 10
)

var errInformational = errors.New("too many informational responses")

// bufferPool lends the buffers that bodies are copied through.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *[bufferBytes]byte {
	if b, ok := p.pool.Get().(*[bufferBytes]byte); ok {
		return b
	}
	return new([bufferBytes]byte)
}

func (p *bufferPool) put(b *[bufferBytes]byte) { p.pool.Put(b) }

// forward sends the request on and its response back.
func (x *exchange) forward() {
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	informational := &informational{x: x}
	out := x.outgoing(informational.trace(ctx))
	if x.body != nil && !x.head.whole && x.r.ProtoMajor == 1 && len(x.r.Header["Expect"]) > 0 {
		x.body.proceed = informational.proceed
	}
	resp, endpoint, err := x.verdict.Pass.RoundTrip(out)
	informational.end()
	x.endpoint = endpoint
	if err != nil {
		x.fail(err)
		return
	}
	defer resp.Body.Close() // whatever mattered was read
	if resp.StatusCode == http.StatusSwitchingProtocols {
		x.switchProtocols(resp)
		return
	}
	if resp.StatusCode < 200 || resp.StatusCode > 999 {
		x.badResponse("status code out of range")
		return
	}
	if !validFields(resp.Header) {
		x.badResponse("malformed field")
		return
	}
	x.answer(resp, cancel)
}

// outgoing makes the request that the upstream gets, from what was judged and nothing else.
func (x *exchange) outgoing(ctx context.Context) *http.Request {
	h := &x.head
	header := h.header
	authority := x.verdict.Host + port(x.r.Host)
	header.Set(headerRequestID, x.requestID)
	header.Set("X-Forwarded-For", h.client.Addr().String())
	header.Set("X-Forwarded-Proto", h.Scheme())
	header.Set("X-Forwarded-Host", authority)
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = nil // keeps net/http from naming itself
	}
	if h.trailers {
		header.Set("Te", "trailers")
	}
	if h.upgrade {
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
	}
	out := &http.Request{
		Method:        x.r.Method,
		URL:           &url.URL{Opaque: h.path, RawQuery: h.query},
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: x.r.ContentLength,
	}
	if x.verdict.Pass.Host() == routing.HostPreserve {
		out.Host = authority
	}
	if x.r.ContentLength != 0 && x.r.Body != nil && x.r.Body != http.NoBody {
		src := x.r.Body
		if h.early != nil {
			src = h.early
		}
		body := &clientBody{src: src, control: http.NewResponseController(x.w), from: x.r, whole: h.whole}
		x.body = body
		for name := range x.r.Trailer {
			if trailerAllowed(name) && !x.verdict.Reserved(name) {
				if out.Trailer == nil {
					out.Trailer = http.Header{}
				}
				out.Trailer[name] = nil
			}
		}
		body.to = out.Trailer
		out.Body = body
	}
	return out.WithContext(ctx)
}

// port is the port of a valid authority with its colon, or empty.
func port(authority string) string {
	i := len(authority) - 1
	for i >= 0 && authority[i] != ':' && authority[i] != ']' {
		i--
	}
	if i < 0 || authority[i] == ']' || i+1 == len(authority) {
		return ""
	}
	return authority[i:]
}

// clientBody is the request's body. A client that stalls is not waited for longer than stallTimeout.
type clientBody struct {
	src     io.ReadCloser
	control *http.ResponseController
	from    *http.Request
	// to gets the trailer fields that were announced and are allowed, once the body was read.
	to http.Header
	// proceed asks the client for the body, before it is read for the first time; nil where the client does not wait.
	proceed func()

	reading sync.Mutex // held while reading; whole is changed under both
	mu      sync.Mutex
	whole   bool
	ended   bool
}

// Read reads from the client.
func (b *clientBody) Read(p []byte) (int, error) {
	if b.proceed != nil {
		b.proceed()
		b.proceed = nil
	}
	b.reading.Lock()
	defer b.reading.Unlock()
	if !b.deadline(time.Now().Add(stallTimeout)) {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.src.Read(p)
	if errors.Is(err, io.EOF) {
		for name := range b.to {
			b.to[name] = b.from.Trailer[name]
		}
		b.mu.Lock()
		b.whole = true
		b.mu.Unlock()
	}
	b.deadline(time.Time{})
	return n, err
}

// deadline bounds reads, and reports whether there may be any: not once the response has ended. It has no effect where
// the connection has no deadlines, as in tests.
func (b *clientBody) deadline(at time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.ended {
		_ = b.control.SetReadDeadline(at)
	}
	return !b.ended
}

// read reports whether the body was read to its end.
func (b *clientBody) read() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.whole
}

// end is called when the response is complete. Whoever still reads is stopped, since net/http, which takes away all
// deadlines where it finds a reader, would then wait for the rest of the body without end.
func (b *clientBody) end() {
	b.mu.Lock()
	b.ended = true
	if !b.whole {
		_ = b.control.SetReadDeadline(time.Unix(1, 0))
	}
	b.mu.Unlock()
	b.reading.Lock()
	defer b.reading.Unlock()
	at := time.Time{}
	if !b.whole {
		at = time.Now().Add(unreadTimeout)
	}
	_ = b.control.SetReadDeadline(at)
}

// leave lets go of the connection: whoever still reads the body, which the upstream's transport may do after the handler
// has returned, finds no deadline to set. On HTTP/2 there is no response left to set one on.
func (b *clientBody) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
}

// Close closes the client's body.
func (b *clientBody) Close() error { return b.src.Close() }

// trailerAllowed reports whether a field may be in a trailer section that is passed on: none that frames, routes or
// authenticates (RFC 9110 section 6.5.1), none that tells who calls. Names are compared without case.
func trailerAllowed(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Authorization", "Cookie", "Set-Cookie", "Content-Type", "Content-Encoding",
		"Content-Range", "Cache-Control", "Max-Forwards", "Www-Authenticate":
		return false
	}
	return head.FateOf(name) == head.Kept
}

// informational passes 1xx responses on (RFC 9110 section 15.2), all but 100, which the client gets when the body is
// first read.
type informational struct {
	x     *exchange
	mu    sync.Mutex
	over  bool
	count int
}

func (i *informational) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: i.got})
}

func (i *informational) got(code int, header textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.count++; i.count > maxInformational {
		return errInformational
	}
	if i.over || code == http.StatusContinue || code == http.StatusSwitchingProtocols || !i.x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	to := i.x.w.Header()
	copyResponseFields(to, http.Header(header))
	i.x.extendWrite()
	i.x.w.WriteHeader(code)
	clear(to)
	return nil
}

// proceed sends 100 Continue. On HTTP/1.1 net/http would send it from the goroutine that reads the body, into whatever
// response is passed on at that moment; it does not send it a second time.
func (i *informational) proceed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over {
		return // the final response is on its way, which net/http keeps apart from its own 100
	}
	i.x.extendWrite()
	i.x.w.WriteHeader(http.StatusContinue)
}

// end keeps late 1xx responses from meeting the final one.
func (i *informational) end() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.over = true
}

// copyResponseFields copies what may be passed to the client: not what belongs to the connection to the upstream, nor
// what tells who calls, which is for upstreams alone.
func copyResponseFields(to, from http.Header) {
	listed := from["Connection"]
	for name, values := range from {
		if head.FateOf(name) == head.Connection || head.IsIdentity(name) || len(listed) > 0 && containsToken(listed, name) {
			continue
		}
		to[name] = values
	}
}

// validFields reports whether the fields are ones that HTTP allows (RFC 9110 section 5); net/http's client lets spaces
// in names through.
func validFields(header http.Header) bool {
	for name, values := range header {
		if !httpguts.ValidHeaderFieldName(name) {
			return false
		}
		for _, value := range values {
			if !httpguts.ValidHeaderFieldValue(value) {
				return false
			}
		}
	}
	return true
}

// answer sends the upstream's response to the client.
func (x *exchange) answer(resp *http.Response, cancel func()) {
	header := x.w.Header()
	copyResponseFields(header, resp.Header)
	announced := 0
	for name := range resp.Trailer {
		if trailerAllowed(name) {
			header.Add("Trailer", name)
			announced++
		}
	}
	if announced > 0 && x.r.ProtoMajor == 1 {
		delete(header, "Content-Length") // HTTP/1.1 has trailers in the chunked coding alone
	}
	if _, ok := header["Content-Type"]; !ok {
		header["Content-Type"] = nil // keeps net/http from guessing
	}
	x.closeUnlessRead()
	x.status, x.started = resp.StatusCode, true
	control := http.NewResponseController(x.w)
	x.extendWrite()
	x.w.WriteHeader(resp.StatusCode)
	var held *hold
	if resp.ContentLength < 0 && x.r.Method != http.MethodHead && bodyAllowed(resp.StatusCode) {
		if err := control.Flush(); err != nil {
			x.gone = true
			return
		}
		held = x.hold(func() {
			cancel()
			_ = control.SetWriteDeadline(time.Unix(1, 0)) // a client that doesn't read must not hold us up
		})
		defer x.letGo(held)
	}
	x.copyBody(resp, control, held)
	if x.gone || len(resp.Trailer) == 0 {
		return
	}
	if announced == 0 {
		// Trailers that come without an announcement need the chunked coding, which a flush decides on.
		if err := control.Flush(); err != nil {
			x.gone = true
			return
		}
	}
	for name, values := range resp.Trailer {
		if !trailerAllowed(name) {
			continue
		}
		if announced == 0 || !containsToken(header["Trailer"], name) {
			name = http.TrailerPrefix + name
		}
		header[name] = values
	}
}

// copyBody streams the body; one without a length is flushed with each piece, since it may be a stream of events. A body
// that the upstream cuts short, or that we do, is cut short for the client too, so that it never looks complete.
func (x *exchange) copyBody(resp *http.Response, control *http.ResponseController, held *hold) {
	buffer := x.h.buffers.get()
	defer x.h.buffers.put(buffer)
	for {
		n, err := resp.Body.Read(buffer[:])
		if n > 0 {
			x.extendWrite()
			written, writeErr := x.w.Write(buffer[:n])
			x.sent += int64(written)
			if writeErr == nil && resp.ContentLength < 0 {
				writeErr = control.Flush()
			}
			if writeErr != nil {
				x.gone = true
				return
			}
			x.restWrite()
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			x.extendWrite()
			return
		default:
			switch {
			case x.letGo(held):
			case x.r.Context().Err() != nil:
				x.gone = true
			default:
				x.h.metrics.failed(x.verdict.Pass.Upstream(), "response_cut")
				x.h.log.Debug("response was cut short", "upstream", x.verdict.Pass.Upstream(), "endpoint", x.endpoint, "error", upstream.Cause(err))
				x.reason, x.refused = refusal.UpstreamProtocol, true
			}
			panic(http.ErrAbortHandler)
		}
	}
}

// extendWrite gives the next writes stallTimeout. It has no effect where the connection has no deadlines.
func (x *exchange) extendWrite() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(stallTimeout))
}

// restWrite takes the deadline away while nothing is being written: on HTTP/2 it would end the stream however long the
// upstream is silent. On HTTP/1 it is of no consequence until the next write.
func (x *exchange) restWrite() {
	if x.r.ProtoMajor == 2 {
		_ = http.NewResponseController(x.w).SetWriteDeadline(time.Time{})
	}
}

// badResponse answers for an upstream that broke the rules.
func (x *exchange) badResponse(what string) {
	x.h.metrics.failed(x.verdict.Pass.Upstream(), refusal.UpstreamProtocol.String())
	x.h.log.Debug("upstream broke HTTP", "upstream", x.verdict.Pass.Upstream(), "endpoint", x.endpoint, "what", what)
	x.refuse(gate.Refusal{Reason: refusal.UpstreamProtocol})
}
