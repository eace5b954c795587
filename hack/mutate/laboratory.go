package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	envWithout = "OSTIARY_MUTANT"       // the number of the mutant that a run goes without
	envTrace   = "OSTIARY_MUTANT_TRACE" // the file that tells which denials a run came by

	testTimeout = 2 * time.Minute
	parallel    = 2
)

// switchboard is added to each package: it asks whether a denial is in place, and notes that it was asked.
const switchboard = `package %s

import (
	"os"
	"strconv"
	"sync/atomic"
)

var mutantWithout = func() int { n, _ := strconv.Atoi(os.Getenv("` + envWithout + `")); return n }()

var mutantTrace = os.Getenv("` + envTrace + `")

var mutantSeen [1 << 16]atomic.Bool // no map: tests count allocations

func mutantLive(n int) bool {
	if mutantTrace != "" && !mutantSeen[n].Swap(true) {
		mutantNote(n)
	}
	return n != mutantWithout
}

// mutantKeep is a value that bounds something, or the zero one in the run that goes without the bound.
func mutantKeep[T any](n int, value T) (without T) {
	if mutantLive(n) {
		return value
	}
	return without
}

func mutantNote(n int) {
	f, err := os.OpenFile(mutantTrace, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strconv.Itoa(n) + "\n"); err != nil {
		panic(err)
	}
}
`

// laboratory holds the mutants and the test binaries that have all of them.
type laboratory struct {
	dir     string
	began   time.Time
	overlay map[string]string
	mutants []*mutant
	// run runs a package's test binary and returns what it wrote; usual is how long each takes.
	run   func(ctx context.Context, pkg string, args, env []string) ([]byte, error)
	usual map[string]time.Duration
	log   io.Writer
}

func newLaboratory(dir string, began time.Time) *laboratory {
	l := &laboratory{dir: dir, began: began, usual: map[string]time.Duration{}, log: os.Stderr}
	l.run = l.execute
	return l
}

func (l *laboratory) say(format string, args ...any) {
	fmt.Fprintf(l.log, "[%s] %s\n", clock(time.Since(l.began)), fmt.Sprintf(format, args...))
}

func clock(d time.Duration) string {
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// prepare finds the mutants and writes the files that have them.
func (l *laboratory) prepare() error {
	root, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find the work tree: %w", err)
	}
	l.overlay = map[string]string{}
	for _, t := range targets() {
		pkg := t.pkg
		files, err := filepath.Glob(pkg + "/*.go")
		if err != nil || len(files) == 0 {
			return fmt.Errorf("no Go files in %s: mutate runs at the repository's root", pkg)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			if err := l.mutate(root, t, file); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
		}
		name := filepath.Base(pkg)
		if err := l.put(filepath.Join(root, pkg, "mutant_switchboard.go"), fmt.Appendf(nil, switchboard, name)); err != nil {
			return err
		}
	}
	text, err := json.Marshal(map[string]any{"Replace": l.overlay})
	if err != nil {
		return fmt.Errorf("write the overlay: %w", err)
	}
	return os.WriteFile(l.overlayFile(), text, 0o600)
}

func (l *laboratory) overlayFile() string { return filepath.Join(l.dir, "overlay.json") }

func (l *laboratory) mutate(root string, t target, file string) error {
	source, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	f := &finder{
		fset: token.NewFileSet(), source: source, path: file, target: t, names: map[string]int{},
		next: func() func() int { n := len(l.mutants); return func() int { n++; return n } }(),
	}
	if err := f.find(); err != nil || len(f.mutants) == 0 {
		return err
	}
	for _, m := range f.mutants {
		m.pkg = t.pkg
	}
	l.mutants = append(l.mutants, f.mutants...)
	return l.put(filepath.Join(root, file), f.apply())
}

// put stands in for a file of the work tree.
func (l *laboratory) put(file string, text []byte) error {
	stand := filepath.Join(l.dir, fmt.Sprintf("%d.go", len(l.overlay)))
	l.overlay[file] = stand
	return os.WriteFile(stand, text, 0o600)
}

// tested are the packages that have tests, in the order in which they are asked.
func tested() []string {
	var pkgs []string
	for _, t := range targets() {
		pkgs = append(pkgs, t.pkg)
	}
	return slices.DeleteFunc(append(pkgs, witnesses()...), func(pkg string) bool {
		files, err := filepath.Glob(pkg + "/*_test.go")
		return err != nil || len(files) == 0
	})
}

func binary(pkg string) string { return strings.ReplaceAll(pkg, "/", "-") + ".test" }

