package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// RoundTrip sends the request to one endpoint and returns its response, whose body must be closed. The request's
// URL.Opaque is the path to send, URL.RawQuery the query; scheme and address are the endpoint's, and so is the host
// where req.Host is empty. Fields that belong to one connection must have been removed, but for Connection and Upgrade
// of a request that asks for another protocol, which is sent by HTTP/1.1. Where such a request is answered 101, the
// response's body is an io.ReadWriteCloser with a method CloseWrite() error.
//
// The response may come while the request's body is still being read, which may go on after RoundTrip has returned, and
// after the response's body was closed. Trailer fields of the request are those that req.Trailer names, with the values
// that they have at the end of the body; those of the response are in its Trailer when its body has ended. 1xx responses
// are told by httptrace.
//
// Where no connection can be made to an endpoint, another one is tried, as long as nothing of the body was read.
// Errors are of type *Error. The endpoint's address is returned in both cases, where there was one.
func (u *Upstream) RoundTrip(req *http.Request) (resp *http.Response, address string, err error) {
	x := &exchange{u: u, req: req, body: newRequestBody(req)}
	resp, err = x.run()
	return resp, x.attempt.Endpoint(), err
}

// exchange is a request and its response.
type exchange struct {
	u       *Upstream
	req     *http.Request
	body    *requestBody // nil where there is none
	attempt Attempt

	// What follows is about a connection of our own.

	conn *Conn
	// nc is what the connection was made of, which may be closed by whoever wants the exchange to end.
	nc net.Conn
	// unwatch ends the watch over the request's context, and reports whether it had not ended the exchange.
	unwatch func() bool
	sender  *sender    // nil where there is no body
	mu      sync.Mutex // held while the exchange ends, and while someone has it end
	ended   bool       // the connection is another exchange's to use
	cut     bool       // someone had it end
	// heard says that something of a response came, unsent that nothing of the request was taken by the system.
	heard, unsent bool
	// stale says that a reused connection has ended before anything came, and that the request may be sent again.
	stale bool
}

func (x *exchange) run() (*http.Response, error) {
	from := reuse
	var last error
	for {
		t, e, err := x.u.next(&x.attempt)
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		resp, err := x.try(t, e, from)
		switch {
		case err == nil:
			return resp, nil
		case x.stale:
			x.stale, from = false, anew
			x.attempt.again, x.attempt.stale = true, e
		case !errors.As(err, new(*connectError)) || x.body.begun():
			return nil, err
		}
		last = err
	}
}

// try sends the request to that endpoint.
func (x *exchange) try(t *target, e *endpoint, from source) (*http.Response, error) {
	tr, ctx := t.transport, x.req.Context()
	link := tr.link(e)
	dialer := tr.dialer
	if x.req.Header.Get("Upgrade") != "" {
		dialer = tr.upgrades
	}
	if dialer == tr.dialer && (tr.protocol == routing.UpstreamH2C || protocol(link.speaks.Load()) == protocolHTTP2) {
		resp, err := x.delegate(t, e, nil)
		if !errors.Is(err, errNotHTTP2) {
			return resp, err
		}
		link.speaks.Store(uint32(protocolUnknown))
	}
	if from == reuse {
		if conn := link.take(x.attempt.Hint, proven); conn != nil {
			return x.exchange(x.attempt.lend(x.u, t, e, link, conn, reuse))
		}
	}
	var nc net.Conn
	var err error
	if tr.protocol == routing.UpstreamHTTPS {
		var conn *tls.Conn
		conn, err = dialer.dialTLS(ctx, "tcp", e.host)
		if err == nil && conn.ConnectionState().NegotiatedProtocol == nextProtoHTTP2 {
			link.speaks.Store(uint32(protocolHTTP2))
			return x.delegate(t, e, conn)
		}
		nc = conn
	} else {
		nc, err = dialer.dial(ctx, "tcp", e.host)
	}
	if err != nil {
		return nil, x.u.unconnected(ctx, e, err)
	}
	x.u.answered(e)
	return x.exchange(x.attempt.lend(x.u, t, e, link, tr.conns.add(nc), anew))
}

