package gate

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ostiary/ostiary/proxy/head"
)

// plainHead is a head.Head that allocates nothing, as that of an engine of ours.
type plainHead struct {
	method, scheme, authority, path, query, sni string
	fields                                      []plainField
	values                                      [8]string
}

type plainField struct{ name, value string }

func (h *plainHead) Method() string             { return h.method }
func (h *plainHead) Scheme() string             { return h.scheme }
func (h *plainHead) Authority() string          { return h.authority }
func (h *plainHead) Path() string               { return h.path }
func (h *plainHead) Query() string              { return h.query }
func (h *plainHead) ClientAddr() netip.AddrPort { return netip.AddrPort{} }
func (h *plainHead) ServerName() string         { return h.sni }
func (h *plainHead) SetPath(path string)        { h.path = path }
func (h *plainHead) SetQuery(query string)      { h.query = query }

func (h *plainHead) Values(name string) []string {
	values := h.values[:0]
	for i := range h.fields {
		if strings.EqualFold(h.fields[i].name, name) {
			values = append(values, h.fields[i].value)
		}
	}
	return values
}

func (h *plainHead) Names(yield func(string) bool) {
	for i := range h.fields {
		if !yield(h.fields[i].name) {
			return
		}
	}
}

func (h *plainHead) Set(name, value string) {
	h.Delete(name)
	h.fields = append(h.fields, plainField{name, value})
}

func (h *plainHead) Delete(name string) {
	kept := h.fields[:0]
	for _, f := range h.fields {
		if !strings.EqualFold(f.name, name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

func (h *plainHead) DeleteFunc(so func(string) bool) {
	h.fields = slices.DeleteFunc(h.fields, func(f plainField) bool { return so(f.name) })
}

func (h *plainHead) DeleteIdentity() { h.DeleteFunc(head.IsIdentity) }

func (h *plainHead) Put(b head.Block) {
	for name, value := range b.Fields() {
		h.fields = append(h.fields, plainField{name, value})
	}
}

// decide is Decide for one who looks at the Verdict alone.
func decide(ctx context.Context, g *Gate, h head.Head, now time.Time) Verdict {
	var v Verdict
	g.Decide(ctx, h, now, &v)
	return v
}

// load makes the head that of another request, and uses its memory again.
func (h *plainHead) load(path string, fields ...plainField) {
	*h = plainHead{
		method: "GET", scheme: "http", authority: "app.test", path: path, fields: append(h.fields[:0], fields...),
	}
}
