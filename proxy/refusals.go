package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/http1"
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

// answer is a whole response that does not come from an upstream, whatever the engine that sends it.
type answer struct {
	status int
	// means is the status that it stands for in logs and metrics; 0 is status itself.
	means  int
	fields []http1.Field
	body   string
	// last says that an HTTP/1.1 connection is not used again: where a request was misread, so would be what follows it
	// (RFC 9112 section 11.2).
	last bool
}

func (a *answer) set(name, value string) {
	a.fields = append(a.fields, http1.Field{Name: name, Value: value})
}

// asked is what a refusal needs to know of the request.
type asked struct {
	method string
	// grpc says that the request is a gRPC call over HTTP/2: elsewhere it would turn refusals into status 200.
	grpc bool
}

// refusalAnswer is the one place that turns a refusal into a response. What the response tells is bounded by the refusal's
// Detail; logs and metrics get the exact reason.
func (o *outcome) refusalAnswer(r gate.Refusal, q asked) answer {
	o.reason, o.refused, o.message = r.Reason, true, r.Message
	a := answer{status: r.Reason.Status(), fields: make([]http1.Field, 0, 8), last: malformed(r.Reason) || q.method == http.MethodConnect}
	a.set("Cache-Control", "no-store")
	if o.requestID != "" {
		a.set(headerRequestID, o.requestID)
	}
	if challenge := challengeOf(r); challenge != "" {
		a.set("WWW-Authenticate", challenge)
	}
	switch a.status {
	case http.StatusMethodNotAllowed:
		a.set("Allow", r.Allow)
	case http.StatusServiceUnavailable:
		a.set("Retry-After", retryAfter)
	}
	switch {
	case q.grpc:
		a.grpc(r)
	case r.Body != routing.ErrorBodyNone:
		a.problem(r)
	}
	return a
}

// problem gives the answer its content.
func (a *answer) problem(r gate.Refusal) {
	body, err := json.Marshal(problem{
		Type:   "about:blank",
		Title:  http.StatusText(a.status),
		Status: a.status,
		Detail: sentence(r),
		Reason: exactReason(r),
	})
	if err != nil { // a struct of strings and a number
		body = nil
	}
	a.set("Content-Type", "application/problem+json")
	a.set("X-Content-Type-Options", "nosniff")
	a.body = string(body)
}

// grpc answers as gRPC clients expect it: status 200, and what it means in the head, with no body ("Trailers-Only" in
// gRPC over HTTP/2).
func (a *answer) grpc(r gate.Refusal) {
	a.set("Content-Type", "application/grpc")
	a.set("Grpc-Status", strconv.Itoa(grpcStatus(a.status)))
	message := description(r)
	if message == "" {
		message = http.StatusText(a.status)
	}
	a.set("Grpc-Message", strings.ReplaceAll(message, "%", "%25")) // printable ASCII needs no other escapes
	a.status, a.means = http.StatusOK, a.status
}

// terminateAnswer is what the Pipeline says.
func terminateAnswer(t *routing.Terminate) answer {
	a := answer{status: t.StatusCode, fields: make([]http1.Field, 0, 4), body: t.Body}
	if t.ContentType != "" {
		a.set("Content-Type", t.ContentType)
	}
	a.set("X-Content-Type-Options", "nosniff")
	return a
}

// redirectAnswer sends the client to the same host and target by https. 308 keeps the method and body (RFC 9110 section
// 15.4.9).
func (o *outcome) redirectAnswer(query string) answer {
	location := "https://" + o.verdict.Host
	if o.h.httpsPort != 0 && o.h.httpsPort != 443 {
		location += ":" + strconv.Itoa(o.h.httpsPort)
	}
	location += o.verdict.Path
	if query != "" {
		location += "?" + query
	}
	a := answer{status: http.StatusPermanentRedirect, fields: make([]http1.Field, 0, 4)}
	a.set("Location", location)
	a.set("Cache-Control", "no-store")
	return a
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

// isGRPC reports whether a request with that Content-Type is a gRPC call.
func isGRPC(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
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
