package token

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"unsafe"
)

// counter counts without cores fetching one cache line from each other at every count.
type counter struct {
	cells []cell
	shift int
}

type cell struct {
	n atomic.Uint64
	_ [cacheLine - 8]byte
}

// cacheLine is the size of a cache line, and of the pairs that are fetched together.
const cacheLine = 128

// maxCells bounds a counter's memory: 8 KiB.
const maxCells = 64

func newCounter() counter {
	log := min(bits.Len(uint(runtime.GOMAXPROCS(0)))+1, bits.Len(maxCells)-1)
	return counter{cells: make([]cell, 1<<log), shift: 64 - log}
}

// add counts one. Each goroutine has a cell that it shares with few others: the one that the place of its stack leads to.
func (c *counter) add() {
	var here byte
	const spread = 0x9e3779b97f4a7c15
	stack := uint64(uintptr(unsafe.Pointer(&here))) >> 11 //nolint:gosec // a number to begin with; nothing is read through it
	c.cells[stack*spread>>c.shift].n.Add(1)
}

func (c *counter) sum() uint64 {
	sum := uint64(0)
	for i := range c.cells {
		sum += c.cells[i].n.Load()
	}
	return sum
}
