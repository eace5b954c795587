package keyring

import (
	"crypto/sha256"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

func TestUseKnowsTheLatestMinute(t *testing.T) {
	var use Use
	if got := use.Last(); !got.IsZero() {
		t.Errorf("last used at %s before any use", got)
	}
	minute := time.Date(2026, 11, 21, 12, 30, 0, 0, time.UTC)
	for _, step := range []struct{ note, want time.Time }{
		{minute.Add(59 * time.Second), minute},
		{minute, minute},
		{minute.Add(-time.Hour), minute}, // a request that took long, or a clock that was set
		{minute.Add(time.Minute), minute.Add(time.Minute)},
	} {
		use.Note(step.note)
		if got := use.Last(); !got.Equal(step.want) {
			t.Errorf("last used at %s after a use at %s, want %s", got, step.note, step.want)
		}
	}
	var none *Use
	none.Note(minute)
	if !none.Last().IsZero() {
		t.Error("a use was noted nowhere")
	}
}

func TestUseTakesManyAtOnce(t *testing.T) {
	var use Use
	start := time.Unix(1_800_000_000, 0)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				use.Note(start.Add(time.Duration(i) * time.Second))
				_ = use.Last()
			}
		})
	}
	all.Wait()
	if got, want := use.Last(), start.Add(999*time.Second).Truncate(time.Minute); got.Before(want.Add(-time.Minute)) || got.After(want) {
		t.Errorf("last used at %s, want about %s", got, want)
	}
}

// parsed makes a key of another secret for each seed.
func parsed(t *testing.T, seed byte, kid string) *jose.Key {
	t.Helper()
	secret := sha256.Sum256([]byte{seed})
	keys, problems, _ := jose.Parse(secret[:], jose.Options{KID: kid, Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
	if len(keys) != 1 {
		t.Fatal(problems)
	}
	return keys[0]
}

func TestUsesStayWithTheirKeys(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	old := &Entry{Keys: Keys(parsed(t, 1, "one"), parsed(t, 2, "two"))}
	old.NoteUses(nil)
	old.Keys[0].Use().Note(at)
	next := &Entry{Keys: Keys(parsed(t, 3, "new"), parsed(t, 1, "renamed"), parsed(t, 1, "again"), parsed(t, 3, "twice"))}
	next.NoteUses(old)

	if got := next.Keys[1].Use(); got != old.Keys[0].Use() || got != next.Keys[2].Use() {
		t.Error("the key that stays has another Use")
	}
	if got := next.Keys[0].Use(); got == old.Keys[0].Use() || got == old.Keys[1].Use() || !got.Last().IsZero() || got != next.Keys[3].Use() {
		t.Error("the new key has the Use of another, or two")
	}
	if next.UseOf(next.Keys[1].Key) != old.Keys[0].Use() {
		t.Error("the Use is not found by its key")
	}
	if next.UseOf(old.Keys[1].Key) != nil || next.UseOf(nil) != nil {
		t.Error("a key of another entry has a Use here")
	}
	use := next.Keys[0].Use()
	next.NoteUses(next)
	if next.Keys[0].Use() != use {
		t.Error("the entry that is live already was changed")
	}
	plain := &Entry{Keys: Keys(parsed(t, 1, "one"))}
	fresh := &Entry{Keys: Keys(parsed(t, 1, "one"))}
	if fresh.NoteUses(plain); fresh.Keys[0].Use() == nil {
		t.Error("no uses are noted after an entry whose were not")
	}
}

func TestGet(t *testing.T) {
	ring := New()
	e := credential(t, "acme", "acme", 10, "k")
	if ring.Set(e); ring.Get(e.Key) != e {
		t.Error("the credential is not found")
	}
	for _, absent := range []routing.ObjectKey{key("other"), {Namespace: "other", Name: "acme"}} {
		if ring.Get(absent) != nil {
			t.Errorf("%v is found", absent)
		}
	}
}

func TestEntriesAreSorted(t *testing.T) {
	ring := New()
	for _, name := range []string{"bob", "acme"} {
		ring.Set(credential(t, name, name, 10, "k"))
	}
	elsewhere := credential(t, "zoe", "zoe", 10, "k")
	elsewhere.Key.Namespace = "billing"
	ring.Set(elsewhere)
	if diff := cmp.Diff([]string{"zoe", "acme", "bob"}, names(ring.Entries())); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}
