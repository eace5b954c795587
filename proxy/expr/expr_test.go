package expr

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
)

type request struct {
	authority, path string
	header          map[string][]string
}

func (*request) Method() string                { return "GET" }
func (*request) Scheme() string                { return "https" }
func (r *request) Authority() string           { return r.authority }
func (r *request) Path() string                { return r.path }
func (*request) Query() string                 { return "a=b" }
func (*request) ClientAddr() netip.AddrPort    { return netip.AddrPort{} }
func (*request) ServerName() string            { return "" }
func (r *request) Values(name string) []string { return r.header[name] }
func (*request) SetPath(string)                {}
func (*request) SetQuery(string)               {}
func (*request) Set(string, string)            {}
func (*request) Delete(string)                 {}
func (*request) DeleteFunc(func(string) bool)  {}
func (*request) DeleteIdentity()               {}
func (*request) Put(head.Block)                {}

func (r *request) Names(yield func(string) bool) {
	for name := range r.header {
		if !yield(name) {
			return
		}
	}
}

func variables(claims map[string]any) Variables {
	return Variables{
		Head: &request{
			authority: "API.example.com:8443", path: "/orders;v=1/%37",
			header: map[string][]string{"x-tenant": {"acme"}, "x-many": {"a", "b"}},
		},
		Claims: func() (map[string]any, error) { return claims, nil },
	}
}

func claims() map[string]any {
	return map[string]any{
		"tenant": "acme", "level": int64(3), "ratio": 0.5, "admin": true, "none": nil,
		"roles":                      []any{"trader", "viewer"},
		"https://example.com/groups": []any{"eu"},
		"realm":                      map[string]any{"roles": []any{"trader"}},
		"exp":                        int64(1_800_000_300),
		"iat":                        int64(1_800_000_000),
		"nested":                     []any{[]any{"a"}, []any{"b"}},
		"email":                      "a@example.com",
		"scores":                     []any{int64(1), 2.5},
	}
}

const failed = "error"

