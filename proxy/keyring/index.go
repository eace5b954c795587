package keyring

import (
	"hash/maphash"
	"slices"
	"sync/atomic"
)

// index finds credentials by a name that several may share. One goroutine writes at a time; any number read meanwhile.
//
// It is a hash table whose buckets are immutable and replaced by atomic stores, so that a write copies a handful of slots
// and a read is two atomic loads. The table doubles and halves with the number of names.
type index struct {
	seed  maphash.Seed
	table atomic.Pointer[table]
	names uint64 // of the writer alone
}

type table struct {
	buckets []atomic.Pointer[bucket]
	size    uint64 // how many, a power of two
}

// bucket holds the names whose hashes end alike. It is immutable.
type bucket []slot

// slot is a name with the credentials that have it, oldest first, at least one.
type slot struct {
	name    string
	entries []*Entry
}

const (
	leastBuckets = 8
	// meanSlots is how many names a bucket may hold on average before the table doubles.
	meanSlots = 2
)

func newIndex() *index {
	x := &index{seed: maphash.MakeSeed()}
	x.table.Store(newTable(leastBuckets))
	return x
}

func newTable(size uint64) *table {
	return &table{buckets: make([]atomic.Pointer[bucket], size), size: size}
}

func (t *table) at(hash uint64) *atomic.Pointer[bucket] {
	return &t.buckets[hash&(t.size-1)]
}

// lookup returns the credentials of a name, oldest first. The slice is immutable.
func (x *index) lookup(name string) []*Entry {
	b := x.table.Load().at(maphash.Comparable(x.seed, name)).Load()
	if b == nil {
		return nil
	}
	for i := range *b {
		if (*b)[i].name == name {
			return (*b)[i].entries
		}
	}
	return nil
}

// replace takes old, unless it is nil, from under the name and puts e there, unless it is nil, in one step.
func (x *index) replace(name string, old, e *Entry) {
	current := x.lookup(name)
	entries := make([]*Entry, 0, len(current)+1)
	for _, c := range current {
		if c != old {
			entries = append(entries, c)
		}
	}
	if e != nil {
		at, _ := slices.BinarySearchFunc(entries, e, older)
		entries = slices.Insert(entries, at, e)
	}
	switch {
	case len(current) == 0 && len(entries) > 0:
		x.names++
	case len(current) > 0 && len(entries) == 0:
		x.names--
	}
	x.store(name, entries)
	size := x.table.Load().size
	switch {
	case x.names > size*meanSlots:
		x.resize(size * 2)
	case size > leastBuckets && x.names < size*meanSlots/8:
		x.resize(size / 2)
	}
}

// store puts the credentials of a name into a new bucket; a name without any is left out.
func (x *index) store(name string, entries []*Entry) {
	place := x.table.Load().at(maphash.Comparable(x.seed, name))
	old := place.Load()
	var next bucket
	if old != nil {
		next = make(bucket, 0, len(*old)+1)
		for _, s := range *old {
			if s.name != name {
				next = append(next, s)
			}
		}
	}
	if len(entries) > 0 {
		next = append(next, slot{name: name, entries: entries})
	}
	if len(next) == 0 {
		place.Store(nil)
		return
	}
	place.Store(&next)
}

// resize builds a table of another size beside the one that is read from, and swaps them.
func (x *index) resize(size uint64) {
	next := newTable(size)
	old := x.table.Load()
	for i := range old.buckets {
		b := old.buckets[i].Load()
		if b == nil {
			continue
		}
		for _, s := range *b {
			place := next.at(maphash.Comparable(x.seed, s.name))
			var grown bucket
			if there := place.Load(); there != nil {
				grown = slices.Clone(*there)
			}
			grown = append(grown, s)
			place.Store(&grown)
		}
	}
	x.table.Store(next)
}
