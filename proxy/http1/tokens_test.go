package http1

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestCharacterClasses compares the classes with what the RFCs list.
func TestCharacterClasses(t *testing.T) {
	const alphanumeric = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for i := range 256 {
		c := byte(i)
		if got, want := isTokenChar(c), c < 0x80 && strings.IndexByte("!#$%&'*+-.^_`|~"+alphanumeric, c) >= 0; got != want {
			t.Errorf("isTokenChar(%#02x) = %t", c, got)
		}
		if got, want := isNameWord(c), c < 0x80 && strings.IndexByte("-"+alphanumeric, c) >= 0; got != want {
			t.Errorf("isNameWord(%#02x) = %t", c, got)
		}
		if got, want := isFieldChar(c), c == '\t' || c == ' ' || 0x21 <= c && c <= 0x7e || c >= 0x80; got != want {
			t.Errorf("isFieldChar(%#02x) = %t", c, got)
		}
		if got, want := isTargetChar(c), 0x21 <= c && c <= 0x7e && c != '#'; got != want {
			t.Errorf("isTargetChar(%#02x) = %t", c, got)
		}
	}
}

// TestScanners compares the functions that look at eight bytes at once with what looks at one: with every byte at every
// place of texts of every length up to 75, and with random bytes.
func TestScanners(t *testing.T) {
	scanners := map[string]struct {
		scan  func([]byte, int) int
		class func(byte) bool
		plain string
	}{
		"value":  {valueEnd, isFieldChar, "a ~!Z{/:"},
		"target": {targetEnd, isTargetChar, "a~!\"$/Z?"},
	}
	for name, s := range scanners {
		t.Run(name, func(t *testing.T) {
			check := func(b []byte) {
				want := len(b)
				for from := len(b); from >= 0; from-- {
					if from < len(b) && !s.class(b[from]) {
						want = from
					}
					if from > 40 { // as if at 40 or less
						continue
					}
					if got := s.scan(b, from); got != want {
						t.Fatalf("%q: end from %d on at %d, want %d", b, from, got, want)
					}
				}
			}
			for length := range 76 {
				text := bytes.Repeat([]byte(s.plain), 10)[:length]
				check(text)
				for at := range length {
					plain := text[at]
					for c := range 256 {
						text[at] = byte(c)
						check(text)
					}
					text[at] = plain
				}
			}
			random := rand.New(rand.NewPCG(1, 2))
			for range 20_000 {
				b := bytes.Repeat([]byte(s.plain), 10)[:random.IntN(80)]
				for range random.IntN(4) {
					if len(b) > 0 {
						b[random.IntN(len(b))] = byte(random.Uint32())
					}
				}
				check(b)
			}
		})
	}
}

// TestOddOfName has every byte found at every place of a word, behind letters and hyphens of both ends of the alphabet.
func TestOddOfName(t *testing.T) {
	for _, plain := range []string{"aZ-zA-bY", "--------", "zzzzzzzz", "AAAAAAAA"} {
		word := []byte(plain)
		if odd := oddOfName(word); odd != 0 {
			t.Errorf("%q: %#x", word, odd)
		}
		for at := range word {
			for c := range 256 {
				word[at] = byte(c)
				odd := oddOfName(word)
				if regular := isNameWord(byte(c)) && !isDigit(byte(c)); regular && odd != 0 || !regular && bits.TrailingZeros64(odd)/8 != at {
					t.Fatalf("%q: %#x", word, odd)
				}
			}
			copy(word, plain)
		}
	}
}

func TestEqualFold(t *testing.T) {
	for c := range 256 {
		for d := range 256 {
			a, b := string([]byte{byte(c)}), string([]byte{byte(d)})
			same := asciiLower(byte(c)) == asciiLower(byte(d))
			if got := sameName(a, b); got != same {
				t.Errorf("sameName(%q, %q) = %t", a, b, got)
			}
			if d == int(asciiLower(byte(d))) && equalFold(a, b) != same {
				t.Errorf("equalFold(%q, %q) = %t", a, b, !same)
			}
		}
	}
	if equalFold("chunke", "chunked") || sameName("Host", "Hosts") {
		t.Error("texts of different lengths are the same")
	}
}

func asciiLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func TestWord(t *testing.T) {
	if got := word("abcdefgh"); got != 0x6867666564636261 {
		t.Errorf("word: %#x", got)
	}
}
