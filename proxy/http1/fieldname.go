package http1

import "encoding/binary"

// candidates are the lengths of names that kindOf knows, modulo 32, by their first letters.
//
//nolint:gochecknoglobals // never changed
var candidates = [32]uint32{
	'a' & 31: 1 << len("authorization"),
	'c' & 31: 1<<len("connection") | 1<<len("content-length"),
	'd' & 31: 1 << len("date"),
	'e' & 31: 1 << len("expect"),
	'h' & 31: 1<<len("host") | 1<<len("http2-settings"),
	'k' & 31: 1 << len("keep-alive"),
	'p' & 31: 1<<len("proxy-connection") | 1<<len("proxy-authenticate") | 1<<len("proxy-authorization"),
	't' & 31: 1<<len("te") | 1<<len("trailer") | 1<<len("transfer-encoding"),
	'u' & 31: 1 << len("upgrade"),
}

// isCandidate reports whether a name of that length, which begins like this, may be one that kindOf knows. Most are not.
func isCandidate(initial byte, length int, of part) bool {
	return candidates[initial&31]>>(length&31)&1 != 0 || of == requestHead && length >= shortestAlias && beginsAlias(initial)
}

// beginsAlias reports whether a name of letters, digits and hyphens that begins like this is judged by isFramingAlias.
func beginsAlias(initial byte) bool {
	return initial|0x20 == 'c' || initial|0x20 == 't' || initial == '-'
}

// kindOf returns the kind of a field with that name, which is made of letters, digits and hyphens, in that part of a
// message.
func kindOf(name []byte, of part) Kind {
	kind := KindOther
	switch len(name) {
	case 2:
		kind = ifNamed(name, "te", KindTE)
	case 4:
		switch binary.LittleEndian.Uint32(name) | 0x20202020 {
		case 'h' | 'o'<<8 | 's'<<16 | 't'<<24:
			return KindHost
		case 'd' | 'a'<<8 | 't'<<16 | 'e'<<24:
			return KindDate
		}
	case 6:
		kind = ifNamed(name, "expect", KindExpect)
	case 7:
		if kind = ifNamed(name, "upgrade", KindUpgrade); kind == KindOther {
			kind = ifNamed(name, "trailer", KindTrailer)
		}
	case 10:
		if kind = ifWords(name, word("connecti"), word("nnection"), KindConnection); kind == KindOther {
			kind = ifNamed(name, "keep-alive", KindKeepAlive)
		}
	case 13:
		kind = ifWords(name, word("authoriz"), word("rization"), KindAuthorization)
	case 14:
		if kind = ifWords(name, word("content-"), word("t-length"), KindContentLength); kind == KindOther {
			kind = ifNamed(name, "http2-settings", KindHTTP2Settings)
		}
	case 16, 18, 19:
		kind = proxyKind(name)
	case 17:
		kind = ifNamed(name, "transfer-encoding", KindTransferEncoding)
	}
	if kind == KindOther && of == requestHead && beginsAlias(name[0]) && isFramingAlias(alias(name)) {
		return kindAlias
	}
	return kind
}

// proxyKind is kindOf for fields that are between a client and its proxy.
func proxyKind(name []byte) Kind {
	switch len(name) {
	case 16:
		return ifNamed(name, "proxy-connection", KindProxyConnection)
	case 18:
		return ifNamed(name, "proxy-authenticate", KindProxyAuthenticate)
	default:
		return ifNamed(name, "proxy-authorization", KindProxyAuthorization)
	}
}

// ifWords returns kind if name, which is made of letters, digits and hyphens, begins with the eight letters of first and
// ends in those of last in whatever case.
func ifWords(name []byte, first, last uint64, kind Kind) Kind {
	if binary.LittleEndian.Uint64(name)|0x20*ones == first && binary.LittleEndian.Uint64(name[len(name)-8:])|0x20*ones == last {
		return kind
	}
	return KindOther
}

// ifNamed returns kind if name, which is made of letters, digits and hyphens, is lower in whatever case.
func ifNamed(name []byte, lower string, kind Kind) Kind {
	if len(name) != len(lower) {
		return KindOther
	}
	for i := range len(lower) {
		if name[i]|0x20 != lower[i] {
			return KindOther
		}
	}
	return kind
}

// shortestAlias is the length of the shortest name for which isFramingAlias holds.
const shortestAlias = len("contentlength")

// isFramingAlias reports whether some server could take name, which is none of the names that we know, for a field that
// says how long the message is, because it drops or replaces other characters than letters. Such a name is never sent in
// good faith.
func isFramingAlias(name string) bool {
	return isAlias(name, "contentlength") || isAlias(name, "transferencoding")
}

// isAlias reports whether the letters and digits of name are those of lower.
func isAlias(name, lower string) bool {
	for i := range len(name) {
		c := name[i]
		if c == '-' || !isNameWord(c) {
			continue
		}
		if lower == "" || c|0x20 != lower[0] {
			return false
		}
		lower = lower[1:]
	}
	return lower == ""
}