func TestEval(t *testing.T) {
	for text, want := range map[string]string{
		"true":                     "true",
		"claims.tenant == 'acme'":  "true",
		"claims.tenant == 'other'": "false",
		"claims.tenant == request.headers['x-tenant']":                            "true",
		"request.headers['x-many'] == 'a, b'":                                     "true",
		"request.headers['x-absent'] == 'a'":                                      failed,
		"'x-absent' in request.headers":                                           "false",
		"has(claims.absent) && claims.absent":                                     "false",
		"claims.absent":                                                           failed,
		"claims.absent == 'a' || true":                                            "true",
		"claims.absent == 'a' || false":                                           failed,
		"claims.admin":                                                            "true",
		"claims.tenant":                                                           failed,
		"claims.none == null":                                                     "true",
		"claims.level >= 3 && claims.level < 4":                                   "true",
		"claims.level == 3.0":                                                     "true",
		"claims.ratio < 1":                                                        "true",
		"claims.level + 1 == 4":                                                   "true",
		"claims.exp - claims.iat <= 300":                                          "true",
		"timestamp(claims.exp) - timestamp(claims.iat) <= duration('5m')":         "true",
		"'trader' in claims.roles":                                                "true",
		"'trader' in claims.realm.roles":                                          "true",
		"claims['https://example.com/groups'].exists(g, g == 'eu')":               "true",
		"claims.roles.all(r, r in ['trader', 'viewer'])":                          "true",
		"claims.roles.exists_one(r, r.startsWith('v'))":                           "true",
		"claims.exists(name, name == 'tenant')":                                   "true",
		"claims.email.matches('^[a-z]+@example[.]com$')":                          "true",
		"claims.email.endsWith('@example.com') ? size(claims.roles) == 2 : false": "true",
		"request.method == 'GET' && request.host == 'api.example.com'":            "true",
		"request.path == '/orders/7'":                                             "true",
		"request.query == 'a=b'":                                                  "true",
		"claims.tenant in [request.host, claims.tenant]":                          "true",
		"claims.nested == [['a'], ['b']]":                                         "true",
		"claims.scores.all(s, s > 0)":                                             "true",
		"9223372036854775807 + claims.level > 0":                                  failed,
		"claims.level / 0 == 1":                                                   failed,
		"claims.roles[7] == 'a'":                                                  failed,
	} {
		t.Run(text, func(t *testing.T) {
			p, err := Compile(text, ScopeClaims)
			if err != nil {
				t.Fatal(err)
			}
			got, err := p.Eval(variables(claims()))
			result := map[bool]string{true: "true", false: "false"}[got]
			if err != nil {
				result = failed
				if got {
					t.Error("true with an error")
				}
			}
			if result != want {
				t.Errorf("%s (%v), want %s", result, err, want)
			}
			if uses := strings.Contains(text, "claims"); p.NeedsClaims() != uses {
				t.Errorf("needs claims: %t", p.NeedsClaims())
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                       "the expression is empty",
		" \n":                                    "the expression is empty",
		"claims.":                                "column 8: Syntax error: no viable alternative at input '.'",
		"clams.tenant == 'a'":                    "column 1: undeclared reference to 'clams'",
		"true &&\n  clams":                       "line 2, column 3: undeclared reference to 'clams'",
		"request.pth == '/'":                     "column 1: undeclared reference to 'request'",
		"1 + 1":                                  "the expression is of type int; write one that is true or false",
		"'a' == 1":                               "column 5: found no matching overload for '_==_' applied to '(string, int)'",
		"claims.roles.map(r, r) == []":           "column 17: undeclared reference to 'map'",
		"claims.roles.filter(r, r == 'a') == []": "column 20: undeclared reference to 'filter'",
		"claims.roles.exists(r, [r, r] == [])":   "column 24: a list can't have an element that depends on the variable of a macro",
		"claims.roles.exists(r, {'a': r} == {})": "column 24: a map can't have an entry that depends on the variable of a macro",
		"claims.tenant.matches(claims.pattern)":  "column 29: a regular expression must be written as it is, it can't be computed",
		"claims.tenant.matches('(')":             "column 23: parse regular expression: error parsing regexp: missing closing ): `(`",
		"claims.tenant.matches('((a{100}){10}){2}')":                 "",
		"google.protobuf.Int64Value{value: 1} == 1":                  "column 27: messages can't be made here",
		strings.Repeat("(", 100) + "true" + strings.Repeat(")", 100): "",
		"true || " + strings.Repeat("x", MaxLength):                  "",
	} {
		t.Run(text, func(t *testing.T) {
			p, err := Compile(text, ScopeClaims)
			var at *Error
			if p != nil || !errors.As(err, &at) {
				t.Fatalf("program %v, error %v", p, err)
			}
			if diff := cmp.Diff(want, err.Error()); want != "" && diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if _, again := Compile(text, ScopeClaims); again == nil || again.Error() != err.Error() {
				t.Errorf("another error: %v", again)
			}
		})
	}
	if _, err := Compile("claims.a == 'a'", ScopeRequest); err == nil {
		t.Error("claims are there without a token")
	}
}

// TestCostIsBounded: whatever an expression does with a token as large as they get, it ends soon.
func TestCostIsBounded(t *testing.T) {
	groups := make([]any, 4000)
	for i := range groups {
		groups[i] = "g"
	}
	nested := any("x")
	for range 30 {
		nested = []any{nested, nested} // shares memory: a tree of 2^30 leaves
	}
	large := map[string]any{
		"groups": groups, "text": strings.Repeat("a", 32<<10), "same": strings.Repeat("a", 32<<10), "nested": nested, "one": []any{"a"},
	}
	deep := strings.Repeat("claims.groups.exists(x, ", 20) + "false" + strings.Repeat(")", 20)
	doubled := "claims.text"
	for range 6 {
		doubled = "(" + doubled + "+" + doubled + ")"
	}
	for name, text := range map[string]string{
		"a loop in a loop":          "claims.groups.exists(a, claims.groups.exists(b, a != b))",
		"twenty loops":              deep,
		"long texts in a loop":      "claims.groups.exists(a, claims.text != claims.same)",
		"long texts summed":         doubled[:min(len(doubled), MaxLength-10)] + "",
		"lists summed in a loop":    "claims.groups.all(a, (claims.groups + claims.groups + claims.groups) != claims.one)",
		"a list searched in a loop": "claims.groups.exists(a, 'b' in claims.groups)",
		"a pattern in a loop":       "claims.groups.exists(a, claims.text.matches('(a|aa)*b'))",
		"a text searched in a loop": "claims.groups.exists(a, claims.text.contains('aaaaaaaaaaaaab'))",
		"conversions in a loop":     "claims.groups.exists(a, bytes(claims.text) == b'a')",
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Compile(text, ScopeClaims)
			if err != nil {
				t.Skip(err) // too long or too deep is bounded as well
			}
			start := time.Now()
			_, err = p.Eval(variables(large))
			took := time.Since(start)
			if err == nil || !strings.Contains(err.Error(), "cost limit") {
				t.Errorf("error %v, want one of the cost limit", err)
			}
			t.Log(took)
			if took > 5*time.Second { // of a busy machine with the race detector; it takes milliseconds
				t.Errorf("took %v", took)
			}
		})
	}
}

// TestClaimsThatCantBeRead: an expression that needs them decides nothing.
func TestClaimsThatCantBeRead(t *testing.T) {
	bad := errors.New("duplicate member")
	for name, f := range map[string]func() (map[string]any, error){
		"an error": func() (map[string]any, error) { return nil, bad },
		"none":     nil,
	} {
		p, err := Compile("!has(claims.banned)", ScopeClaims)
		if err != nil {
			t.Fatal(err)
		}
		vars := variables(nil)
		vars.Claims = f
		if got, err := p.Eval(vars); got || err == nil {
			t.Errorf("%s: %t, %v", name, got, err)
		}
	}
	p, err := Compile("request.host == 'a' || request.path == '/'", ScopeRequest)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.Eval(Variables{Head: &request{authority: "a b", path: "/a%2fb"}}); got || err == nil {
		t.Errorf("a request that can't be read: %t, %v", got, err)
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		"claims.tenant == request.headers['x-tenant']", "claims.roles.exists(r, r == 'a')", "has(claims.a) && !claims.a", "claims.a.matches('a+')",
		"[claims.a] == [1, 2.0, b'x', null]", "{'a': claims.b}.a == 'c'", "timestamp(claims.exp) > timestamp('2026-01-01T00:00:00Z')", "claims.a[0]", "1u + 2u == 3u",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Compile(text, ScopeClaims)
		if (p == nil) == (err == nil) {
			t.Fatalf("program %v, error %v", p, err)
		}
		if err != nil {
			return
		}
		start := time.Now()
		if got, err := p.Eval(variables(claims())); got && err != nil {
			t.Fatal("true with an error")
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		if _, err := Compile("claims.tenant == request.headers['x-tenant'] && 'trader' in claims.roles", ScopeClaims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	p, err := Compile("claims.tenant == request.headers['x-tenant'] && 'trader' in claims.roles", ScopeClaims)
	if err != nil {
		b.Fatal(err)
	}
	vars := variables(claims())
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := p.Eval(vars); !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}
