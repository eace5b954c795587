package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// retryAfter is the Retry-After of 503 responses, in seconds: what they wait for comes with the next event of the
// cluster, or not soon.
const retryAfter = "1"

// problem is a problem details object (RFC 9457 section 3.1).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// refuse is the one place that turns a refusal into a response. What the response tells is bounded by the refusal's
// Detail; logs and metrics get the exact reason.
func (x *exchange) refuse(r gate.Refusal) {
	x.reason, x.refused, x.message = r.Reason, true, r.Message
	status := r.Reason.Status()
	header := x.w.Header()
	clear(header)
	header.Set("Cache-Control", "no-store")
	if x.head.requestID != "" {
		header.Set(headerRequestID, x.head.requestID)
	}
	if challenge := challengeOf(r); challenge != "" {
		header.Set("WWW-Authenticate", challenge)
	}
	switch status {
	case http.StatusMethodNotAllowed:
		header.Set("Allow", r.Allow)
	case http.StatusServiceUnavailable:
		header.Set("Retry-After", retryAfter)
	}
	if x.r.ProtoMajor == 1 && (malformed(r.Reason) || x.r.Method == http.MethodConnect) {
		// Where a request was misread, so would be what follows it (RFC 9112 section 11.2).
		header.Set("Connection", "close")
	}
	if x.r.ProtoMajor == 2 && isGRPC(x.r.Header) { // elsewhere it would turn refusals into status 200
		x.refuseGRPC(r, status)
		return
	}
	if r.Body == routing.ErrorBodyNone {
		x.respond(status, status, "")
		return
	}
	body, err := json.Marshal(problem{
		Type:   "about:blank",
		Title:  http.StatusText(status),
		Status: status,
		Detail: sentence(r),
		Reason: exactReason(r),
	})
	if err != nil { // a struct of strings and a number
		body = nil
	}
	header.Set("Content-Type", "application/problem+json")
	header.Set("X-Content-Type-Options", "nosniff")
	x.respond(status, status, string(body))
}

// refuseGRPC answers as gRPC clients expect it: status 200, and what it means in the head, with no body ("Trailers-Only"
// in gRPC over HTTP/2).
func (x *exchange) refuseGRPC(r gate.Refusal, status int) {
	header := x.w.Header()
	header.Set("Content-Type", "application/grpc")
	header.Set("Grpc-Status", strconv.Itoa(grpcStatus(status)))
	message := description(r)
	if message == "" {
		message = http.StatusText(status)
	}
	header.Set("Grpc-Message", strings.ReplaceAll(message, "%", "%25")) // printable ASCII needs no other escapes
	x.respond(http.StatusOK, status, "")
}

