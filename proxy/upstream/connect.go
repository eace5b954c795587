package upstream

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// defaultBodyTimeout is how long the next piece of a response's body may take: Envoy's limit for streams that are idle.
const defaultBodyTimeout = 5 * time.Minute

// Attempt is what is remembered of one exchange while a connection is sought for it, and the connection. The zero value
// is ready; Reset makes it ready for another exchange. It must not be copied, nor used by two goroutines at the same time.
type Attempt struct {
	// Hint says which part of the idle connections is looked at first. Exchanges that come one after the other, as those
	// of one client's connection, should have the same hint, and those that come at the same time different ones. 0 is
	// replaced by a random number at first use, which Reset keeps.
	Hint int

	tried [maxAttempts + 1]*endpoint // one more for Again
	count int
	again bool
	// stale is where a reused connection has ended, until that endpoint is tried again.
	stale *endpoint
	conn  Conn
}

// Reset forgets the exchange, whose connection is closed unless it was given back. Hint stays.
func (a *Attempt) Reset() {
	a.conn.Discard()
	*a = Attempt{Hint: a.Hint}
}

// Endpoint is the address that was tried last, empty where there was none.
func (a *Attempt) Endpoint() string {
	if a.count == 0 {
		return ""
	}
	return a.tried[a.count-1].host
}

// Conn is a connection to an endpoint, lent for one exchange. Release or Discard ends the loan; it must not be used
// afterwards, and can't be: it has no connection any more.
type Conn struct {
	*http1.Conn

	up     *Upstream
	target *target
	end    *endpoint
	link   *link
	hint   int
	reused bool
}

// Endpoint is the address of the endpoint, as "address:port".
func (c *Conn) Endpoint() string { return c.end.host }

// Host is the Host of requests that do not preserve the client's.
func (c *Conn) Host() string { return c.target.host }

// Prefix goes in front of the request's path.
func (c *Conn) Prefix() string { return c.target.prefix }

// Reused reports whether the connection has carried another exchange before, so that its end may have nothing to do with
// this one.
func (c *Conn) Reused() bool { return c.reused }

// ResponseTimeout is how long the head of the response may take once the request was sent; 0 is without limit.
func (c *Conn) ResponseTimeout() time.Duration { return c.target.transport.response }

// BodyTimeout is how long the next piece of the response's body may take.
func (c *Conn) BodyTimeout() time.Duration { return c.target.transport.body }

// Release gives the connection back for other exchanges, and ends this one. Everything of the response must have been
// read, and nothing else come. It has no effect once the loan has ended.
func (c *Conn) Release() {
	conn := c.Conn
	if conn == nil {
		return
	}
	conn.ExpireRead(0) // for writes nothing is armed
	link, hint := c.link, c.hint
	c.up.answered(c.end)
	c.over()
	if !drained(conn) {
		link.owner.conns.close(conn)
		return
	}
	link.put(conn, hint)
}

// Discard closes the connection and ends the exchange. It has no effect once the loan has ended.
func (c *Conn) Discard() {
	conn := c.Conn
	if conn == nil {
		return
	}
	owner := c.link.owner
	c.over()
	owner.conns.close(conn)
}

// over ends the loan, and stops counting the request as one in flight.
func (c *Conn) over() {
	c.end.inflight.Add(-1)
	c.target.transport.release()
	*c = Conn{end: c.end, target: c.target, up: c.up} // what is known of the endpoint may be asked for still
}

// Fault says whose fault it is that the exchange failed, for the response and the log.
func (c *Conn) Fault(err error) *Error { return c.up.fault(c.end, err) }

// fault classifies what went wrong on a connection.
func (u *Upstream) fault(e *endpoint, err error) *Error {
	failed := &Error{Reason: refusal.UpstreamProtocol, Endpoint: e.host, Err: Cause(err)}
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, http1.ErrPeerGone):
		failed.Reason, failed.Err = refusal.RequestMalformed, ErrClientGone
	case errors.As(err, &timeout) && timeout.Timeout():
		failed.Reason = refusal.UpstreamTimeout
	}
	return failed
}

// Direct reports whether all targets speak HTTP/1.1 in clear text, so that Connect serves.
func (u *Upstream) Direct() bool { return u.direct }

// Idle lends an idle connection to one of the endpoints, on which something may have come since it became idle, or its
// end: who sends a request on it has to look at the same time, as http1.Relay does, and to Renew it then. It returns nil
// where there is none to the endpoint that it chose: Connect then chooses anew. It allocates nothing. Only for an upstream
// that is Direct.
func (u *Upstream) Idle(a *Attempt) *Conn {
	t, e := u.choose(a.tried[:a.count])
	if e == nil || t.transport.broken != nil {
		return nil
	}
	link := t.transport.link(e)
	conn := link.take(a.Hint, unproven)
	if conn == nil {
		return nil
	}
	a.note(e)
	return a.lend(u, t, e, link, conn, reuse)
}

