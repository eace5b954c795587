package http1

// Poison is what memory is overwritten with that is given back.
const Poison = 0xdb

// PoisonScratch has s overwrite the memory of exchanges when it is given back. It is called before Serve.
func (s *Server) PoisonScratch() {
	s.scratch.poison = func(p []byte) {
		for i := range p {
			p[i] = Poison
		}
	}
}

// LargeBuffer is the size of the larger buffers.
const LargeBuffer = largeBuffer

// Limits of the time and bytes for which a connection lingers.
const (
	LingerBytes   = lingerBytes
	LingerTimeout = lingerTimeout
)

// ExhaustPipes has s believe that all the pipes it may have are in use. It is called before Serve.
func (s *Server) ExhaustPipes() { s.scratch.pipes.exhaust() }

// OpenPipes is how many pipes s has.
func (s *Server) OpenPipes() int { return s.scratch.pipes.count() }

// ReadThere is Read without waiting.
func (c *Conn) ReadThere(p []byte) (int, error) { return c.readThere(p) }
