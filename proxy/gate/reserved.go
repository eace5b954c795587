package gate

import (
	"slices"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/routing"
)

// reserved are the names of fields that the Pipelines of a namespace put claims into. Upstreams trust them, so whatever a
// client sends under these names is removed from every request that one of the Pipelines takes.
type reserved []string

// reservedOf returns the reserved names of each namespace.
func reservedOf(cfg []routing.ReservedHeaders) map[string]reserved {
	names := make(map[string]reserved, len(cfg))
	for _, r := range cfg {
		names[r.Namespace] = append(names[r.Namespace], r.Names...)
	}
	return names
}

// has compares as head.IsIdentity does.
func (r reserved) has(name string) bool {
	return slices.ContainsFunc(r, func(one string) bool { return head.SameName(one, name) })
}

func (r reserved) remove(h head.Head) {
	if len(r) == 0 {
		return
	}
	var spoofed []string
	h.Names(func(name string) bool {
		if r.has(name) {
			spoofed = append(spoofed, name)
		}
		return true
	})
	for _, name := range spoofed {
		h.Delete(name)
	}
}
