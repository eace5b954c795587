package upstream

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// maxAttempts bounds how many endpoints one request is tried on. Another endpoint is tried only where no connection
// could be made. What a backend may see twice is a request without a body that is safe, or that its client marked with
// an Idempotency-Key: net/http sends it again where an idle connection turns out to have been closed.
const maxAttempts = 3

// Upstream is a ServiceEndpoint as one table uses it. It is immutable; what changes lives in its Registry.
type Upstream struct {
	key     routing.ObjectKey
	targets []target
	// single says that there is but one target, for the short way.
	single  bool
	log     *slog.Logger
	now     func() time.Time
	metrics upstreamMetrics
}

// target is a Service's port or a URL, with its share of the requests.
type target struct {
	transport *transport
	pool      *pool
	scheme    string
	// host is the Host of requests that do not preserve the client's.
	host   string
	prefix string
	weight uint64
}

// Key identifies the ServiceEndpoint.
func (u *Upstream) Key() routing.ObjectKey { return u.key }

// Broken returns why no request may be sent to this upstream, nil where they may: its CA certificates can't be parsed,
// or there is no name to verify the backend by.
func (u *Upstream) Broken() error {
	for i := range u.targets {
		if err := u.targets[i].transport.broken; err != nil {
			return err
		}
	}
	return nil
}

// Error is a failure of an upstream, or of a client while its request was being sent.
type Error struct {
	// Reason is what the request is refused with.
	Reason refusal.Reason
	// Endpoint is the address that failed, empty where there was none.
	Endpoint string
	Err      error
}

// Error names no part of the request, nor of the response.
func (e *Error) Error() string {
	if e.Endpoint == "" {
		return e.Reason.String() + ": " + e.Err.Error()
	}
	return e.Reason.String() + ": " + e.Endpoint + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

var (
	// ErrClientGone is wrapped by errors of requests that their client gave up.
	ErrClientGone = errors.New("the client has gone")
	// ErrNoEndpoints is wrapped by errors of requests to an upstream without endpoints.
	ErrNoEndpoints = errors.New("no endpoints")
)

// RoundTrip sends the request to one endpoint and returns its response, whose body must be closed. The request's
// URL.Opaque is the path to send, URL.RawQuery the query; scheme and address are the endpoint's, and so is the host
// where req.Host is empty. Fields that belong to one connection must have been removed, but for Connection and Upgrade
// of a request that asks for another protocol, which is sent by HTTP/1.1.
//
// Where no connection can be made to an endpoint, another one is tried, as long as nothing of the body was read.
// Errors are of type *Error. The endpoint's address is returned in both cases, where there was one.
func (u *Upstream) RoundTrip(req *http.Request) (resp *http.Response, address string, err error) {
	var body *requestBody
	if req.Body != nil && req.Body != http.NoBody {
		body = newRequestBody(req)
	}
	var array [maxAttempts]*endpoint
	tried := array[:0]
	for {
		t, e := u.choose(tried)
		if e == nil {
			if err == nil {
				err = &Error{Reason: refusal.NoEndpoints, Err: ErrNoEndpoints}
			}
			return nil, address, err
		}
		if len(tried) > 0 {
			u.metrics.retries.Inc()
		}
		tried = append(tried, e)
		address = e.host
		resp, err = u.try(t, e, req, body)
		if err == nil {
			return resp, address, nil
		}
		connect := (*connectError)(nil)
		again := errors.As(err, &connect) && !errors.Is(err, ErrClientGone) && (body == nil || !body.started.Load())
		if !again || len(tried) == maxAttempts {
			return nil, address, err
		}
	}
}

// try sends the request to that endpoint.
func (u *Upstream) try(t *target, e *endpoint, req *http.Request, body *requestBody) (*http.Response, error) {
	if err := t.transport.broken; err != nil {
		return nil, &Error{Reason: refusal.PipelineNotReady, Err: err}
	}
	out := *req
	out.URL = &url.URL{Scheme: t.scheme, Host: e.host, Opaque: t.prefix + req.URL.Opaque, RawQuery: req.URL.RawQuery}
	if out.Host == "" {
		out.Host = t.host
	}
	if body != nil {
		out.Body, out.GetBody = body, body.again
	}
	via := t.transport.negotiated
	if req.Header.Get("Upgrade") != "" {
		via = t.transport.http1
	}
	t.transport.acquire()
	e.inflight.Add(1)
	resp, err := via.RoundTrip(&out)
	if err != nil {
		e.inflight.Add(-1)
		t.transport.release()
		return nil, u.classify(e, req, body, err)
	}
	if e.succeeded() {
		u.log.Info("endpoint answers again", "upstream", u.key, "endpoint", e.host)
	}
	resp.Body = trackBody(resp, func() {
		e.inflight.Add(-1)
		t.transport.release()
	})
	return resp, nil
}

// classify says whose fault an error is.
func (u *Upstream) classify(e *endpoint, req *http.Request, body *requestBody, err error) *Error {
	failed := &Error{Reason: refusal.UpstreamProtocol, Endpoint: e.host, Err: Cause(err)}
	var connect *connectError
	var timeout interface{ Timeout() bool }
	switch {
	case req.Context().Err() != nil:
		failed.Reason, failed.Err = refusal.RequestMalformed, ErrClientGone
	case errors.As(err, &connect):
		failed.Reason, failed.Err = refusal.UpstreamConnect, connect
		u.metrics.connectFailures.Inc()
		if ejected, first := e.failed(u.now()); first {
			u.log.Warn("endpoint can't be connected to", "upstream", u.key, "endpoint", e.host, "ejected", ejected, "error", connect.err)
		}
	case body != nil && body.failure() != nil:
		failed.Reason, failed.Err = refusal.RequestMalformed, body.failure()
	case errors.As(err, &timeout) && timeout.Timeout():
		failed.Reason = refusal.UpstreamTimeout
	}
	return failed
}

// choose picks a target by weight and an endpoint of it. Targets whose endpoints are all ejected get no requests as
// long as another has some.
func (u *Upstream) choose(tried []*endpoint) (*target, *endpoint) {
	now := u.now()
	if u.single {
		t := &u.targets[0]
		return t, t.pool.pick(now, tried)
	}
	for _, least := range []availability{healthy, ejected} {
		total := uint64(0)
		for i := range u.targets {
			if t := &u.targets[i]; t.pool.availability(now, tried) >= least {
				total += t.weight
			}
		}
		if total == 0 {
			continue
		}
		n := rand.Uint64N(total) //nolint:gosec // load balancing needs no secrecy
		for i := range u.targets {
			t := &u.targets[i]
			if t.pool.availability(now, tried) < least {
				continue
			}
			if n < t.weight {
				return t, t.pool.pick(now, tried)
			}
			n -= t.weight
		}
	}
	return nil, nil
}
