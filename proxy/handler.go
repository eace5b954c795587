package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// Options of a Handler.
type Options struct {
	// Live holds the Program to serve by. Required.
	Live *Live
	// Log gets faults. The default discards.
	Log *slog.Logger
	// AccessLog gets one record a request, at level Info. Nil, the default, turns it off.
	AccessLog *slog.Logger
	// Metrics is where the metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// Now is the clock that tokens are judged by and durations measured with. The default is time.Now.
	Now func() time.Time
	// RedirectPort is the port of https URLs that clear-text requests are redirected to. The default, 0, is 443, which
	// URLs leave out.
	RedirectPort int
	// EarlyBodyBytes bounds the memory of the bodies that are read before their requests are judged, since a token may be
	// in them; a request above it is answered 503 overloaded. The default, 0, is 64 MiB.
	EarlyBodyBytes int64
	// EarlyBodyTimeout bounds how long one such body is waited for; then the answer is 408 body_timeout. The default, 0, is
	// 10 s.
	EarlyBodyTimeout time.Duration
}

// Handler serves requests: as an http1.Handler those of HTTP/1.1 on our own engine, as an http.Handler those of net/http.
type Handler struct {
	live      *Live
	log       *slog.Logger
	accessLog *slog.Logger
	metrics   *Metrics
	now       func() time.Time
	since     func(time.Time) time.Duration
	httpsPort int
	tunnels   tunnels
	leases    leases
	buffers   bufferPool
	bodies    bodyBudget
	wires     wirePool
}

// NewHandler returns a Handler. Its metrics count the Pipelines of the Programs that are stored in opts.Live after it,
// and of the one that is there already.
func NewHandler(opts Options) *Handler {
	h := &Handler{
		live:      opts.Live,
		log:       opts.Log,
		accessLog: opts.AccessLog,
		metrics:   newMetrics(opts.Metrics),
		now:       opts.Now,
		httpsPort: opts.RedirectPort,
	}
	h.bodies.most, h.bodies.timeout = opts.EarlyBodyBytes, opts.EarlyBodyTimeout
	if h.bodies.most <= 0 {
		h.bodies.most = defaultEarlyBodyBytes
	}
	if h.bodies.timeout <= 0 {
		h.bodies.timeout = defaultEarlyBodyTimeout
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.since = func(t time.Time) time.Duration { return h.now().Sub(t) }
	if h.now == nil {
		h.now, h.since = time.Now, time.Since // which asks one clock instead of two
	}
	h.tunnels.gauge = h.metrics.tunnels
	h.leases.live, h.leases.now = h.live, h.now
	h.live.observe(h.metrics)
	return h
}

// Shutdown waits until the last tunnel ended, which http.Server.Shutdown does not, and closes those that are left when
// ctx ends; then it returns ctx's error. New tunnels are refused from now on.
func (h *Handler) Shutdown(ctx context.Context) error { return h.tunnels.shutdown(ctx) }

// outcome is one request with what becomes of it, for the metrics and the access log, whatever the engine.
type outcome struct {
	h       *Handler
	start   time.Time
	program *Program
	verdict gate.Verdict
	// requestID goes to the upstream, into refusals and the access log; empty until the head was read.
	requestID string

	// status is what the response means: that of a gRPC refusal is not the 200 that is sent. started says that it began.
	status   int
	sent     int64
	started  bool
	tunnel   bool
	endpoint string
	// reason is set where the request was refused or its upstream failed.
	reason  refusal.Reason
	refused bool
	// message is what the configuration says of the reason.
	message string
	// gone says that the client gave up.
	gone bool
}

// panicked counts and logs a panic. The value may quote the request; its type and the stack tell enough.
func (o *outcome) panicked(p any) {
	o.h.metrics.panics.Inc()
	o.h.log.Error("request ended in a panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
}

// exchange is one request on net/http.
type exchange struct {
	outcome
	w    http.ResponseWriter
	r    *http.Request
	head requestHead
	body *clientBody // nil where none is forwarded
}

// statusClientGone is what is logged of a request whose client went away before the response began, after nginx.
const statusClientGone = 499

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{outcome: outcome{h: h, start: h.now()}, w: w, r: r}
	x.head.control, x.head.budget = http.NewResponseController(w), &h.bodies
	h.metrics.inFlight.Inc()
	defer x.finish()
	x.serve()
}

func (x *exchange) serve() {
	x.program = x.h.live.Load() // once: a request is judged by one configuration from start to end
	refused := x.head.read(x.r)
	x.requestID = x.head.requestID
	if refused != nil {
		x.refuse(*refused)
		return
	}
	if x.program == nil {
		x.refuse(gate.Refusal{Reason: refusal.PipelineNotReady})
		return
	}
	x.program.gate.Decide(x.r.Context(), &x.head, x.start, &x.verdict)
	switch x.verdict.Outcome {
	case gate.Forward:
		x.forward()
	case gate.Terminate:
		x.send(terminateAnswer(x.verdict.Answer))
	case gate.Redirect:
		x.send(x.redirectAnswer(x.head.query))
	default:
		x.refuse(x.verdict.Refusal)
	}
}

// finish counts and logs the request. A panic refuses it, where nothing was sent yet, and cuts the response otherwise,
// so that half an answer never looks like a whole one.
func (x *exchange) finish() {
	p := recover()
	if p != nil && !isAbort(p) {
		x.panicked(p)
		if !x.started {
			x.refuse(gate.Refusal{Reason: refusal.Internal})
			p = nil
		} else {
			x.reason, x.refused = refusal.Internal, true
		}
	}
	x.h.metrics.inFlight.Dec()
	x.leaveBody()
	x.head.releaseBody()
	if !x.started {
		x.status = statusClientGone
		p = http.ErrAbortHandler // returning would send an empty 200
	}
	x.count(facts{method: x.r.Method, scheme: x.head.Scheme(), protocol: x.r.Proto, client: x.head.client})
	if p != nil {
		panic(http.ErrAbortHandler)
	}
}

// closeUnlessRead has an HTTP/1.1 connection closed behind a response that is sent before the request's body was read to
// its end. What is left of the body must never be read as a request, and net/http would hold the response back until it
// has read it.
func (x *exchange) closeUnlessRead() {
	if x.r.ProtoMajor == 1 && x.r.ContentLength != 0 && !x.head.whole && (x.body == nil || !x.body.read()) {
		x.w.Header().Set("Connection", "close")
	}
}

// leaveBody bounds how long net/http waits for the rest of the body before it closes the connection.
func (x *exchange) leaveBody() {
	switch {
	case x.body != nil && (x.r.ProtoMajor != 1 || x.tunnel):
		x.body.leave()
	case x.r.ProtoMajor != 1 || x.r.ContentLength == 0 || x.tunnel:
	case x.head.whole && x.body == nil:
	case x.body != nil:
		x.body.end()
	default:
		_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(unreadTimeout))
	}
}

