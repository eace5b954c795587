package gate

import (
	"sync"

	"github.com/ostiary/ostiary/proxy/head"
)

// remover removes fields by their names. It may be used by several goroutines.
type remover struct {
	of func(name string) bool
	// found has *finding of earlier requests, so that collecting names costs no allocation.
	found sync.Pool
}

// finding collects the names of fields to remove: fields must not be edited while their names are told.
type finding struct {
	names   []string
	collect func(name string) bool
}

func newFinding(of func(name string) bool) *finding {
	f := &finding{}
	f.collect = func(name string) bool {
		if of(name) {
			f.names = append(f.names, name)
		}
		return true
	}
	return f
}

func (r *remover) remove(h head.Head) {
	f, ok := r.found.Get().(*finding)
	if !ok {
		f = newFinding(r.of)
	}
	f.remove(h)
	r.found.Put(f)
}

// remove removes the fields whose names it collects.
func (f *finding) remove(h head.Head) {
	h.Names(f.collect)
	for _, name := range f.names {
		h.Delete(name)
	}
	clear(f.names) // they may be parts of the request's buffer
	f.names = f.names[:0]
}
