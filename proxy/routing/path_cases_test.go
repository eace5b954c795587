package routing

import (
	"encoding/json"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// pathCase is a case of a file in the format "ostiary-paths/1".
type pathCase struct {
	ID string `json:"id"`
	// Target is the request target; each character is one byte (Latin-1).
	Target string `json:"target"`
	// Expect is one or more outcomes, separated by "|".
	Expect string `json:"expect"`
	Why    string `json:"why"`
}

func loadPathCases(t testing.TB, name string) []pathCase {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Format string     `json:"format"`
		Cases  []pathCase `json:"cases"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if file.Format != "ostiary-paths/1" || len(file.Cases) == 0 {
		t.Fatalf("%s: %d cases of format %q", name, len(file.Cases), file.Format)
	}
	return file.Cases
}

// latin1 turns characters into bytes.
func latin1(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteByte(byte(r))
	}
	return b.String()
}

// TestPathCases runs the cases of the catalogue and of the files that OSTIARY_PATH_CASES names, a path list: /public is
// open, /admin needs a token, which the request has not.
func TestPathCases(t *testing.T) {
	table, problems := Build(Config{Pipelines: []Pipeline{
		{Key: ObjectKey{"test", "admin"}, Matches: prefixes("/admin"), JWT: &JWT{}, Terminate: &Terminate{}},
		{Key: ObjectKey{"test", "public"}, Matches: prefixes("/public"), Terminate: &Terminate{}},
	}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	files := append([]string{"testdata/paths.json"}, filepath.SplitList(os.Getenv("OSTIARY_PATH_CASES"))...)
	for _, file := range files {
		for _, c := range loadPathCases(t, file) {
			t.Run(c.ID, func(t *testing.T) {
				got, forwarded := outcome(t, table, latin1(c.Target))
				if !slices.Contains(strings.Split(c.Expect, "|"), got) {
					t.Errorf("%q: %s, want %s: %s", c.Target, got, c.Expect, c.Why)
				}
				if got != "open" {
					return
				}
				for name, seen := range asBackendsSeeIt(forwarded) {
					if seen == "/admin" || strings.HasPrefix(seen, "/admin/") {
						t.Errorf("%q is forwarded as %q, which a backend that does %s takes for %q", c.Target, forwarded, name, seen)
					}
				}
			})
		}
	}
}

func prefixes(values ...string) []Match {
	var matches []Match
	for _, v := range values {
		matches = append(matches, Match{Endpoint: "test", Path: PathMatch{Type: PathPrefix, Value: v}})
	}
	return matches
}

// outcome is what becomes of a request without a token, and the path that is forwarded.
func outcome(t *testing.T, table *Table, target string) (status, forwarded string) {
	t.Helper()
	if after, ok := strings.CutPrefix(target, "http://"); ok { // the engines take the absolute form apart
		_, after, _ = strings.Cut(after, "/")
		target = "/" + after
	}
	raw, _, _ := strings.Cut(target, "?")
	p, err := ParsePath(raw)
	if err != nil {
		return "400", ""
	}
	result := table.Match(&Request{Host: "app.test", Path: p.Match, Method: "GET"})
	switch {
	case result.Status != Found:
		return "404", ""
	case table.Pipeline(result.Route.Pipeline).JWT != nil:
		return "401", ""
	default:
		return "open", p.Forward
	}
}

// asBackendsSeeIt returns the path after each sequence of what backends do to paths.
func asBackendsSeeIt(forwarded string) map[string]string {
	steps := map[string]func(string) string{
		"backslash to slash": func(p string) string { return strings.ReplaceAll(p, `\`, "/") },
		"merge":              mergeSlashes,
		"parameters": func(p string) string {
			segments := strings.Split(p, "/")
			for i := range segments {
				segments[i], _, _ = strings.Cut(segments[i], ";")
			}
			return strings.Join(segments, "/")
		},
		"dots": path.Clean,
	}
	seen := map[string]string{}
	var apply func(name, p string, done []string)
	apply = func(name, p string, done []string) {
		seen[name] = p
		for step, f := range steps {
			if !slices.Contains(done, step) {
				apply(name+", "+step, f(p), append(slices.Clone(done), step))
			}
		}
	}
	once := unescapeLeniently(forwarded)
	apply("nothing", forwarded, nil)
	apply("decode", once, nil)
	apply("decode twice", unescapeLeniently(once), nil)
	return seen
}

func mergeSlashes(p string) string {
	for strings.Contains(p, "//") {
		p = strings.ReplaceAll(p, "//", "/")
	}
	return p
}

// unescapeLeniently decodes what can be decoded and leaves the rest.
func unescapeLeniently(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if decoded, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(decoded)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// FuzzNoWayIntoAProtectedPath looks for a target that is let through to an open path, and that some backend takes for
// a protected one. Here everything is open but /admin and what is below it.
func FuzzNoWayIntoAProtectedPath(f *testing.F) {
	for _, c := range loadPathCases(f, "testdata/paths.json") {
		f.Add(latin1(c.Target))
	}
	table, problems := Build(Config{Pipelines: []Pipeline{
		{Matches: prefixes("/admin"), JWT: &JWT{}, Terminate: &Terminate{}},
		{Matches: prefixes("/"), Terminate: &Terminate{}},
	}})
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	f.Fuzz(func(t *testing.T, target string) {
		got, forwarded := outcome(t, table, target)
		if got != "open" {
			return
		}
		for name, seen := range asBackendsSeeIt(forwarded) {
			if seen == "/admin" || strings.HasPrefix(seen, "/admin/") {
				t.Errorf("%q is forwarded as %q, which a backend that does %s takes for %q", target, forwarded, name, seen)
			}
		}
	})
}
