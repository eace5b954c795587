package gate

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// request is a head.Head of plain values.
type request struct {
	method, scheme, authority, path, query, sni string
	header                                      http.Header
}

func (r *request) Method() string              { return r.method }
func (r *request) Scheme() string              { return r.scheme }
func (r *request) Authority() string           { return r.authority }
func (r *request) Path() string                { return r.path }
func (r *request) Query() string               { return r.query }
func (r *request) ClientAddr() netip.AddrPort  { return netip.AddrPort{} }
func (r *request) ServerName() string          { return r.sni }
func (r *request) Values(name string) []string { return r.header.Values(name) }
func (r *request) SetPath(path string)         { r.path = path }
func (r *request) SetQuery(query string)       { r.query = query }
func (r *request) Set(name, value string)      { r.header.Set(name, value) }
func (r *request) Delete(name string) {
	for n := range r.header {
		if strings.EqualFold(n, name) {
			delete(r.header, n)
		}
	}
}

func (r *request) Names(yield func(string) bool) {
	for name := range r.header {
		if !yield(name) {
			return
		}
	}
}

func (r *request) DeleteFunc(so func(string) bool) {
	for n := range r.header {
		if so(n) {
			delete(r.header, n)
		}
	}
}

func (r *request) DeleteIdentity() { r.DeleteFunc(head.IsIdentity) }

func (r *request) Put(b head.Block) {
	for name, value := range b.Fields() {
		r.header.Add(name, value)
	}
}

func get(path string) *request {
	return &request{method: "GET", scheme: "http", authority: "app.test", path: path, header: http.Header{}}
}

func key(name string) routing.ObjectKey { return routing.ObjectKey{Namespace: "shop", Name: name} }

func pipeline(name, path string) routing.Pipeline {
	return routing.Pipeline{
		Key:      key(name),
		Insecure: routing.InsecureServe,
		Matches:  []routing.Match{{Endpoint: "main", Path: routing.PathMatch{Type: routing.PathPrefix, Value: path}}},
		Proxy:    &routing.Proxy{Upstream: key("backend")},
	}
}

func newGate(t *testing.T, pipelines ...routing.Pipeline) *Gate {
	t.Helper()
	upstreams := upstream.NewRegistry(upstream.Options{})
	t.Cleanup(upstreams.Close)
	upstreams.Apply([]routing.Upstream{{Key: key("backend"), Backends: []routing.Backend{{Service: key("svc"), Port: 80, Weight: 1}}}})
	g, problems := New(routing.Config{Pipelines: pipelines}, Deps{Keyring: keyring.New(), Upstreams: upstreams})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return g
}

// TestZeroValuesDeny: what was forgotten denies.
// TestPolicyOfNoPipeline: an index that is none has no policy, which is known.
func TestPolicyOfNoPipeline(t *testing.T) {
	g, _ := New(routing.Config{}, Deps{})
	for _, i := range []int{NoPipeline, 0, 1} {
		if policy, known := g.Policy(i); policy != nil || !known {
			t.Errorf("Pipeline %d: %v, %t", i, policy, known)
		}
	}
}

func TestZeroValuesDeny(t *testing.T) {
	var v Verdict
	if v.Outcome != Refuse || v.Refusal.Reason != refusal.Internal || v.Pipeline() != NoPipeline {
		t.Errorf("the zero Verdict is %+v", v)
	}
	var failed *upstream.Error
	if _, _, err := v.Pass.RoundTrip(nil); !errors.As(err, &failed) || failed.Reason != refusal.Internal {
		t.Errorf("the zero Pass answers %v", err)
	}
	if v.Pass.Direct() || v.Pass.Idle(&upstream.Attempt{}) != nil {
		t.Error("the zero Pass has connections")
	}
	if conn, err := v.Pass.Connect(t.Context(), &upstream.Attempt{}); conn != nil || !errors.As(err, &failed) || failed.Reason != refusal.Internal {
		t.Errorf("the zero Pass connects: %v", err)
	}
	if conn, err := v.Pass.Again(t.Context(), &upstream.Attempt{}); conn != nil || !errors.As(err, &failed) || failed.Reason != refusal.Internal {
		t.Errorf("the zero Pass connects again: %v", err)
	}
	if conn, err := v.Pass.Renew(t.Context(), &upstream.Attempt{}); conn != nil || !errors.As(err, &failed) || failed.Reason != refusal.Internal {
		t.Errorf("the zero Pass renews connections: %v", err)
	}
	if v.Pass.Upstream() != (routing.ObjectKey{}) {
		t.Error("the zero Pass has an upstream")
	}
	var s steps
	s.decide(t.Context(), &v, get("/"), &routing.Match{}, time.Time{}, nil)
	if v.Outcome != Refuse || v.Refusal.Reason != refusal.PipelineNotReady {
		t.Errorf("steps that were not built decide %+v", v)
	}
}

