package gate

import (
	"slices"

	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// acl lets callers through by their groups. The zero value lets nobody through.
type acl struct {
	allow, deny groups
	// every says that allow is not asked.
	every bool
}

type groups map[string]struct{}

// newACL refuses an ACL that names no group: it would protect nothing.
func newACL(cfg routing.ACL) (acl, error) {
	if len(cfg.AllowGroups)+len(cfg.DenyGroups) == 0 {
		return acl{}, errNoGroup
	}
	return acl{allow: newGroups(cfg.AllowGroups), deny: newGroups(cfg.DenyGroups), every: len(cfg.AllowGroups) == 0}, nil
}

func newGroups(names []string) groups {
	g := make(groups, len(names))
	for _, name := range names {
		g[name] = struct{}{}
	}
	return g
}

func (g groups) hasOneOf(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { _, ok := g[name]; return ok })
}

// judge says whether the caller may pass: one who is in a denied group may not, whatever other groups say. An anonymous
// caller is told that a token is missing, also where groups are only denied: whoever is in one of these would leave the
// token away.
func (a *acl) judge(caller *jwt.Allowed) *jwt.Refused {
	if caller.Anonymous() {
		return &jwt.Refused{Reason: refusal.TokenMissing}
	}
	consumer := caller.Consumer()
	switch {
	case !caller.Granted():
		return &jwt.Refused{Reason: refusal.Internal}
	case consumer == nil:
		// A token of an identity provider that stands for no Consumer: nobody knows which groups its bearer is in.
		return &jwt.Refused{Reason: refusal.GroupDenied}
	case a.deny.hasOneOf(consumer.Groups), !a.every && !a.allow.hasOneOf(consumer.Groups):
		return &jwt.Refused{Reason: refusal.GroupDenied}
	}
	return nil
}
