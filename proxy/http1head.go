package proxy

import (
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// fieldSet is a set of field lines, by their place in the head.
type fieldSet [(http1.MaxFields + 63) / 64]uint64

func (s *fieldSet) add(i int)    { s[i/64] |= 1 << (i % 64) }
func (s *fieldSet) remove(i int) { s[i/64] &^= 1 << (i % 64) }
func (s *fieldSet) removeAll(other *fieldSet) {
	for i := range s {
		s[i] &^= other[i]
	}
}
func (s *fieldSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }

// wireHead is a request of package http1 as package head has it. The field lines stay where they were read; what becomes
// of them is noted beside them, and what policies set is kept apart. Its strings end with the exchange.
type wireHead struct {
	x         *http1.Exchange
	authority string
	path      string
	query     string
	client    netip.AddrPort
	// judged are the lines that policies see, forwarded those that go on as they are. A line that Connection lists is
	// judged and not forwarded, so that a client can't hide one from us that it shows.
	judged, forwarded fieldSet
	// identity are the lines that tell who calls, as clients may not.
	identity fieldSet
	// block and set are the fields that policies set.
	block  head.Block
	set    []http1.Field
	values []string
	// upgrade says that the client asks for WebSocket; key is its Sec-WebSocket-Key.
	upgrade bool
	key     string
	// trailers says that the client takes trailers (TE: trailers).
	trailers  bool
	requestID [requestIDBytes]byte

	budget *bodyBudget
	early  wireBody
}

func (h *wireHead) Method() string { return h.x.Request.Method }

func (h *wireHead) Scheme() string { return schemeOf(h.x) }

func (h *wireHead) Authority() string          { return h.authority }
func (h *wireHead) Path() string               { return h.path }
func (h *wireHead) Query() string              { return h.query }
func (h *wireHead) ClientAddr() netip.AddrPort { return h.client }

func (h *wireHead) ServerName() string {
	if state := h.x.TLS(); state != nil {
		return state.ServerName
	}
	return ""
}

func (h *wireHead) Values(name string) []string {
	h.values = h.values[:0]
	fields := h.x.Request.Fields
	for i := range fields {
		if f := &fields[i]; sameName(f.Name, name) && h.judged.has(i) {
			h.values = append(h.values, f.Value)
		}
	}
	if h.block.Text() != "" {
		h.unfold()
	}
	for i := range h.set {
		if sameName(h.set[i].Name, name) {
			h.values = append(h.values, h.set[i].Value)
		}
	}
	return h.values
}

// sameName compares names without case; nearly all that are equally long and the same are so in the same case.
func sameName(a, b string) bool {
	return len(a) == len(b) && (a == b || strings.EqualFold(a, b))
}

func (h *wireHead) Names(yield func(name string) bool) {
	fields := h.x.Request.Fields
	for i := range fields {
		if h.judged.has(i) && !yield(fields[i].Name) {
			return
		}
	}
	h.unfold()
	for i := range h.set {
		if !yield(h.set[i].Name) {
			return
		}
	}
}

func (h *wireHead) SetPath(path string)   { h.path = path }
func (h *wireHead) SetQuery(query string) { h.query = query }

func (h *wireHead) Set(name, value string) {
	h.Delete(name)
	h.set = append(h.set, http1.Field{Name: name, Value: value})
}

func (h *wireHead) Delete(name string) {
	fields := h.x.Request.Fields
	for i := range fields {
		if sameName(fields[i].Name, name) {
			h.leaveOut(i)
		}
	}
	h.unset(func(one string) bool { return sameName(one, name) })
}

func (h *wireHead) DeleteFunc(so func(name string) bool) {
	fields := h.x.Request.Fields
	for i := range fields {
		if so(fields[i].Name) {
			h.leaveOut(i)
		}
	}
	h.unset(so)
}

func (h *wireHead) leaveOut(i int) {
	h.judged.remove(i)
	h.forwarded.remove(i)
}

// unset takes fields back that were set.
func (h *wireHead) unset(so func(name string) bool) {
	if h.block.Text() != "" {
		h.unfold()
	}
	if len(h.set) == 0 {
		return
	}
	h.set = slices.DeleteFunc(h.set, func(f http1.Field) bool { return so(f.Name) })
}

// DeleteIdentity knows the lines since they were read.
func (h *wireHead) DeleteIdentity() {
	if h.identity != (fieldSet{}) {
		h.judged.removeAll(&h.identity)
		h.forwarded.removeAll(&h.identity)
	}
	h.unset(head.IsIdentity)
}

func (h *wireHead) Put(b head.Block) {
	if h.block.Text() != "" {
		h.unfold()
	}
	h.block = b
}

// unfold makes single fields of the block's, for whoever asks for one of them.
func (h *wireHead) unfold() {
	for name, value := range h.block.Fields() {
		h.set = append(h.set, http1.Field{Name: name, Value: value})
	}
	h.block = head.Block{}
}

// forget lets go of everything that belongs to the request.
func (h *wireHead) forget() {
	clear(h.set)
	clear(h.values[:cap(h.values)])
	*h = wireHead{set: h.set[:0], values: h.values[:0]}
}

// read takes the head of the exchange's request, or says why it is refused. Package http1 has judged the grammar and the
// framing; here is refused what servers behind us are known to read in another way.
func (h *wireHead) read(x *http1.Exchange, budget *bodyBudget) (refused gate.Refusal, ok bool) {
	h.x, h.budget, h.client = x, budget, x.RemoteAddr()
	r := &x.Request
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		// No tunnels to anywhere, and no echo of credentials.
		return gate.Refusal{Reason: refusal.MethodNotAllowed, Allow: allowedMethods}, false
	}
	if !h.readTarget() {
		return gate.Refusal{Reason: refusal.RequestMalformed}, false
	}
	h.readFields()
	return gate.Refusal{}, true
}

