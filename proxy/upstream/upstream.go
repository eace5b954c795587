package upstream

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// maxAttempts bounds how many endpoints one request is tried on. Another endpoint is tried only where no connection
// could be made. What a backend may see twice is a request without a body that is safe, or that its client marked with
// an Idempotency-Key: it is sent again, once, where an idle connection turns out to have been closed.
const maxAttempts = 3

// Upstream is a ServiceEndpoint as one table uses it. It is immutable; what changes lives in its Registry.
type Upstream struct {
	key     routing.ObjectKey
	targets []target
	// single says that there is but one target, for the short way.
	single bool
	// direct says that all targets speak HTTP/1.1 in clear text.
	direct  bool
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

// choose picks a target by weight and an endpoint of it. Targets whose endpoints are all ejected get no requests as
// long as another has some.
func (u *Upstream) choose(tried []*endpoint) (*target, *endpoint) {
	if u.single {
		t := &u.targets[0]
		return t, t.pool.pick(u.now, tried)
	}
	for _, least := range []availability{healthy, ejected} {
		total := uint64(0)
		for i := range u.targets {
			if t := &u.targets[i]; t.pool.availability(u.now, tried) >= least {
				total += t.weight
			}
		}
		if total == 0 {
			continue
		}
		n := rand.Uint64N(total) //nolint:gosec // load balancing needs no secrecy
		for i := range u.targets {
			t := &u.targets[i]
			if t.pool.availability(u.now, tried) < least {
				continue
			}
			if n < t.weight {
				return t, t.pool.pick(u.now, tried)
			}
			n -= t.weight
		}
	}
	return nil, nil
}
