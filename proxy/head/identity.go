package head

// The header fields that tell an upstream who calls. Upstreams trust them, so whatever a client sends under these names
// is removed from every request, on every route.
const (
	HeaderUsername   = "X-Consumer-Username"
	HeaderNamespace  = "X-Consumer-Namespace"
	HeaderID         = "X-Consumer-ID"
	HeaderCustomID   = "X-Consumer-Custom-ID"
	HeaderGroups     = "X-Consumer-Groups"
	HeaderCredential = "X-Credential-ID"
	HeaderAnonymous  = "X-Anonymous-Consumer"
	// HeaderExpressGateway is what Express Gateway called the consumer's ID.
	HeaderExpressGateway = "eg-consumer-id"
)

// IsIdentity reports whether a field name is one of those that tell who calls, in any spelling that a backend may
// take for it: without case, and with any other punctuation for hyphens. CGI (RFC 3875 section 4.1.18) and its
// descendants make one variable of the spellings with hyphens and underscores, and some servers of all punctuation.
func IsIdentity(name string) bool {
	switch len(name) {
	case len(HeaderUsername):
		return SameName(name, HeaderUsername)
	case len(HeaderNamespace): // also HeaderCustomID, HeaderAnonymous
		return SameName(name, HeaderNamespace) || SameName(name, HeaderCustomID) || SameName(name, HeaderAnonymous)
	case len(HeaderID):
		return SameName(name, HeaderID)
	case len(HeaderGroups):
		return SameName(name, HeaderGroups)
	case len(HeaderCredential):
		return SameName(name, HeaderCredential)
	case len(HeaderExpressGateway):
		return SameName(name, HeaderExpressGateway)
	}
	return false
}

// SameName reports whether a backend may take two field names for the same, as IsIdentity says.
func SameName(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + ('a' - 'A')
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	default:
		return '-'
	}
}
