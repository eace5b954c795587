package http1

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrPeerGone is what a read or write on a connection that is the peer of a watched one ends with when that one's other
// end has gone: for whom the bytes were meant is not there any more.
var ErrPeerGone = errors.New("the connection at the other side has gone")

// fired is the state of a deadline once the Sweeper has acted on it.
const fired = -1

// Conn is a connection that HTTP/1.1 is spoken on. Over TCP on Linux it reads and writes with non-blocking system calls
// of its own, which cost the scheduler nothing; everything else it does by net.Conn. One goroutine may read while another
// writes. It is a net.Conn itself.
type Conn struct {
	nc    net.Conn
	tcp   *net.TCPConn    // nc, or the connection below TLS; nil where there is none
	raw   syscall.RawConn // of nc, where reads and writes are our own
	below syscall.RawConn // of tcp, for polling

	read, write transfer
	// ask writes question, of which asked bytes were taken, and reads then.
	ask      func(fd uintptr) bool
	question []byte
	asked    int

	peek  func(fd uintptr)
	quiet bool
	// bulky says of an upstream's connection that the body of its last response was large.
	bulky bool

	sweeper *Sweeper
	slot    int // in the Sweeper's list, under its lock

	// When reads and writes end, by the Sweeper's clock in nanoseconds: 0 is never, fired is ended by the Sweeper.
	readUntil, writeUntil atomic.Int64
	// watched is the peer to wake when the other end goes; the Conn itself once that has happened.
	watched atomic.Pointer[Conn]
	// observer is called when the other end goes; nil once it was.
	observer atomic.Pointer[func()]
	// awaits says that more has to come from the other end: until it was read, that the other end sends no more does not
	// mean that it has gone.
	awaits   atomic.Bool
	orphaned atomic.Bool // as a peer
	away     atomic.Bool // the other end has gone for good

	mu    sync.Mutex // held while deadlines of nc change behind the owner's back, and while a peer is woken
	woken *Conn
}

// transfer is one direction's read or write under way.
type transfer struct {
	p   []byte
	n   int
	err error
	try func(fd uintptr) bool
	// within is the time-out to arm once the transfer has to wait; 0 arms none.
	within time.Duration
	// more says of a write that more follows, once of a read that it does not wait.
	more, once bool
}

// tcpConn is a connection that wraps a TCP connection without changing what is read and written.
type tcpConn interface{ TCP() *net.TCPConn }

// NewConn returns a Conn on c. Where c is no *net.TCPConn but has a method TCP() *net.TCPConn, it is one with something
// around it that matters to Close alone. The Conn has no time-outs by the Sweeper until it was added to one.
func NewConn(c net.Conn) *Conn {
	conn := &Conn{}
	conn.init(c)
	return conn
}

func (c *Conn) init(nc net.Conn) {
	c.nc = nc
	switch nc := nc.(type) {
	case *tls.Conn:
		if below, ok := nc.NetConn().(*Conn); ok {
			c.tcp, c.below = below.tcp, below.below
		} else if c.tcp = tcpOf(nc.NetConn()); c.tcp != nil {
			c.below = rawOf(c.tcp)
		}
	default:
		if c.tcp = tcpOf(nc); c.tcp != nil {
			c.below = rawOf(c.tcp)
			if ownTransfers {
				c.raw = c.below
				c.read.try, c.write.try, c.ask = c.receive, c.send, c.inquire
			}
		}
	}
	c.peek = c.probe
}

func tcpOf(nc net.Conn) *net.TCPConn {
	switch nc := nc.(type) {
	case *net.TCPConn:
		return nc
	case tcpConn:
		return nc.TCP()
	}
	return nil
}

func rawOf(tcp *net.TCPConn) syscall.RawConn {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil // not of this package's making; net.Conn serves
	}
	return raw
}

// NetConn returns the connection that c was made of.
func (c *Conn) NetConn() net.Conn { return c.nc }

// TCP returns the TCP connection whose bytes are those that Read and Write see. There is none with TLS.
func (c *Conn) TCP() (*net.TCPConn, bool) {
	if _, ok := c.nc.(*tls.Conn); ok || c.tcp == nil {
		return nil, false
	}
	return c.tcp, true
}

