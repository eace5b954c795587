// Package docs tests the documentation: its YAML is valid and accepted, its links lead somewhere, its commands exist.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ostiary/ostiary/internal/app"
	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/refusal"
)

// pages are all pages of the project, by their path from the root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := os.DirFS("..")
	found := map[string]string{}
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (path == "bin" || path == ".git" || entry.Name() == "testdata"):
			return fs.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		content, err := fs.ReadFile(root, path)
		found[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 15 {
		t.Fatalf("only %d pages found; the walk misses some", len(found))
	}
	return found
}

// blocks are the fenced blocks of a language.
func blocks(page, language string) []string {
	var found []string
	for _, match := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(page, -1) {
		found = append(found, match[1])
	}
	return found
}

// TestYAML takes the YAML of a page together, as a reader would apply it.
func TestYAML(t *testing.T) {
	var tested int
	for path, page := range pages(t) {
		if strings.HasPrefix(path, "charts/") { // its YAML is Helm values, tested there
			continue
		}
		objects := blocks(page, "yaml")
		if len(objects) == 0 {
			continue
		}
		tested++
		t.Run(path, func(t *testing.T) {
			world, findings, err := filesource.Load([]string{"-"}, strings.NewReader(strings.Join(objects, "\n---\n")))
			if err != nil {
				t.Fatal(err)
			}
			for _, finding := range append(findings, filesource.Check(world).Findings...) {
				if finding.Severity == filesource.SeverityError {
					t.Error(finding)
				}
			}
		})
	}
	if tested < 8 {
		t.Errorf("only %d pages with YAML were found", tested)
	}
}

// TestSamples takes the samples that are applied to clusters.
func TestSamples(t *testing.T) {
	for _, path := range []string{"../config/samples", "../config/samples/quickstart"} {
		world, findings, err := filesource.Load([]string{path}, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		for _, finding := range append(findings, filesource.Check(world).Findings...) {
			if finding.Severity == filesource.SeverityError {
				t.Error(finding)
			}
		}
	}
}

func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)]*)?\)`)
	for path, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(match[1], "NNNN") || strings.Contains(match[1], "://") || strings.HasPrefix(match[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join("..", filepath.Dir(path), match[1])); err != nil {
				t.Errorf("%s links to %s, which isn't there", path, match[1])
			}
		}
	}
}

// TestCommands looks for each `ostiary COMMAND --flag` of the shell blocks among the commands.
func TestCommands(t *testing.T) {
	call := regexp.MustCompile(`(?m)\bostiary ((?:[a-z-]+ ?)+)((?:[^|\n)]|\\\n)*)`)
	flag := regexp.MustCompile(`--([a-z-]+)`)
	var tested int
	for path, page := range pages(t) {
		for _, script := range append(blocks(page, "sh"), blocks(page, "console")...) {
			for _, match := range call.FindAllStringSubmatch(script, -1) {
				if strings.Contains(match[0], "charts/ostiary") || strings.Contains(match[0], "ostiary -n") {
					continue
				}
				command := find(app.Command(), strings.Fields(match[1])[0])
				if command == nil {
					t.Errorf("%s calls %q, which is no command", path, match[0])
					continue
				}
				tested++
				for _, name := range flag.FindAllStringSubmatch(match[2], -1) {
					if command.Flag(name[1]) == nil {
						t.Errorf("%s calls %q; the command has no flag --%s", path, match[0], name[1])
					}
				}
			}
		}
	}
	if tested == 0 {
		t.Error("no call of a command was found")
	}
}

func find(root *cobra.Command, name string) *cobra.Command {
	for _, command := range root.Commands() {
		if command.Name() == name {
			return command
		}
	}
	return nil
}

// TestRefusals compares the list of refusals with the vocabulary.
func TestRefusals(t *testing.T) {
	page, err := os.ReadFile("reference/refusals.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^\| ([a-z_]+) \| (\d+) \|`).FindAllStringSubmatch(string(page), -1) {
		listed[match[1]] = match[2]
	}
	for reason := range refusal.All() {
		if got, want := listed[reason.String()], strconv.Itoa(reason.Status()); got != want {
			t.Errorf("the page lists %s with status %q, want %q", reason, got, want)
		}
		delete(listed, reason.String())
	}
	for word := range listed {
		t.Errorf("the page lists %s, which is no reason", word)
	}
}

// TestHeaders compares the list of headers with the fields that have a fate of their own.
func TestHeaders(t *testing.T) {
	page, err := os.ReadFile("reference/headers.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, match := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| ([a-z ]+)").FindAllStringSubmatch(string(page), -1) {
		listed[match[1]] = match[2]
	}
	words := map[head.Fate][]string{
		head.Connection: {"for the connection"},
		head.Replaced:   {"removed", "written anew"},
		head.Identity:   {"identity"},
	}
	for name, fate := range head.Fields() {
		if got := strings.TrimSpace(listed[name]); !slices.Contains(words[fate], got) {
			t.Errorf("the page says of %s that it is %q, want one of %q", name, got, words[fate])
		}
		delete(listed, name)
	}
	for name := range listed {
		t.Errorf("the page lists %s, which has no fate of its own", name)
	}
}

// TestPackages compares the table of packages with the folders: those that users run, and no others.
func TestPackages(t *testing.T) {
	page, err := os.ReadFile("architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\|").FindAllStringSubmatch(string(page), -1) {
		listed[row[1]] = true
	}
	for _, pattern := range []string{"api/*", "controllers", "internal/*", "proxy", "proxy/*"} {
		folders, err := filepath.Glob(filepath.Join("..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range folders {
			sources, err := filepath.Glob(filepath.Join(folder, "*.go"))
			if err != nil {
				t.Fatal(err)
			}
			onlyTests := !slices.ContainsFunc(sources, func(name string) bool {
				return !strings.HasSuffix(name, "_test.go") && filepath.Base(name) != "doc.go"
			})
			name := filepath.ToSlash(strings.TrimPrefix(folder, ".."+string(filepath.Separator)))
			if !onlyTests && !listed[name] {
				t.Errorf("the table has no line for %s", name)
			}
			delete(listed, name)
		}
	}
	for name := range listed {
		t.Errorf("the table has a line for %s, which is no package", name)
	}
}