// TestDecide is the order of the steps: each case breaks the rule of one, and all rules behind it.
func TestDecide(t *testing.T) {
	guarded := pipeline("guarded", "/guarded")
	guarded.JWT = &routing.JWT{
		Namespace: "shop", Lookup: routing.Lookup{Name: "sub"}, MaxTokenBytes: 1024, Realm: "r",
		TokenSources: []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
	}
	broken, strict, redirect, odd := pipeline("broken", "/broken"), pipeline("strict", "/strict"), pipeline("redirect", "/redirect"), pipeline("odd", "/odd")
	broken.Broken, broken.Insecure = "no key", routing.InsecureRefuse
	strict.JWT, strict.Insecure = guarded.JWT, routing.InsecureRefuse
	redirect.JWT, redirect.Insecure = guarded.JWT, routing.InsecureRedirect
	odd.Insecure = 99
	posts := pipeline("posts", "/posts")
	posts.Matches[0].Methods = []string{"POST"}
	g := newGate(t, pipeline("public", "/public"), guarded, broken, strict, redirect, odd, posts)
	cases := map[string]struct {
		edit    func(*request)
		path    string
		outcome Outcome
		reason  refusal.Reason
	}{
		"forwarded":              {path: "/public/a", outcome: Forward},
		"host first":             {path: "/a%2fb", edit: func(r *request) { r.authority = "a b" }, reason: refusal.RequestMalformed},
		"then the path":          {path: "/a%2fb", edit: func(r *request) { r.scheme, r.sni = "https", "other.test" }, reason: refusal.PathAmbiguous},
		"a path too long":        {path: "/" + strings.Repeat("a", routing.MaxTargetBytes), reason: refusal.TargetTooLarge},
		"no path":                {path: "a", reason: refusal.RequestMalformed},
		"then the TLS name":      {path: "/nowhere", edit: func(r *request) { r.scheme, r.sni = "https", "other.test" }, reason: refusal.Misdirected},
		"TLS without a name":     {path: "/public", edit: func(r *request) { r.scheme = "https" }, reason: refusal.Misdirected},
		"then the match":         {path: "/nowhere", reason: refusal.NoRoute},
		"and the method":         {path: "/posts", reason: refusal.MethodNotAllowed},
		"then what is broken":    {path: "/broken", reason: refusal.PipelineNotReady},
		"then clear text":        {path: "/strict", reason: refusal.InsecureTransport},
		"or a redirect":          {path: "/redirect", outcome: Redirect},
		"an unknown word for it": {path: "/odd", reason: refusal.InsecureTransport},
		"then the token":         {path: "/guarded", reason: refusal.TokenMissing},
		"over TLS the token":     {path: "/strict", edit: func(r *request) { r.scheme, r.sni = "https", "app.test" }, reason: refusal.TokenMissing},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := get(c.path)
			if c.edit != nil {
				c.edit(r)
			}
			v := decide(t.Context(), g, r, time.Now())
			if v.Outcome != c.outcome || c.outcome == Refuse && v.Refusal.Reason != c.reason {
				t.Errorf("outcome %d, %s; want %d, %s", v.Outcome, v.Refusal.Reason, c.outcome, c.reason)
			}
			if passes := v.Pass != (Pass{}); passes != (c.outcome == Forward) {
				t.Errorf("outcome %d with a pass: %t", v.Outcome, passes)
			}
		})
	}
}

// TestChallengeOnlyFromPolicies: a realm is told where the Pipeline's policy refused, and nowhere else.
func TestChallengeOnlyFromPolicies(t *testing.T) {
	p := pipeline("guarded", "/")
	p.JWT = &routing.JWT{
		Namespace: "shop", Lookup: routing.Lookup{Name: "sub"}, MaxTokenBytes: 1024, Realm: "r", Detail: routing.DetailReason,
		TokenSources: []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
	}
	g := newGate(t, p)
	v := decide(t.Context(), g, get("/"), time.Now())
	if diff := cmp.Diff(Refusal{Reason: refusal.TokenMissing, Realm: "r", Detail: routing.DetailReason}, v.Refusal); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
	v = decide(t.Context(), g, get("/a%2fb"), time.Now())
	if diff := cmp.Diff(Refusal{Reason: refusal.PathAmbiguous}, v.Refusal); diff != "" {
		t.Errorf("refusal (-want +got):\n%s", diff)
	}
}
