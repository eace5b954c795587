package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// fleetRecheck is how often replicas whose Lease has run out are noticed.
	fleetRecheck = 2 * time.Second
	// fleetWindow is how long progress is gathered before the pending objects are counted again.
	fleetWindow = 50 * time.Millisecond
	// staleLease is the age from which on the leader deletes the Lease of a replica that is gone.
	staleLease = 10 * time.Minute
)

// fleet knows what each replica has made live, from the replicas' Leases, and counts for each object how many serve it.
// Only the leader asks it.
type fleet struct {
	self string // name of this replica's own Lease
	own  func() replicaState
	wake func(objectRef)
	now  func() time.Time

	moved chan struct{} // holds one token when something may have changed

	mu       sync.Mutex
	replicas map[string]replicaState
	latched  map[objectRef]specVersion
	pending  map[objectRef]pendingObject
}

// replicaState is what one replica says of itself.
type replicaState struct {
	ready   bool
	table   marks
	keyring marks
	// expires is when it no longer counts, by this replica's clock; zero never.
	expires time.Time
	renewed metav1.MicroTime
}

func (s replicaState) serves(need requirement) bool {
	return s.table.covers(need.table) && s.keyring.covers(need.keyring)
}

// pendingObject waits for replicas.
type pendingObject struct {
	need  requirement
	tally tally
}

func newFleet(self string, own func() replicaState, wake func(objectRef), now func() time.Time) *fleet {
	return &fleet{
		self: self, own: own, wake: wake, now: now,
		moved:    make(chan struct{}, 1),
		replicas: map[string]replicaState{},
		latched:  map[objectRef]specVersion{},
		pending:  map[objectRef]pendingObject{},
	}
}

// tally counts the replicas that serve an object. Once all do, that latches for this version of it.
func (f *fleet) tally(ref objectRef, need requirement) tally {
	own := f.own()
	f.mu.Lock()
	defer f.mu.Unlock()
	if version, ok := f.latched[ref]; ok && version == need.version {
		return tally{all: true}
	}
	t := f.countLocked(own, need)
	if t.all {
		f.latched[ref] = need.version
		delete(f.pending, ref)
		return tally{all: true}
	}
	delete(f.latched, ref)
	f.pending[ref] = pendingObject{need: need, tally: t}
	return t
}

// countLocked counts this replica and every other one that is ready and whose Lease is fresh.
func (f *fleet) countLocked(own replicaState, need requirement) tally {
	t := tally{want: 1}
	if own.serves(need) {
		t.have++
	}
	now := f.now()
	for name, replica := range f.replicas {
		if name == f.self || !replica.ready || now.After(replica.expires) {
			continue
		}
		t.want++
		if replica.serves(need) {
			t.have++
		}
	}
	t.all = t.have == t.want
	return t
}

// forget drops an object that is gone.
func (f *fleet) forget(ref objectRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.latched, ref)
	delete(f.pending, ref)
}

// reset drops what was latched, for a new term as leader.
func (f *fleet) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.latched)
	clear(f.pending)
}

// recheck wakes the objects for which the count changed.
func (f *fleet) recheck() {
	own := f.own()
	var changed []objectRef
	f.mu.Lock()
	for ref, object := range f.pending {
		if f.countLocked(own, object.need) != object.tally {
			changed = append(changed, ref)
		}
	}
	f.mu.Unlock()
	for _, ref := range changed {
		f.wake(ref)
	}
}

// observe takes in a replica's Lease.
func (f *fleet) observe(lease *coordinationv1.Lease) error {
	state, err := decodeReplica(lease)
	if err != nil {
		return err
	}
	f.mu.Lock()
	before, known := f.replicas[lease.Name]
	switch now := f.now(); {
	case known && before.renewed.Equal(&state.renewed):
		state.expires = before.expires
	case known:
		state.expires = now.Add(leaseDuration) // the two clocks need not agree: a renewal counts from when it is seen
	default:
		seen := now
		if state.renewed.Time.Before(seen) {
			seen = state.renewed.Time // it may be what a replica left behind
		}
		state.expires = seen.Add(leaseDuration)
	}
	f.replicas[lease.Name] = state
	f.mu.Unlock()
	f.changed()
	return nil
}

// lost forgets a replica whose Lease is gone.
func (f *fleet) lost(name string) {
	f.mu.Lock()
	delete(f.replicas, name)
	f.mu.Unlock()
	f.changed()
}

// changed asks for a recheck.
func (f *fleet) changed() {
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// fleetWatcher feeds a fleet from the Leases of the replicas.
type fleetWatcher struct {
	fleet     *fleet
	cache     cache.Cache
	writer    client.Writer
	namespace string // of the Leases; empty: this replica is alone
	leader    leadership
	log       *slog.Logger
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*fleetWatcher) NeedLeaderElection() bool { return false }

// Start implements manager.Runnable.
func (w *fleetWatcher) Start(ctx context.Context) error {
	if w.namespace != "" {
		informer, err := w.cache.GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false))
		if err != nil {
			return fmt.Errorf("watch the replicas' Leases: %w", err)
		}
		if _, err := informer.AddEventHandler(w.handler()); err != nil {
			return fmt.Errorf("watch the replicas' Leases: %w", err)
		}
	}
	ticker := time.NewTicker(fleetRecheck)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.fleet.moved:
			if !sleep(ctx, fleetWindow) {
				return nil
			}
		case <-ticker.C:
			w.sweep(ctx)
		}
		w.fleet.recheck()
	}
}

func (w *fleetWatcher) handler() toolscache.ResourceEventHandler {
	observe := func(lease *coordinationv1.Lease) {
		if err := w.fleet.observe(lease); err != nil {
			w.log.Warn("a replica's Lease is not understood", "lease", lease.Name, "err", err)
		}
	}
	return leaseHandler(componentReplica, observe, w.fleet.lost)
}

// sweep deletes the Leases of replicas that ended without deleting them and whose Pod is not their owner.
func (w *fleetWatcher) sweep(ctx context.Context) {
	if w.namespace == "" || !w.leader.leading() {
		return
	}
	for _, name := range w.fleet.stale() {
		lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
		if err := w.writer.Delete(ctx, lease); err != nil && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			w.log.Warn("the Lease of a replica that is gone can't be deleted", "lease", name, "err", err)
		}
	}
}

// stale names the Leases that ran out long ago.
func (f *fleet) stale() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	for name, replica := range f.replicas {
		if name != f.self && f.now().Sub(replica.expires) > staleLease {
			names = append(names, name)
		}
	}
	return names
}
