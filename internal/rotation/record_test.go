package rotation

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/compile"
)

// start is the time that the tests count from.
func start() time.Time { return time.Unix(1_800_000_000, 0) }

func at(d time.Duration) time.Time { return start().Add(d) }

// place is the one place of most tests.
func place() Place {
	return Place{Name: "current", Secret: "acme-jwt", Entry: "key", SecretUID: "uid-1"}
}

func source(kind compile.SourceKind, value string) Source {
	return Source{Place: place(), Kind: kind, Value: compile.SecretBytes(value)}
}

// shown writes records in a few lines: what is there, and until when what was.
func shown(records []Record) []string {
	lines := []string{}
	for _, r := range records {
		if r.Spent() {
			continue
		}
		line := string(r.Value)
		if r.Kind == compile.SourceSet {
			line = "set " + line
		}
		if !r.Replaced.IsZero() {
			line += fmt.Sprintf(" replaced at %s, until %s", r.Replaced.Sub(start()), r.RetainUntil.Sub(start()))
		}
		lines = append(lines, line)
	}
	return lines
}

func TestNext(t *testing.T) {
	t.Parallel()
	type step struct {
		after   time.Duration
		source  Source
		overlap time.Duration // 0: a day
		want    []string
	}
	const day = 24 * time.Hour
	a, b, c, d := source(compile.SourceKey, "a"), source(compile.SourceKey, "b"), source(compile.SourceKey, "c"), source(compile.SourceKey, "d")
	set, other := source(compile.SourceSet, "s"), source(compile.SourceSet, "t")
	absent, broken := source(compile.SourceAbsent, ""), source(compile.SourceUnusable, "")
	renewed := a
	renewed.Place.SecretUID = "uid-2"
	tests := map[string][]step{
		"Q01 a replaced key is retained for the overlap, to the very moment": {
			{0, a, 0, []string{"a"}},
			{time.Hour, b, 0, []string{"a replaced at 1h0m0s, until 25h0m0s", "b"}},
			{25*time.Hour - 1, b, 0, []string{"a replaced at 1h0m0s, until 25h0m0s", "b"}},
			{25 * time.Hour, b, 0, []string{"b"}},
		},
		"Q02 without overlap it is gone at once": {
			{0, a, -1, []string{"a"}},
			{time.Hour, b, -1, []string{"b"}},
		},
		"Q02 a lower overlap acts on retained keys": {
			{0, a, 0, []string{"a"}},
			{0, b, 0, []string{"a replaced at 0s, until 24h0m0s", "b"}},
			{time.Hour, b, 2 * time.Hour, []string{"a replaced at 0s, until 2h0m0s", "b"}},
			{time.Hour, b, 48 * time.Hour, []string{"a replaced at 0s, until 2h0m0s", "b"}},
			{time.Hour, b, time.Hour, []string{"b"}},
			{time.Hour, b, 48 * time.Hour, []string{"b"}},
		},
		"Q03 the latest are retained": {
			{0, a, 0, []string{"a"}},
			{1 * time.Hour, b, 0, []string{"a replaced at 1h0m0s, until 25h0m0s", "b"}},
			{2 * time.Hour, c, 0, []string{"a replaced at 1h0m0s, until 25h0m0s", "b replaced at 2h0m0s, until 26h0m0s", "c"}},
			{3 * time.Hour, d, 0, []string{"b replaced at 2h0m0s, until 26h0m0s", "c replaced at 3h0m0s, until 27h0m0s", "d"}},
		},
		"a value that comes back is current": {
			{0, a, 0, []string{"a"}},
			{time.Hour, b, 0, []string{"a replaced at 1h0m0s, until 25h0m0s", "b"}},
			{2 * time.Hour, a, 0, []string{"a", "b replaced at 2h0m0s, until 26h0m0s"}},
		},
		"Q04 an unusable value leaves the last good one, for as long as it did at first": {
			{0, a, 0, []string{"a"}},
			{time.Hour, broken, 0, []string{"a replaced at 1h0m0s, until 25h0m0s"}},
			{2 * time.Hour, broken, 0, []string{"a replaced at 1h0m0s, until 25h0m0s"}},
			{25 * time.Hour, broken, 0, []string{}},
			{26 * time.Hour, broken, 0, []string{}},
		},
		"Q04 what was good becomes good again": {
			{0, a, 0, []string{"a"}},
			{time.Hour, broken, 0, []string{"a replaced at 1h0m0s, until 25h0m0s"}},
			{2 * time.Hour, a, 0, []string{"a"}},
		},
		"Q05 an absent entry leaves nothing": {
			{0, a, 0, []string{"a"}},
			{0, b, 0, []string{"a replaced at 0s, until 24h0m0s", "b"}},
			{0, absent, 0, []string{}},
			{0, b, 0, []string{"b"}},
		},
		"Q05 a Secret that was made anew inherits nothing": {
			{0, b, 0, []string{"b"}},
			{0, renewed, 0, []string{"a"}},
		},
		"a set is taken at its word": {
			{0, set, 0, []string{"set s"}},
			{time.Hour, other, 0, []string{"set t"}},
		},
		"a set leaves nothing of a key": {
			{0, a, 0, []string{"a"}},
			{0, set, 0, []string{"set s"}},
			{0, b, 0, []string{"b"}},
		},
		"Q04 a set is retained while there is rubbish in its place": {
			{0, set, 0, []string{"set s"}},
			{time.Hour, broken, 0, []string{"set s replaced at 1h0m0s, until 25h0m0s"}},
			{2 * time.Hour, other, 0, []string{"set t"}},
		},
		"a key ends what a set left": {
			{0, set, 0, []string{"set s"}},
			{time.Hour, broken, 0, []string{"set s replaced at 1h0m0s, until 25h0m0s"}},
			{2 * time.Hour, a, 0, []string{"a"}},
		},
		"Q04 rubbish from the start is nothing": {
			{0, broken, 0, []string{}},
			{time.Hour, a, 0, []string{"a"}},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var records []Record
			for i, s := range steps {
				limits := Limits{Overlap: s.overlap, Retained: 2}
				if s.overlap == 0 {
					limits.Overlap = day
				}
				limits.Overlap = max(limits.Overlap, 0)
				before := slices.Clone(records)
				next := Next(records, []Source{s.source}, limits, at(s.after))
				if diff := cmp.Diff(s.want, sortedLines(shown(next))); diff != "" {
					t.Fatalf("step %d (-want +got):\n%s", i, diff)
				}
				if !Equal(before, records) {
					t.Fatalf("step %d changed its argument", i)
				}
				records = next
			}
		})
	}
}

