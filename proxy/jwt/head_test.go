package jwt

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/head"
)

// testHead is a request head as an engine would hand it over: field lines in order, names without regard to case.
type testHead struct {
	query  string
	fields [][2]string
}

var _ head.Head = (*testHead)(nil)

func (*testHead) Method() string             { return "GET" }
func (*testHead) Scheme() string             { return "https" }
func (*testHead) Authority() string          { return "api.example.com" }
func (*testHead) Path() string               { return "/orders" }
func (h *testHead) Query() string            { return h.query }
func (*testHead) ClientAddr() netip.AddrPort { return netip.AddrPort{} }
func (*testHead) ServerName() string         { return "" }
func (*testHead) SetPath(string)             {}
func (h *testHead) SetQuery(query string)    { h.query = query }

func (h *testHead) Values(name string) []string {
	var values []string
	for _, f := range h.fields {
		if strings.EqualFold(f[0], name) {
			values = append(values, f[1])
		}
	}
	return values
}

func (h *testHead) Names(yield func(name string) bool) {
	for _, f := range h.fields {
		if !yield(f[0]) {
			return
		}
	}
}

func (h *testHead) Set(name, value string) {
	h.Delete(name)
	h.fields = append(h.fields, [2]string{name, value})
}

func (h *testHead) Delete(name string) {
	var kept [][2]string
	for _, f := range h.fields {
		if !strings.EqualFold(f[0], name) {
			kept = append(kept, f)
		}
	}
	h.fields = kept
}

func (h *testHead) DeleteFunc(so func(string) bool) {
	h.fields = slices.DeleteFunc(h.fields, func(f [2]string) bool { return so(f[0]) })
}

func (h *testHead) DeleteIdentity() { h.DeleteFunc(head.IsIdentity) }

func (h *testHead) Put(b head.Block) {
	for name, value := range b.Fields() {
		h.fields = append(h.fields, [2]string{name, value})
	}
}

// bearer is a head with that token in the Authorization field.
func bearer(token string) *testHead {
	return &testHead{fields: [][2]string{{"Authorization", "Bearer " + token}}}
}