// delegate has net/http speak HTTP/2, on a connection that was made already or on one of its own.
func (x *exchange) delegate(t *target, e *endpoint, conn *tls.Conn) (*http.Response, error) {
	out := *x.req
	if conn != nil {
		b := &brought{}
		b.conn.Store(conn)
		out = *x.req.WithContext(context.WithValue(x.req.Context(), broughtKey{}, b))
		defer func() {
			if unused := b.take(); unused != nil { // another request has made one meanwhile
				_ = unused.Close()
			}
		}()
	}
	out.URL = &url.URL{Scheme: t.scheme, Host: e.host, Opaque: t.prefix + x.req.URL.Opaque, RawQuery: x.req.URL.RawQuery}
	if out.Host == "" {
		out.Host = t.host
	}
	if x.body != nil {
		out.Body, out.GetBody = x.body, x.body.again
	}
	t.transport.acquire()
	e.inflight.Add(1)
	over := func() {
		e.inflight.Add(-1)
		t.transport.release()
	}
	resp, err := t.transport.http2.RoundTrip(&out)
	if err != nil {
		over()
		if errors.Is(err, errNotHTTP2) {
			return nil, errNotHTTP2
		}
		return nil, x.classify(e, err)
	}
	x.u.answered(e)
	resp.Body = trackBody(resp.Body, over)
	return resp, nil
}

// classify says whose fault an error is.
func (x *exchange) classify(e *endpoint, err error) *Error {
	switch {
	case x.req.Context().Err() != nil:
		return &Error{Reason: refusal.RequestMalformed, Endpoint: e.host, Err: ErrClientGone}
	case errors.As(err, new(*connectError)):
		return x.u.unconnected(x.req.Context(), e, err)
	case x.body.failure() != nil:
		return &Error{Reason: refusal.RequestMalformed, Endpoint: e.host, Err: x.body.failure()}
	case errors.Is(err, errRequest):
		return &Error{Reason: refusal.Internal, Endpoint: e.host, Err: err}
	default:
		return x.u.fault(e, err)
	}
}

// exchange sends the request on that connection and reads the head of the response.
func (x *exchange) exchange(conn *Conn) (*http.Response, error) {
	x.conn, x.nc, x.sender = conn, conn.NetConn(), nil
	x.heard, x.unsent, x.ended, x.cut = false, false, false, false
	nc := x.nc
	x.unwatch = context.AfterFunc(x.req.Context(), func() { _ = nc.Close() })
	err := x.send()
	if err != nil {
		return nil, x.fail(err)
	}
	resp, err := x.receive()
	if err != nil {
		return nil, x.fail(err)
	}
	return resp, nil
}

// fail ends the exchange without a response.
func (x *exchange) fail(err error) error {
	e, reused := x.conn.end, x.conn.Reused()
	if sent := x.sender.failure(); isTimeout(sent) {
		err = sent // what came of it is less telling
	}
	x.finish(discard)
	failed := x.classify(e, err)
	x.stale = reused && !x.heard && failed.Reason == refusal.UpstreamProtocol && !x.attempt.again && x.repeatable()
	return failed
}

// repeatable reports whether the request may be sent again though it may have arrived (RFC 9110 section 9.2.2), or has
// not been sent at all.
func (x *exchange) repeatable() bool {
	if x.body.begun() {
		return false
	}
	if x.unsent {
		return true
	}
	if x.body != nil {
		return false
	}
	switch x.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, "":
		return true
	}
	return x.req.Header.Get("Idempotency-Key") != "" || x.req.Header.Get("X-Idempotency-Key") != ""
}

// disposal says what becomes of a connection.
type disposal uint8

const (
	discard disposal = iota
	keep
)

// finish gives the connection back if that is wanted and can be, and ends the exchange.
func (x *exchange) finish(how disposal) {
	sent := x.sender.settle(how)
	x.mu.Lock()
	x.ended = true
	cut := x.cut
	x.mu.Unlock()
	if unbroken := x.unwatch(); unbroken && !cut && sent && how == keep {
		x.conn.Release()
		return
	}
	x.conn.Discard()
}

// abort wakes whoever waits for the backend. It has no effect once the exchange has ended.
func (x *exchange) abort() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.ended {
		x.cut = true
		_ = x.nc.Close()
	}
}

// errRequest says that the request is not one that can be sent.
var errRequest = errors.New("the request breaks a rule of HTTP")

func invalid(what string) error { return fmt.Errorf("%w: %s", errRequest, what) }
