package http1

// Most requests are answered within the wait for them: a connection whose next request has to be waited for again after
// that need not be read from in vain first, nor its wait be begun anew. That is how many system calls of a request are
// saved: one of six.

// served is what became of requests that were answered within the wait.
type served uint8

const (
	// servedNone: what has come is not answered yet.
	servedNone served = iota
	// servedSome: the connection is kept, and the beginning of another request is there.
	servedSome
	// servedLast: the connection is not kept.
	servedLast
)

// take is what receive has called when there may be something to read, and reports whether the wait for it is over. It has
// x from the first bytes on alone. Where these are a request that can be answered without reading more, it answers it, and
// goes on to wait.
func (sc *serverConn) take(fd uintptr) bool {
	for {
		x, waited := sc.x, sc.x == nil
		if waited {
			x = sc.server.scratch.get()
		}
		n, left, err := x.inbox.receive(fd, x.in[x.w:])
		if n == 0 {
			if waited {
				sc.server.scratch.putUnused(x)
			}
			sc.err = err
			return err != nil
		}
		x.w += n
		sc.x = x
		if !waited || !sc.serveHere() {
			return true
		}
		if left == nothingLeft {
			return false // all that comes from now on wakes
		}
	}
}

// serveHere answers the request that has come, and reports whether the next one is to be waited for. Nothing is read from
// the connection meanwhile: who waits for it holds its lock.
func (sc *serverConn) serveHere() bool {
	x := sc.x
	n, err := sc.parse()
	if err != nil {
		return false
	}
	if sc.headEnd = n; !x.complete(n) || !sc.state.CompareAndSwap(idle, active) {
		return false
	}
	sc.headEnd = 0
	sc.conn.ExpireRead(0)
	sc.served = servedLast
	switch {
	case !sc.answer(n):
		return false
	case x.w > 0:
		if !sc.server.stopping.Load() {
			sc.served = servedSome
		}
		return false
	}
	sc.drop()
	if !sc.rest() {
		return false
	}
	sc.served = servedNone
	return true
}

// complete reports whether the request whose head is in x.in[:headEnd] is here as a whole, and nothing else will be read
// for it, as there would be for a tunnel.
func (x *Exchange) complete(headEnd int) bool {
	r := &x.Request
	return !r.Chunked && r.ContentLength <= int64(x.w-headEnd) && !r.Has(KindUpgrade)
}