func sortedLines(lines []string) []string {
	slices.Sort(lines)
	return lines
}

// A replica that saw many values must not take one of them for the latest because others are behind.
func TestMergeBringsNothingBack(t *testing.T) {
	t.Parallel()
	limits := Limits{Overlap: 24 * time.Hour, Retained: 2}
	see := func(records []Record, value string, now time.Duration, limits Limits) []Record {
		return Next(records, []Source{source(compile.SourceKey, value)}, limits, at(now))
	}
	var own []Record
	for i, value := range []string{"a", "b", "c", "d"} {
		own = see(own, value, time.Duration(i)*time.Minute, limits)
	}
	behind := see(nil, "a", 0, limits)
	want := []string{"b replaced at 2m0s, until 24h2m0s", "c replaced at 3m0s, until 24h3m0s", "d"}
	if diff := cmp.Diff(want, shown(see(Merge(own, behind), "d", 4*time.Minute, limits))); diff != "" {
		t.Errorf("with a replica that is behind (-want +got):\n%s", diff)
	}

	// Nor what was cut, once the overlap is longer again.
	cut := see(own, "d", 5*time.Minute, Limits{Retained: 2})
	if diff := cmp.Diff([]string{"d"}, shown(see(Merge(cut, own), "d", 6*time.Minute, limits))); diff != "" {
		t.Errorf("after a cut (-want +got):\n%s", diff)
	}

	// It is forgotten in the end, and never more than a few are remembered.
	if got := len(see(own, "d", 2*time.Hour, limits)); got != 3 {
		t.Errorf("%d records after two hours, want 3", got)
	}
	for i := range 100 {
		own = see(own, fmt.Sprint(i), 5*time.Minute+time.Duration(i), limits)
	}
	if got := len(own); got != 3+maxSpent {
		t.Errorf("%d records of 100 values, want %d", got, 3+maxSpent)
	}
}

