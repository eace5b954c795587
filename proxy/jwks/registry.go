package jwks

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ostiary/ostiary/proxy/internal/dialguard"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Addresses says whether a kind of address may be connected to.
type Addresses uint8

const (
	// AddressesDefault is Refuse for loopback addresses and Allow for private ones.
	AddressesDefault Addresses = iota
	// AddressesAllow connects to them.
	AddressesAllow
	// AddressesRefuse never does.
	AddressesRefuse
)

// Options of a Registry. The zero value is usable.
type Options struct {
	// Loopback says whether key sets may be on this host: for file mode and tests. The default refuses.
	Loopback Addresses
	// Private says whether key sets may be in private networks, such as the cluster's own. The default allows. Addresses
	// of the link and of metadata services are refused in any case.
	Private Addresses
	// OwnListeners are the addresses that this process itself listens on; they are never dialled. Called at each dial;
	// nil means none.
	OwnListeners func() []netip.AddrPort
	// Log gets what happens to key sets; never their content. The default discards.
	Log *slog.Logger
	// Metrics is where the metrics are registered; nil registers none.
	Metrics prometheus.Registerer
	// Changed is told of a set that was fetched for the first time or with other keys than before, that began to fail, fails for another reason, became
	// too old or works again. It is called by the set's goroutine and must not block. Nil tells nobody.
	Changed func(source routing.RemoteKeys)
	// Now is the clock of ages. The default is time.Now.
	Now func() time.Time
	// Dial makes connections instead of the dialer that judges addresses: for tests.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Registry holds the remote key sets that are in use, by their identity, so that they outlive what refers to them. Its
// methods may be called at any time from any goroutine.
type Registry struct {
	opts  Options
	ctx   context.Context //nolint:containedctx // owns the sets' goroutines; Close ends it
	end   context.CancelFunc
	group sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	sets    map[routing.RemoteKeys]*Set
	applied map[routing.RemoteKeys]struct{}
	holders map[routing.ObjectKey]routing.RemoteKeys
	held    map[routing.RemoteKeys]int

	observer atomic.Pointer[func(routing.RemoteKeys)]
}

// NewRegistry returns an empty Registry. Close ends it.
func NewRegistry(opts Options) *Registry {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Dial == nil {
		guard := dialguard.Policy{Own: opts.OwnListeners}
		if opts.Loopback == AddressesAllow {
			guard.Loopback = dialguard.LoopbackAllow
		}
		if opts.Private == AddressesRefuse {
			guard.Private = dialguard.PrivateRefuse
		}
		opts.Dial = (&net.Dialer{ControlContext: guard.Control}).DialContext
	}
	r := &Registry{
		opts:    opts,
		sets:    map[routing.RemoteKeys]*Set{},
		applied: map[routing.RemoteKeys]struct{}{},
		holders: map[routing.ObjectKey]routing.RemoteKeys{},
		held:    map[routing.RemoteKeys]int{},
	}
	r.ctx, r.end = context.WithCancel(context.Background()) //nolint:forbidigo // the sets live until Close, not for a caller
	told := opts.Changed
	r.opts.Changed = func(source routing.RemoteKeys) {
		if told != nil {
			told(source)
		}
		if observer := r.observer.Load(); observer != nil {
			(*observer)(source)
		}
	}
	if opts.Metrics != nil {
		opts.Metrics.MustRegister(collector{r})
	}
	return r
}

// Observe has someone told of changes, as Options.Changed is; the last one who asked.
func (r *Registry) Observe(changed func(source routing.RemoteKeys)) { r.observer.Store(&changed) }

// Held returns the set that a credential uses, and says how it is doing.
func (r *Registry) Held(credential routing.ObjectKey) (source routing.RemoteKeys, state State, ok bool) {
	r.mu.Lock()
	source, ok = r.holders[credential]
	set := r.sets[source]
	r.mu.Unlock()
	if !ok || set == nil {
		return routing.RemoteKeys{}, State{}, false
	}
	return source, set.State(), true
}

// Problems says of each set in use that can't be fetched now why it can't.
func (r *Registry) Problems() map[routing.RemoteKeys]string {
	problems := map[routing.RemoteKeys]string{}
	for _, set := range r.all() {
		if problem := set.State().Problem; problem != "" {
			problems[set.source] = problem
		}
	}
	return problems
}

// Apply says which sets the routing table uses. New ones are fetched in the background at once; those that neither the
// table nor a credential uses any more are forgotten.
func (r *Registry) Apply(sources []routing.RemoteKeys) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.applied
	r.applied = make(map[routing.RemoteKeys]struct{}, len(sources))
	for _, source := range sources {
		r.applied[source] = struct{}{}
		r.start(source)
	}
	for source := range before {
		r.release(source)
	}
}

// Hold says that a credential uses a set, and no other any more. The set is fetched in the background.
func (r *Registry) Hold(credential routing.ObjectKey, source routing.RemoteKeys) *Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	old, had := r.holders[credential]
	if !had || old != source {
		r.holders[credential] = source
		r.held[source]++
	}
	set := r.start(source)
	if had && old != source {
		r.drop(old)
	}
	return set
}

// Release says that a credential uses no set any more.
func (r *Registry) Release(credential routing.ObjectKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if source, ok := r.holders[credential]; ok {
		delete(r.holders, credential)
		r.drop(source)
	}
}

// drop takes back one Hold of a source. The caller holds mu.
func (r *Registry) drop(source routing.RemoteKeys) {
	if r.held[source]--; r.held[source] <= 0 {
		delete(r.held, source)
	}
	r.release(source)
}

// Lookup returns a set that is in use.
func (r *Registry) Lookup(source routing.RemoteKeys) (*Set, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	set, ok := r.sets[source]
	return set, ok
}

// Holders are the credentials that use a set, in no order.
func (r *Registry) Holders(source routing.RemoteKeys) []routing.ObjectKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	var holders []routing.ObjectKey
	for credential, held := range r.holders {
		if held == source {
			holders = append(holders, credential)
		}
	}
	return holders
}

// Close stops all fetches and waits for their goroutines. Sets that are still looked into say ErrUnavailable once they
// are too old.
func (r *Registry) Close() {
	r.mu.Lock()
	r.closed = true
	clear(r.sets)
	r.mu.Unlock()
	r.end()
	r.group.Wait()
}

// start returns the set of a source, and has it fetched where it is new. The caller holds mu.
func (r *Registry) start(source routing.RemoteKeys) *Set {
	if set := r.sets[source]; set != nil {
		return set
	}
	set := newSet(source, &r.opts, newFetcher(source, &r.opts))
	if r.closed {
		return set // never fetched: unavailable
	}
	r.sets[source] = set
	ctx, cancel := context.WithCancel(r.ctx)
	set.cancel = cancel
	r.group.Go(func() { set.run(ctx) })
	return set
}

// release stops a set that nothing uses. The caller holds mu.
func (r *Registry) release(source routing.RemoteKeys) {
	_, applied := r.applied[source]
	set := r.sets[source]
	if applied || r.held[source] > 0 || set == nil {
		return
	}
	delete(r.sets, source)
	set.cancel()
}

// all returns the sets that are in use, in no order.
func (r *Registry) all() []*Set {
	r.mu.Lock()
	defer r.mu.Unlock()
	sets := make([]*Set, 0, len(r.sets))
	for _, set := range r.sets {
		sets = append(sets, set)
	}
	return sets
}
