package http1

import "slices"

const (
	// spliceFrom is the least rest of a body that is moved within the kernel: what is shorter costs less to copy.
	// splicePiece is how much of it at once: each piece must get to the client within the time-out.
	spliceFrom  = 16 << 10
	splicePiece = 128 << 10
	// briefRead is how much of a response is read at first where most of it will be spliced.
	briefRead = 4 << 10
)

// room is where the beginning of the response is read. It is little where the last one of the same connection was spliced:
// often this one will be as well, and then what was read has to be copied twice.
func (l *Relay) room() []byte {
	if l.up.bulky {
		l.up.bulky = false // until it was again
		return l.buf[:briefRead]
	}
	return l.buf
}

// counted passes on a body of known length.
func (l *Relay) counted(length int64) error {
	n := int(min(int64(l.w-l.r), length))
	l.out = append(l.out, l.buf[l.r:l.r+n]...)
	if l.r += n; l.r < l.w {
		l.result.Reusable = false // more than was announced
	}
	length -= int64(n)
	l.up.bulky = int64(n)+length >= relayBuffer+spliceFrom
	var err error
	if length < spliceFrom {
		length, err = l.copied(n, int(length))
	} else {
		length, err = l.splice(n, length)
	}
	for ; err == nil && length > 0; length -= int64(n) {
		if err := l.read(); err != nil {
			return cut(err)
		}
		n = int(min(int64(l.w), length))
		l.out = append(l.out[:0], l.buf[:n]...)
		if l.r = n; l.r < l.w {
			l.result.Reusable = false
		}
		err = l.flush(n)
	}
	return err
}

// copied sends what is in out, of which n bytes are body, together with what is there of the rest by now, as gather does.
// It returns how much is left.
func (l *Relay) copied(n, rest int) (int64, error) {
	if rest > 0 {
		at := len(l.out)
		l.out = slices.Grow(l.out, rest+1)  // one more than was announced
		l.up.ExpireRead(l.opts.BodyTimeout) // as gather
		got, err := l.up.readThere(l.out[at : at+rest+1])
		l.asked = err
		if got > rest {
			got = rest
			l.result.Reusable = false
		}
		l.out = l.out[:at+got]
		n += got
		rest -= got
	}
	return int64(rest), l.flush(n)
}