// readTarget takes the request target apart as it was sent (RFC 9112 section 3.2). It is visible ASCII without "#", not
// empty, and no longer than routing.MaxTargetBytes: package http1 takes no other. What is no host or no path is refused by
// the gate, which reads both anyway: an authority that is empty or has user information among them.
func (h *wireHead) readTarget() bool {
	target := h.x.Request.Target
	h.authority = h.x.Request.Host
	if target[0] != '/' {
		// Absolute form: its authority is the host, whatever the Host field says (RFC 9112 section 3.2.2). The asterisk is no
		// scheme, nor is the authority form; what is nothing but a scheme has no host.
		scheme, rest, _ := strings.Cut(target, "://")
		if !strings.EqualFold(scheme, h.Scheme()) {
			return false
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		h.authority, target = rest[:end], rest[end:]
		if target == "" || target[0] == '?' {
			target = "/" + target
		}
	}
	h.path, h.query, _ = strings.Cut(target, "?")
	return true
}

// A target that package http1 takes is no longer than routes do: a constant that is negative does not compile.
const _ = uint(routing.MaxTargetBytes - http1.MaxTargetBytes)

// readFields decides what becomes of each field line.
func (h *wireHead) readFields() {
	r := &h.x.Request
	for i := range r.Fields {
		f := &r.Fields[i]
		switch f.Kind() {
		case http1.KindAuthorization, http1.KindDate:
		case http1.KindOther: // none of KindIrregular
			switch head.FateOfPlain(f.Name) {
			case head.Kept:
			case head.Identity:
				h.identity.add(i) // for the gate, which removes these whatever the engine
			default:
				continue
			}
		case http1.KindTE:
			h.trailers = h.trailers || hasToken(f.Value, "trailers")
			continue
		default:
			continue // of the connection, or written anew
		}
		h.judged.add(i)
		if !r.ConnectionTokens || !r.Listed(f.Name) {
			h.forwarded.add(i)
		}
	}
	if r.Has(http1.KindUpgrade) {
		h.readUpgrade()
	}
}

// readUpgrade recognises a WebSocket handshake (RFC 6455 section 4.1). Every other protocol to switch to is left out, most
// of all h2c: what came through such a tunnel would be requests that nobody judged.
func (h *wireHead) readUpgrade() {
	r := &h.x.Request
	upgrades, keys, asked, switching := 0, 0, false, false
	for i := range r.Fields {
		f := &r.Fields[i]
		switch {
		case f.Kind() == http1.KindUpgrade:
			upgrades++
			asked = strings.EqualFold(f.Value, "websocket")
		case f.Kind() == http1.KindConnection:
			switching = switching || hasToken(f.Value, "upgrade")
		case strings.EqualFold(f.Name, "Sec-WebSocket-Key"):
			keys++
			h.key = f.Value
		}
	}
	h.upgrade = asked && upgrades == 1 && switching && r.Minor >= 1 && r.Method == http.MethodGet && !h.x.HasBody() &&
		keys == 1 && len(h.key) == 24
}

// requestIDBytes is the length of the request IDs that we make.
const requestIDBytes = 26

// identify returns the client's X-Request-ID where it is one visible word of bounded length, and makes one otherwise, of
// which it returns none. IDs have to be different, not secret.
func (h *wireHead) identify(random *rand.ChaCha8) string {
	fields := h.x.Request.Fields
	found, count := "", 0
	for i := range fields {
		if f := &fields[i]; len(f.Name) == len(headerRequestID) && strings.EqualFold(f.Name, headerRequestID) {
			found = f.Value
			count++
		}
	}
	if count == 1 && validRequestID(found) {
		return found
	}
	bits := random.Uint64()
	binary.LittleEndian.PutUint64(h.requestID[18:], base32(bits>>24)) // of which the last two stay
	binary.LittleEndian.PutUint64(h.requestID[0:], base32(bits))
	binary.LittleEndian.PutUint64(h.requestID[8:], base32(random.Uint64()))
	binary.LittleEndian.PutUint64(h.requestID[16:], base32(random.Uint64()))
	return ""
}

// base32 is eight characters of the Base32 alphabet (RFC 4648 section 6) for the lower 40 bits.
func base32(bits uint64) uint64 {
	const ones = 0x0101010101010101
	bits = bits&(1<<20-1) | bits>>20&(1<<20-1)<<32
	bits = bits&0x000003ff000003ff | bits&0x000ffc00000ffc00<<6
	bits = bits&0x001f001f001f001f | bits&0x03e003e003e003e0<<3
	digits := (bits + (0x80-26)*ones) >> 7 & ones // 1 where the character is a digit
	return bits + 'A'*ones - digits*('A'+26-'2')
}
