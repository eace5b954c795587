package proxy

import (
	"crypto/rand"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// maxFields bounds the field lines of a request's head.
	maxFields = 128
	// maxRequestID bounds the request ID that a client may choose.
	maxRequestID = 128

	headerRequestID = "X-Request-Id" // as net/http spells X-Request-ID

	// allowedMethods is the Allow of a request with a method that is never forwarded.
	allowedMethods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
)

// requestHead is a net/http request as package head has it. The fields are a copy: what belongs to one connection, and
// what may be taken for something else behind us, is left out from the start.
type requestHead struct {
	r      *http.Request
	header http.Header
	// judged are the fields that Connection lists: they are not forwarded, but they are judged, so that a client can't
	// hide one from us that it shows. Nil where there are none.
	judged http.Header
	path   string
	query  string
	client netip.AddrPort
	// upgrade says that the client asks for WebSocket; key is its Sec-WebSocket-Key.
	upgrade   bool
	key       string
	trailers  bool // TE: trailers
	requestID string

	// control and budget are for ReadBody; early is the body that it read, whole says that it got all of it.
	control *http.ResponseController
	budget  *bodyBudget
	early   *earlyBody
	whole   bool
}

func (h *requestHead) Method() string { return h.r.Method }

func (h *requestHead) Scheme() string {
	if h.r.TLS != nil {
		return "https"
	}
	return "http"
}

func (h *requestHead) Authority() string          { return h.r.Host }
func (h *requestHead) Path() string               { return h.path }
func (h *requestHead) Query() string              { return h.query }
func (h *requestHead) ClientAddr() netip.AddrPort { return h.client }

func (h *requestHead) ServerName() string {
	if h.r.TLS == nil {
		return ""
	}
	return h.r.TLS.ServerName
}

func (h *requestHead) Values(name string) []string {
	name = http.CanonicalHeaderKey(name)
	if values, ok := h.judged[name]; ok {
		return values
	}
	return h.header[name]
}

func (h *requestHead) Names(yield func(name string) bool) {
	for _, fields := range [...]http.Header{h.header, h.judged} {
		for name := range fields {
			if !yield(name) {
				return
			}
		}
	}
}

func (h *requestHead) SetPath(path string)   { h.path = path }
func (h *requestHead) SetQuery(query string) { h.query = query }

func (h *requestHead) Set(name, value string) {
	h.Delete(name)
	h.header.Set(name, value)
}

func (h *requestHead) Delete(name string) {
	name = http.CanonicalHeaderKey(name)
	delete(h.header, name)
	delete(h.judged, name)
}

func (h *requestHead) DeleteFunc(so func(name string) bool) {
	for _, fields := range [...]http.Header{h.header, h.judged} {
		for name := range fields {
			if so(name) {
				delete(fields, name)
			}
		}
	}
}

func (h *requestHead) DeleteIdentity() { h.DeleteFunc(head.IsIdentity) }

func (h *requestHead) Put(b head.Block) {
	for name, value := range b.Fields() {
		h.header.Set(name, value)
	}
}

// read takes the head of r, or says why it is refused. net/http has judged the grammar before; here is refused what it
// lets through and what servers behind us are known to read in another way. Not seen here, because net/http has dealt
// with it and hides it: Transfer-Encoding together with Content-Length, and Transfer-Encoding in HTTP/1.0.
func (h *requestHead) read(r *http.Request) *gate.Refusal {
	h.r = r
	h.client, _ = netip.ParseAddrPort(r.RemoteAddr) // the zero value where the listener is no TCP listener
	h.requestID = requestID(r.Header)
	if r.Method == http.MethodConnect || r.Method == http.MethodTrace {
		// No tunnels to anywhere, and no echo of credentials.
		return &gate.Refusal{Reason: refusal.MethodNotAllowed, Allow: allowedMethods}
	}
	if reason, ok := h.readTarget(); !ok {
		return &gate.Refusal{Reason: reason}
	}
	if reason, ok := h.checkFields(); !ok {
		return &gate.Refusal{Reason: reason}
	}
	h.copyFields()
	return nil
}

