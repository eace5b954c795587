package http1

import (
	"testing"
	"time"
)

// TestSweepEvery: the more connections there are the rarer they are looked at, but clients that have gone are noticed all
// the same.
func TestSweepEvery(t *testing.T) {
	for n, want := range map[int]int{0: 1, manyConns: 1, manyConns + 1: 2, mostConns: 2, mostConns + 1: 5, 10 * mostConns: 5} {
		s := &Sweeper{conns: make([]*Conn, n)}
		if got := s.every(); got != want || pollTicks%got != 0 {
			t.Errorf("%d connections: every %d ticks, want %d", n, got, want)
		}
	}
}

// TestLateTick: where the processor was taken away, deadlines do not pass too early.
func TestLateTick(t *testing.T) {
	now := time.Now()
	s := &Sweeper{told: now}
	s.tell(now)
	until := s.until(2 * sweepTick)
	now = now.Add(10 * time.Second)
	for range 3 { // armed just before the late tick, it has passed with the third
		if s.now.Load() >= until {
			t.Fatalf("%s: passed", now)
		}
		s.tell(now)
		now = now.Add(sweepTick)
	}
	if s.now.Load() < until {
		t.Error("it does not pass")
	}
}

// BenchmarkSweep measures a look at 10,000 connections that wait.
func BenchmarkSweep(b *testing.B) {
	s := &Sweeper{}
	s.poll.init()
	for range 10_000 {
		c := &serverConn{}
		c.conn.readUntil.Store(1 << 60)
		s.conns = append(s.conns, &c.conn)
	}
	for b.Loop() {
		s.sweep(1)
	}
}
