// Package ows knows the white space that HTTP allows around values and in lists of them.
package ows

// Trim cuts optional white space (OWS, RFC 9110 section 5.6.3) from both ends of s: spaces and tabs alone.
func Trim(s string) string {
	for s != "" && Is(s[0]) {
		s = s[1:]
	}
	for s != "" && Is(s[len(s)-1]) {
		s = s[:len(s)-1]
	}
	return s
}

// Is reports whether c is such white space.
func Is(c byte) bool { return c == ' ' || c == '\t' }
