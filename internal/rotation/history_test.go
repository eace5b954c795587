package rotation

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestHistory(t *testing.T) {
	t.Parallel()
	h := NewHistory()
	acme := routing.ObjectKey{Namespace: "shop", Name: "acme"}
	see := func(uid string, s Source, now time.Duration, others ...Record) []string {
		return sortedLines(shown(h.Observe(Observation{
			Credential: acme, UID: uid, Sources: []Source{s}, Others: others, Limits: Limits{Overlap: time.Hour, Retained: 2},
		}, at(now))))
	}
	expect := func(what string, got []string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	a, b := source(compile.SourceKey, "a"), source(compile.SourceKey, "b")
	stored := Record{Place: place(), Kind: compile.SourceKey, Value: compile.SecretBytes("a"), FirstSeen: at(0)}

	expect("at first", see("1", a, 0), "a")
	expect("once it was replaced", see("1", b, time.Minute), "a replaced at 1m0s, until 1h1m0s", "b")
	expect("by itself", sortedLines(shown(h.Records(acme))), "a replaced at 1m0s, until 1h1m0s", "b")
	if got := h.Credentials(); !slices.Equal(got, []routing.ObjectKey{acme}) {
		t.Errorf("credentials %v", got)
	}

	// The entry goes and comes back: what others still know of it must not.
	expect("without the entry", see("1", source(compile.SourceAbsent, ""), 2*time.Minute, stored))
	expect("with the entry again", see("1", b, 3*time.Minute, stored), "b")
	stored.FirstSeen = at(4 * time.Minute)
	expect("what others saw since", see("1", b, 5*time.Minute, stored), "a replaced at 5m0s, until 1h5m0s", "b")

	expect("another credential of that name", see("2", b, 6*time.Minute), "b")
	h.Forget(acme)
	if got := h.Records(acme); got != nil {
		t.Errorf("%d records of a forgotten credential", len(got))
	}
	expect("anew", see("2", a, 7*time.Minute), "a")
}
