package routing

import (
	"errors"
	"net/netip"
	"strings"
)

// ErrHostMalformed says that an authority is none that HTTP allows (RFC 9110 section 4.2, RFC 3986 section 3.2.2) or
// that can't be a name in the DNS. Answered 400 request_malformed.
var ErrHostMalformed = errors.New("malformed host")

// CanonicalHost returns the host of an authority ("host" or "host:port", as in the Host field and in :authority) in the
// form that is matched on: lower case, without port and without the dot at its end. The host is a name of letters,
// digits, hyphens and underscores, an IPv4 address, or an IPv6 address in brackets, which is written as in RFC 5952.
// User information, escapes and empty labels are refused, and names whose last label is a number, since some clients
// take these for addresses. A host that is canonical already costs no allocation, with a port or without.
func CanonicalHost(authority string) (string, error) {
	if strings.HasPrefix(authority, "[") {
		return canonicalIPv6(authority)
	}
	capitals := 0
	end, ok := ipv4End(authority)
	if !ok || end < len(authority) && authority[end] != ':' {
		end, capitals = nameEnd(authority)
	}
	if end == 0 {
		return "", ErrHostMalformed
	}
	if rest := strings.TrimPrefix(authority[end:], "."); rest != "" && (rest[0] != ':' || !validPort(rest[1:])) {
		return "", ErrHostMalformed
	}
	if capitals > 0 {
		return strings.ToLower(authority[:end]), nil
	}
	return authority[:end], nil
}

// canonicalIPv6 takes "[address]" or "[address]:port".
func canonicalIPv6(authority string) (string, error) {
	end := strings.IndexByte(authority, ']')
	if end < 0 {
		return "", ErrHostMalformed
	}
	if rest := authority[end+1:]; rest != "" && (rest[0] != ':' || !validPort(rest[1:])) {
		return "", ErrHostMalformed
	}
	addr, err := netip.ParseAddr(authority[1:end])
	if err != nil || !addr.Is6() || addr.Zone() != "" {
		return "", ErrHostMalformed
	}
	var array [48]byte
	canonical := append(addr.AppendTo(append(array[:0], '[')), ']')
	if host := authority[:end+1]; string(canonical) == host {
		return host, nil
	}
	return string(canonical), nil
}

// validPort takes an empty port too, which RFC 3986 section 3.2.3 allows.
func validPort(port string) bool {
	number := 0
	for i := range len(port) {
		if port[i] < '0' || port[i] > '9' || i == 5 {
			return false
		}
		number = number*10 + int(port[i]-'0')
	}
	return port == "" || 0 < number && number <= 65535
}

// nameEnd returns where the name or IPv4 address ends that the authority begins with, and how many capitals it has: in front
// of the port, of the dot at its end or of what no name has. A name has labels of 1 to 63 and altogether at most 253
// characters; where there is none, the end is 0.
func nameEnd(authority string) (end, capitals int) {
	label := 0 // where it begins
	number, i := true, 0
scan:
	for ; i < len(authority); i++ {
		switch c := authority[i]; {
		case 'a' <= c && c <= 'z':
			number = false
		case '0' <= c && c <= '9':
		case c == '.' && label < i && i-label <= 63 && i+1 < len(authority) && authority[i+1] != ':':
			label, number = i+1, true
		case c == '-', c == '_':
			number = false
		case 'A' <= c && c <= 'Z':
			number = false
			capitals++
		default:
			break scan
		}
	}
	if i == label || i-label > 63 || i > 253 || number && !isIPv4(authority[:i]) {
		return 0, 0
	}
	return i, capitals
}

// ipv4End returns where the IPv4 address ends that s begins with, if it does: four numbers of 0 to 255 without leading zeros
// (RFC 3986 section 3.2.2).
func ipv4End(s string) (end int, ok bool) {
	i := 0
	for dots := 0; ; dots++ {
		first, number := i, 0
		for i < len(s) && s[i]-'0' <= 9 && number <= 255 {
			number = number*10 + int(s[i]-'0')
			i++
		}
		switch {
		case i == first, number > 255, s[first] == '0' && i-first > 1:
			return 0, false
		case dots == 3:
			return i, true
		case i == len(s), s[i] != '.':
			return 0, false
		}
		i++
	}
}

// isIPv4 reports whether the whole of s is an IPv4 address.
func isIPv4(s string) bool {
	end, ok := ipv4End(s)
	return ok && end == len(s)
}
