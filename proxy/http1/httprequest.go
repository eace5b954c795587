package http1

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// HTTPRequest returns the request as net/http has it. It is a copy that may outlive the exchange, but for its body, which
// ends with it. It is made anew by each call, with one body for all.
func (x *Exchange) HTTPRequest() *http.Request {
	in := &x.Request
	r := &http.Request{
		Method:        strings.Clone(in.Method),
		RequestURI:    strings.Clone(in.Target),
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    in.Minor,
		Header:        make(http.Header, len(in.Fields)),
		ContentLength: max(in.ContentLength, 0),
		Close:         in.Close,
		RemoteAddr:    x.conn.RemoteAddr().String(),
		TLS:           x.TLS(),
		Body:          http.NoBody,
	}
	if in.Minor == 0 {
		r.Proto = "HTTP/1.0"
	}
	r.URL = parseTarget(r.Method, r.RequestURI)
	r.Host = r.URL.Host
	if r.Host == "" {
		r.Host = strings.Clone(in.Host)
	}
	for i := range in.Fields {
		f := &in.Fields[i]
		name := http.CanonicalHeaderKey(strings.Clone(f.Name))
		switch f.kind {
		case KindHost, KindTransferEncoding:
		case KindTrailer:
			announce(r, f.Value)
		default:
			r.Header[name] = append(r.Header[name], strings.Clone(f.Value))
		}
	}
	if in.Chunked {
		r.ContentLength = -1
		r.TransferEncoding = []string{"chunked"}
	}
	if x.HasBody() {
		if x.bodies == nil {
			x.bodies = &requestBody{x: x}
		}
		r.Body = x.bodies
	}
	r = r.WithContext(x.Context())
	if x.bodies != nil {
		x.bodies.of = r
	}
	return r
}

// parseTarget is what net/http makes of a request target. One that it would refuse has the target as Opaque.
func parseTarget(method, target string) *url.URL {
	parse := target
	authority := method == http.MethodConnect && !strings.HasPrefix(target, "/")
	if authority {
		parse = "http://" + target
	}
	u, err := url.ParseRequestURI(parse)
	if err != nil {
		return &url.URL{Opaque: target}
	}
	if authority {
		u.Scheme = ""
	}
	return u
}

// announce notes the trailer fields that are to come (RFC 9110 section 6.6.2), as far as they may.
func announce(r *http.Request, names string) {
	for name := range strings.SplitSeq(names, ",") {
		name = http.CanonicalHeaderKey(strings.Clone(strings.Trim(name, " \t")))
		switch name {
		case "", "Transfer-Encoding", "Trailer", "Content-Length":
			continue
		}
		if len(r.Trailer) == MaxFields { // more can't come
			return
		}
		if r.Trailer == nil {
			r.Trailer = http.Header{}
		}
		r.Trailer[name] = nil
	}
}

// requestBody is the body of a request for net/http's users, some of whom read it longer than they should.
type requestBody struct {
	mu            sync.Mutex // held while reading
	x             *Exchange  // nil once the exchange is over
	of            *http.Request
	closed, ended bool
}

// Read reads the body.
func (b *requestBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.x == nil || b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.x.ReadBody(p)
	if errors.Is(err, io.EOF) && !b.ended {
		b.ended = true
		b.copyTrailers()
	}
	return n, err
}

// copyTrailers shows the trailer fields, announced or not, as net/http does.
func (b *requestBody) copyTrailers() {
	for _, f := range b.x.Trailers() {
		if b.of.Trailer == nil {
			b.of.Trailer = http.Header{}
		}
		b.of.Trailer.Add(strings.Clone(f.Name), strings.Clone(f.Value))
	}
}

// Close ends reading. What is left of the body is not read.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// detach ends the use of the exchange, by whoever reads as well. Deadlines of the connection are to be taken away
// afterwards.
func (b *requestBody) detach() {
	conn := b.x.conn
	if !b.mu.TryLock() {
		_ = conn.SetReadDeadline(time.Unix(1, 0)) // fails where it was closed, which ends reads as well
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.x = nil
}
