package upstream

import (
	"cmp"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/routing"
)

// LoopbackPolicy says whether backends may be on loopback addresses.
type LoopbackPolicy uint8

const (
	// LoopbackRefuse is the zero value: a backend on a loopback address is never dialled.
	LoopbackRefuse LoopbackPolicy = iota
	// LoopbackAllow is for file mode and tests.
	LoopbackAllow
)

// Options of a Registry. The zero value is usable.
type Options struct {
	// Loopback says whether backends may be on loopback addresses. The default refuses.
	Loopback LoopbackPolicy
	// OwnListeners are the addresses that this process itself listens on; they are never dialled. A listener on the
	// unspecified address stands for its port on every address of this host. Called at each dial; nil means none.
	OwnListeners func() []netip.AddrPort
	// Log gets what happens to endpoints. The default discards.
	Log *slog.Logger
	// Metrics is where the registry's metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// Now is the clock of passive health. The default is time.Now.
	Now func() time.Time
	// BodyTimeout is how long the next piece of a response's body may take on HTTP/1.1, so that a backend which falls
	// silent within a response does not keep its client for ever. The default, 0, is 5 minutes.
	BodyTimeout time.Duration
}

// Registry holds the upstreams and everything of theirs that survives a change of the configuration. Its methods may be
// called at any time from any goroutine.
type Registry struct {
	dial    dialPolicy
	log     *slog.Logger
	metrics *metrics
	now     func() time.Time
	body    time.Duration
	conns   connections

	mu         sync.Mutex
	closed     bool
	upstreams  map[routing.ObjectKey]*Upstream
	transports map[transportID]*transport
	pools      map[routing.ObjectKey]map[int32]*pool
}

// NewRegistry returns an empty Registry. Close ends it.
func NewRegistry(opts Options) *Registry {
	r := &Registry{
		dial:       dialPolicy{loopback: opts.Loopback, own: opts.OwnListeners},
		log:        opts.Log,
		metrics:    newMetrics(opts.Metrics),
		now:        opts.Now,
		body:       cmp.Or(opts.BodyTimeout, defaultBodyTimeout),
		upstreams:  map[routing.ObjectKey]*Upstream{},
		transports: map[transportID]*transport{},
		pools:      map[routing.ObjectKey]map[int32]*pool{},
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.conns.reaper.links, r.conns.reaper.period, r.conns.reaper.over = r.links, reapPeriod, make(chan struct{})
	return r
}

// links are what all transports keep of all endpoints.
func (r *Registry) links() (links []*link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.transports {
		links = t.each(links)
	}
	return links
}

// Apply makes the upstreams exactly these. Connection pools whose settings did not change are kept, whatever else did;
// the others end when their last request is through. It does not touch requests in flight, nor the upstreams that an
// older table still uses.
func (r *Registry) Apply(configs []routing.Upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	old, upstreams := r.transports, make(map[routing.ObjectKey]*Upstream, len(configs))
	transports := make(map[transportID]*transport, len(configs))
	used := make(map[*pool]struct{}, len(configs))
	for i := range configs {
		u := r.build(&configs[i], transports)
		upstreams[u.key] = u
		for j := range u.targets {
			used[u.targets[j].pool] = struct{}{}
		}
	}
	for key := range r.upstreams {
		if upstreams[key] == nil {
			r.metrics.forget(key)
		}
	}
	r.upstreams, r.transports = upstreams, transports
	r.forgetPools(used)
	for id, t := range old {
		if transports[id] == nil {
			t.retire()
		}
	}
}

// forgetPools drops the pools that are empty and not in use. The caller holds mu.
func (r *Registry) forgetPools(used map[*pool]struct{}) {
	for service, ports := range r.pools {
		for port, p := range ports {
			if _, ok := used[p]; !ok && len(p.list()) == 0 {
				delete(ports, port)
			}
		}
		if len(ports) == 0 {
			delete(r.pools, service)
		}
	}
}

// Lookup returns the upstream of a ServiceEndpoint. The handle is for one table: it serves as long as it is used, with
// the settings of the last Apply before Lookup.
func (r *Registry) Lookup(key routing.ObjectKey) (*Upstream, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u, ok := r.upstreams[key]
	return u, ok
}

// SetEndpoints replaces the addresses of a Service, by Service port. It takes effect with the next request; endpoints
// that stay keep their connections, in-flight counts and health. Ports that are not in the map have no endpoints.
func (r *Registry) SetEndpoints(service routing.ObjectKey, ports map[int32][]netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for port, p := range r.pools[service] {
		if len(ports[port]) == 0 {
			p.set(nil)
		}
	}
	for port, addrs := range ports {
		r.pool(service, port).set(addrs)
	}
}

// DeleteEndpoints forgets the addresses of a Service: requests for it are answered 503 no_endpoints.
func (r *Registry) DeleteEndpoints(service routing.ObjectKey) { r.SetEndpoints(service, nil) }

// Endpoints returns how many endpoints an upstream has, and how many of these are not ejected.
func (r *Registry) Endpoints(key routing.ObjectKey) (total, healthy int) {
	u, ok := r.Lookup(key)
	if !ok {
		return 0, 0
	}
	for i := range u.targets {
		for _, e := range u.targets[i].pool.list() {
			total++
			if !e.ejected(r.now) {
				healthy++
			}
		}
	}
	return total, healthy
}

// Close lets go of all idle connections and forgets all upstreams. Requests in flight end as they would have.
func (r *Registry) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, t := range r.transports {
		t.retire()
	}
	clear(r.upstreams)
	clear(r.transports)
	clear(r.pools)
	r.conns.shutdown()
}

