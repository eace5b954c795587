package proxy

import (
	"sync"
	"time"

	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// reviewInterval is how often what goes on is judged again.
const reviewInterval = time.Second

// leases are the tunnels and streamed responses that are open under a token policy. Each is judged again and again by the
// policy that its Pipeline has then, with what the keyring holds then, and ended once it would not be let through any
// more. One goroutine sees to all; there is none while nothing is open.
type leases struct {
	live *Live
	now  func() time.Time

	mu   sync.Mutex
	open map[*hold]struct{}
	// idle ends the goroutine; nil while there is none.
	idle chan struct{}
}

// hold is one of them.
type hold struct {
	lease    jwt.Lease
	pipeline routing.ObjectKey
	began    time.Time

	mu sync.Mutex
	// cut ends the exchange; nil once it was called, or must not be any more.
	cut func()
	// over is there once cut was called, and closed when it returned. reason says why it was, where that is no matter of age.
	over   chan struct{}
	reason refusal.Reason
	aged   bool
}

// add has something reviewed until remove. cut is called once at most, from a goroutine of its own, to end the exchange.
func (l *leases) add(lease jwt.Lease, pipeline routing.ObjectKey, cut func()) *hold {
	h := &hold{lease: lease, pipeline: pipeline, began: l.now(), cut: cut}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[*hold]struct{}{}
	}
	l.open[h] = struct{}{}
	if l.idle == nil {
		l.idle = make(chan struct{})
		go l.run(l.idle)
	}
	return h
}

// remove ends the reviews of h. When it returns, cut is not running and never will.
func (l *leases) remove(h *hold) {
	l.mu.Lock()
	delete(l.open, h)
	if len(l.open) == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
	l.mu.Unlock()
	h.mu.Lock()
	h.cut = nil
	over := h.over
	h.mu.Unlock()
	if over != nil {
		<-over
	}
}

// run reviews until idle is closed.
func (l *leases) run(idle <-chan struct{}) {
	ticker := time.NewTicker(reviewInterval)
	defer ticker.Stop()
	var held []*hold
	for {
		select {
		case <-ticker.C:
		case <-idle:
			return
		}
		held = held[:0]
		l.mu.Lock()
		for h := range l.open {
			held = append(held, h)
		}
		l.mu.Unlock()
		program, now := l.live.Load(), l.now()
		for _, h := range held {
			h.review(program, now)
		}
		clear(held)
	}
}

// review ends the exchange where it may not go on. A Pipeline that is gone, or enforces no token policy any more, ends
// nothing. One whose protection can't be built lets nobody through: what would end the exchange may be what it lacks.
func (h *hold) review(program *Program, now time.Time) {
	policy, known := program.policy(h.pipeline)
	var refused *jwt.Refused
	switch {
	case !known:
		refused = &jwt.Refused{Reason: refusal.PipelineNotReady}
	case policy == nil:
		return
	default:
		age := policy.MaxTunnelAge()
		refused = policy.Review(&h.lease, now)
		if refused == nil && (age <= 0 || now.Sub(h.began) < age) {
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cut == nil {
		return
	}
	if h.aged = refused == nil; !h.aged {
		h.reason = refused.Reason
	}
	cut, over := h.cut, make(chan struct{})
	h.cut, h.over = nil, over
	go func() { // closing a connection may take its time
		defer close(over)
		cut()
	}()
}

// hold has the exchange reviewed while it goes on; nil where nothing asks for that.
func (o *outcome) hold(cut func()) *hold {
	i := o.verdict.Pipeline()
	if o.program == nil {
		return nil
	}
	if policy, _ := o.program.gate.Policy(i); policy == nil {
		return nil
	}
	return o.h.leases.add(o.verdict.Lease(), o.program.pipelines[i], cut)
}

// letGo ends the reviews, and reports whether the exchange was cut. Why is noted for the log and the metrics. It may be
// called again.
func (o *outcome) letGo(h *hold) bool {
	if h == nil {
		return false
	}
	o.h.leases.remove(h)
	if h.over == nil {
		return false
	}
	if !h.aged {
		o.reason, o.refused = h.reason, true
	}
	return true
}
