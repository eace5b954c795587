package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every package says in one sentence what it is for.
func TestEveryPackageHasADocComment(t *testing.T) {
	g := mustLoadGraph(t)
	for _, path := range g.own() {
		if p := g[path]; len(p.GoFiles) > 0 && p.Doc == "" {
			t.Errorf("package %s has no doc comment: say its single responsibility in doc.go", path)
		}
	}
}

// A time window is data, judged by the proxy with its own clock.
func TestTheCompilerNeverReadsTheClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer", "Sleep"}
	g := mustLoadGraph(t)
	for _, path := range g.below("internal/compile") {
		for _, name := range g[path].GoFiles {
			files := token.NewFileSet()
			file, err := parser.ParseFile(files, filepath.Join(g[path].Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatalf("parse: %v", err)
			}
			ast.Inspect(file, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" && slices.Contains(clock, sel.Sel.Name) {
					t.Errorf("%s: time.%s: compiling never reads the clock", files.Position(sel.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
}

// Beyond these lengths a reader is better served by a second file.
const (
	maxLines     = 600
	maxTestLines = 1000
)

func TestGoFilesStayShort(t *testing.T) {
	for name, content := range trackedFiles(t, "*.go") {
		limit := maxLines
		if strings.HasSuffix(name, "_test.go") {
			limit = maxTestLines
		}
		if lines := bytes.Count(content, []byte("\n")); lines > limit && !generated(content) {
			t.Errorf("%s has %d lines, the limit is %d: split it by what its parts hold", name, lines, limit)
		}
	}
}

func generated(content []byte) bool {
	head, _, _ := bytes.Cut(content, []byte("\npackage "))
	return bytes.Contains(head, []byte("DO NOT EDIT."))
}

// What must never be committed, and why. The patterns are written so that they
// don't match this file.
func TestNothingForbiddenIsCommitted(t *testing.T) {
	forbidden := []struct {
		pattern *regexp.Regexp
		files   string
		reason  string
	}{
		{regexp.MustCompile(`(^|[\s"'=:(])/(home|Users)/[a-z][a-z0-9_-]*/`), "*", "it is a path of one person's machine"},
		{regexp.MustCompile(`(^|[\s"'=:(\x60])/wor[k]/`), "*", "it is a path of one machine"},
		{regexp.MustCompile(`GOPROX[Y]=http`), "*", "which module proxy to use is the machine's business"},
		{regexp.MustCompile(`//\s*(TOD[O]|FIXM[E]|XX[X])\b`), "*.go", "open work belongs in an issue"},
		{regexp.MustCompile(`(?m)^(<{7} |>{7} )`), "*", "it is left from a merge"},
	}
	for _, f := range forbidden {
		for name, content := range trackedFiles(t, f.files) {
			if at := f.pattern.FindIndex(content); at != nil {
				line := 1 + bytes.Count(content[:at[0]], []byte("\n"))
				t.Errorf("%s:%d: %q must not be committed: %s", name, line, content[at[0]:at[1]], f.reason)
			}
		}
	}
}

// trackedFiles returns the committed and staged text files that match a git
// pathspec, by name. It skips the test outside a git clone, for example where
// the module was downloaded.
func trackedFiles(t *testing.T, pathspec string) map[string][]byte {
	t.Helper()
	root, err := repositoryRoot()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("git", "ls-files", "-z", "--", pathspec)
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Skipf("not a git clone: %v", err)
	}
	files := map[string][]byte{}
	for name := range strings.SplitSeq(strings.TrimRight(string(out), "\x00"), "\x00") {
		content, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // deleted, but not staged yet
		}
		if err != nil {
			t.Fatalf("read a tracked file: %v", err)
		}
		if !bytes.Contains(content, []byte{0}) {
			files[name] = content
		}
	}
	if len(files) == 0 {
		t.Fatalf("git lists no file for %q: the test would check nothing", pathspec)
	}
	return files
}
