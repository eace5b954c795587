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
