package controllers

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// resource is a kind of object whose resourceVersions are followed.
type resource uint8

const (
	resourcePipelines resource = iota
	resourceServiceEndpoints
	resourceConsumers
	resourceJWTCredentials
	resourceSecrets
	resourceServices
	resourceIngressClasses
	resourceCount
)

// marks are one high-water resourceVersion per resource; 0 is before everything.
type marks [resourceCount]uint64

func resourceNames() [resourceCount]string {
	return [resourceCount]string{
		resourcePipelines:        "pipelines",
		resourceServiceEndpoints: "serviceendpoints",
		resourceConsumers:        "consumers",
		resourceJWTCredentials:   "jwtcredentials",
		resourceSecrets:          "secrets",
		resourceServices:         "services",
		resourceIngressClasses:   "ingressclasses",
	}
}

// parseVersion reads a resourceVersion. Kubernetes promises since 1.35 that they are comparable integers; 0 is returned
// for anything else, which asks nothing of other replicas: this one's own progress then decides.
func parseVersion(resourceVersion string) uint64 {
	version, err := strconv.ParseUint(resourceVersion, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

func (m *marks) raise(r resource, version uint64) { m[r] = max(m[r], version) }

// covers reports whether m is at or past need in every resource.
func (m marks) covers(need marks) bool {
	for r := range m {
		if m[r] < need[r] {
			return false
		}
	}
	return true
}

// MarshalJSON writes the marks that are set, by resource name. Versions are strings, as everywhere in Kubernetes.
func (m marks) MarshalJSON() ([]byte, error) {
	named := map[string]string{}
	for r, name := range resourceNames() {
		if m[r] > 0 {
			named[name] = strconv.FormatUint(m[r], 10)
		}
	}
	return json.Marshal(named)
}

// UnmarshalJSON reads marks by resource name. It leaves out resources that this version doesn't know.
func (m *marks) UnmarshalJSON(data []byte) error {
	var named map[string]string
	if err := json.Unmarshal(data, &named); err != nil {
		return fmt.Errorf("decode marks: %w", err)
	}
	*m = marks{}
	for r, name := range resourceNames() {
		m[r] = parseVersion(named[name])
	}
	return nil
}

// effect says what an event asks for.
type effect uint8

const (
	// effectNone: nothing that is served depends on what changed.
	effectNone effect = iota
	// effectWork: what is served must be made anew.
	effectWork
)

// tableProgress follows which events the live table includes. Event handlers, which run once the cache has the object,
// call observe; the one worker that compiles calls begin before it reads the cache and finish once its table is live.
type tableProgress struct {
	changed func() // called without the lock whenever live marks moved

	mu       sync.Mutex
	observed marks
	live     marks
	work     uint64 // counts events that asked for work
	done     uint64 // value of work when the live table was begun
}

// tableRun is one compile: what had been observed when it began.
type tableRun struct {
	observed marks
	work     uint64
}

func (p *tableProgress) observe(r resource, version uint64, e effect) {
	p.mu.Lock()
	p.observed.raise(r, version)
	if e == effectWork {
		p.work++
	}
	moved := p.catchUpLocked()
	p.mu.Unlock()
	if moved {
		p.notify()
	}
}

func (p *tableProgress) begin() tableRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	return tableRun{observed: p.observed, work: p.work}
}

func (p *tableProgress) finish(run tableRun) {
	p.mu.Lock()
	before := p.live
	p.live = run.observed
	p.done = run.work
	p.catchUpLocked()
	moved := p.live != before
	p.mu.Unlock()
	if moved {
		p.notify()
	}
}

// catchUpLocked makes everything observed live when no work is outstanding.
func (p *tableProgress) catchUpLocked() (moved bool) {
	if p.done != p.work || p.live == p.observed {
		return false
	}
	p.live = p.observed
	return true
}

// marks are what the live table includes.
func (p *tableProgress) marks() marks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

func (p *tableProgress) notify() {
	if p.changed != nil {
		p.changed()
	}
}

// keyProgress follows which events are included by work that is done per key. It proceeds from checkpoint to
// checkpoint: at one, the keys then outstanding are noted, and once a reconcile that began later has finished for each
// of them, everything observed at the checkpoint is live. So it gets on while new events never cease.
type keyProgress struct {
	changed func() // called without the lock whenever live marks moved
	now     func() time.Time

	mu          sync.Mutex
	observed    marks
	live        marks
	sequence    uint64 // counts observed events
	outstanding map[routing.ObjectKey]uint64
	checkpoint  checkpoint
	initial     initialSet
}

// checkpoint is a moment and the keys that were outstanding then, with the sequence of their last event.
type checkpoint struct {
	observed marks
	waiting  map[routing.ObjectKey]uint64
}

// initialSet are the keys that existed when the workers started.
type initialSet struct {
	known   bool
	since   time.Time
	waiting map[routing.ObjectKey]uint64
}

// keyRun is one reconcile of one key.
type keyRun struct {
	key      routing.ObjectKey
	sequence uint64
}

func newKeyProgress(now func() time.Time, changed func()) *keyProgress {
	return &keyProgress{now: now, changed: changed, outstanding: map[routing.ObjectKey]uint64{}}
}

// observe notes an event and the keys that must be reconciled because of it.
func (p *keyProgress) observe(r resource, version uint64, keys ...routing.ObjectKey) {
	p.mu.Lock()
	p.observed.raise(r, version)
	p.sequence++
	for _, key := range keys {
		p.outstanding[key] = p.sequence
	}
	moved := p.advanceLocked()
	p.mu.Unlock()
	if moved {
		p.notify()
	}
}

// begin is called before a reconcile reads anything.
func (p *keyProgress) begin(key routing.ObjectKey) keyRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	return keyRun{key: key, sequence: p.sequence}
}

// finish is called after a reconcile that succeeded.
func (p *keyProgress) finish(run keyRun) {
	p.mu.Lock()
	for _, set := range []map[routing.ObjectKey]uint64{p.outstanding, p.checkpoint.waiting, p.initial.waiting} {
		if sequence, ok := set[run.key]; ok && sequence <= run.sequence {
			delete(set, run.key)
		}
	}
	moved := p.advanceLocked()
	p.mu.Unlock()
	if moved {
		p.notify()
	}
}

// markInitial is called once, when the caches are synced and the workers have started.
func (p *keyProgress) markInitial() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.initial.known {
		return
	}
	p.initial = initialSet{known: true, since: p.now(), waiting: maps.Clone(p.outstanding)}
}

// ready says why the initial set keeps this replica from being ready; nil when it does not. After grace it no longer
// does: an object that can't be read must not keep all others from being served here.
func (p *keyProgress) ready(what string, grace time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !p.initial.known:
		return fmt.Errorf("%s are not being processed yet", what)
	case len(p.initial.waiting) > 0 && p.now().Sub(p.initial.since) < grace:
		return fmt.Errorf("%d %s of the start are not processed yet", len(p.initial.waiting), what)
	default:
		return nil
	}
}

func (p *keyProgress) advanceLocked() (moved bool) {
	if len(p.checkpoint.waiting) > 0 {
		return false
	}
	before := p.live
	for r, version := range p.checkpoint.observed {
		p.live.raise(resource(r), version)
	}
	p.checkpoint = checkpoint{observed: p.observed, waiting: maps.Clone(p.outstanding)}
	if len(p.checkpoint.waiting) == 0 {
		p.live = p.observed
	}
	return p.live != before
}

// marks are what the work done so far includes.
func (p *keyProgress) marks() marks {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.live
}

func (p *keyProgress) notify() {
	if p.changed != nil {
		p.changed()
	}
}