// pool returns the pool of a Service port and makes it where there is none. The caller holds mu.
func (r *Registry) pool(service routing.ObjectKey, port int32) *pool {
	ports := r.pools[service]
	if ports == nil {
		ports = map[int32]*pool{}
		r.pools[service] = ports
	}
	p := ports[port]
	if p == nil {
		p = &pool{}
		ports[port] = p
	}
	return p
}

// build makes an Upstream; transports collects what it uses. The caller holds mu.
func (r *Registry) build(cfg *routing.Upstream, transports map[transportID]*transport) *Upstream {
	u := &Upstream{
		key:     cfg.Key,
		log:     r.log,
		now:     r.now,
		metrics: r.metrics.of(cfg.Key),
	}
	for _, b := range cfg.Backends {
		if b.Weight <= 0 {
			continue
		}
		id := newTransportID(cfg, cfg.Protocol, b.ServerName)
		id.service, id.port = b.Service, b.Port
		u.targets = append(u.targets, target{
			transport: r.transport(id, transports),
			scheme:    schemeOf(cfg.Protocol),
			host:      backendHost(&b, cfg.Protocol),
			weight:    uint64(b.Weight),
			pool:      r.pool(b.Service, b.Port),
		})
	}
	for _, url := range cfg.URLs {
		protocol := urlProtocol(cfg.Protocol, url.Scheme)
		id := newTransportID(cfg, protocol, serverName(&url))
		id.url = url.Host
		t := r.transport(id, transports)
		u.targets = append(u.targets, target{
			transport: t,
			scheme:    schemeOf(protocol),
			host:      url.Host,
			prefix:    url.Path,
			weight:    1,
			pool:      t.external,
		})
	}
	u.single = len(u.targets) == 1
	u.direct = direct(u.targets)
	return u
}

// transport returns the connection pool with that identity: the one there is, or a new one. The caller holds mu.
func (r *Registry) transport(id transportID, used map[transportID]*transport) *transport {
	t := used[id]
	if t == nil {
		t = r.transports[id]
	}
	if t == nil {
		t = newTransport(id, r.dial, &r.conns, r.body)
	}
	used[id] = t
	return t
}
