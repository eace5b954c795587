package gate

import (
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jwt"
)

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

// IsIdentityHeader reports whether a field name is one of those that tell who calls, in any spelling that a backend may
// take for it: without case, and with any other punctuation for hyphens. CGI (RFC 3875 section 4.1.18) and its
// descendants make one variable of the spellings with hyphens and underscores, and some servers of all punctuation.
func IsIdentityHeader(name string) bool {
	switch len(name) {
	case len(HeaderUsername):
		return sameName(name, HeaderUsername)
	case len(HeaderNamespace): // also HeaderCustomID, HeaderAnonymous
		return sameName(name, HeaderNamespace) || sameName(name, HeaderCustomID) || sameName(name, HeaderAnonymous)
	case len(HeaderID):
		return sameName(name, HeaderID)
	case len(HeaderGroups):
		return sameName(name, HeaderGroups)
	case len(HeaderCredential):
		return sameName(name, HeaderCredential)
	case len(HeaderExpressGateway):
		return sameName(name, HeaderExpressGateway)
	}
	return false
}

func sameName(a, b string) bool {
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

// removeIdentity removes every field that tells who calls.
func removeIdentity(h head.Head) {
	var spoofed []string
	h.Names(func(name string) bool {
		if IsIdentityHeader(name) {
			spoofed = append(spoofed, name)
		}
		return true
	})
	for _, name := range spoofed {
		h.Delete(name)
	}
}

// setAnonymous tells the upstream that nobody knows who calls.
func setAnonymous(h head.Head) { h.Set(HeaderAnonymous, "true") }

// setIdentity tells the upstream who calls. It reports false where a value can't be a field value (RFC 9110 section
// 5.5), which the API does not admit.
func setIdentity(h head.Head, caller *jwt.Identity) bool {
	if caller.Consumer == nil {
		return false
	}
	c := caller.Consumer
	for _, f := range [...]struct{ name, value string }{
		{HeaderUsername, c.Username},
		{HeaderNamespace, c.Key.Namespace},
		{HeaderID, c.UID},
		{HeaderCustomID, c.CustomID},
		{HeaderGroups, strings.Join(c.Groups, ",")},
		{HeaderCredential, caller.KeyID},
	} {
		if f.value == "" {
			continue
		}
		if !validValue(f.value) {
			return false
		}
		h.Set(f.name, f.value)
	}
	return true
}

func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}