// LocalAddr returns the local address.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Read reads what is there, or waits for something. It returns io.EOF where the other end has closed its half,
// os.ErrDeadlineExceeded where the time-out that was armed has passed, and ErrPeerGone where the connection that watches
// c as its peer has lost its other end.
func (c *Conn) Read(p []byte) (int, error) {
	if c.raw == nil {
		n, err := c.nc.Read(p)
		return n, c.fault(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.read
	t.p, t.n, t.err = p, 0, nil
	err := c.raw.Read(t.try)
	t.p = nil
	if err == nil {
		err = t.err
	}
	return t.n, c.fault(err)
}

// readThere is Read, but where nothing is there, or that can't be told, it returns 0 and no error instead of waiting.
func (c *Conn) readThere(p []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	c.read.once = true
	n, err := c.Read(p)
	c.read.once = false
	return n, err
}

// Ask writes a request and reads what comes back into answer, in one wait. sent is how much of the request was written;
// where that is not all of it, nothing was read behind it, and the caller goes on with Write. Where something is there to be
// read before anything was asked, or the other end has gone, that is what Ask returns, and nothing was sent: an answer to
// nothing, for which connections have to be looked at that were idle. Nobody else may read or write meanwhile.
func (c *Conn) Ask(request, answer []byte) (sent, n int, err error) {
	if c.raw == nil || len(request) == 0 || len(answer) == 0 {
		return 0, 0, nil
	}
	t := &c.read
	t.p, t.n, t.err = answer, 0, nil
	c.question, c.asked = request, 0
	err = c.raw.Read(c.ask)
	t.p, c.question = nil, nil
	if err == nil {
		err = t.err
	}
	return c.asked, t.n, c.fault(err)
}

// Write writes all of p, or returns an error: os.ErrDeadlineExceeded and ErrPeerGone as Read does.
func (c *Conn) Write(p []byte) (int, error) {
	if c.raw == nil {
		n, err := c.nc.Write(p)
		return n, c.fault(err)
	}
	if len(p) == 0 {
		return 0, nil
	}
	t := &c.write
	t.p, t.n, t.err = p, 0, nil
	err := c.raw.Write(t.try)
	t.p, t.more = nil, false
	if err == nil {
		err = t.err
	}
	return t.n, c.fault(err)
}

// WriteWithin is Write with a time-out that is armed only where the connection does not take p at once, and disarmed at
// the end. It replaces what was armed for writes before.
func (c *Conn) WriteWithin(p []byte, within time.Duration) (int, error) {
	if c.raw == nil || c.sweeper == nil || c.writeUntil.Load() != 0 {
		c.ExpireWrite(within)
		n, err := c.Write(p)
		c.ExpireWrite(0)
		return n, err
	}
	c.write.within = within
	n, err := c.Write(p)
	if c.write.within = 0; c.writeUntil.Load() != 0 {
		c.ExpireWrite(0)
	}
	return n, err
}

// fault names time-outs by what caused them.
func (c *Conn) fault(err error) error {
	if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	if c.orphaned.Load() {
		return ErrPeerGone
	}
	return os.ErrDeadlineExceeded
}

// Expire has reads and writes end with os.ErrDeadlineExceeded once after has passed, and those that wait woken. It
// replaces what was armed before; 0 disarms. It costs next to nothing, and is late by up to 0.2 s, or 0.6 s where the
// Sweeper has many connections.
// After a time-out it makes the connection usable again, as Revive does. A Conn that was added to no Sweeper gets the
// deadlines of its net.Conn set.
func (c *Conn) Expire(after time.Duration) {
	c.ExpireRead(after)
	c.ExpireWrite(after)
}

// ExpireRead is Expire for reads alone.
func (c *Conn) ExpireRead(after time.Duration) {
	if c.sweeper == nil {
		_ = c.SetReadDeadline(deadline(after)) // fails where c was closed, which reads tell
		return
	}
	if c.readUntil.Swap(c.sweeper.until(after)) == fired {
		c.rearm(&c.readUntil, c.nc.SetReadDeadline)
	}
}

// ExpireWrite is Expire for writes alone.
func (c *Conn) ExpireWrite(after time.Duration) {
	if c.sweeper == nil {
		_ = c.SetWriteDeadline(deadline(after)) // as ExpireRead
		return
	}
	if c.writeUntil.Swap(c.sweeper.until(after)) == fired {
		c.rearm(&c.writeUntil, c.nc.SetWriteDeadline)
	}
}

// Revive makes reads and writes possible again after a time-out or a deadline, so that an answer can be written. No
// time-out is armed afterwards, and no deadline set.
func (c *Conn) Revive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readUntil.Store(0)
	c.writeUntil.Store(0)
	if !c.orphaned.Load() {
		_ = c.nc.SetDeadline(time.Time{}) // fails where c was closed, which reads and writes tell
	}
}

func deadline(after time.Duration) time.Time {
	if after <= 0 {
		return time.Time{}
	}
	return time.Now().Add(after)
}

// rearm takes the deadline away that the Sweeper has set.
func (c *Conn) rearm(until *atomic.Int64, set func(time.Time) error) {
	c.mu.Lock() // the Sweeper may be about to set it
	defer c.mu.Unlock()
	if until.Load() != fired && !c.orphaned.Load() {
		_ = set(time.Time{}) // fails where c was closed, which reads and writes tell
	}
}

// SetDeadline sets the deadline of reads and writes to the moment, as net.Conn has it, in place of what was armed. It has no
// effect where they end with ErrPeerGone.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline is SetDeadline for reads alone.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readUntil.Store(0)
	if c.orphaned.Load() {
		return nil
	}
	return c.nc.SetReadDeadline(t)
}