func TestPlacesShareNothing(t *testing.T) {
	t.Parallel()
	limits := Limits{Overlap: time.Hour, Retained: 2}
	first, second := source(compile.SourceKey, "a"), source(compile.SourceKey, "b")
	second.Place.Name = "next"
	records := Next(nil, []Source{first, second}, limits, at(0))
	second.Value = compile.SecretBytes("c")
	records = Next(records, []Source{first, second}, limits, at(time.Minute))
	if diff := cmp.Diff([]string{"a", "b replaced at 1m0s, until 1h1m0s", "c"}, shown(records)); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a"}, shown(Next(records, []Source{first}, limits, at(time.Minute)))); diff != "" {
		t.Errorf("once the other item is gone (-want +got):\n%s", diff)
	}
	if got, want := Due(records), at(time.Hour+time.Minute); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got, want)
	}
	if got := Due(records[:1]); !got.IsZero() {
		t.Errorf("due at %s with nothing retained", got)
	}
	want := []compile.RetainedKey{{Source: "next", Kind: compile.SourceKey, Value: compile.SecretBytes("b"), Until: at(time.Hour + time.Minute)}}
	if diff := cmp.Diff(want, Retained(records)); diff != "" {
		t.Errorf("retained (-want +got):\n%s", diff)
	}
}

// TestMergeThenNext is how a replica takes in what others remember.
func TestMergeThenNext(t *testing.T) {
	t.Parallel()
	limits := Limits{Overlap: 24 * time.Hour, Retained: 2}
	now := at(10 * time.Hour)
	record := func(value string, firstSeen time.Duration, replaced ...time.Duration) Record {
		r := Record{Place: place(), Kind: compile.SourceKey, Value: compile.SecretBytes(value), FirstSeen: at(firstSeen)}
		for _, d := range replaced {
			r.Replaced, r.RetainUntil = at(d), at(d+24*time.Hour)
		}
		return r
	}
	elsewhere := record("x", 0)
	elsewhere.Place.SecretUID = "uid-0"
	tests := map[string]struct {
		own, others []Record
		source      Source
		want        []string
	}{
		"Q08 a replica that starts knows what was there": {
			others: []Record{record("a", 0, 5*time.Hour), record("b", 5*time.Hour)},
			source: source(compile.SourceKey, "b"),
			want:   []string{"a replaced at 5h0m0s, until 29h0m0s", "b"},
		},
		"Q08 what was replaced while nobody looked is retained from now on": {
			others: []Record{record("a", 0)},
			source: source(compile.SourceKey, "b"),
			want:   []string{"a replaced at 10h0m0s, until 34h0m0s", "b"},
		},
		"Q08 the earlier replacement counts": {
			own:    []Record{record("a", 0, 6*time.Hour), record("b", 6*time.Hour)},
			others: []Record{record("a", 0, 5*time.Hour), record("b", 5*time.Hour)},
			source: source(compile.SourceKey, "b"),
			want:   []string{"a replaced at 5h0m0s, until 29h0m0s", "b"},
		},
		"others are behind": {
			own:    []Record{record("a", 0, 6*time.Hour), record("b", 6*time.Hour)},
			others: []Record{record("a", 0)},
			source: source(compile.SourceKey, "b"),
			want:   []string{"a replaced at 6h0m0s, until 30h0m0s", "b"},
		},
		"others are ahead": {
			own:    []Record{record("a", 0)},
			others: []Record{record("a", 0, 9*time.Hour), record("b", 9*time.Hour)},
			source: source(compile.SourceKey, "a"),
			want:   []string{"a", "b replaced at 10h0m0s, until 34h0m0s"},
		},
		"what one replica missed is retained by it too": {
			own:    []Record{record("a", 0, 9*time.Hour), record("c", 9*time.Hour)},
			others: []Record{record("a", 0, 8*time.Hour), record("b", 8*time.Hour, 9*time.Hour), record("c", 9*time.Hour)},
			source: source(compile.SourceKey, "c"),
			want:   []string{"a replaced at 8h0m0s, until 32h0m0s", "b replaced at 9h0m0s, until 33h0m0s", "c"},
		},
		"Q08 an unusable value is no older for a restart": {
			others: []Record{record("a", 0, 5*time.Hour)},
			source: source(compile.SourceUnusable, ""),
			want:   []string{"a replaced at 5h0m0s, until 29h0m0s"},
		},
		"a set leaves nothing of what others knew": {
			others: []Record{record("a", 0)},
			source: source(compile.SourceSet, "s"),
			want:   []string{"set s"},
		},
		"Q05 an absent entry leaves nothing of what others knew": {
			others: []Record{record("a", 0)},
			source: source(compile.SourceAbsent, ""),
			want:   []string{},
		},
		"Q05 another Secret of that name inherits nothing of what others knew": {
			others: []Record{elsewhere},
			source: source(compile.SourceKey, "b"),
			want:   []string{"b"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			own := slices.Clone(tc.own)
			got := Next(Merge(tc.own, tc.others), []Source{tc.source}, limits, now)
			if diff := cmp.Diff(tc.want, sortedLines(shown(got))); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if !Equal(own, tc.own) {
				t.Error("Merge changed its argument")
			}
		})
	}
}
