package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
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

// Handler serves requests on net/http, HTTP/1.1 and HTTP/2.
type Handler struct {
	live      *Live
	log       *slog.Logger
	accessLog *slog.Logger
	metrics   *Metrics
	now       func() time.Time
	httpsPort int
	tunnels   tunnels
	buffers   bufferPool
	bodies    bodyBudget
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
	if h.now == nil {
		h.now = time.Now
	}
	h.tunnels.gauge = h.metrics.tunnels
	h.live.observe(h.metrics)
	return h
}

// Shutdown waits until the last tunnel ended, which http.Server.Shutdown does not, and closes those that are left when
// ctx ends; then it returns ctx's error. New tunnels are refused from now on.
func (h *Handler) Shutdown(ctx context.Context) error { return h.tunnels.shutdown(ctx) }

// exchange is one request with what becomes of it.
type exchange struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	start   time.Time
	program *Program
	head    requestHead
	verdict gate.Verdict

	body *clientBody // nil where none is forwarded

	// status is what the response means: that of a gRPC refusal is not the 200 that is sent.
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

// statusClientGone is what is logged of a request whose client went away before the response began, after nginx.
const statusClientGone = 499

// ServeHTTP serves one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{h: h, w: w, r: r, start: h.now()}
	x.head.control, x.head.budget = http.NewResponseController(w), &h.bodies
	h.metrics.inFlight.Inc()
	defer x.finish()
	x.serve()
}

func (x *exchange) serve() {
	x.program = x.h.live.Load() // once: a request is judged by one configuration from start to end
	if refused := x.head.read(x.r); refused != nil {
		x.refuse(*refused)
		return
	}
	if x.program == nil {
		x.refuse(gate.Refusal{Reason: refusal.PipelineNotReady})
		return
	}
	x.verdict = x.program.gate.Decide(x.r.Context(), &x.head, x.start)
	switch x.verdict.Outcome {
	case gate.Forward:
		x.forward()
	case gate.Terminate:
		x.terminate(x.verdict.Answer)
	case gate.Redirect:
		x.redirect()
	default:
		x.refuse(x.verdict.Refusal)
	}
}

// finish counts and logs the request. A panic refuses it, where nothing was sent yet, and cuts the response otherwise,
// so that half an answer never looks like a whole one.
func (x *exchange) finish() {
	p := recover()
	if p != nil && !isAbort(p) {
		x.h.metrics.panics.Inc()
		// The value may quote the request; its type and the stack tell enough.
		x.h.log.Error("request ended in a panic", "type", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
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
	pipeline := x.h.metrics.pipeline(x.program, x.verdict.Pipeline())
	took := x.h.now().Sub(x.start)
	x.h.metrics.served(pipeline, x.status, took)
	if x.refused {
		x.h.metrics.refused(pipeline, x.reason)
	}
	if x.verdict.DryRun {
		x.h.metrics.spared(pipeline, x.verdict.Refusal.Reason)
	}
	x.log(took)
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

// terminate answers what the Pipeline says.
func (x *exchange) terminate(answer *routing.Terminate) {
	header := x.w.Header()
	if answer.ContentType != "" {
		header.Set("Content-Type", answer.ContentType)
	}
	header.Set("X-Content-Type-Options", "nosniff")
	x.respond(answer.StatusCode, answer.StatusCode, answer.Body)
}

// redirect sends the client to the same host and target by https. 308 keeps the method and body (RFC 9110 section
// 15.4.9).
func (x *exchange) redirect() {
	location := "https://" + x.verdict.Host
	if x.h.httpsPort != 0 && x.h.httpsPort != 443 {
		location += fmt.Sprintf(":%d", x.h.httpsPort)
	}
	location += x.verdict.Path
	if x.head.query != "" {
		location += "?" + x.head.query
	}
	header := x.w.Header()
	header.Set("Location", location)
	header.Set("Cache-Control", "no-store")
	x.respond(http.StatusPermanentRedirect, http.StatusPermanentRedirect, "")
}

// fail turns an upstream's failure into a response.
func (x *exchange) fail(err error) {
	if errors.Is(err, upstream.ErrClientGone) {
		x.gone = true
		return
	}
	var failed *upstream.Error
	if !errors.As(err, &failed) {
		x.h.log.Error("request failed for an unknown reason", "upstream", x.verdict.Pass.Upstream(), "error", upstream.Cause(err))
		x.refuse(gate.Refusal{Reason: refusal.Internal})
		return
	}
	if failed.Reason != refusal.RequestMalformed {
		x.h.metrics.failed(x.verdict.Pass.Upstream(), failed.Reason.String())
		x.h.log.Debug("upstream failed", "upstream", x.verdict.Pass.Upstream(), "error", err)
	}
	x.refuse(gate.Refusal{Reason: failed.Reason})
}
