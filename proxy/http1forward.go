package proxy

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/internal/ows"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// forward sends the request on and its response back: over a connection of our own to an upstream that speaks HTTP/1.1 in
// clear text, by net/http's transports to all others.
func (e *wireExchange) forward() {
	pass := e.verdict.Pass
	if !pass.Direct() || e.head.upgrade || e.x.Request.ExpectContinue && !e.head.whole() {
		e.handOver()
		return
	}
	up, err := pass.Idle(&e.attempt), error(nil)
	if up == nil {
		up, err = pass.Connect(e.x.Context(), &e.attempt)
	}
	for {
		if err != nil {
			e.fail(err)
			return
		}
		e.endpoint = up.Endpoint()
		result := e.relay.Run(e.x, up.Conn, e.appendHead(e.x.Out[:0], up), http1.RelayOptions{
			Filter:          e,
			Reused:          up.Reused(),
			Kept:            ^identityInitials,
			ResponseTimeout: up.ResponseTimeout(),
			BodyTimeout:     up.BodyTimeout(),
			StallTimeout:    stallTimeout,
			Body:            e.head.early.bytes,
			Streams:         e,
		})
		e.sent = result.Sent
		if result.Status != 0 {
			e.status, e.started = result.Status, true
		}
		if result.Fault == http1.FaultNone {
			if result.Reusable && !e.cut {
				up.Release()
			} else {
				up.Discard()
			}
			return
		}
		switch {
		case result.Fault == http1.FaultStale:
			up, err = pass.Renew(e.x.Context(), &e.attempt)
		case result.Fault == http1.FaultSilent && up.Reused() && e.repeatable():
			up, err = pass.Again(e.x.Context(), &e.attempt)
		default:
			up.Discard()
			e.broken(up, result)
			return
		}
	}
}

// repeatable reports whether an upstream may see the request twice: one without a body that is safe, or that its client
// marked with an Idempotency-Key.
func (e *wireExchange) repeatable() bool {
	if e.x.HasBody() {
		return false
	}
	switch e.x.Request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return true
	}
	return len(e.head.Values("Idempotency-Key")) > 0 || len(e.head.Values("X-Idempotency-Key")) > 0
}

// broken ends an exchange whose upstream, or whose client, broke off.
func (e *wireExchange) broken(up *upstream.Conn, result http1.Result) {
	if e.cut { // by us, who know why
		return
	}
	switch result.Fault {
	case http1.FaultClientGone:
		e.gone = true
	case http1.FaultRequestBody:
		e.refuse(gate.Refusal{Reason: refusal.RequestMalformed})
	case http1.FaultCut:
		e.h.metrics.failed(e.verdict.Pass.Upstream(), "response_cut")
		e.h.log.Debug("response was cut short", "upstream", e.verdict.Pass.Upstream(), "endpoint", e.endpoint, "error", upstream.Cause(result.Err))
		e.reason, e.refused = refusal.UpstreamProtocol, true
	default:
		e.fail(up.Fault(result.Err))
	}
}

// StreamBegins has a response reviewed that may go on for long (http1.Streams).
func (e *wireExchange) StreamBegins(up *http1.Conn) {
	x := e.x
	e.held = e.hold(func() {
		up.Interrupt()
		x.Interrupt()
	})
}

// StreamEnds ends that (http1.Streams).
func (e *wireExchange) StreamEnds() { e.cut = e.letGo(e.held) }

func (e *wireExchange) fail(err error) {
	if refused, ok := e.failure(err); ok {
		e.refuse(refused)
	}
}

// appendHead writes the head that the upstream gets, from what was judged and nothing else.
func (e *wireExchange) appendHead(dst []byte, up *upstream.Conn) []byte {
	h, host, port := &e.head, e.verdict.Host, port(e.head.authority)
	dst = append(dst, e.x.Request.Method...)
	dst = append(dst, ' ')
	if prefix := up.Prefix(); prefix != "" {
		dst = append(dst, prefix...)
	}
	dst = append(dst, h.path...)
	if h.query != "" {
		dst = append(dst, '?')
		dst = append(dst, h.query...)
	}
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	if e.verdict.Pass.Host() == routing.HostPreserve {
		dst = append(dst, host...)
		dst = append(dst, port...)
	} else {
		dst = append(dst, up.Host()...)
	}
	dst = append(dst, '\r', '\n')
	dst = h.appendForwarded(dst)
	dst = append(dst, h.block.Text()...)
	for i := range h.set {
		dst = http1.AppendField(dst, h.set[i].Name, h.set[i].Value)
	}
	dst = append(dst, "X-Request-Id: "...)
	if e.requestID != "" {
		dst = append(dst, e.requestID...)
	} else {
		dst = append(dst, h.requestID[:]...)
	}
	dst = append(dst, "\r\nX-Forwarded-For: "...)
	dst = append(dst, e.x.RemoteText()...)
	if e.x.TLS() != nil {
		dst = append(dst, "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: "...)
	} else {
		dst = append(dst, "\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: "...)
	}
	dst = append(dst, host...)
	dst = append(dst, port...)
	if h.trailers {
		dst = append(dst, "\r\nTE: trailers\r\nConnection: TE"...)
	}
	dst = append(dst, '\r', '\n')
	return append(e.appendFraming(dst), '\r', '\n')
}