// Renew lends another connection for the same exchange, in place of one that turned out not to be idle any more before
// anything was sent on it, as if that one had not been lent. That one is closed.
func (u *Upstream) Renew(ctx context.Context, a *Attempt) (*Conn, error) {
	a.conn.Discard()
	a.count = max(a.count-1, 0)
	return u.connect(ctx, a, reuse)
}

// Connect lends a connection to one of the endpoints: an idle one, or a new one. Where none can be made to one endpoint,
// another one is tried. Errors are of type *Error. The context bounds the making of a connection alone. Nothing is
// allocated where a connection is idle. Only for an upstream that is Direct.
func (u *Upstream) Connect(ctx context.Context, a *Attempt) (*Conn, error) {
	return u.connect(ctx, a, reuse)
}

// Again lends a new connection for the same exchange, to another endpoint if there is one, after the first connection, a
// reused one, ended before anything of a response came. The first is closed. It must not be called twice, nor for a
// request that may not be repeated (RFC 9110 section 9.2.2).
func (u *Upstream) Again(ctx context.Context, a *Attempt) (*Conn, error) {
	a.conn.Discard()
	if a.again || a.count == 0 {
		return nil, &Error{Reason: refusal.UpstreamProtocol, Endpoint: a.Endpoint(), Err: errClosed}
	}
	a.again, a.stale = true, a.conn.end
	return u.connect(ctx, a, anew)
}

// source says where a connection may come from.
type source uint8

const (
	// reuse takes an idle connection where there is one.
	reuse source = iota
	// anew makes one.
	anew
)

func (u *Upstream) connect(ctx context.Context, a *Attempt, from source) (*Conn, error) {
	var last error
	for {
		t, e, err := u.next(a)
		if err != nil {
			return nil, cmp.Or(last, err)
		}
		conn, err := a.open(ctx, u, t, e, from)
		if err == nil {
			return conn, nil
		}
		if !errors.As(err, new(*connectError)) {
			return nil, err
		}
		last = err
	}
}

// next chooses the next endpoint for an exchange and notes it. Where a reused connection has ended, its endpoint is the
// last one to be tried again.
func (u *Upstream) next(a *Attempt) (*target, *endpoint, error) {
	var t *target
	var e *endpoint
	if a.count < maxAttempts {
		t, e = u.choose(a.tried[:a.count])
	}
	if e == nil && a.stale != nil {
		t, e, a.stale = a.conn.target, a.stale, nil
	}
	switch {
	case e == nil:
		return nil, nil, &Error{Reason: refusal.NoEndpoints, Err: ErrNoEndpoints}
	case t.transport.broken != nil:
		return nil, nil, &Error{Reason: refusal.PipelineNotReady, Err: t.transport.broken}
	}
	if a.count > 0 {
		u.metrics.retries.Inc()
	}
	a.note(e)
	return t, e, nil
}

func (a *Attempt) note(e *endpoint) {
	if a.Hint == 0 {
		a.Hint = 1 + int(rand.Uint32()>>1) //nolint:gosec // spreading needs no secrecy
	}
	a.tried[a.count] = e
	a.count++
}

// open lends a connection to that endpoint, in clear text. Errors are of type *Error.
func (a *Attempt) open(ctx context.Context, u *Upstream, t *target, e *endpoint, from source) (*Conn, error) {
	link := t.transport.link(e)
	if from == reuse {
		if conn := link.take(a.Hint, proven); conn != nil {
			return a.lend(u, t, e, link, conn, reuse), nil
		}
	}
	nc, err := t.transport.dialer.dial(ctx, "tcp", e.host)
	if err != nil {
		return nil, u.unconnected(ctx, e, err)
	}
	u.answered(e)
	return a.lend(u, t, e, link, t.transport.conns.add(nc), anew), nil
}

func (a *Attempt) lend(u *Upstream, t *target, e *endpoint, link *link, conn *http1.Conn, from source) *Conn {
	t.transport.acquire()
	e.inflight.Add(1)
	a.conn = Conn{Conn: conn, up: u, target: t, end: e, link: link, hint: a.Hint, reused: from == reuse}
	return &a.conn
}

// unconnected notes that no connection could be made, unless it was the client that gave up.
func (u *Upstream) unconnected(ctx context.Context, e *endpoint, err error) *Error {
	if ctx.Err() != nil {
		return &Error{Reason: refusal.RequestMalformed, Endpoint: e.host, Err: ErrClientGone}
	}
	u.metrics.connectFailures.Inc()
	if ejected, first := e.failed(u.now()); first {
		u.log.Warn("endpoint can't be connected to", "upstream", u.key, "endpoint", e.host, "ejected", ejected, "error", errors.Unwrap(err))
	}
	return &Error{Reason: refusal.UpstreamConnect, Endpoint: e.host, Err: err}
}

// answered notes that the endpoint is there.
func (u *Upstream) answered(e *endpoint) {
	if e.succeeded() {
		u.log.Info("endpoint answers again", "upstream", u.key, "endpoint", e.host)
	}
}

// direct reports whether the targets all speak HTTP/1.1 in clear text.
func direct(targets []target) bool {
	for i := range targets {
		if targets[i].transport.protocol != routing.UpstreamHTTP {
			return false
		}
	}
	return true
}
