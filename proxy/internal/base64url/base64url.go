// Package base64url decodes base64url without padding, as RFC 7515 section 2 wants it: every octet string has exactly
// one spelling.
package base64url

import (
	"encoding/base64"
	"errors"
	"strings"
)

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// ErrInvalid is a text that is not the base64url spelling of any octets.
var ErrInvalid = errors.New("invalid base64url")

// Decode returns the octets that s spells. Unlike encoding/base64 it takes no line breaks, which that package skips even
// in its strict mode, and no bits behind the last octet, so that a text cannot be altered without altering its meaning.
func Decode(s string) ([]byte, error) {
	return Append(make([]byte, 0, base64.RawURLEncoding.DecodedLen(len(s))), s)
}

// Append appends the octets that s spells, as Decode returns them, to dst. With an error it returns dst as it was.
func Append(dst []byte, s string) ([]byte, error) {
	if strings.IndexByte(s, '\n') >= 0 || strings.IndexByte(s, '\r') >= 0 {
		return dst, ErrInvalid
	}
	octets, err := base64.RawURLEncoding.AppendDecode(dst, []byte(s))
	if err != nil {
		return dst, ErrInvalid
	}
	if len(octets) == len(dst) {
		return octets, nil
	}
	last := octets[len(octets)-1]
	switch len(s) % 4 {
	case 2:
		if s[len(s)-1] != alphabet[last&0x03<<4] {
			return dst, ErrInvalid
		}
	case 3:
		if s[len(s)-1] != alphabet[last&0x0f<<2] {
			return dst, ErrInvalid
		}
	}
	return octets, nil
}
