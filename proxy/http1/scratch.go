package http1

import "sync"

const (
	// smallBuffer holds the head of nearly every request, and what comes with it.
	smallBuffer = 16 << 10
	// largeBuffer holds the largest head that is read, and one byte that tells that a head is larger.
	largeBuffer = MaxHeadBytes + 1
	// leastRoom is the room behind a head that bodies are read into; where there is less, they get a buffer of their own.
	leastRoom = 4 << 10
	// keptReply is how large the buffers for responses may be that are kept.
	keptReply = 64 << 10
)

// scratches lends the memory that exchanges need and connections that wait do not.
type scratches struct {
	exchanges sync.Pool // of *Exchange
	large     sync.Pool // of *[largeBuffer]byte
	pipes     pipes
	// poison overwrites what is given back, in tests, so that nobody goes unnoticed who still uses it. Nil does nothing.
	poison func(p []byte)
}

// get lends an Exchange with an empty small buffer.
func (s *scratches) get() *Exchange {
	if x, ok := s.exchanges.Get().(*Exchange); ok {
		return x
	}
	x := &Exchange{small: new([smallBuffer]byte)}
	x.in = x.small[:]
	return x
}

// putUnused takes back what get lent and nobody has used.
func (s *scratches) putUnused(x *Exchange) { s.exchanges.Put(x) }

// put takes back an Exchange with everything that it has borrowed.
func (s *scratches) put(x *Exchange) {
	s.release(x.spare)
	s.release(x.large)
	x.spare, x.large = nil, nil
	x.in, x.rest = x.small[:], nil
	x.r, x.w = 0, 0
	x.Request.Reset()
	if cap(x.Out) > keptReply {
		x.Out = nil
	}
	if cap(x.reply) > keptReply {
		x.reply = nil
	}
	if s.poison != nil {
		s.poison(x.small[:])
		s.poison(x.Out[:cap(x.Out)])
		s.poison(x.reply[:cap(x.reply)])
	}
	s.exchanges.Put(x)
}

func (s *scratches) getLarge() *[largeBuffer]byte {
	if b, ok := s.large.Get().(*[largeBuffer]byte); ok {
		return b
	}
	return new([largeBuffer]byte)
}

// release takes a large buffer back; nil is none.
func (s *scratches) release(b *[largeBuffer]byte) {
	if b == nil {
		return
	}
	if s.poison != nil {
		s.poison(b[:])
	}
	s.large.Put(b)
}