// appendFraming says how long the body is.
func (e *wireExchange) appendFraming(dst []byte) []byte {
	switch r := &e.x.Request; {
	case r.Chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		dst = e.appendAnnouncement(dst)
	case r.ContentLength >= 0:
		dst = appendLength(dst, r.ContentLength)
	}
	return dst
}

// appendAnnouncement tells which trailer fields may come, as far as the client does and they may go on.
func (e *wireExchange) appendAnnouncement(dst []byte) []byte {
	announced := 0 // more can't come, and a line for each name is more than was sent
	for i := range e.x.Request.Fields {
		f := &e.x.Request.Fields[i]
		if f.Kind() != http1.KindTrailer {
			continue
		}
		for name := range strings.SplitSeq(f.Value, ",") {
			if name = ows.Trim(name); announced < http1.MaxFields && validRequestID(name) && e.KeepRequestTrailer(name) {
				announced++
				dst = http1.AppendField(dst, "Trailer", name)
			}
		}
	}
	return dst
}

func appendLength(dst []byte, n int64) []byte {
	dst = append(dst, "Content-Length: "...)
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, '\r', '\n')
}

// appendForwarded copies the field lines that go on as they came; those that stay together are copied together.
func (h *wireHead) appendForwarded(dst []byte) []byte {
	r := &h.x.Request
	run, end := 0, 0
	for i := range r.Fields {
		if !h.forwarded.has(i) {
			continue
		}
		from, to := r.Fields[i].Extent()
		if from != end {
			dst = append(dst, r.Head[run:end]...)
			run = from
		}
		end = to
	}
	if run == end {
		return dst
	}
	return append(dst, r.Head[run:end]...)
}

// identityInitials are what the names begin with for which head.IsIdentity holds.
const identityInitials http1.Initials = 1<<('x'&31) | 1<<('e'&31)

// KeepResponseField reports whether a field of the response may be passed to the client: not what tells who calls, which is
// for upstreams alone (http1.Filter).
func (e *wireExchange) KeepResponseField(name string) bool { return !head.IsIdentity(name) }

// KeepResponseTrailer reports whether a trailer field of the response may be passed on (http1.Filter).
func (e *wireExchange) KeepResponseTrailer(name string) bool { return trailerAllowed(name) }

// KeepRequestTrailer reports whether a trailer field of the request may be passed on (http1.Filter).
func (e *wireExchange) KeepRequestTrailer(name string) bool {
	return trailerAllowed(name) && !e.verdict.Reserved(name)
}

// handOver forwards the request by net/http's means, which know of TLS, HTTP/2 and WebSocket. What they keep may outlive
// the exchange, so that they get copies.
func (e *wireExchange) handOver() {
	h := &e.head
	e.identified()
	x := &exchange{outcome: e.outcome, w: e.x.ResponseWriter(), r: e.x.HTTPRequest()}
	x.verdict.Host, x.verdict.Path = strings.Clone(x.verdict.Host), strings.Clone(x.verdict.Path)
	x.requestID = strings.Clone(x.requestID)
	x.head = requestHead{
		r: x.r, header: h.header(), path: strings.Clone(h.path), query: strings.Clone(h.query), client: h.client,
		upgrade: h.upgrade, key: strings.Clone(h.key), trailers: h.trailers, requestID: x.requestID, whole: h.whole(),
	}
	if h.whole() && h.x.HasBody() {
		x.head.early = &earlyBody{src: x.r.Body, release: func() {}, rest: h.early.bytes}
	}
	defer func() {
		x.leaveBody()
		x.outcome.verdict = e.verdict
		e.outcome = x.outcome
	}()
	x.forward()
}

// header is what is forwarded of the head.
func (h *wireHead) header() http.Header {
	fields := h.x.Request.Fields
	header := make(http.Header, len(fields)+8)
	for i := range fields {
		if h.forwarded.has(i) {
			header.Add(strings.Clone(fields[i].Name), strings.Clone(fields[i].Value))
		}
	}
	for name, value := range h.block.Fields() {
		header.Add(name, value)
	}
	for _, f := range h.set {
		header.Add(f.Name, strings.Clone(f.Value))
	}
	if h.x.Request.ExpectContinue && !h.whole() {
		header.Set("Expect", "100-continue")
	}
	return header
}
