package http1

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is the room of a pipe. What it holds is counted in pages or parts of them, of which a packet from a network
	// fills less than half: so this is about 90 KiB of such packets, and splicePiece of larger ones.
	pipeSize = 256 << 10
	// leastPipe is the room without which a pipe is of no use: the kernel grants less to users that have many pipes.
	leastPipe = 64 << 10
	// maxPipes bounds how many pipes a Server has, which is how many clients may at once take large bodies slower than they
	// come; the others' are copied. It is what the kernel grants a user of that size unless it is told otherwise
	// (fs.pipe-user-pages-soft).
	maxPipes = 256
)

// pipe is a pipe that nothing waits for.
type pipe struct {
	r, w    uintptr
	cleanup runtime.Cleanup
}

// pipes lends pipes, all of them empty. Those that nobody needs for long are closed by the collector.
type pipes struct {
	idle sync.Pool // of *pipe
	open atomic.Int64
}

// get lends a pipe, nil where there are enough or the system has none.
func (s *pipes) get() *pipe {
	if p, ok := s.idle.Get().(*pipe); ok {
		return p
	}
	if s.open.Add(1) > maxPipes {
		s.open.Add(-1)
		return nil
	}
	p := newPipe()
	if p == nil {
		s.open.Add(-1)
		return nil
	}
	p.cleanup = runtime.AddCleanup(p, s.close, [2]uintptr{p.r, p.w})
	return p
}

// put takes an empty pipe back.
func (s *pipes) put(p *pipe) { s.idle.Put(p) }

// discard takes a pipe back that is not empty, or not known to be.
func (s *pipes) discard(p *pipe) {
	p.cleanup.Stop()
	s.close([2]uintptr{p.r, p.w})
}

func (s *pipes) close(fds [2]uintptr) {
	for _, fd := range fds {
		_ = unix.Close(int(fd)) // nothing can be lost by it
	}
	s.open.Add(-1)
}

func newPipe() *pipe {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		return nil
	}
	p := &pipe{r: uintptr(fds[0]), w: uintptr(fds[1])}
	if _, err := unix.FcntlInt(p.w, unix.F_SETPIPE_SZ, pipeSize); err != nil {
		if size, err := unix.FcntlInt(p.w, unix.F_GETPIPE_SZ, 0); err != nil || size < leastPipe {
			_, _ = unix.Close(fds[0]), unix.Close(fds[1])
			return nil
		}
	}
	return p
}
