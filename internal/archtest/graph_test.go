package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/ostiary/ostiary"

// goPackage is what `go list -json` says of a package, as far as the tests use it.
type goPackage struct {
	Dir        string
	ImportPath string
	Doc        string
	GoFiles    []string
	Imports    []string
	Error      *struct{ Err string }
}

// graph is the dependency graph of the module's packages, by import path.
type graph map[string]goPackage

// loadGraph lists the module's packages and all they depend on, without tests.
var loadGraph = sync.OnceValues(func() (graph, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "list", "-e", "-deps",
		"-json=Dir,ImportPath,Doc,GoFiles,Imports,Error", "./...")
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode go list: %w", err)
		}
		if p.Error != nil && ours(p.ImportPath) {
			return nil, fmt.Errorf("package %s: %s", p.ImportPath, p.Error.Err)
		}
		g[p.ImportPath] = p
	}
})

func mustLoadGraph(t *testing.T) graph {
	t.Helper()
	g, err := loadGraph()
	if err != nil {
		t.Fatalf("load the dependency graph: %v", err)
	}
	return g
}

// repositoryRoot returns the folder of the module's go.mod.
func repositoryRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// ours reports whether the import path belongs to this module.
func ours(path string) bool { return under(path, module) }

// under reports whether path is parent or lies below it.
func under(path, parent string) bool {
	return path == parent || strings.HasPrefix(path, parent+"/")
}

// own returns the module's packages, sorted.
func (g graph) own() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(g)), func(path string) bool { return !ours(path) })
}

// below returns the module's packages at dir or below it, sorted.
func (g graph) below(dir string) []string {
	return slices.DeleteFunc(g.own(), func(path string) bool { return !under(path, module+"/"+dir) })
}

// reach returns a shortest chain of imports from one package to every package
// that it depends on, itself included.
func (g graph) reach(from string) map[string][]string {
	chains := map[string][]string{from: {from}}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		for _, next := range slices.Sorted(slices.Values(g[at].Imports)) {
			if _, seen := chains[next]; seen {
				continue
			}
			chains[next] = append(slices.Clone(chains[at]), next)
			queue = append(queue, next)
		}
	}
	return chains
}

// forbidden returns the chains of imports that lead from the given package to
// one that matches, one chain for each package that imports such a one.
func (g graph) forbidden(from string, matches func(path string) bool) []string {
	chains := g.reach(from)
	var lines []string
	told := map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(chains)) {
		chain := chains[path]
		// What is reached through a forbidden package is that one's business.
		if len(chain) < 2 || !matches(path) || slices.ContainsFunc(chain[:len(chain)-1], matches) {
			continue
		}
		if importer := chain[len(chain)-2]; !told[importer] {
			told[importer] = true
			lines = append(lines, strings.Join(chain, "\n      imports "))
		}
	}
	return lines
}
