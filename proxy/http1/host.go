package http1

import "strings"

// reg-name (RFC 3986 section 3.2.2) but for "%", as bit sets of the characters 0 to 63 and 64 to 127.
const (
	hosts0 uint64 = 1<<'!' | 1<<'$' | 1<<'&' | 1<<'\'' | 1<<'(' | 1<<')' | 1<<'*' | 1<<'+' | 1<<',' | 1<<'-' | 1<<'.' | 1<<';' | 1<<'=' | (1<<10-1)<<'0'
	hosts1 uint64 = 1<<('_'-64) | 1<<('~'-64) | (1<<26-1)<<('A'-64) | (1<<26-1)<<('a'-64)
)

// isHost reports whether value is uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2.2) and not empty.
// Whether there can be such a host is not judged here.
func isHost(value string) bool {
	end, ok := regNameEnd(value), true
	if value != "" && value[0] == '[' {
		end, ok = literalEnd(value)
	}
	return ok && end > 0 && isPort(value[end:])
}

// regNameEnd returns how much of value, from its beginning on, is a reg-name, of which IPv4 addresses are.
func regNameEnd(value string) int {
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c < 64 && hosts0>>c&1 != 0, c-64 < 64 && hosts1>>(c-64)&1 != 0:
		case c == '%' && i+2 < len(value) && isHex(value[i+1]) && isHex(value[i+2]):
			i += 2
		default:
			return i
		}
	}
	return len(value)
}

// literalEnd returns where the IP literal ends that value begins with. Only addresses are taken, without a zone.
func literalEnd(value string) (end int, ok bool) {
	end = strings.IndexByte(value, ']')
	if end < 2 {
		return 0, false
	}
	for _, c := range []byte(value[1:end]) {
		switch {
		case '0' <= c && c <= '9', 'a' <= c|0x20 && c|0x20 <= 'f', c == ':', c == '.':
		default:
			return 0, false
		}
	}
	return end + 1, true
}

// isPort reports whether text is nothing, or a colon with at most five digits behind it.
func isPort(text string) bool {
	if text == "" {
		return true
	}
	if text[0] != ':' || len(text) > 6 {
		return false
	}
	for i := 1; i < len(text); i++ {
		if c := text[i]; c < '0' || c > '9' {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	_, ok := hexDigit(c)
	return ok
}