func isAbort(p any) bool {
	err, ok := p.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}

// refuse refuses the request.
func (x *exchange) refuse(r gate.Refusal) {
	x.send(x.refusalAnswer(r, asked{method: x.r.Method, grpc: x.r.ProtoMajor == 2 && isGRPC(x.r.Header.Get("Content-Type"))}))
}

// send writes a whole response.
func (x *exchange) send(a answer) {
	header := x.w.Header()
	clear(header)
	for _, f := range a.fields {
		header.Set(f.Name, f.Value)
	}
	if a.last && x.r.ProtoMajor == 1 {
		header.Set("Connection", "close")
	}
	if a.body != "" || bodyAllowed(a.status) {
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	x.closeUnlessRead()
	x.status, x.started = cmp.Or(a.means, a.status), true
	x.extendWrite()
	x.w.WriteHeader(a.status)
	if x.r.Method == http.MethodHead || a.body == "" || !bodyAllowed(a.status) {
		return
	}
	n, err := io.WriteString(x.w, a.body)
	x.sent = int64(n)
	x.gone = err != nil
}

// fail turns an upstream's failure into a response, unless the client gave up.
func (x *exchange) fail(err error) {
	if refused, ok := x.failure(err); ok {
		x.refuse(refused)
	}
}

// failure says how to refuse a request that its upstream failed, and notes the failure. There is nobody to refuse where
// the client gave up.
func (o *outcome) failure(err error) (refused gate.Refusal, ok bool) {
	if errors.Is(err, upstream.ErrClientGone) {
		o.gone = true
		return gate.Refusal{}, false
	}
	to := o.verdict.Pass.Upstream()
	var failed *upstream.Error
	if !errors.As(err, &failed) {
		o.h.log.Error("request failed for an unknown reason", "upstream", to, "error", upstream.Cause(err))
		return gate.Refusal{Reason: refusal.Internal}, true
	}
	if failed.Reason != refusal.RequestMalformed {
		o.h.metrics.failed(to, failed.Reason.String())
		o.h.log.Debug("upstream failed", "upstream", to, "error", err)
	}
	return gate.Refusal{Reason: failed.Reason}, true
}
