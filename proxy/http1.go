package proxy

import (
	"cmp"
	crand "crypto/rand"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// wireExchange is one request on package http1. It is used again for others: what a request left in it must not outlive
// the exchange, since its strings lie in the connection's buffer.
type wireExchange struct {
	outcome
	x       *http1.Exchange
	head    wireHead
	attempt upstream.Attempt
	relay   http1.Relay
	random  *rand.ChaCha8
	handed  bool // to the transports of net/http
	// held is the review of a response that is streamed, cut says that it ended it.
	held *hold
	cut  bool
}

// wirePool lends exchanges.
type wirePool struct{ pool sync.Pool }

func (p *wirePool) get() *wireExchange {
	if e, ok := p.pool.Get().(*wireExchange); ok {
		return e
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	return &wireExchange{random: rand.NewChaCha8(seed)}
}

func (p *wirePool) put(e *wireExchange) {
	e.outcome, e.x, e.handed, e.held, e.cut = outcome{}, nil, false, nil, false
	e.head.forget()
	e.attempt.Reset()
	p.pool.Put(e)
}

// ServeHTTP1 serves one request (http1.Handler).
func (h *Handler) ServeHTTP1(x *http1.Exchange) {
	e := h.wires.get()
	e.h, e.x, e.start = h, x, h.now()
	h.metrics.inFlight.Inc()
	defer e.finish()
	e.serve()
}

// RefuseHTTP1 answers a request whose head is none (http1.Handler).
func (h *Handler) RefuseHTTP1(x *http1.Exchange, err *http1.SyntaxError) {
	e := h.wires.get()
	e.h, e.x, e.start = h, x, h.now()
	h.metrics.inFlight.Inc()
	defer e.finish()
	e.program = h.live.Load()
	e.head.client = x.RemoteAddr()
	reason := refusal.RequestMalformed
	switch err.Status {
	case http.StatusRequestHeaderFieldsTooLarge:
		reason = refusal.HeadTooLarge
	case http.StatusRequestURITooLong:
		reason = refusal.TargetTooLarge
	}
	e.refuse(gate.Refusal{Reason: reason})
}

func (e *wireExchange) serve() {
	e.program = e.h.live.Load() // once: a request is judged by one configuration from start to end
	refused, ok := e.head.read(e.x, &e.h.bodies)
	e.requestID = e.head.identify(e.random)
	if !ok {
		e.refuse(refused)
		return
	}
	if e.program == nil {
		e.refuse(gate.Refusal{Reason: refusal.PipelineNotReady})
		return
	}
	e.program.gate.Decide((*wireContext)(e), &e.head, e.start, &e.verdict)
	switch e.verdict.Outcome {
	case gate.Forward:
		e.forward()
	case gate.Terminate:
		e.send(terminateAnswer(e.verdict.Answer))
	case gate.Redirect:
		e.send(e.redirectAnswer(e.head.query))
	default:
		e.refuse(e.verdict.Refusal)
	}
}

// finish counts and logs the request. A panic refuses it, where nothing was sent yet, and cuts the connection otherwise, so
// that half an answer never looks like a whole one.
func (e *wireExchange) finish() {
	switch p := recover(); {
	case p == nil:
	case isAbort(p):
		e.x.Abort()
	default:
		e.panicked(p)
		if e.started {
			e.reason, e.refused = refusal.Internal, true
			e.x.Abort()
		} else {
			e.refuse(gate.Refusal{Reason: refusal.Internal})
		}
	}
	h := e.h
	h.metrics.inFlight.Dec()
	e.head.early.release(e.head.budget)
	if !e.started {
		e.status = statusClientGone
		e.x.Abort()
	}
	if h.accessLog != nil {
		e.identified()
	}
	e.count(facts{
		method: e.x.Request.Method, scheme: schemeOf(e.x), protocol: protocolOf(&e.x.Request), client: e.head.client,
	})
	h.wires.put(e)
}

func protocolOf(r *http1.Request) string {
	if r.Minor == 0 {
		return "HTTP/1.0"
	}
	return "HTTP/1.1"
}

// identified makes a string of the request's ID, where the hot path needs none.
func (e *wireExchange) identified() {
	if e.requestID == "" && e.head.requestID[0] != 0 {
		e.requestID = string(e.head.requestID[:])
	}
}

// refuse refuses the request.
func (e *wireExchange) refuse(r gate.Refusal) {
	e.identified()
	e.send(e.refusalAnswer(r, asked{method: e.x.Request.Method}))
}

// send writes a whole response.
func (e *wireExchange) send(a answer) {
	e.status, e.started = cmp.Or(a.means, a.status), true
	if a.last || !e.head.whole() && !e.x.BodyDone() {
		e.x.CloseAfter()
	}
	err := e.x.Respond(a.status, a.fields, a.body)
	e.gone = err != nil
	if err == nil && e.x.Request.Method != http.MethodHead && bodyAllowed(a.status) {
		e.sent = int64(len(a.body))
	}
}

// wireContext is the exchange's context, made where somebody waits for it alone. Contexts that are derived from it are
// derived from what it stands for, by Value, and may outlive the exchange.
type wireContext wireExchange

func (c *wireContext) Deadline() (time.Time, bool) { return time.Time{}, false }
func (c *wireContext) Done() <-chan struct{}       { return c.x.Context().Done() }
func (c *wireContext) Err() error                  { return c.x.Context().Err() }
func (c *wireContext) Value(key any) any           { return c.x.Context().Value(key) }

func schemeOf(x *http1.Exchange) string {
	if x.TLS() != nil {
		return "https"
	}
	return "http"
}