// build compiles each package's tests once.
func (l *laboratory) build(ctx context.Context) error {
	for _, pkg := range tested() {
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", l.overlayFile(), "-o", filepath.Join(l.dir, binary(pkg)), "./"+pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// result is how a run of tests ended.
type result struct {
	passed bool
	by     string // the test that failed, or how the run ended without one
	top    string // the name of that test without subtests; empty where none is named
	output []byte
}

// test runs a package's tests until one fails: all of them, or those that a pattern names.
func (l *laboratory) test(ctx context.Context, pkg, pattern string, env ...string) (result, error) {
	limit := l.limit(pkg)
	within, cancel := context.WithTimeout(ctx, limit+10*time.Second)
	defer cancel()
	args := []string{"-test.failfast", "-test.short", "-test.timeout=" + limit.String()}
	if pattern != "" {
		args = append(args, "-test.run="+pattern)
	}
	out, err := l.run(within, pkg, args, env)
	var exit *exec.ExitError
	switch {
	case err == nil:
		return result{passed: true, output: out}, nil
	case ctx.Err() != nil:
		return result{}, ctx.Err()
	case errors.As(err, &exit), within.Err() != nil:
		by, top := culprit(string(out))
		return result{by: by, top: top, output: out}, nil
	default:
		return result{}, fmt.Errorf("run the tests of %s: %w", pkg, err)
	}
}

// limit is how long a package's tests may take: some times what they do with every denial in place, once that is known.
func (l *laboratory) limit(pkg string) time.Duration {
	usual, ok := l.usual[pkg]
	if !ok {
		return testTimeout
	}
	return min(testTimeout, 30*time.Second+8*usual)
}

// execute runs a test binary.
func (l *laboratory) execute(ctx context.Context, pkg string, args, env []string) ([]byte, error) {
	properties, err := hasProperties(pkg)
	if err != nil {
		return nil, err
	}
	if properties { // the same cases each time, and no file that makes others try those of a mutant
		args = append(args, "-rapid.seed=1", "-rapid.nofailfile")
	}
	cmd := exec.CommandContext(ctx, filepath.Join(l.dir, binary(pkg)), args...)
	cmd.Dir = pkg
	cmd.Env = append(os.Environ(), env...)
	return cmd.CombinedOutput()
}

// hasProperties says whether tests of a package draw their cases with rapid.
func hasProperties(pkg string) (bool, error) {
	files, err := filepath.Glob(pkg + "/*_test.go")
	if err != nil {
		return false, fmt.Errorf("find the tests of %s: %w", pkg, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return false, fmt.Errorf("look for properties: %w", err)
		}
		if bytes.Contains(text, []byte(`"pgregory.net/rapid"`)) {
			return true, nil
		}
	}
	return false, nil
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// culprit is the first test that failed, with the subtest where there is one, and its name without. Where the output names
// none, it says how the run ended.
func culprit(output string) (by, top string) {
	names := failure.FindAllStringSubmatch(output, -1)
	switch {
	case strings.Contains(output, "panic: test timed out"):
		return "a test that never ends", ""
	case len(names) == 0:
		return "a crash", ""
	case len(names) > 1 && strings.HasPrefix(names[1][1], names[0][1]+"/"):
		by = names[1][1]
	default:
		by = names[0][1]
	}
	top, _, _ = strings.Cut(names[0][1], "/")
	return by, top
}

// fails says which test of a package fails in an environment, or how its run ends; empty means that all pass.
//
// Nothing is believed at once, since a binary that dies may have been killed, and a test may fail for want of time on a busy
// machine: a test that is named must fail again by itself, and else a second run of all of them decides.
func (l *laboratory) fails(ctx context.Context, pkg string, env ...string) (result, error) {
	first, err := l.test(ctx, pkg, "", env...)
	if err != nil || first.passed {
		return first, err
	}
	if first.top != "" {
		alone, err := l.test(ctx, pkg, "^"+regexp.QuoteMeta(first.top)+"$", env...)
		if err != nil {
			return result{}, err
		}
		if !alone.passed && alone.top == first.top {
			return first, nil
		}
	}
	second, err := l.test(ctx, pkg, "", env...)
	if err == nil && second.passed {
		l.say("%s: %s, but not a second time", pkg, first.by)
	}
	return second, err
}

// trace runs all tests with every denial in place, and finds out which tests come by which of them.
func (l *laboratory) trace(ctx context.Context) error {
	for _, pkg := range tested() {
		file := filepath.Join(l.dir, binary(pkg)+".trace")
		began := time.Now()
		r, err := l.fails(ctx, pkg, envTrace+"="+file)
		if err != nil {
			return err
		}
		if !r.passed {
			return fmt.Errorf("the tests of %s fail with every denial in place: %s\n%s", pkg, r.by, r.output)
		}
		l.usual[pkg] = time.Since(began)
		text, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		seen := 0
		for line := range strings.Lines(string(text)) {
			id, err := strconv.Atoi(strings.TrimSpace(line))
			if err != nil || id < 1 || id > len(l.mutants) {
				return fmt.Errorf("trace of %s: %q", pkg, line)
			}
			if m := l.mutants[id-1]; !slices.Contains(m.witnesses, pkg) {
				m.witnesses = append(m.witnesses, pkg)
				seen++
			}
		}
		l.say("%s: its tests come by %d denials in %s", pkg, seen, l.usual[pkg].Round(time.Millisecond))
	}
	return nil
}

// try runs, for each mutant, the tests that come by the denial until one fails.
func (l *laboratory) try(ctx context.Context, mutants []*mutant, known equivalent) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan *mutant)
	var workers sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range parallel {
		workers.Go(func() {
			for m := range work {
				if err := l.kill(ctx, m); err != nil {
					stop(err) // the first error counts
					continue
				}
				mu.Lock()
				done++
				l.say("%*d/%d line %d of %s: %s", len(strconv.Itoa(len(mutants))), done, len(mutants), m.line, m.name, m.fate(known))
				mu.Unlock()
			}
		})
	}
	for _, m := range mutants {
		if ctx.Err() != nil {
			break
		}
		work <- m
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

func (l *laboratory) kill(ctx context.Context, m *mutant) error {
	for _, pkg := range m.witnesses {
		r, err := l.fails(ctx, pkg, envWithout+"="+strconv.Itoa(m.id))
		if err != nil {
			return err
		}
		if !r.passed {
			m.killer, m.at = r.by, pkg
			return nil
		}
	}
	return nil
}
