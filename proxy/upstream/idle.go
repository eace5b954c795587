package upstream

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

const (
	// maxIdlePerEndpoint bounds the idle connections that are kept to one endpoint.
	maxIdlePerEndpoint = 256
	// maxShards bounds the parts that the idle connections to one endpoint are kept in.
	maxShards = 16
	// reapPeriod is how often idle connections are looked at that nobody asks for.
	reapPeriod = time.Second
)

// protocol is what an endpoint was found to speak.
type protocol uint32

const (
	protocolUnknown protocol = iota
	protocolHTTP1
	protocolHTTP2
)

// link is what a transport keeps of one endpoint: the connections that are idle, and what it speaks. There is at most one
// for a transport and an endpoint, and it ends with either.
//
// The connections lie in parts, so that processors that look for one at the same time wait neither for each other's locks
// nor for the memory of these.
type link struct {
	owner *transport
	// speaks is what ALPN found last.
	speaks atomic.Uint32
	closed atomic.Bool
	// shards are none where the link was made after its end; their number is a power of two.
	shards []shard
}

// shard is a stack: the connection that was used last is used first, so that those that are too many fall out of use.
type shard struct {
	mu    sync.Mutex
	conns []idleConn
	_     [96]byte // keeps the next one out of this one's cache lines
}

type idleConn struct {
	conn  *http1.Conn
	since time.Duration // on the clock of connections.now
}

func newLink(owner *transport) *link {
	n := 1
	for n < maxShards && n < runtime.GOMAXPROCS(0) {
		n *= 2
	}
	return &link{owner: owner, shards: make([]shard, n)}
}

// closedLink keeps nothing.
func closedLink(owner *transport) *link {
	l := &link{owner: owner}
	l.closed.Store(true)
	return l
}

// proof says whether an idle connection was looked at.
type proof uint8

const (
	// unproven: something may have come, which whoever sends on it looks for.
	unproven proof = iota
	// proven: nothing has come since it became idle.
	proven
)

// take returns an idle connection, nil where there is none. hint says where to look first.
func (l *link) take(hint int, has proof) *http1.Conn {
	for {
		idle, ok := l.pop(hint)
		if !ok {
			return nil
		}
		if l.owner.conns.now()-idle.since < l.owner.idle && (has == unproven || quiet(idle.conn)) {
			return idle.conn
		}
		l.owner.conns.close(idle.conn)
	}
}

// pop looks at the parts that nobody else is looking at, then waits for the others.
func (l *link) pop(hint int) (idleConn, bool) {
	busy := false
	for i := range l.shards {
		s := &l.shards[(hint+i)&(len(l.shards)-1)]
		if !s.mu.TryLock() {
			busy = true
			continue
		}
		idle, ok := s.pop()
		s.mu.Unlock()
		if ok {
			return idle, true
		}
	}
	for i := range l.shards {
		if !busy {
			break
		}
		s := &l.shards[(hint+i)&(len(l.shards)-1)]
		s.mu.Lock()
		idle, ok := s.pop()
		s.mu.Unlock()
		if ok {
			return idle, true
		}
	}
	return idleConn{}, false
}

// pop takes what was put last. The caller holds mu.
func (s *shard) pop() (idleConn, bool) {
	last := len(s.conns) - 1
	if last < 0 {
		return idleConn{}, false
	}
	idle := s.conns[last]
	s.conns[last] = idleConn{}
	s.conns = s.conns[:last]
	return idle, true
}

// put keeps a connection until it is asked for again, and closes it where there are enough, or where the link has ended.
func (l *link) put(conn *http1.Conn, hint int) {
	idle := idleConn{conn: conn, since: l.owner.conns.now()}
	if !l.push(idle, hint) {
		l.owner.conns.close(conn)
		return
	}
	l.owner.conns.reaper.wake()
}

func (l *link) push(idle idleConn, hint int) bool {
	for i := range l.shards {
		s := &l.shards[(hint+i)&(len(l.shards)-1)]
		if !s.mu.TryLock() {
			if i+1 < len(l.shards) {
				continue
			}
			s.mu.Lock()
		}
		// close empties the parts after it has set closed, so that one or the other sees this connection.
		kept := !l.closed.Load() && len(s.conns) < maxIdlePerEndpoint/len(l.shards)
		if kept {
			s.conns = append(s.conns, idle)
		}
		s.mu.Unlock()
		if kept {
			return true
		}
	}
	return false
}

// close closes what is idle; what is put from now on is closed at once.
func (l *link) close() {
	l.closed.Store(true)
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		conns := s.conns
		s.conns = nil
		s.mu.Unlock()
		for _, idle := range conns {
			l.owner.conns.close(idle.conn)
		}
	}
}

// reap closes connections that were idle for too long, or on which something came, which can only be their end or what
// nobody asked for. It reports whether any are left.
func (l *link) reap() (left bool) {
	oldest := l.owner.conns.now() - l.owner.idle
	for i := range l.shards {
		s := &l.shards[i]
		var dead []idleConn
		s.mu.Lock()
		kept := s.conns[:0]
		for _, idle := range s.conns {
			if idle.since > oldest && quiet(idle.conn) {
				kept = append(kept, idle)
			} else {
				dead = append(dead, idle)
			}
		}
		clear(s.conns[len(kept):])
		s.conns = kept
		left = left || len(kept) > 0
		s.mu.Unlock()
		for _, idle := range dead {
			l.owner.conns.close(idle.conn)
		}
	}
	return left
}

// reaper looks after idle connections as long as there are any.
type reaper struct {
	links   func() []*link
	period  time.Duration
	running atomic.Bool
	once    sync.Once
	over    chan struct{}
}

// wake starts the reaper unless it runs.
func (r *reaper) wake() {
	if r.running.Load() || !r.running.CompareAndSwap(false, true) {
		return
	}
	go r.run() // ends when no connection is idle, which closing the registry sees to
}

func (r *reaper) run() {
	ticker := time.NewTicker(r.period)
	defer ticker.Stop()
	for {
		for again := true; again; {
			select {
			case <-ticker.C:
			case <-r.over:
			}
			again = r.pass()
		}
		r.running.Store(false)
		// A connection may have been put before that, whose putter saw the reaper run.
		if !r.pass() || !r.running.CompareAndSwap(false, true) {
			return
		}
	}
}

// pass reports whether any connection is left.
func (r *reaper) pass() (left bool) {
	for _, l := range r.links() {
		if l.reap() {
			left = true
		}
	}
	return left
}

// close makes the reaper end at once, since all links are closed.
func (r *reaper) close() { r.once.Do(func() { close(r.over) }) }