// readTarget takes the request target apart as it was sent (RFC 9112 section 3.2).
func (h *requestHead) readTarget() (refusal.Reason, bool) {
	target := h.r.RequestURI
	if len(target) > routing.MaxTargetBytes {
		return refusal.TargetTooLarge, false
	}
	if target == "" || target == "*" || strings.IndexByte(target, '#') >= 0 {
		return refusal.RequestMalformed, false
	}
	if target[0] != '/' {
		// Absolute form: its authority is r.Host, whatever the Host field says (RFC 9112 section 3.2.2).
		scheme, rest, ok := strings.Cut(target, "://")
		if !ok || h.r.ProtoMajor != 1 || !strings.EqualFold(scheme, h.Scheme()) || h.r.URL == nil || h.r.URL.User != nil || h.r.URL.Host == "" {
			return refusal.RequestMalformed, false
		}
		target = "/"
		if i := strings.IndexAny(rest, "/?"); i >= 0 {
			target = rest[i:]
		}
		if target[0] == '?' {
			target = "/" + target
		}
	}
	h.path, h.query, _ = strings.Cut(target, "?")
	for i := range len(h.query) {
		if c := h.query[i]; c <= ' ' || c >= 0x7f {
			return refusal.RequestMalformed, false
		}
	}
	return refusal.Internal, true
}

func (h *requestHead) checkFields() (refusal.Reason, bool) {
	fields := 0
	for _, values := range h.r.Header {
		fields += len(values)
	}
	if fields > maxFields {
		return refusal.HeadTooLarge, false
	}
	for _, host := range h.r.Header["Host"] { // HTTP/2: beside :authority (RFC 9113 section 8.3.1)
		if host != h.r.Host {
			return refusal.RequestMalformed, false
		}
	}
	for _, expect := range h.r.Header["Expect"] {
		if !strings.EqualFold(expect, "100-continue") {
			return refusal.RequestMalformed, false
		}
	}
	if h.r.ProtoMajor == 2 {
		if len(h.r.Header["Content-Length"]) > 1 { // HTTP/1.1's are judged by net/http
			return refusal.RequestMalformed, false
		}
		for _, name := range [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade"} {
			if _, ok := h.r.Header[name]; ok { // RFC 9113 section 8.2.2
				return refusal.RequestMalformed, false
			}
		}
		for _, te := range h.r.Header["Te"] {
			if !strings.EqualFold(te, "trailers") {
				return refusal.RequestMalformed, false
			}
		}
	}
	return refusal.Internal, true
}

// copyFields copies the fields that may go on.
func (h *requestHead) copyFields() {
	in := h.r.Header
	h.readUpgrade()
	h.trailers = containsToken(in["Te"], "trailers")
	h.header = make(http.Header, len(in)+8)
	listed := in["Connection"]
	for name, values := range in {
		switch head.FateOf(name) {
		case head.Kept, head.Identity: // the gate removes these, whatever the engine
		case head.Connection:
			if name != "Expect" { // which the upstream gets as well, where there is a body to wait for
				continue
			}
		case head.Replaced, head.Misread:
			continue
		}
		if len(listed) > 0 && containsToken(listed, name) {
			if h.judged == nil {
				h.judged = http.Header{}
			}
			h.judged[name] = values
			continue
		}
		h.header[name] = slices.Clip(values)
	}
	if h.r.ContentLength == 0 || !h.r.ProtoAtLeast(1, 1) {
		delete(h.header, "Expect")
	}
}

// readUpgrade recognises a WebSocket handshake (RFC 6455 section 4.1). Every other protocol to switch to is left out,
// most of all h2c: what came through such a tunnel would be requests that nobody judged.
func (h *requestHead) readUpgrade() {
	in := h.r.Header
	upgrade, key := in["Upgrade"], in["Sec-Websocket-Key"]
	h.upgrade = h.r.ProtoMajor == 1 && h.r.ProtoMinor >= 1 && h.r.Method == http.MethodGet && h.r.ContentLength == 0 &&
		len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && containsToken(in["Connection"], "upgrade") &&
		len(key) == 1 && len(key[0]) == 24
	if h.upgrade {
		h.key = key[0]
	}
}

// containsToken reports whether a comma-separated list has that token, without case.
func containsToken(lines []string, token string) bool {
	for _, line := range lines {
		if hasToken(line, token) {
			return true
		}
	}
	return false
}

// hasToken is containsToken for one line.
func hasToken(line, token string) bool {
	for line != "" {
		var one string
		one, line, _ = strings.Cut(line, ",")
		if strings.EqualFold(strings.Trim(one, " \t"), token) {
			return true
		}
	}
	return false
}

// requestID is the client's X-Request-ID where it is one visible word of bounded length, else a new one.
func requestID(header http.Header) string {
	if ids := header[headerRequestID]; len(ids) == 1 && validRequestID(ids[0]) {
		return ids[0]
	}
	return rand.Text()
}

func validRequestID(id string) bool {
	if id == "" || len(id) > maxRequestID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("-_.:/+=@~", c) >= 0:
		default:
			return false
		}
	}
	return true
}
