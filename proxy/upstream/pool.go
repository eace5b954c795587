package upstream

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// ejectBase is how long an endpoint is left out after one connection to it failed; each further failure in a row
	// doubles it.
	ejectBase = time.Second
	// ejectMax bounds it: an endpoint that came back gets requests again within that time.
	ejectMax = 30 * time.Second
)

// pool is the endpoints of one Service port, or of one URL. Reading needs no lock.
type pool struct {
	endpoints atomic.Pointer[[]*endpoint]
}

func (p *pool) list() []*endpoint {
	if l := p.endpoints.Load(); l != nil {
		return *l
	}
	return nil
}

// set replaces the addresses; an endpoint that stays keeps its state, those that leave have their idle connections closed.
// Callers must not run at the same time.
func (p *pool) set(addrs []netip.AddrPort) {
	known := map[netip.AddrPort]*endpoint{}
	for _, e := range p.list() {
		known[e.addr] = e
	}
	list := make([]*endpoint, 0, len(addrs))
	for _, addr := range addrs {
		e := known[addr]
		if e == nil {
			e = &endpoint{addr: addr, host: addr.String()}
			known[addr] = e
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *endpoint) int {
		return cmp.Or(a.addr.Addr().Compare(b.addr.Addr()), cmp.Compare(a.addr.Port(), b.addr.Port()))
	})
	list = slices.Compact(list)
	p.endpoints.Store(&list)
	for _, e := range list {
		delete(known, e.addr)
	}
	for _, e := range known {
		e.end()
	}
}

// pick returns the endpoint with fewer requests in flight of two chosen at random (Mitzenmacher's power of two
// choices), of those that are neither ejected nor tried already. Where all are ejected, all are taken: a wrong guess
// about health must not become an outage. It returns nil where every endpoint was tried.
func (p *pool) pick(now func() time.Time, tried []*endpoint) *endpoint {
	list := p.list()
	switch len(list) {
	case 0:
		return nil
	case 1:
		if slices.Contains(tried, list[0]) {
			return nil
		}
		return list[0]
	}
	start := rand.N(len(list))      //nolint:gosec // load balancing needs no secrecy
	step := 1 + rand.N(len(list)-1) //nolint:gosec // as above
	best := better(list[start], list[(start+step)%len(list)], now, tried)
	if best != nil {
		return best
	}
	// Both are out: take the first that is not, and as a last resort one that is ejected.
	var last *endpoint
	for i := range list {
		switch e := list[(start+i)%len(list)]; {
		case slices.Contains(tried, e):
		case e.ejected(now):
			last = cmp.Or(last, e)
		default:
			return e
		}
	}
	return last
}

// availability is what a pool has to offer for one request, in ascending order.
type availability uint8

const (
	nothing availability = iota
	ejected
	healthy
)

func (p *pool) availability(now func() time.Time, tried []*endpoint) availability {
	best := nothing
	for _, e := range p.list() {
		switch {
		case slices.Contains(tried, e):
		case !e.ejected(now):
			return healthy
		default:
			best = ejected
		}
	}
	return best
}

func better(a, b *endpoint, now func() time.Time, tried []*endpoint) *endpoint {
	aOut := a.ejected(now) || slices.Contains(tried, a)
	bOut := b.ejected(now) || slices.Contains(tried, b)
	switch {
	case aOut && bOut:
		return nil
	case aOut:
		return b
	case bOut || a.inflight.Load() <= b.inflight.Load():
		return a
	default:
		return b
	}
}

// endpoint is one address with what is known of it. It lives as long as the address is listed, however often the
// configuration changes.
type endpoint struct {
	addr netip.AddrPort
	// host is "address:port" as URLs have it; of a URL backend it is a name.
	host string

	inflight atomic.Int64
	// failures counts the failed connections in a row, ejectedUntil is in nanoseconds since 1970; 0 is never.
	failures     atomic.Int32
	ejectedUntil atomic.Int64

	// links are what transports keep of it. Reading needs no lock.
	links atomic.Pointer[[]*link]
	mu    sync.Mutex // held while links are replaced, and for ended
	ended bool
}

// link returns what that transport keeps of the endpoint, nil where that is nothing yet.
func (e *endpoint) link(owner *transport) *link {
	if list := e.links.Load(); list != nil {
		for _, l := range *list {
			if l.owner == owner {
				return l
			}
		}
	}
	return nil
}

// keep adds a link. It reports false where the endpoint is no more.
func (e *endpoint) keep(l *link) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		return false
	}
	var list []*link
	if old := e.links.Load(); old != nil {
		list = slices.Clone(*old)
	}
	list = append(list, l)
	e.links.Store(&list)
	return true
}

// forget drops the link of a transport that is no more.
func (e *endpoint) forget(l *link) {
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.links.Load()
	if old == nil {
		return
	}
	list := slices.DeleteFunc(slices.Clone(*old), func(other *link) bool { return other == l })
	e.links.Store(&list)
}

// end is called when the endpoint is not listed any more.
func (e *endpoint) end() {
	e.mu.Lock()
	e.ended = true
	links := e.links.Swap(nil)
	e.mu.Unlock()
	if links == nil {
		return
	}
	for _, l := range *links {
		l.owner.forget(l)
		l.close()
	}
}

// ejected reports whether the endpoint is left out. The clock is asked only where it matters.
func (e *endpoint) ejected(now func() time.Time) bool {
	until := e.ejectedUntil.Load()
	return until != 0 && now().UnixNano() < until
}

// failed notes that no connection could be made. It returns for how long the endpoint is ejected, and whether this was
// the first failure in a row.
func (e *endpoint) failed(now time.Time) (d time.Duration, first bool) {
	n := e.failures.Add(1)
	d = ejectMax
	if n <= 5 { // 1 s, 2 s ... 16 s
		d = ejectBase << (n - 1)
	}
	e.ejectedUntil.Store(now.Add(d).UnixNano())
	return d, n == 1
}

// succeeded notes that the endpoint answered, and reports whether it had failed before.
func (e *endpoint) succeeded() (recovered bool) {
	if e.failures.Load() == 0 {
		return false
	}
	e.ejectedUntil.Store(0)
	return e.failures.Swap(0) != 0
}