// respond writes a whole response. means is the status that it stands for in logs and metrics.
func (x *exchange) respond(status, means int, body string) {
	header := x.w.Header()
	if body != "" || bodyAllowed(status) {
		header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	x.closeUnlessRead()
	x.status, x.started = means, true
	x.extendWrite()
	x.w.WriteHeader(status)
	if x.r.Method == http.MethodHead || body == "" || !bodyAllowed(status) {
		return
	}
	n, err := x.w.Write([]byte(body))
	x.sent = int64(n)
	x.gone = err != nil
}

// bodyAllowed reports whether a response with that status may have content (RFC 9110 sections 15.3.5 and 15.4.5).
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// malformed are the reasons after which an HTTP/1.1 connection is not used again.
func malformed(reason refusal.Reason) bool {
	switch reason {
	case refusal.RequestMalformed, refusal.PathAmbiguous, refusal.TargetTooLarge, refusal.HeadTooLarge,
		refusal.BodyTooLarge, refusal.BodyTimeout, refusal.Internal:
		return true
	default:
		return false
	}
}

// challengeOf is the Bearer challenge of a refusal by a token policy (RFC 6750 section 3), empty for all others.
func challengeOf(r gate.Refusal) string {
	if r.Realm == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString(`Bearer realm=`)
	writeQuoted(&b, r.Realm)
	var code string
	switch r.Reason.Status() {
	case http.StatusUnauthorized:
		if r.Reason == refusal.TokenMissing {
			// No code where the client did not try to authenticate (RFC 6750 section 3.1).
			writeMetadata(&b, r)
			return b.String()
		}
		code = "invalid_token"
	case http.StatusBadRequest:
		code = "invalid_request"
	case http.StatusForbidden:
		if r.Reason != refusal.ScopeMissing {
			return "" // no other token would help
		}
		code = "insufficient_scope"
	default:
		return ""
	}
	b.WriteString(`, error="` + code + `"`)
	if text := description(r); text != "" {
		b.WriteString(`, error_description=`)
		writeQuoted(&b, text)
	}
	if scope := scopeValue(r.Scopes); scope != "" && r.Reason == refusal.ScopeMissing {
		b.WriteString(`, scope=`)
		writeQuoted(&b, scope)
	}
	writeMetadata(&b, r)
	return b.String()
}

// writeMetadata tells where the protected resource's metadata are (RFC 9728 section 5.1).
func writeMetadata(b *strings.Builder, r gate.Refusal) {
	if r.ResourceMetadata != "" {
		b.WriteString(`, resource_metadata=`)
		writeQuoted(b, r.ResourceMetadata)
	}
}

// exactReason is the reason's word, where the policy tells it.
func exactReason(r gate.Refusal) string {
	if r.Detail != routing.DetailReason {
		return ""
	}
	return r.Reason.String()
}

// description is what a client is told in one line: the exact reason where the policy tells it, with what the policy
// says of it, else the sentence.
func description(r gate.Refusal) string {
	switch reason := exactReason(r); {
	case reason == "":
		return sentence(r)
	case r.Message != "":
		return reason + ": " + r.Message
	default:
		return reason
	}
}

// sentence is what a client is told beyond the status: whether its token is missing, expired, not valid or short of a
// scope, and nothing more exact, since whoever guesses tokens would learn from it.
func sentence(r gate.Refusal) string {
	if r.Detail == routing.DetailNone {
		return ""
	}
	if r.Detail == routing.DetailReason && r.Message != "" {
		return r.Message
	}
	switch r.Reason {
	case refusal.TokenMissing:
		return "A token is required."
	case refusal.TokenExpired:
		return "The token has expired."
	case refusal.TokenAmbiguous:
		return "The request carries more than one token."
	case refusal.ScopeMissing:
		return "The token does not grant what this needs."
	default:
		if r.Reason.Status() == http.StatusUnauthorized {
			return "The token is not valid."
		}
		return ""
	}
}

// scopeValue joins scopes (RFC 6749 section 3.3), leaving out what is no scope-token.
func scopeValue(scopes []string) string {
	var b strings.Builder
	for _, scope := range scopes {
		if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c <= ' ' || c == '"' || c == '\\' || c >= 0x7f }) {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(scope)
	}
	return b.String()
}

// writeQuoted writes a quoted-string (RFC 9110 section 5.6.4). Bytes that have no place in one become question marks.
func writeQuoted(b *strings.Builder, s string) {
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// isGRPC reports whether a request is a gRPC call.
func isGRPC(header http.Header) bool {
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	return mediaType == "application/grpc" || strings.HasPrefix(mediaType, "application/grpc+")
}

// The status codes of gRPC that refusals stand for.
const (
	grpcInvalidArgument  = 3
	grpcDeadlineExceeded = 4
	grpcPermissionDenied = 7
	grpcExhausted        = 8
	grpcUnimplemented    = 12
	grpcInternal         = 13
	grpcUnavailable      = 14
	grpcUnauthenticated  = 16
)

// grpcStatus is the gRPC status of an HTTP status, as gRPC's own mapping has it where that says anything of use.
func grpcStatus(status int) int {
	switch status {
	case http.StatusBadRequest, http.StatusRequestURITooLong:
		return grpcInvalidArgument
	case http.StatusRequestTimeout:
		return grpcDeadlineExceeded
	case http.StatusRequestHeaderFieldsTooLarge, http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return grpcExhausted
	case http.StatusUnauthorized:
		return grpcUnauthenticated
	case http.StatusForbidden:
		return grpcPermissionDenied
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return grpcUnimplemented
	case http.StatusGatewayTimeout:
		return grpcDeadlineExceeded
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusMisdirectedRequest:
		return grpcUnavailable
	default:
		return grpcInternal
	}
}
