package http1

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	sweepTick = 100 * time.Millisecond
	// pollTicks is how often it is looked whether clients that are watched have gone.
	pollTicks = 10
	// sweepBatch is how many connections are looked at with the list locked.
	sweepBatch = 512
	// Where there are more than these, each is looked at only in every second and every fifth tick: a look costs a miss of
	// the processor's cache.
	manyConns, mostConns = 8 << 10, 16 << 10
)

// Sweeper ends what takes too long on the connections that were added to it, and notices clients that have gone, with one
// goroutine and a coarse clock for all of them. A deadline costs one atomic store this way, where a timer per read and
// write would cost more than the read itself.
type Sweeper struct {
	now atomic.Int64 // nanoseconds since it was made, but for what ticks were late by
	// told is when the clock was set last, known to the goroutine alone.
	told time.Time
	date atomic.Pointer[string]
	// second is the one that date tells, known to the goroutine alone.
	second int64
	poll   poller

	mu    sync.Mutex
	conns []*Conn

	stop func()
	done chan struct{}
}

// NewSweeper returns a Sweeper at work. Close ends it.
func NewSweeper() *Sweeper {
	end := make(chan struct{})
	now := time.Now()
	s := &Sweeper{told: now, done: make(chan struct{}), stop: sync.OnceFunc(func() { close(end) })}
	s.poll.init()
	s.tell(now)
	go s.run(end) // until Close
	return s
}

// Close ends the Sweeper's goroutine. Deadlines that are armed never pass afterwards.
func (s *Sweeper) Close() {
	s.stop()
	<-s.done
}

// Now returns the time since the Sweeper was made, late by up to a tick of 100 ms and by what ticks were late. It does not
// follow changes of the system's clock.
func (s *Sweeper) Now() time.Duration { return time.Duration(s.now.Load()) }

// Date returns the time as a Date field has it (RFC 9110 section 5.6.7).
func (s *Sweeper) Date() string { return *s.date.Load() }

// Add has c swept. It is done once for a Conn, by its owner, before other methods of it are called.
func (s *Sweeper) Add(c *Conn) {
	c.sweeper = s
	s.mu.Lock()
	defer s.mu.Unlock()
	c.slot = len(s.conns)
	s.conns = append(s.conns, c)
}

// Remove ends Add; Close of a Conn calls it. It may be called again.
func (s *Sweeper) Remove(c *Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.slot >= len(s.conns) || s.conns[c.slot] != c {
		return
	}
	last := len(s.conns) - 1
	s.conns[c.slot] = s.conns[last]
	s.conns[c.slot].slot = c.slot
	s.conns[last] = nil
	s.conns = s.conns[:last]
}

// until is when after has passed for sure, 0 for never.
func (s *Sweeper) until(after time.Duration) int64 {
	if after <= 0 {
		return 0
	}
	return s.now.Load() + int64(after+sweepTick)
}

func (s *Sweeper) run(end <-chan struct{}) {
	defer close(s.done)
	ticker := time.NewTicker(sweepTick)
	defer ticker.Stop()
	for tick := 1; ; tick++ {
		select {
		case now := <-ticker.C:
			s.tell(now)
		case <-end:
			return
		}
		if tick%s.every() == 0 {
			s.sweep(tick)
		}
	}
}

// every says in which ticks the connections are looked at; pollTicks is a multiple of it.
func (s *Sweeper) every() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := len(s.conns); {
	case n > mostConns:
		return 5
	case n > manyConns:
		return 2
	}
	return 1
}

// tell sets the clock. It advances by one tick at most: where the processor was taken away for longer, deadlines that were
// armed meanwhile were counted from a time that was long over.
func (s *Sweeper) tell(now time.Time) {
	s.now.Add(int64(min(now.Sub(s.told), sweepTick)))
	s.told = now
	if second := now.Unix(); second != s.second {
		s.second = second
		text := now.UTC().Format(http.TimeFormat)
		s.date.Store(&text)
	}
}

func (s *Sweeper) sweep(tick int) {
	now := s.now.Load()
	for from := 0; s.sweepSome(from, now, tick); from += sweepBatch {
	}
}

// sweepSome looks at a batch of connections, and reports whether there are more. One that is moved meanwhile, since
// another was removed, has its turn in the next tick.
func (s *Sweeper) sweepSome(from int, now int64, tick int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := min(from+sweepBatch, len(s.conns))
	for i := from; i < to; i++ {
		c := s.conns[i]
		if c.sweep(now) && tick%pollTicks == 0 {
			if how := s.poll.look(c); how != present {
				c.lost(how)
			}
		}
	}
	return to < len(s.conns)
}
