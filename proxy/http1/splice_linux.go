package http1

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// splicer moves bytes from one connection to another by way of a pipe, which it has only while there is something in it.
type splicer struct {
	pipes *pipes
	pipe  *pipe
	held  int // bytes in pipe
	most  int // bytes to take from the upstream
	err   error

	// These are methods, as syscall.RawConn wants them, kept so that they are allocated once.
	look       func(fd uintptr)
	pull, push func(fd uintptr) bool
}

func (s *splicer) init() {
	s.look = func(fd uintptr) { s.fill(fd) }
	s.pull, s.push = s.fill, s.drain
}

// errNoPipe says that the bytes must be copied.
var errNoPipe = errors.New("no pipe to splice with")

// splice sends what is in out, of which n bytes are body, and moves the rest of the body from one connection to the other
// without reading it, where both are bare TCP. It returns how much is left to be copied. It moves what is there: so neither
// side's time-out runs while the other one is waited for, and it is known which of them has failed.
func (l *Relay) splice(n int, rest int64) (int64, error) {
	up, client, s := l.up, l.x.conn, &l.splicer
	if up.raw == nil || client.raw == nil {
		return rest, l.flush(n)
	}
	s.pipes = &l.x.sc.server.scratch.pipes
	defer s.end()
	// What is there is taken before the head is sent: where it is known to follow, both go together, for about what the head
	// would cost by itself.
	missing := s.peek(up, rest)
	if s.held > 0 {
		l.x.moreFollows()
	}
	if err := l.flush(n); err != nil {
		return rest, err
	}
	for {
		switch {
		case errors.Is(missing, errNoPipe):
			return rest, nil
		case missing != nil:
			return rest, missing
		}
		client.ExpireWrite(l.opts.StallTimeout)
		moved, err := s.write(client)
		client.ExpireWrite(0)
		rest -= int64(moved)
		l.result.Sent += int64(moved)
		if err != nil {
			return rest, &clientError{err}
		}
		if rest == 0 {
			return 0, nil
		}
		up.ExpireRead(l.opts.BodyTimeout)
		missing = s.read(up, rest)
	}
}

// peek takes up to rest bytes from c into a pipe where some are there.
func (s *splicer) peek(c *Conn, rest int64) error {
	s.most, s.err = int(min(rest, splicePiece)), nil
	if err := c.raw.Control(s.look); err != nil {
		return err
	}
	return s.err
}

// read waits until bytes are there and takes up to rest of them into a pipe.
func (s *splicer) read(c *Conn, rest int64) error {
	s.most, s.err = int(min(rest, splicePiece)), nil
	if err := c.raw.Read(s.pull); err != nil {
		return c.fault(err)
	}
	return s.err
}

// write sends all that is in the pipe, if there is one.
func (s *splicer) write(c *Conn) (int, error) {
	if s.held == 0 {
		return 0, nil
	}
	s.err = nil
	before := s.held
	err := c.raw.Write(s.push)
	if err == nil {
		err = s.err
	}
	return before - s.held, c.fault(err)
}

// fill does one splice from a connection; it reports whether that needs no waiting.
func (s *splicer) fill(fd uintptr) bool {
	p := s.pipes.get()
	if p == nil {
		s.err = errNoPipe
		return true
	}
	n, errno := splice(fd, p.w, s.most)
	if n > 0 {
		s.pipe, s.held = p, n
		return true
	}
	s.pipes.put(p)
	switch errno {
	case unix.EAGAIN:
		return false
	case 0:
		s.err = io.ErrUnexpectedEOF
	case unix.EINVAL, unix.ENOSYS, unix.EPERM: // in a sandbox
		s.err = errNoPipe
	default:
		s.err = os.NewSyscallError("splice", errno)
	}
	return true
}

// drain empties the pipe into a connection; it reports whether that is done.
func (s *splicer) drain(fd uintptr) bool {
	for s.held > 0 {
		n, errno := splice(s.pipe.r, fd, s.held)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno != 0:
			s.err = os.NewSyscallError("splice", errno)
			return true
		case n <= 0:
			s.err = io.ErrShortWrite
			return true
		}
		s.held -= n
	}
	s.pipes.put(s.pipe)
	s.pipe = nil
	return true
}

// end closes a pipe that holds something still, which nobody else must ever get.
func (s *splicer) end() {
	if s.pipe != nil {
		s.pipes.discard(s.pipe)
		s.pipe, s.held = nil, 0
	}
	s.pipes = nil
}

// splice moves up to n bytes without waiting: it never blocks, as the system calls of Conn don't.
func splice(from, to uintptr, n int) (int, unix.Errno) {
	for {
		moved, _, errno := unix.RawSyscall6(unix.SYS_SPLICE, from, 0, to, 0, uintptr(n), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(moved), 0
	}
}
