package rotation

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"github.com/ostiary/ostiary/internal/compile"
)

// Place is where a key was: an item of spec.keys, and the Secret's entry that it pointed to. A Secret that was deleted and
// made anew has another UID, so that it inherits nothing.
type Place struct {
	Name, Secret, Entry string
	SecretUID           string
}

// Record is one value of a place.
type Record struct {
	Place Place
	// Kind is compile.SourceKey or compile.SourceSet.
	Kind  compile.SourceKind
	Value compile.SecretBytes
	// FirstSeen is when the value was first seen there.
	FirstSeen time.Time
	// Replaced is when something else was first seen in its place; zero: it is what the Secret holds.
	Replaced time.Time
	// RetainUntil is the first moment at which a replaced value no longer verifies.
	RetainUntil time.Time
}

func (r *Record) current() bool { return r.Replaced.IsZero() }

// Spent reports whether the value verifies nothing any more, whatever the time: it was cut before its time, or others
// replaced so many. It is remembered for a while so that whoever is behind doesn't bring it back as the latest.
func (r *Record) Spent() bool { return !r.current() && !r.RetainUntil.After(r.Replaced) }

const (
	// spentFor is how long a spent record is remembered: longer than any replica is behind.
	spentFor = time.Hour
	// maxSpent is how many are, of one place.
	maxSpent = 32
)

func (r *Record) same(other *Record) bool {
	return r.Place == other.Place && r.Kind == other.Kind && bytes.Equal(r.Value, other.Value)
}

// Source is what is in a place now.
type Source struct {
	Place Place
	Kind  compile.SourceKind
	Value compile.SecretBytes
}

// Limits are what the credential says of retained keys.
type Limits struct {
	// Overlap is how long a replaced value verifies.
	Overlap time.Duration
	// Retained is how many replaced values of a place do, at most.
	Retained int
}

// Next is what there is to remember once sources were seen. It changes no argument; the result is sorted.
//
// A single key that is not there any more was replaced, and so was every key when the value is unusable. A set is taken at
// its word: nothing that was there before outlives it, and it is itself retained only while an unusable value is in its
// place. Where the entry is absent, nothing is retained.
func Next(records []Record, sources []Source, limits Limits, now time.Time) []Record {
	var next []Record
	for i := range sources {
		s := &sources[i]
		var mine []Record
		for _, r := range records {
			if r.Place == s.Place {
				mine = append(mine, r)
			}
		}
		next = append(next, limits.prune(s.next(mine, limits, now), now)...)
	}
	slices.SortFunc(next, compare)
	return next
}

func (s *Source) next(mine []Record, limits Limits, now time.Time) []Record {
	var next []Record
	fresh := Record{Place: s.Place, Kind: s.Kind, Value: s.Value, FirstSeen: now}
	for _, r := range mine {
		switch {
		case s.Kind == compile.SourceAbsent:
		case r.same(&fresh):
			fresh.FirstSeen = earlier(fresh.FirstSeen, r.FirstSeen)
		case s.Kind == compile.SourceSet, s.Kind == compile.SourceKey && r.Kind == compile.SourceSet:
		default:
			if r.current() {
				r.Replaced, r.RetainUntil = now, now.Add(limits.Overlap)
			}
			next = append(next, r)
		}
	}
	if s.Kind == compile.SourceKey || s.Kind == compile.SourceSet {
		next = append(next, fresh)
	}
	return next
}

// prune holds retained records of one place to the limits: a lower overlap acts on those that are retained already, and for
// good, a higher one does not.
func (l Limits) prune(records []Record, now time.Time) []Record {
	var kept, retained, spent []Record
	for _, r := range records {
		if r.current() {
			kept = append(kept, r)
			continue
		}
		r.RetainUntil = earlier(r.RetainUntil, r.Replaced.Add(l.Overlap))
		if now.Before(r.RetainUntil) {
			retained = append(retained, r)
		} else {
			spent = append(spent, r)
		}
	}
	latest := func(a, b Record) int { return cmp.Or(b.Replaced.Compare(a.Replaced), compare(a, b)) }
	slices.SortFunc(retained, latest)
	most := min(len(retained), l.Retained)
	kept, spent = append(kept, retained[:most]...), append(spent, retained[most:]...)
	slices.SortFunc(spent, latest)
	for _, r := range spent[:min(len(spent), maxSpent)] {
		if now.Before(r.Replaced.Add(spentFor)) {
			r.RetainUntil = r.Replaced
			kept = append(kept, r)
		}
	}
	return kept
}

// Merge adds what others remember to what we do. What both know was replaced at the earlier time; what we see in its place
// is in its place. It changes no argument; the result is for Next.
func Merge(own, others []Record) []Record {
	merged := slices.Clone(own)
	for _, r := range others {
		i := slices.IndexFunc(merged, func(known Record) bool { return known.same(&r) })
		if i < 0 {
			merged = append(merged, r)
			continue
		}
		known := &merged[i]
		known.FirstSeen = earlier(known.FirstSeen, r.FirstSeen)
		if !known.current() && !r.current() {
			known.Replaced = earlier(known.Replaced, r.Replaced)
			known.RetainUntil = earlier(known.RetainUntil, r.RetainUntil)
		}
	}
	return merged
}

// Retained are the records that verify beside what is in their places, as compile takes them.
func Retained(records []Record) []compile.RetainedKey {
	var keys []compile.RetainedKey
	for i := range records {
		if r := &records[i]; !r.current() && !r.Spent() {
			keys = append(keys, compile.RetainedKey{Source: r.Place.Name, Kind: r.Kind, Value: r.Value, Until: r.RetainUntil})
		}
	}
	return keys
}

// Due is the next moment at which a record is to be forgotten; zero: there is none.
func Due(records []Record) time.Time {
	var due time.Time
	for i := range records {
		if r := &records[i]; !r.current() && !r.Spent() && (due.IsZero() || r.RetainUntil.Before(due)) {
			due = r.RetainUntil
		}
	}
	return due
}

// Equal reports whether both are the same records in the same order.
func Equal(a, b []Record) bool {
	return slices.EqualFunc(a, b, func(x, y Record) bool {
		return x.same(&y) && x.FirstSeen.Equal(y.FirstSeen) && x.Replaced.Equal(y.Replaced) && x.RetainUntil.Equal(y.RetainUntil)
	})
}

func compare(a, b Record) int {
	return cmp.Or(
		cmp.Compare(a.Place.Name, b.Place.Name), cmp.Compare(a.Place.Secret, b.Place.Secret), cmp.Compare(a.Place.Entry, b.Place.Entry),
		a.FirstSeen.Compare(b.FirstSeen), bytes.Compare(a.Value, b.Value),
	)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
