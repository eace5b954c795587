package archtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rule forbids imports. It covers the packages at or below each of its
// folders, and these must exist: a rule about nothing would pass for ever.
type rule struct {
	// folders, relative to the module.
	folders []string
	// except lists folders that the rule leaves out.
	except []string
	// direct: only the packages' own imports count, not what these import.
	direct bool
	// forbids are import paths; one that ends in "/..." covers what lies below.
	forbids []string
	// reason completes the sentence "must not import X, because ...".
	reason string
}

func importRules() map[string]rule {
	return map[string]rule{
		"the data plane knows nothing of Kubernetes": {
			folders: []string{"proxy"},
			forbids: []string{"k8s.io/...", "sigs.k8s.io/..."},
			reason:  "the data plane serves plain data; the serve path and its tests need no cluster libraries",
		},
		"the data plane knows nothing of the control plane": {
			folders: []string{"proxy"},
			forbids: []string{module + "/api/...", module + "/controllers/...", module + "/internal/..."},
			reason:  "data flows one way: what is served was compiled before, internal/publish hands it over",
		},
		"the router needs the standard library and the token policy's data": {
			folders: []string{"proxy/routing"},
			direct:  true,
			forbids: []string{"github.com/...", "golang.org/...", "go.uber.org/...", "go.opentelemetry.io/..."},
			reason:  "matching a request is pure code over an immutable table",
		},
		"the compiler's dependencies hold no client": {
			folders: []string{"internal/compile"},
			forbids: []string{"k8s.io/client-go/...", "sigs.k8s.io/controller-runtime/..."},
			reason:  "compiling is a pure function of the snapshot; what can call the API server will, one day",
		},
		"the compiler names nothing with an effect": {
			folders: []string{"internal/compile"},
			direct:  true,
			forbids: []string{"net/http/...", "os/...", "log/...", "context", "math/rand/...", "io/ioutil"},
			reason:  "compiling is a pure function of the snapshot: the same input gives the same output, whoever asks",
		},
		"the compiler looks at the data plane's data alone": {
			folders: []string{"internal/compile"},
			forbids: []string{module + "/proxy/server/...", module + "/proxy/http1/...", module + "/internal/publish/..."},
			reason:  "compiling describes what to serve and starts nothing",
		},
		"file mode runs without a cluster": {
			folders: []string{"internal/filesource", "internal/publish", "internal/admin"},
			forbids: []string{"sigs.k8s.io/controller-runtime/...", module + "/controllers/..."},
			reason:  "`ostiary serve` must work where there is no API server, and stay small",
		},
		"controllers never start listeners": {
			folders: []string{"controllers"},
			forbids: []string{module + "/proxy/server/..."},
			reason:  "only internal/app brings the control plane and the listeners together",
		},
		"the API's types are importable": {
			folders: []string{"api"},
			forbids: []string{
				module + "/internal/...", module + "/controllers/...", module + "/proxy/...",
				"k8s.io/client-go/...", "sigs.k8s.io/controller-runtime/...",
			},
			reason: "other programs import these types; they bring the API machinery and nothing else",
		},
		"nothing depends on the commands": {
			folders: []string{"api", "controllers", "proxy", "internal"},
			except:  []string{"internal/app"},
			direct:  true,
			forbids: []string{module + "/internal/app/...", "github.com/spf13/cobra/..."},
			reason:  "internal/app wires everything; a package that needs it is wired the wrong way round",
		},
	}
}

func TestImportRules(t *testing.T) {
	g := mustLoadGraph(t)
	for name, r := range importRules() {
		t.Run(name, func(t *testing.T) {
			for _, folder := range r.folders {
				packages := g.below(folder)
				if len(packages) == 0 {
					t.Errorf("no package at or below %s: the rule guards nothing; rename its folder here", folder)
				}
				for _, path := range packages {
					if slices.ContainsFunc(r.except, func(e string) bool { return under(path, module+"/"+e) }) {
						continue
					}
					checkRule(t, g, path, r)
				}
			}
		})
	}
}

