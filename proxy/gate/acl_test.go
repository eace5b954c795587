package gate

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestACLDeniesWhatNobodyVouchesFor: what was not verified passes no ACL, and an ACL that was not built passes nothing.
func TestACLDeniesWhatNobodyVouchesFor(t *testing.T) {
	built, err := newACL(routing.ACL{DenyGroups: []string{"trial"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]acl{"built": built, "zero": {}} {
		if refused := a.judge(&jwt.Allowed{}); refused == nil || refused.Reason != refusal.Internal {
			t.Errorf("%s: the zero Allowed is answered %+v", name, refused)
		}
	}
	if (&acl{}).every {
		t.Error("the zero ACL asks for no group")
	}
	if _, err := newACL(routing.ACL{}); err == nil {
		t.Error("an ACL without a group was built")
	}
}
