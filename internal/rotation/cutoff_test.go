package rotation

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/compile"
)

// replaced is a record of a value that something else took the place of.
func replaced(value string, since, until time.Duration) Record {
	return Record{
		Place: place(), Kind: compile.SourceKey, Value: compile.SecretBytes(value),
		FirstSeen: at(0), Replaced: at(since), RetainUntil: at(until),
	}
}

// TestSpentKeysAreNotRetained: they are remembered, and verify nothing.
func TestSpentKeysAreNotRetained(t *testing.T) {
	t.Parallel()
	current := Record{Place: place(), Kind: compile.SourceKey, Value: compile.SecretBytes("c"), FirstSeen: at(0)}
	records := []Record{replaced("a", time.Hour, time.Hour), replaced("b", time.Hour, 2*time.Hour), current}
	want := []compile.RetainedKey{{Source: "current", Kind: compile.SourceKey, Value: compile.SecretBytes("b"), Until: at(2 * time.Hour)}}
	if diff := cmp.Diff(want, Retained(records)); diff != "" {
		t.Errorf("retained (-want +got):\n%s", diff)
	}
	if got, want := Due(records), at(2*time.Hour); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got, want)
	}
	if got := Due(records[:1]); !got.IsZero() {
		t.Errorf("due at %s for what is spent", got)
	}
}

// TestMergeTakesTheEarlierEnd: whoever cut a key short did so for all.
func TestMergeTakesTheEarlierEnd(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ own, others, want Record }{
		"theirs":             {replaced("a", 0, 2*time.Hour), replaced("a", 0, time.Hour), replaced("a", 0, time.Hour)},
		"ours":               {replaced("a", 0, time.Hour), replaced("a", 0, 2*time.Hour), replaced("a", 0, time.Hour)},
		"theirs is spent":    {replaced("a", 0, 2*time.Hour), replaced("a", 0, 0), replaced("a", 0, 0)},
		"replaced at theirs": {replaced("a", time.Minute, time.Hour), replaced("a", 0, time.Hour), replaced("a", 0, time.Hour)},
	} {
		if diff := cmp.Diff([]Record{tc.want}, Merge([]Record{tc.own}, []Record{tc.others})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestMergeTakesNothingForAnother: the value in another place, or that was something else, is a record of its own.
func TestMergeTakesNothingForAnother(t *testing.T) {
	t.Parallel()
	own := replaced("a", 0, time.Hour)
	for name, change := range map[string]func(*Record){
		"another item":   func(r *Record) { r.Place.Name = "next" },
		"another Secret": func(r *Record) { r.Place.Secret = "other" },
		"another entry":  func(r *Record) { r.Place.Entry = "other" },
		"made anew":      func(r *Record) { r.Place.SecretUID = "uid-2" },
		"a set":          func(r *Record) { r.Kind = compile.SourceSet },
		"another value":  func(r *Record) { r.Value = compile.SecretBytes("b") },
	} {
		other := own
		change(&other)
		if diff := cmp.Diff([]Record{own, other}, Merge([]Record{own}, []Record{other})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestEqual: each change of a record must be told to others.
func TestEqual(t *testing.T) {
	t.Parallel()
	one := replaced("a", time.Minute, time.Hour)
	elsewhere := one
	elsewhere.FirstSeen, elsewhere.Replaced = one.FirstSeen.UTC(), one.Replaced.In(time.FixedZone("", 3600))
	if !Equal([]Record{one}, []Record{elsewhere}) || !Equal(nil, []Record{}) {
		t.Error("equal records differ")
	}
	for name, change := range map[string]func(*Record){
		"another place":      func(r *Record) { r.Place.Entry = "other" },
		"another value":      func(r *Record) { r.Value = compile.SecretBytes("b") },
		"seen before":        func(r *Record) { r.FirstSeen = at(-1) },
		"replaced before":    func(r *Record) { r.Replaced = at(0) },
		"not replaced":       func(r *Record) { r.Replaced = time.Time{} },
		"retained for less":  func(r *Record) { r.RetainUntil = at(time.Minute) },
		"retained no longer": func(r *Record) { r.RetainUntil = time.Time{} },
	} {
		other := one
		change(&other)
		if Equal([]Record{one}, []Record{other}) {
			t.Errorf("%s: equal", name)
		}
	}
	if Equal([]Record{one}, nil) || Equal([]Record{one}, []Record{one, one}) {
		t.Error("lists of other lengths are equal")
	}
}
