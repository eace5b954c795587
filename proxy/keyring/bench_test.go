package keyring

import (
	"fmt"
	"testing"
	"time"
)

const benchCredentials = 100_000

func benchRing(b *testing.B) (*Keyring, []*Entry) {
	b.Helper()
	ring := New()
	entries := make([]*Entry, benchCredentials)
	for i := range entries {
		entries[i] = credential(b, fmt.Sprint("c", i), fmt.Sprint("id", i), int64(i), fmt.Sprint("k", i))
		ring.Set(entries[i])
	}
	b.ReportAllocs()
	return ring, entries
}

func BenchmarkByKeyID(b *testing.B) {
	ring, entries := benchRing(b)
	shop := ring.Namespace("shop")
	i := 0
	for b.Loop() {
		i = (i + 7919) % benchCredentials
		if shop.ByKeyID(entries[i].KeyID) != entries[i] {
			b.Fatal("not found")
		}
	}
}

func BenchmarkByKeyIDParallel(b *testing.B) {
	ring, entries := benchRing(b)
	shop := ring.Namespace("shop")
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		i := 0
		for pb.Next() {
			i = (i + 7919) % benchCredentials
			if shop.ByKeyID(entries[i].KeyID) != entries[i] {
				b.Error("not found")
				return
			}
		}
	})
}

func BenchmarkSet(b *testing.B) {
	ring, entries := benchRing(b)
	i := 0
	for b.Loop() {
		i = (i + 7919) % benchCredentials
		e := *entries[i]
		ring.Set(&e)
	}
}

// BenchmarkNote shows that cores that verify with one key don't hold each other up: it costs the same with more of them.
func BenchmarkNote(b *testing.B) {
	var use Use
	now := time.Unix(1_800_000_000, 0)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			use.Note(now)
		}
	})
}
