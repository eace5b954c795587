package head

import (
	"iter"
	"strings"
)

// Fate is what becomes of a request's header field before anything judges it.
type Fate uint8

const (
	// Kept fields are seen by routes and policies as the client sent them.
	Kept Fate = iota
	// Connection fields are about one connection (RFC 9110 section 7.6.1): they are read by the engine and go no further.
	Connection
	// Replaced fields say where a request came from, or what its target and method are. Clients may say anything in them, so
	// they are removed, and written anew where upstreams need them.
	Replaced
	// Identity fields tell upstreams who calls; see IsIdentity.
	Identity
	// Misread fields have names with other characters than letters, digits and hyphens. Servers behind us turn every other
	// character that names may have into an underscore, or the same as a hyphen becomes, so that such a name would be taken
	// for one that was judged; nginx drops them for the same reason.
	Misread
)

// ForwardedPrefix is what the names of a family of Replaced fields begin with.
const ForwardedPrefix = "X-Forwarded-"

// FateOf returns the fate of a field by its name, which is compared without case. Fields that the client's Connection
// field lists are of the connection too, whatever their name.
func FateOf(name string) Fate {
	if !isPlain(name) {
		return Misread
	}
	switch {
	case isOneOf(name, "Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te",
		"Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings", "Expect"):
		return Connection
	case isOneOf(name, "Host", "Content-Length", "Forwarded", "X-Real-Ip", "X-Original-Url", "X-Rewrite-Url",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Request-Id"):
		return Replaced
	case len(name) >= len(ForwardedPrefix) && strings.EqualFold(name[:len(ForwardedPrefix)], ForwardedPrefix):
		return Replaced
	case IsIdentity(name):
		return Identity
	}
	return Kept
}

// isOneOf compares without case.
func isOneOf(name string, names ...string) bool {
	for _, one := range names {
		if len(one) == len(name) && one[0]|0x20 == name[0]|0x20 && strings.EqualFold(one, name) {
			return true
		}
	}
	return false
}

// Fields are the names of all fields with a fate of their own, as people write them; of those with ForwardedPrefix, the
// prefix with an asterisk.
func Fields() iter.Seq2[string, Fate] {
	return func(yield func(string, Fate) bool) {
		for fate, names := range [...][]string{
			Connection: {
				"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer",
				"Transfer-Encoding", "Upgrade", "HTTP2-Settings", "Expect",
			},
			Replaced: {
				"Host", "Content-Length", "Forwarded", ForwardedPrefix + "*", "X-Real-IP", "X-Original-URL", "X-Rewrite-URL",
				"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Request-ID",
			},
			Identity: {
				HeaderUsername, HeaderNamespace, HeaderID, HeaderCustomID, HeaderGroups, HeaderCredential, HeaderAnonymous,
				HeaderExpressGateway,
			},
		} {
			for _, name := range names {
				if !yield(name, Fate(fate)) {
					return
				}
			}
		}
	}
}

func isPlain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
		default:
			return false
		}
	}
	return name != ""
}
