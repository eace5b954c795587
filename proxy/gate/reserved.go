package gate

import (
	"slices"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// reserved are the names of fields that the Pipelines of a namespace put claims into. Upstreams trust them, so whatever a
// client sends under these names is removed from every request that one of the Pipelines takes.
// A nil *reserved has none.
type reserved struct {
	names []string
	// one is the method has, made a function once.
	one func(name string) bool
}

// reservedOf returns the reserved names of each namespace that has some.
func reservedOf(cfg []routing.ReservedHeaders) map[string]*reserved {
	all := make(map[string]*reserved, len(cfg))
	for _, r := range cfg {
		if len(r.Names) == 0 {
			continue
		}
		of := all[r.Namespace]
		if of == nil {
			of = &reserved{}
			of.one = of.has
			all[r.Namespace] = of
		}
		of.names = append(of.names, r.Names...)
	}
	return all
}

// has compares as head.IsIdentity does.
func (r *reserved) has(name string) bool {
	return r != nil && slices.ContainsFunc(r.names, func(one string) bool { return head.SameName(one, name) })
}

func (r *reserved) remove(h head.Head) {
	if r != nil {
		h.DeleteFunc(r.one)
	}
}
