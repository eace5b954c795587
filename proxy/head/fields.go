package head

import (
	"iter"
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
	return FateOfPlain(name)
}

// FateOfPlain is FateOf for a name of which it is known that it is made of letters, digits and hyphens.
func FateOfPlain(name string) Fate {
	switch {
	case ofConnection(name):
		return Connection
	case replaced(name):
		return Replaced
	case IsIdentity(name):
		return Identity
	}
	return Kept
}

func ofConnection(name string) bool {
	switch len(name) {
	case 2:
		return is(name, "Te")
	case 6:
		return is(name, "Expect")
	case 7:
		return is(name, "Trailer") || is(name, "Upgrade")
	case 10:
		return is(name, "Connection") || is(name, "Keep-Alive")
	case 14:
		return is(name, "Http2-Settings")
	case 16:
		return is(name, "Proxy-Connection")
	case 17:
		return is(name, "Transfer-Encoding")
	case 18:
		return is(name, "Proxy-Authenticate")
	case 19:
		return is(name, "Proxy-Authorization")
	}
	return false
}

func replaced(name string) bool {
	if len(name) >= len(ForwardedPrefix) && is(name[:len(ForwardedPrefix)], ForwardedPrefix) {
		return true
	}
	switch len(name) {
	case 4:
		return is(name, "Host")
	case 9:
		return is(name, "Forwarded") || is(name, "X-Real-Ip")
	case 12:
		return is(name, "X-Request-Id")
	case 13:
		return is(name, "X-Http-Method") || is(name, "X-Rewrite-Url")
	case 14:
		return is(name, "Content-Length") || is(name, "X-Original-Url")
	case 17:
		return is(name, "X-Method-Override")
	case 22:
		return is(name, "X-Http-Method-Override")
	}
	return false
}

// is compares names without case that are made of letters, digits and hyphens, and equally long.
func is(name, one string) bool {
	for i := range len(one) {
		if (name[i]^one[i])&^0x20 != 0 {
			return false
		}
	}
	return true
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
