package http1

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ownTransfers says that reads and writes on TCP are made here.
const ownTransfers = true

// maxTransfer bounds what one system call copies: the scheduler can't take the processor away meanwhile.
const maxTransfer = 256 << 10

// The system calls are raw ones: they never block, so the scheduler need not be told of them, which would cost about as
// much as a small read. p is never empty.

func recvfrom(fd uintptr, p []byte, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd,
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(min(len(p), maxTransfer)), //nolint:gosec // a system call's buffer
		unix.MSG_DONTWAIT|flags, 0, 0)
	return int(n), errno
}

func sendto(fd uintptr, p []byte, flags uintptr) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd,
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(min(len(p), maxTransfer)), //nolint:gosec // a system call's buffer
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL|flags, 0, 0)
	return int(n), errno
}

// receiveOnce reads into p what is there; waiting says that nothing is.
func receiveOnce(fd uintptr, p []byte) (n int, waiting bool, err error) {
	for {
		n, errno := recvfrom(fd, p, 0)
		switch errno {
		case 0:
			if n == 0 {
				return 0, false, io.EOF
			}
			return n, false, nil
		case unix.EAGAIN:
			return 0, true, nil
		case unix.EINTR:
		default:
			return 0, false, os.NewSyscallError("recvfrom", errno)
		}
	}
}

// remainder is what is known of what a read has left to be read.
type remainder uint8

const (
	// somethingLeft: there may be more, or the end.
	somethingLeft remainder = iota
	// nothingLeft: there was neither.
	nothingLeft
)

// inbox reads so that the kernel tells what is left, which saves the read that finds nothing. It does so on connections
// with tellRemainder.
type inbox struct {
	message unix.Msghdr
	vector  unix.Iovec
	control struct {
		unix.Cmsghdr

		left int32
		_    int32
	}
}

// tellRemainder has reads by inbox told what they leave. Where the kernel can't, before Linux 4.18, they are not told.
func tellRemainder(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_INQ, 1) }

// receive reads into p what is there; neither bytes nor an error say that nothing is.
func (b *inbox) receive(fd uintptr, p []byte) (n int, left remainder, err error) {
	b.vector.Base = unsafe.SliceData(p) //nolint:gosec // a system call's buffer
	b.vector.SetLen(min(len(p), maxTransfer))
	b.message.Iov, b.message.Iovlen = &b.vector, 1
	b.message.Control = (*byte)(unsafe.Pointer(&b.control)) //nolint:gosec // a system call's buffer
	for {
		b.message.SetControllen(int(unsafe.Sizeof(b.control)))
		got, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&b.message)), unix.MSG_DONTWAIT) //nolint:gosec // as above
		switch errno {
		case 0:
			if got == 0 {
				return 0, somethingLeft, io.EOF
			}
			c := &b.control
			if b.message.Controllen >= unix.SizeofCmsghdr+4 && c.Level == unix.IPPROTO_TCP && c.Type == unix.TCP_CM_INQ && c.left == 0 {
				left = nothingLeft
			}
			return int(got), left, nil
		case unix.EAGAIN:
			return 0, somethingLeft, nil
		case unix.EINTR:
		default:
			return 0, somethingLeft, os.NewSyscallError("recvmsg", errno)
		}
	}
}

// receive reads for Read; it reports whether that is done, as syscall.RawConn asks.
func (c *Conn) receive(fd uintptr) bool {
	n, waiting, err := receiveOnce(fd, c.read.p)
	c.read.n, c.read.err = n, err
	return !waiting || c.read.once
}

// inquire writes for Ask when it is called first, unless there is something to read already, and reads when it is called
// again: there is something to read then. It reports whether Ask is done.
func (c *Conn) inquire(fd uintptr) bool {
	if c.receive(fd) {
		return true
	}
	if c.question == nil {
		return false
	}
	n, errno := sendto(fd, c.question, 0)
	if errno == 0 {
		c.asked = n
	}
	whole := c.asked == len(c.question)
	c.question = nil
	return !whole // Write tells what is wrong
}

// send writes for Write; it reports whether that is done.
func (c *Conn) send(fd uintptr) bool {
	t := &c.write
	var flags uintptr
	if t.more {
		flags = unix.MSG_MORE
	}
	for t.n < len(t.p) {
		n, errno := sendto(fd, t.p[t.n:], flags)
		switch errno {
		case 0:
			t.n += n
		case unix.EAGAIN:
			if t.within > 0 {
				c.ExpireWrite(t.within)
				t.within = 0
			}
			return false
		case unix.EINTR:
		default:
			t.err = os.NewSyscallError("sendto", errno)
			return true
		}
	}
	return true
}

// probe looks whether there is nothing to read, and no end.
func (c *Conn) probe(fd uintptr) {
	var one [1]byte
	_, errno := recvfrom(fd, one[:], unix.MSG_PEEK)
	c.quiet = errno == unix.EAGAIN
}

// poller asks the kernel whether the other ends of connections have gone.
type poller struct {
	fds   [1]unix.PollFd
	found presence
	ask   func(fd uintptr)
}

func (p *poller) init() { p.ask = p.poll }

// look asks for c.
func (p *poller) look(c *Conn) presence {
	p.found = present
	if c.below == nil {
		return present
	}
	if err := c.below.Control(p.ask); err != nil {
		return present // it was closed at this end, whose owner knows
	}
	return p.found
}

func (p *poller) poll(fd uintptr) {
	p.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLRDHUP} //nolint:gosec // descriptors are small
	n, err := unix.Poll(p.fds[:], 0)
	switch {
	case errors.Is(err, unix.EINTR), n == 0: // the next look tells
	case err != nil:
	case p.fds[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0:
		p.found = absent
	case p.fds[0].Revents&unix.POLLRDHUP != 0:
		p.found = halfClosed
	}
}
