//go:build !linux

package http1

// Ostiary runs on Linux. Elsewhere, where it is developed, connections are served by package net alone.

// ownTransfers says that reads and writes on TCP are made here.
const ownTransfers = false

type remainder uint8

const nothingLeft remainder = 1

type inbox struct{}

func tellRemainder(uintptr) {}

func (*inbox) receive(uintptr, []byte) (n int, left remainder, err error) {
	panic("http1: own transfers on a system without them")
}

func (c *Conn) receive(uintptr) bool { panic("http1: own transfers on a system without them") }

func (c *Conn) inquire(uintptr) bool { panic("http1: own transfers on a system without them") }

func (c *Conn) send(uintptr) bool { panic("http1: own transfers on a system without them") }

// probe can't look without reading, so that an idle connection is never known to be quiet.
func (c *Conn) probe(uintptr) { c.quiet = false }

// poller can't tell; that a client has gone shows when it is written to.
type poller struct{}

func (*poller) init() {}

func (*poller) look(*Conn) presence { return present }
