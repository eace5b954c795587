package compile_test

import (
	"path/filepath"
	"testing"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

// outcome is what becomes of a request before anything of it but the head is looked at.
type outcome string

const (
	notTaken  outcome = "404 or 405"
	closed    outcome = "503 pipeline_not_ready"
	protected outcome = "only with a token"
	open      outcome = "open"
)

// outcomeOf asks the router.
func outcomeOf(t testing.TB, cfg routing.Config, host, path, method string, headers map[string]string) outcome {
	t.Helper()
	table, problems := routing.Build(cfg)
	if len(problems) > 0 {
		t.Fatalf("the router finds problems in what was compiled: %v", problems)
	}
	return lookup(table, host, path, method, headers)
}

// fields are header fields of one line each.
type fields map[string]string

func (f fields) Values(name string) []string {
	if value, ok := f[name]; ok {
		return []string{value}
	}
	return nil
}

func lookup(table *routing.Table, host, path, method string, headers map[string]string) outcome {
	result := table.Match(&routing.Request{Host: host, Path: path, Method: method, Fields: fields(headers)})
	if result.Status != routing.Found {
		return notTaken
	}
	switch p := table.Pipeline(result.Route.Pipeline); {
	case p.Broken != "":
		return closed
	case p.JWT != nil:
		return protected
	default:
		return open
	}
}

// Each fixture holds a Pipeline with something wrong; some hold a broader, public one that must not get its requests.
func TestWhatCannotBeCompiledCloses(t *testing.T) {
	tests := map[string]struct {
		fixture, host, path string
		method              string
		headers             map[string]string
		want                outcome
	}{
		"a broken selector closes its path":                         {fixture: "closed-selector-broken", host: "a.example.com", path: "/orders/7", want: closed},
		"a broken selector closes nothing else":                     {fixture: "closed-selector-broken", host: "a.example.com", path: "/other", want: open},
		"an unknown policy type closes":                             {fixture: "closed-unknown-policy-type", host: "a.example.com", path: "/orders", want: closed},
		"a broken expression closes what it could have meant":       {fixture: "closed-expression-broken", host: "a.example.com", path: "/admin/7", want: closed},
		"a broken expression closes nothing else":                   {fixture: "closed-expression-broken", host: "a.example.com", path: "/news", want: open},
		"a broken header expression closes any value":               {fixture: "closed-header-expression-broken", host: "a.example.com", path: "/x", headers: map[string]string{"x-beta": "1"}, want: closed},
		"a broken header expression closes only with the header":    {fixture: "closed-header-expression-broken", host: "a.example.com", path: "/x", want: open},
		"a method that can't be sent closes every method":           {fixture: "closed-method-and-header-name-invalid", host: "a.example.com", path: "/x", want: closed},
		"a path that isn't canonical closes the one that was meant": {fixture: "closed-path-not-canonical", host: "a.example.com", path: "/orders", want: closed},
		"scopes without a token policy close":                       {fixture: "closed-scopes-without-token-policy", host: "a.example.com", path: "/", want: closed},
		"a missing member closes":                                   {fixture: "closed-policy-without-member", host: "a.example.com", path: "/", want: closed},
		"the member of another type closes":                         {fixture: "closed-policy-without-member", host: "b.example.com", path: "/", want: closed},
		"a token policy after the answer closes":                    {fixture: "closed-policies-in-the-wrong-order", host: "a.example.com", path: "/", want: closed},
		"two token policies close":                                  {fixture: "closed-policies-in-the-wrong-order", host: "b.example.com", path: "/", want: closed},
		"no answer closes":                                          {fixture: "closed-policies-in-the-wrong-order", host: "c.example.com", path: "/", want: closed},
		"an ACL before the token policy closes":                     {fixture: "closed-policies-in-the-wrong-order", host: "d.example.com", path: "/", want: closed},
		"an ACL without a token policy closes":                      {fixture: "closed-policies-in-the-wrong-order", host: "e.example.com", path: "/", want: closed},
		"an ACL after the answer closes":                            {fixture: "closed-policies-in-the-wrong-order", host: "f.example.com", path: "/", want: closed},
		"an ACL that names no group closes":                         {fixture: "closed-acl-invalid", host: "a.example.com", path: "/", want: closed},
		"an ACL with a group that nobody can have closes":           {fixture: "closed-acl-invalid", host: "b.example.com", path: "/", want: closed},
		"an ACL without its member closes":                          {fixture: "closed-acl-invalid", host: "c.example.com", path: "/", want: closed},
		"unknown values close":                                      {fixture: "closed-unknown-values", host: "a.example.com", path: "/a/b", headers: map[string]string{"x-a": "b"}, want: closed},
		"a missing ServiceEndpoint keeps the token policy":          {fixture: "serviceendpoint-missing-keeps-the-token-policy", host: "a.example.com", path: "/", want: protected},
		"missing Services keep the token policy":                    {fixture: "service-all-missing", host: "a.example.com", path: "/", want: protected},
		"a missing CA keeps the token policy":                       {fixture: "closed-upstream-ca-secret-missing", host: "a.example.com", path: "/", want: protected},
		"an issuer's Secret that is missing closes":                 {fixture: "closed-issuer-references", host: "a.example.com", path: "/", want: closed},
		"an issuer's keys that don't work close":                    {fixture: "closed-issuer-references", host: "b.example.com", path: "/", want: closed},
		"an issuer's CA that is missing closes":                     {fixture: "closed-issuer-references", host: "c.example.com", path: "/", want: closed},
		"credentials of a namespace that grants none close":         {fixture: "jwt-credentials-of-other-namespaces", host: "c.example.com", path: "/", want: closed},
		"credentials of a namespace that grants them are taken":     {fixture: "jwt-credentials-of-other-namespaces", host: "a.example.com", path: "/", want: protected},
		"an issuer's CA that is none closes":                        {fixture: "closed-issuer-references", host: "d.example.com", path: "/", want: closed},
		"a broken Pipeline keeps its host from other namespaces":    {fixture: "owner-stays-while-broken", host: "api.example.com", path: "/", want: closed},
		"a wildcard takes nothing of an owned host":                 {fixture: "owner-wildcard-takes-nothing-of-an-owned-host", host: "api.example.com", path: "/orders", want: protected},
		"no path of an owned host falls through to a wildcard":      {fixture: "owner-wildcard-takes-nothing-of-an-owned-host", host: "api.example.com", path: "/other", want: notTaken},
		"a method that was lost is answered by the winner":          {fixture: "conflict-loser-keeps-other-methods", host: "a.example.com", path: "/", method: "GET", want: open},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			f := loadFixture(t, filepath.Join("testdata", tc.fixture))
			cfg, _ := compile.Compile(f.Snapshot)
			method := tc.method
			if method == "" {
				method = "GET"
			}
			if got := outcomeOf(t, cfg, tc.host, tc.path, method, tc.headers); got != tc.want {
				t.Errorf("%s %s%s: got %q, want %q", method, tc.host, tc.path, got, tc.want)
			}
		})
	}
}

// An upstream whose authorities are not known can't be reached at all.
func TestUpstreamWithoutItsAuthoritiesHasNoBackends(t *testing.T) {
	for _, fixture := range []string{"closed-upstream-ca-secret-missing", "closed-upstream-ca-entry-missing", "closed-upstream-ca-not-a-certificate"} {
		t.Run(fixture, func(t *testing.T) {
			f := loadFixture(t, filepath.Join("testdata", fixture))
			cfg, _ := compile.Compile(f.Snapshot)
			if len(cfg.Upstreams) != 1 {
				t.Fatalf("got %d upstreams, want 1", len(cfg.Upstreams))
			}
			u := cfg.Upstreams[0]
			if len(u.Backends)+len(u.URLs) > 0 {
				t.Errorf("it has backends: %v %v", u.Backends, u.URLs)
			}
			if u.TLS == nil || u.TLS.RootCAs == "" {
				t.Error("it would be verified by the system's roots")
			}
		})
	}
}
