package http1

import (
	"errors"
	"io"
	"sync"
	"time"
)

const (
	pumpBuffer = 32 << 10
	// pumpRoom is what a chunk's header may take before the data, and the CRLF behind them.
	pumpRoom = 16
	// unreadTimeout is how long the rest of a request's body may take once the response is complete.
	unreadTimeout = time.Second
)

// pump sends the rest of a request's body, which comes while the response may have begun already. It has a goroutine of its
// own, so that bodies can go both ways at once.
type pump struct {
	l       *Relay
	started bool
	done    chan struct{}
	bytes   *[pumpBuffer]byte

	mu sync.Mutex
	// over says that the body was sent as a whole, replied that the response has begun.
	over, replied bool
	// client is what went wrong on the client's side, upstream on the other.
	client, upstream error
}

func (p *pump) reset(l *Relay) {
	p.l, p.started, p.done = l, false, nil
	p.over, p.replied, p.client, p.upstream = false, false, nil, nil
}

func (p *pump) start() {
	p.started, p.done = true, make(chan struct{})
	if p.bytes == nil {
		p.bytes = new([pumpBuffer]byte)
	}
	go p.run() // ends when either connection breaks or is made to, which stop sees to
}

func (p *pump) run() {
	defer close(p.done)
	client, upstream := p.copy()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.client, p.upstream = client, upstream
	switch {
	case client != nil:
		// The upstream has a part of a request, which it must not take for the whole. This wakes who waits for a response.
		_ = p.l.up.Close()
	case upstream == nil:
		p.over = true
		if !p.replied {
			p.l.up.ExpireRead(p.l.opts.ResponseTimeout)
		}
	case !p.replied:
		p.l.untaken(upstream)
	}
}

// copy sends the body, and says on which side it failed.
func (p *pump) copy() (client, upstream error) {
	x, up := p.l.x, p.l.up
	buf := p.bytes
	for {
		x.conn.ExpireRead(p.l.opts.StallTimeout)
		n, err := x.ReadBody(buf[pumpRoom : len(buf)-pumpRoom])
		if err != nil && !errors.Is(err, io.EOF) {
			return err, nil
		}
		done := x.BodyDone()
		out := p.frame(n)
		if done && x.Request.Chunked {
			out = appendEnd(out, x.Trailers(), p.l.opts.Filter.KeepRequestTrailer)
		}
		if len(out) > 0 {
			if _, err := up.WriteWithin(out, p.l.opts.StallTimeout); err != nil {
				return nil, err
			}
		}
		if done {
			return nil, nil
		}
	}
}

// frame returns n bytes of body as they are sent: as a chunk where the request is in chunks. There is room behind it.
func (p *pump) frame(n int) []byte {
	buf := p.bytes
	start, end := pumpRoom, pumpRoom+n
	if n > 0 && p.l.x.Request.Chunked {
		var array [pumpRoom]byte
		header := AppendChunkHeader(array[:0], n)
		start -= copy(buf[pumpRoom-len(header):], header)
		end += copy(buf[end:], "\r\n")
	}
	return buf[start:end]
}

// answered says that the response has begun, whose time-outs are others.
func (p *pump) answered() {
	if !p.started {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replied = true
}

// finished reports whether nothing of the body is left to send.
func (p *pump) finished() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

// broken reports whether the upstream did not get all of the body.
func (p *pump) broken() bool { return p.started && !p.finished() }

// err is what went wrong on the client's side.
func (p *pump) err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.client
}

// stop ends the pump once it had that long to end by itself: where the response is complete, the rest of the body may be
// on its way still.
func (p *pump) stop(wait time.Duration) {
	if !p.started {
		return
	}
	if wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
	}
	select {
	case <-p.done:
		return
	default:
	}
	_ = p.l.up.Close()
	_ = p.l.x.conn.SetReadDeadline(time.Unix(1, 0)) // fails where it was closed, which wakes as well
	<-p.done
	p.l.x.conn.Revive()
}