// SetWriteDeadline is SetDeadline for writes alone.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeUntil.Store(0)
	if c.orphaned.Load() {
		return nil
	}
	return c.nc.SetWriteDeadline(t)
}

// CloseWrite tells the other end that nothing more comes.
func (c *Conn) CloseWrite() error {
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return fmt.Errorf("close one half of a %T: %w", c.nc, errors.ErrUnsupported)
}

// Close closes the connection and takes it out of its Sweeper.
func (c *Conn) Close() error {
	c.leave()
	return c.nc.Close()
}

// abort closes the connection so that what was sent last can't be taken for the end: TCP resets, TLS does not say that
// it ends.
func (c *Conn) abort() {
	c.leave()
	if c.tcp == nil {
		_ = c.nc.Close() // nobody is left to tell
		return
	}
	c.resetByClose()
	if t, ok := c.nc.(*tls.Conn); ok {
		_ = t.NetConn().Close()
		return
	}
	_ = c.nc.Close()
}

// resetByClose has TCP reset by whatever closes the connection.
func (c *Conn) resetByClose() {
	if c.tcp != nil {
		_ = c.tcp.SetLinger(0) // fails where it was closed
	}
}

func (c *Conn) leave() {
	if s := c.sweeper; s != nil {
		s.Remove(c)
	}
}

// Quiet reports whether the connection is open and has nothing to read, as an idle one has to be to be used again. Where
// that can't be told, it isn't.
func (c *Conn) Quiet() bool {
	if c.below == nil {
		return false
	}
	c.quiet = false
	if err := c.below.Control(c.peek); err != nil {
		return false
	}
	return c.quiet
}

// Watch has peer woken with ErrPeerGone when the other end of c goes, until Unwatch. The Sweeper looks about once a
// second; it has no effect on a Conn that was added to none.
func (c *Conn) Watch(peer *Conn) {
	c.watched.Store(peer)
	if c.away.Load() { // since before: nobody looks again
		c.lost(absent)
	}
}

// Unwatch ends Watch. Afterwards the peer is usable, even if it was woken.
func (c *Conn) Unwatch() {
	if c.watched.Swap(nil) != c {
		return
	}
	c.mu.Lock() // until it was woken
	peer := c.woken
	c.woken = nil
	c.mu.Unlock()
	peer.adopt()
}

// orphan wakes c as the peer of one that has lost its other end.
func (c *Conn) orphan() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orphaned.Store(true)
	_ = c.nc.SetDeadline(time.Unix(1, 0)) // fails where c was closed: nobody waits then
}

// Interrupt has all reads and writes end with ErrPeerGone from now on, those that wait among them: the connection is of no
// use any more. It may be called from any goroutine.
func (c *Conn) Interrupt() { c.orphan() }

// adopt makes c usable after orphan.
func (c *Conn) adopt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.orphaned.Store(false)
	if c.readUntil.Load() != fired {
		_ = c.nc.SetReadDeadline(time.Time{}) // fails where c was closed, which reads tell
	}
	if c.writeUntil.Load() != fired {
		_ = c.nc.SetWriteDeadline(time.Time{})
	}
}

// sweep does what is due at now, and reports whether somebody wants to know when the other end goes.
func (c *Conn) sweep(now int64) bool {
	if until := c.readUntil.Load(); until > 0 && until <= now {
		c.expire(&c.readUntil, until, c.nc.SetReadDeadline)
	}
	if until := c.writeUntil.Load(); until > 0 && until <= now {
		c.expire(&c.writeUntil, until, c.nc.SetWriteDeadline)
	}
	return c.watched.Load() != nil || c.observer.Load() != nil
}

func (c *Conn) expire(until *atomic.Int64, at int64, set func(time.Time) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.CompareAndSwap(at, fired) {
		_ = set(time.Unix(1, 0)) // fails where c was closed: nobody waits then
	}
}

// lost tells those who want to know that the other end has gone.
func (c *Conn) lost(how presence) {
	if how == absent {
		c.away.Store(true)
	}
	if how == halfClosed && c.awaits.Load() {
		return
	}
	if peer := c.watched.Load(); peer != nil && peer != c {
		c.mu.Lock()
		if c.watched.CompareAndSwap(peer, c) {
			c.woken = peer
			peer.orphan()
		}
		c.mu.Unlock()
	}
	if gone := c.observer.Load(); gone != nil && c.observer.CompareAndSwap(gone, nil) {
		(*gone)()
	}
}

// presence is what is known of the other end.
type presence uint8

const (
	present presence = iota
	// halfClosed: it sends nothing more after what may be there to read.
	halfClosed
	// absent: it neither sends nor receives.
	absent
)
