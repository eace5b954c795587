package keyring

import (
	"fmt"
	"testing"
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
