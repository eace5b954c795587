package routing

import "strings"

// hostIndex finds a number by host: exact, or one label below a wildcard.
type hostIndex struct {
	exact     map[string]int
	wildcards map[string]int // by what follows the "*."
}

func (x *hostIndex) find(host string) (int, bool) {
	if i, ok := x.exact[host]; ok {
		return i, true
	}
	if _, suffix, ok := strings.Cut(host, "."); ok {
		i, ok := x.wildcards[suffix]
		return i, ok
	}
	return 0, false
}

// add keeps what was added first.
func (x *hostIndex) add(host string, number int) {
	index := x.exact
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		index, host = x.wildcards, suffix
	}
	if _, taken := index[host]; !taken {
		index[host] = number
	}
}

// Certificate returns the index into Config.Certificates of the certificate for a name that a client asks for in the
// TLS handshake (SNI, RFC 6066 section 3), in any case and with or without a dot at its end: by exact host, then by a
// wildcard for one label. There is no default certificate: where ok is false, the handshake must fail.
func (t *Table) Certificate(serverName string) (index int, ok bool) {
	host, err := CanonicalHost(serverName)
	if err != nil || strings.IndexByte(serverName, ':') >= 0 {
		return 0, false
	}
	return t.certificateOf.find(host)
}

// Misdirected reports whether a request for a canonical host must be answered 421 (RFC 9110 section 15.5.20) because it
// came over a connection whose handshake asked for serverName, and the host is not served with that certificate. Clients
// may use one connection for all hosts of one certificate (RFC 9113 section 9.1.1).
func (t *Table) Misdirected(serverName, host string) bool {
	asked, err := CanonicalHost(serverName)
	if err != nil {
		return true
	}
	if asked == host {
		return false
	}
	shown, ok := t.certificateOf.find(asked)
	if !ok {
		return true
	}
	wanted, ok := t.certificateOf.find(host)
	return !ok || t.certificates[shown].Secret != t.certificates[wanted].Secret
}
