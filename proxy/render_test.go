package proxy

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http/httpguts"

	"github.com/ostiary/ostiary/proxy/gate"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// TestGRPCStatus: every reason has a gRPC status that a client can act on; only faults of ours are internal errors.
func TestGRPCStatus(t *testing.T) {
	want := map[refusal.Reason]int{
		refusal.Internal: 13, refusal.RequestMalformed: 3, refusal.PathAmbiguous: 3, refusal.TargetTooLarge: 3,
		refusal.HeadTooLarge: 8, refusal.BodyTooLarge: 8, refusal.BodyTimeout: 4, refusal.TokenTooLarge: 8, refusal.Misdirected: 14, refusal.NoRoute: 12,
		refusal.MethodNotAllowed: 12, refusal.InsecureTransport: 7, refusal.PipelineNotReady: 14, refusal.TokenAmbiguous: 3,
		refusal.ScopeMissing: 7, refusal.GroupDenied: 7, refusal.NoEndpoints: 14, refusal.Overloaded: 14, refusal.UpstreamConnect: 14,
		refusal.UpstreamProtocol: 14, refusal.UpstreamTimeout: 4, refusal.KeysUnavailable: 14,
	}
	for reason := range refusal.All() {
		code, ok := want[reason]
		if !ok {
			code = 16 // everything that is wrong with a token
		}
		if got := grpcStatus(reason.Status()); got != code {
			t.Errorf("%s: gRPC status %d, want %d", reason, got, code)
		}
	}
}

// TestChallengeOfGroupDenied: no other token of this caller would do, so that none is asked for.
func TestChallengeOfGroupDenied(t *testing.T) {
	if got := challengeOf(gate.Refusal{Reason: refusal.GroupDenied, Realm: "orders"}); got != "" {
		t.Errorf("challenge %q, want none", got)
	}
}

// FuzzChallenge: whatever a realm and scopes are, the challenge is one field value with quoted strings that end where
// they should.
func FuzzChallenge(f *testing.F) {
	f.Add("orders", "orders.read", uint8(refusal.ScopeMissing), uint8(0))
	f.Add("a\"b\\", "a\"b", uint8(refusal.TokenExpired), uint8(1))
	f.Add("\r\nX: 1", "a b", uint8(refusal.TokenAmbiguous), uint8(2))
	f.Fuzz(func(t *testing.T, realm, scope string, reason, detail uint8) {
		r := gate.Refusal{Reason: refusal.Reason(reason), Realm: realm, Scopes: []string{scope}, Detail: routing.Detail(detail)}
		challenge := challengeOf(r)
		if challenge == "" {
			return
		}
		if !httpguts.ValidHeaderFieldValue(challenge) {
			t.Fatalf("%q is no field value", challenge)
		}
		rest, ok := strings.CutPrefix(challenge, "Bearer ")
		for ok {
			var name string
			if name, rest, ok = strings.Cut(rest, `="`); !ok || !httpguts.ValidHeaderFieldName(name) {
				ok = false
				break
			}
			if rest, ok = afterQuoted(rest); ok && rest == "" {
				break
			}
			if ok {
				rest, ok = strings.CutPrefix(rest, ", ")
			}
		}
		if !ok {
			t.Fatalf("%q is no challenge", challenge)
		}
	})
}

// afterQuoted skips to behind the quote that ends a quoted-string.
func afterQuoted(s string) (string, bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[i+1:], true
		}
	}
	return "", false
}

// FuzzReadTarget: what is taken as a target makes a request line that has no other reading.
func FuzzReadTarget(f *testing.F) {
	for _, target := range []string{"/", "/a?b", "http://app.test", "http://app.test?x", "//evil.test", "*", "/a#b", "http://u@app.test/", "/?\xff", "a:b"} {
		f.Add(target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		r, err := http.NewRequest(http.MethodGet, "http://app.test/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.RequestURI = target
		h := requestHead{r: r}
		if _, ok := h.readTarget(); !ok {
			return
		}
		if h.path == "" || h.path[0] != '/' || strings.ContainsAny(h.path, "?#") {
			t.Errorf("%q has the path %q", target, h.path)
		}
		if strings.ContainsFunc(h.query, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
			t.Errorf("%q has the query %q", target, h.query)
		}
	})
}

// FuzzContainsToken compares with a plain reading of comma-separated lists.
func FuzzContainsToken(f *testing.F) {
	f.Add("close, X-Consumer-ID", "x-consumer-id")
	f.Add(",,\t a ,", "A")
	f.Fuzz(func(t *testing.T, line, token string) {
		if token == "" || strings.ContainsAny(token, ", \t") {
			return
		}
		want := false
		for one := range strings.SplitSeq(line, ",") {
			want = want || strings.EqualFold(strings.Trim(one, " \t"), token)
		}
		if got := containsToken([]string{line}, token); got != want {
			t.Errorf("containsToken(%q, %q) = %t, want %t", line, token, got, want)
		}
	})
}
