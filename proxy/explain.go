package proxy

import (
	"math"
	"net/http"
	"time"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/trace"
)

// Explanation says what becomes of a request, and why.
type Explanation struct {
	// Trace is how it was decided.
	Trace trace.Trace
	// Admitted says that the Pipeline's policies let the request through.
	Admitted bool
	// Upstream is where an admitted request goes, zero where the Pipeline answers itself.
	Upstream routing.ObjectKey
	// Status is that of the response where it does not come from an upstream; 0 where there is none, since the TLS
	// handshake fails.
	Status int
	// Reason is the word of a refusal, empty where nothing refused the request.
	Reason string
	// Challenge is the WWW-Authenticate field of a refusal, empty where there is none.
	Challenge string
}

// Explain decides about a request as the Handler would, by the same code, without sending it anywhere. The request must
// have what net/http's server sets: RequestURI, Host, Header and, where it came by TLS, TLS with its ServerName. A body is
// read where the token may be in it.
func (p *Program) Explain(r *http.Request, now time.Time) *Explanation {
	e := &Explanation{}
	if r.TLS != nil {
		if _, ok := p.Certificate(r.TLS.ServerName); !ok {
			e.Trace.Add(trace.Fail, "TLS: no certificate for %q, the handshake fails", r.TLS.ServerName)
			return e
		}
		e.Trace.Add(trace.Pass, "TLS: a certificate for %q", r.TLS.ServerName)
	}
	head := requestHead{control: http.NewResponseController(nil), budget: &bodyBudget{most: math.MaxInt64}}
	defer head.releaseBody()
	if refused := head.read(r); refused != nil {
		e.Trace.Add(trace.Fail, "request: not one that is taken")
		e.refuse(*refused)
		return e
	}
	verdict := p.gate.Explain(r.Context(), &head, now, &e.Trace)
	switch verdict.Outcome {
	case gate.Forward:
		e.Admitted, e.Upstream = true, verdict.Pass.Upstream()
	case gate.Terminate:
		e.Admitted, e.Status = true, verdict.Answer.StatusCode
	case gate.Redirect:
		e.Status = http.StatusPermanentRedirect
	default:
		e.refuse(verdict.Refusal)
	}
	return e
}

func (e *Explanation) refuse(r gate.Refusal) {
	e.Status, e.Reason, e.Challenge = r.Reason.Status(), r.Reason.String(), challengeOf(r)
}
