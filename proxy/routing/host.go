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
	host, port, hasPort := strings.Cut(authority, ":")
	if hasPort && !validPort(port) {
		return "", ErrHostMalformed
	}
	host = strings.TrimSuffix(host, ".")
	if !validName(host) {
		return "", ErrHostMalformed
	}
	return lower(host), nil
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

// validName reports whether the host is a name with labels of 1 to 63 and altogether at most 253 characters, or an IPv4
// address.
func validName(host string) bool {
	if len(host) > 253 {
		return false
	}
	var label string
	for rest, more := host, true; more; {
		label, rest, more = strings.Cut(rest, ".")
		if label == "" || len(label) > 63 {
			return false
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	if strings.Trim(label, "0123456789") == "" {
		addr, err := netip.ParseAddr(host)
		return err == nil && addr.Is4()
	}
	return true
}

// lower is strings.ToLower for ASCII.
func lower(s string) string {
	for i := range len(s) {
		if 'A' <= s[i] && s[i] <= 'Z' {
			return strings.ToLower(s)
		}
	}
	return s
}
