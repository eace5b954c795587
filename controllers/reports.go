package controllers

import (
	"reflect"
	"sync"

	"k8s.io/apimachinery/pkg/types"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// kind is one of ours.
type kind uint8

const (
	kindPipeline kind = iota
	kindServiceEndpoint
	kindConsumer
	kindJWTCredential
	kindCount
)

// objectRef names one object of ours.
type objectRef struct {
	kind kind
	key  routing.ObjectKey
}

// report is what was made of one object, and what a replica must have made live to serve the same.
type report struct {
	verdict compile.Verdict
	need    requirement
}

// requirement is what a replica must include to serve an object as it is now.
type requirement struct {
	version specVersion
	table   marks
	keyring marks
}

// specVersion changes whenever what is served of an object may: with its generation, and with the data of its Secrets.
type specVersion struct {
	uid        types.UID
	generation int64
	secrets    string
}

// reports keeps the newest report of every object and says which changed.
type reports struct {
	changed func(objectRef) // called without the lock

	mu     sync.Mutex
	byKind [kindCount]map[routing.ObjectKey]report
}

func newReports(changed func(objectRef)) *reports {
	r := &reports{changed: changed}
	for k := range r.byKind {
		r.byKind[k] = map[routing.ObjectKey]report{}
	}
	return r
}

// get returns the report of one object; ok is false when it has none: it is not ours, or was not compiled yet.
func (r *reports) get(ref objectRef) (rep report, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rep, ok = r.byKind[ref.kind][ref.key]
	return rep, ok
}

// refs lists the objects that have a report.
func (r *reports) refs() []objectRef {
	r.mu.Lock()
	defer r.mu.Unlock()
	var refs []objectRef
	for k := range r.byKind {
		for key := range r.byKind[k] {
			refs = append(refs, objectRef{kind(k), key})
		}
	}
	return refs
}

// verdicts lists the verdicts of a kind, in no order. They must not be changed.
func (r *reports) verdicts(k kind) []compile.Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	verdicts := make([]compile.Verdict, 0, len(r.byKind[k]))
	for _, rep := range r.byKind[k] {
		verdicts = append(verdicts, rep.verdict)
	}
	return verdicts
}

// set replaces the report of one object.
func (r *reports) set(ref objectRef, rep report) {
	r.mu.Lock()
	changed := r.setLocked(ref, rep)
	r.mu.Unlock()
	if changed {
		r.changed(ref)
	}
}

// remove forgets one object.
func (r *reports) remove(ref objectRef) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.byKind[ref.kind], ref.key)
}

// replace replaces all reports of a kind but those of the undecided objects, which keep what they had.
func (r *reports) replace(k kind, fresh map[routing.ObjectKey]report, undecided map[routing.ObjectKey]bool) {
	var changed []objectRef
	r.mu.Lock()
	for key := range r.byKind[k] {
		if _, ok := fresh[key]; !ok && !undecided[key] {
			delete(r.byKind[k], key)
			changed = append(changed, objectRef{k, key})
		}
	}
	for key, rep := range fresh {
		if ref := (objectRef{k, key}); !undecided[key] && r.setLocked(ref, rep) {
			changed = append(changed, ref)
		}
	}
	r.mu.Unlock()
	for _, ref := range changed {
		r.changed(ref)
	}
}

// setLocked keeps the first requirement of a version: later resourceVersions of the same version, such as those of
// status writes, ask nothing more of the replicas.
func (r *reports) setLocked(ref objectRef, rep report) (changed bool) {
	old, ok := r.byKind[ref.kind][ref.key]
	if ok && old.need.version == rep.need.version {
		rep.need = old.need
	}
	r.byKind[ref.kind][ref.key] = rep
	return !ok || !reflect.DeepEqual(old, rep)
}
