//go:build !race

package keyring

import (
	"fmt"
	"testing"
	"time"
)

func TestLookupsAllocateNothing(t *testing.T) {
	ring := New()
	for i := range 1000 {
		ring.Set(credential(t, fmt.Sprint("c", i), fmt.Sprint("id", i), 10, fmt.Sprint("k", i)))
	}
	shop := ring.Namespace("shop")
	found := 0
	if allocs := testing.AllocsPerRun(1000, func() {
		if shop.ByKeyID("id500") != nil && shop.ByKeyID("absent") == nil {
			found++
		}
		found += len(shop.ByKID("k500")) + len(shop.ByKID("absent"))
	}); allocs != 0 {
		t.Errorf("%v allocations a lookup, want 0", allocs)
	}
	if found == 0 {
		t.Error("nothing was found")
	}
}

func TestNotingAUseAllocatesNothing(t *testing.T) {
	e := credential(t, "acme", "acme", 10, "a", "b")
	e.NoteUses(nil)
	now := time.Unix(1_800_000_000, 0)
	if allocs := testing.AllocsPerRun(1000, func() {
		e.UseOf(e.Keys[1].Key).Note(now)
		now = now.Add(20 * time.Second)
	}); allocs != 0 {
		t.Errorf("%v allocations a use, want 0", allocs)
	}
}
