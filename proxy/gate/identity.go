package gate

import (
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/jwt"
)

// setAnonymous tells the upstream that nobody knows who calls.
func setAnonymous(h head.Head) { h.Set(head.HeaderAnonymous, "true") }

// setIdentity tells the upstream who calls. It reports false where a value can't be a field value (RFC 9110 section
// 5.5), which the API does not admit.
func setIdentity(h head.Head, caller *jwt.Identity) bool {
	if caller.Consumer == nil {
		return false
	}
	c := caller.Consumer
	for _, f := range [...]struct{ name, value string }{
		{head.HeaderUsername, c.Username},
		{head.HeaderNamespace, c.Key.Namespace},
		{head.HeaderID, c.UID},
		{head.HeaderCustomID, c.CustomID},
		{head.HeaderGroups, c.GroupList()},
		{head.HeaderCredential, caller.KeyID},
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
