package http1

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// Masks for looking at eight bytes at once (SIMD within a register). Each test of a byte leaves its answer in that byte's
// highest bit. Adding and subtracting is exact up to the first byte for which the answer is yes, in memory's order: it
// carries into the next byte, or borrows from it, at none before, and later answers are not looked at.
const (
	ones uint64 = 0x0101010101010101
	low7 uint64 = 0x7f * ones
	high uint64 = 0x80 * ones
)

// tchar (RFC 9110 section 5.6.2) as bit sets of the characters 0 to 63 and 64 to 127.
const (
	tokens0 uint64 = 1<<'!' | 1<<'#' | 1<<'$' | 1<<'%' | 1<<'&' | 1<<'\'' | 1<<'*' | 1<<'+' | 1<<'-' | 1<<'.' | (1<<10-1)<<'0'
	tokens1 uint64 = 1<<('^'-64) | 1<<('_'-64) | 1<<('`'-64) | 1<<('|'-64) | 1<<('~'-64) | (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
)

// isTokenChar reports whether c may stand in a token.
func isTokenChar(c byte) bool {
	switch c >> 6 {
	case 0:
		return tokens0>>(c&63)&1 != 0
	case 1:
		return tokens1>>(c&63)&1 != 0
	}
	return false
}

// isToken reports whether s is a token.
func isToken(s string) bool {
	for i := range len(s) {
		if !isTokenChar(s[i]) {
			return false
		}
	}
	return s != ""
}

// isFieldChar reports whether c may stand in a field value (RFC 9110 section 5.5) or in white space around it.
func isFieldChar(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

// isTargetChar reports whether c may stand in a request target: visible ASCII, but no "#", since fragments are not sent
// (RFC 9112 section 3.2). What URIs don't allow besides, but clients send raw, is left to whoever takes it apart.
func isTargetChar(c byte) bool { return c > ' ' && c < 0x7f && c != '#' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

// isNameWord reports whether c is a letter, a digit or a hyphen, of which nearly every field name is made.
func isNameWord(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-'
}

// oddOfName tells which of the first eight bytes of b are neither letters nor hyphens, by their highest bit. Digits count
// as odd: few names have any.
func oddOfName(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	lower := w | 0x20*ones
	letter := (lower + (0x80-'a')*ones) &^ (lower + (0x7f-'z')*ones)
	other := (w ^ '-'*ones) + low7 // the highest bit is clear where there is a hyphen
	return (other&^letter | w) & high
}

// valueEnd returns the index from i on of the first byte of b that is no field character, or len(b). Most values end within
// the first four words; those that don't may be as long as tokens are.
func valueEnd(b []byte, i int) int {
	odd := uint64(0)
	for i <= len(b)-32 {
		if odd = oddOfValue(b[i:]); odd&high != 0 {
			break
		}
		i += 8
		if odd = oddOfValue(b[i:]); odd&high != 0 {
			break
		}
		i += 8
		if odd = oddOfValue(b[i:]); odd&high != 0 {
			break
		}
		i += 8
		if odd = oddOfValue(b[i:]); odd&high != 0 {
			break
		}
		i += 8
		for i <= len(b)-64 { // it is a long one
			some := oddOfValue(b[i:]) | oddOfValue(b[i+8:]) | oddOfValue(b[i+16:]) | oddOfValue(b[i+24:])
			some |= oddOfValue(b[i+32:]) | oddOfValue(b[i+40:]) | oddOfValue(b[i+48:]) | oddOfValue(b[i+56:])
			if some&high != 0 {
				break
			}
			i += 64
		}
	}
	for odd&high == 0 && i <= len(b)-8 {
		if odd = oddOfValue(b[i:]); odd&high == 0 {
			i += 8
		}
	}
	if odd &= high; odd != 0 {
		i += bits.TrailingZeros64(odd) / 8
	}
	for i < len(b) && b[i] != '\r' && isFieldChar(b[i]) { // the rest, and everything behind an HTAB or what is not ASCII
		i++
	}
	return i
}

// oddOfValue tells which of the first eight bytes of b are neither visible ASCII nor a space, by their highest bit. Of
// those that are not ASCII, which are field characters, it may miss some.
func oddOfValue(b []byte) uint64 {
	w := binary.LittleEndian.Uint64(b)
	return (w - ' '*ones) | (w + ones)
}

// targetEnd returns the index from i on of the first byte of b that is no target character, or len(b).
func targetEnd(b []byte, i int) int {
	for ; i <= len(b)-8; i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		hash := w ^ '#'*ones
		hash = (hash - ones) &^ hash
		if odd := (w | (w - '!'*ones) | (w + ones) | hash) & high; odd != 0 {
			return i + bits.TrailingZeros64(odd)/8
		}
	}
	for i < len(b) && isTargetChar(b[i]) {
		i++
	}
	return i
}

// equalFold reports whether s is lower, which must be in lower case, without regard to case. Only letters are folded.
func equalFold(s, lower string) bool {
	if len(s) != len(lower) {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// sameName reports whether two field names are the same (RFC 9110 section 5.1).
func sameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}

// word is the first eight bytes of s, in the order in which they are loaded from memory.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// alias is b as a string without a copy. It is the only place where this package makes one: the string changes with b,
// so it may be used only as long as nobody writes to b. For what is parsed from a connection's buffer that is until the
// exchange ends, when the buffer is given back.
//
//nolint:gosec // there is no other way
func alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// first is where b lies.
func first(b []byte) *byte { return unsafe.SliceData(b) } //nolint:gosec // it is only compared