func checkRule(t *testing.T, g graph, path string, r rule) {
	t.Helper()
	matches := func(imported string) bool {
		return imported != path && slices.ContainsFunc(r.forbids, func(f string) bool { return covers(f, imported) })
	}
	var found []string
	if r.direct {
		for _, imported := range g[path].Imports {
			if matches(imported) {
				found = append(found, path+"\n      imports "+imported)
			}
		}
	} else {
		found = g.forbidden(path, matches)
	}
	for _, chain := range found {
		t.Errorf("forbidden import, because %s:\n      %s", r.reason, chain)
	}
}

// covers reports whether a rule's pattern covers an import path. A pattern
// about other modules ("github.com/...") never covers a package of this one.
func covers(pattern, path string) bool {
	if ours(path) && !ours(pattern) {
		return false
	}
	parent, below := strings.CutSuffix(pattern, "/...")
	if below {
		return under(path, parent)
	}
	return path == pattern
}

// Only internal/app, and the main package through it, may hold both halves.
func TestOnlyTheAppWiresControllersToListeners(t *testing.T) {
	g := mustLoadGraph(t)
	const (
		controllers = module + "/controllers"
		server      = module + "/proxy/server"
	)
	for _, path := range g.own() {
		if path == module || under(path, module+"/internal/app") {
			continue
		}
		imports := g[path].Imports
		if slices.Contains(imports, controllers) && slices.Contains(imports, server) {
			t.Errorf("%s imports controllers and proxy/server: only internal/app brings the two together", path)
		}
	}
}

// The packages of the architecture. A rule about a package that was moved
// would guard nothing, so moving one means changing the rules above as well.
func TestPackagesOfTheArchitectureExist(t *testing.T) {
	g := mustLoadGraph(t)
	for _, folder := range []string{
		"api/v1alpha1",
		"controllers",
		"internal/admin",
		"internal/app",
		"internal/compile",
		"internal/filesource",
		"internal/publish",
		"proxy",
		"proxy/head",
		"proxy/jose",
		"proxy/jwks",
		"proxy/jwt",
		"proxy/keyring",
		"proxy/refusal",
		"proxy/routing",
		"proxy/server",
		"proxy/upstream",
	} {
		if _, ok := g[module+"/"+folder]; !ok {
			t.Errorf("package %s does not exist: the architecture and the rules of this test name it", folder)
		}
	}
}

// The checks above say nothing when the graph code is wrong, so it has a test of its own.
func TestForbiddenTellsTheChain(t *testing.T) {
	g := graph{
		"a": {Imports: []string{"b", "c"}},
		"b": {Imports: []string{"k8s.io/x"}},
		"c": {Imports: []string{"d"}},
		"d": {Imports: []string{"k8s.io/x/y", "k8s.io"}},
		// Reached through a forbidden package only: not told again.
		"k8s.io/x": {Imports: []string{"k8s.io/z"}},
	}
	matches := func(path string) bool { return covers("k8s.io/...", path) }

	want := []string{
		"a\n      imports c\n      imports d\n      imports k8s.io", // and k8s.io/x/y, from the same package
		"a\n      imports b\n      imports k8s.io/x",
	}
	if diff := cmp.Diff(want, g.forbidden("a", matches)); diff != "" {
		t.Errorf("forbidden imports (-want +got):\n%s", diff)
	}
	if got := g.forbidden("k8s.io/z", func(string) bool { return false }); got != nil {
		t.Errorf("a package without imports reaches %q, want nothing", got)
	}
}

func TestCovers(t *testing.T) {
	tests := map[string]struct {
		pattern, path string
		want          bool
	}{
		"a package itself":                 {pattern: "os", path: "os", want: true},
		"not what lies below a bare path":  {pattern: "os", path: "os/exec", want: false},
		"the parent of a pattern":          {pattern: "os/...", path: "os", want: true},
		"what lies below a pattern":        {pattern: "os/...", path: "os/exec", want: true},
		"not a name that only starts like": {pattern: "log/...", path: "logs", want: false},
		"not this module by its host":      {pattern: "github.com/...", path: module + "/proxy", want: false},
		"this module by its own name":      {pattern: module + "/proxy/...", path: module + "/proxy/jwt", want: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := covers(tc.pattern, tc.path); got != tc.want {
				t.Errorf("covers(%q, %q) = %v, want %v", tc.pattern, tc.path, got, tc.want)
			}
		})
	}
}
