package http1

import (
	"errors"
	"io"
)

const (
	// spliceFrom is the least rest of a body that is moved within the kernel, splicePiece how much of it at once: each piece
	// must get to the client within the time-out.
	spliceFrom  = 16 << 10
	splicePiece = 128 << 10
)

// counted passes on a body of known length.
func (l *Relay) counted(length int64) error {
	n := int(min(int64(l.w-l.r), length))
	l.out = append(l.out, l.buf[l.r:l.r+n]...)
	if l.r += n; l.r < l.w {
		l.result.Reusable = false // more than was announced
	}
	if err := l.flush(n); err != nil {
		return err
	}
	length -= int64(n)
	if length >= spliceFrom {
		var err error
		if length, err = l.splice(length); err != nil {
			return err
		}
	}
	for length > 0 {
		if err := l.read(); err != nil {
			return cut(err)
		}
		n := int(min(int64(l.w), length))
		l.out = append(l.out[:0], l.buf[:n]...)
		if l.r = n; l.r < l.w {
			l.result.Reusable = false
		}
		if err := l.flush(n); err != nil {
			return err
		}
		length -= int64(n)
	}
	return nil
}

// splice moves the body from one connection to the other without reading it, where both are bare TCP, and returns how
// much is left. It moves what is there: so neither side's time-out runs while the other one is waited for, and it is known
// which of them has failed.
func (l *Relay) splice(length int64) (int64, error) {
	from, ok := l.up.TCP()
	if !ok {
		return length, nil
	}
	to, ok := l.x.conn.TCP()
	if !ok {
		return length, nil
	}
	limited := io.LimitedReader{R: from}
	for length > 0 {
		l.up.ExpireRead(l.opts.BodyTimeout)
		there, err := l.up.await()
		switch {
		case errors.Is(err, errors.ErrUnsupported):
			return length, nil
		case err != nil:
			return length, err
		case there == 0:
			return length, io.ErrUnexpectedEOF
		}
		limited.N = min(length, int64(there), splicePiece)
		l.x.conn.ExpireWrite(l.opts.StallTimeout)
		n, err := to.ReadFrom(&limited)
		l.x.conn.ExpireWrite(0)
		length -= n
		l.result.Sent += n
		switch {
		case err != nil:
			return length, &clientError{err}
		case n == 0:
			return length, io.ErrUnexpectedEOF
		}
	}
	return 0, nil
}
