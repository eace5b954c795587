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
	"sync/atomic"
	"time"
)

const (
	envWithout = "OSTIARY_MUTANT"       // the number of the mutant that a run goes without
	envTrace   = "OSTIARY_MUTANT_TRACE" // the file that tells which denials a run came by

	testTimeout = 2 * time.Minute
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
	// run runs a package's test binary and returns what it wrote; usual is how long each test takes.
	run   func(ctx context.Context, pkg string, args, env []string) ([]byte, error)
	usual map[string]time.Duration
	// parallel is how many runs there are at once.
	parallel int
	log      io.Writer
}

func newLaboratory(dir string, began time.Time) *laboratory {
	l := &laboratory{dir: dir, began: began, usual: map[string]time.Duration{}, parallel: 2, log: os.Stderr}
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
		for file := range t.files {
			if !slices.Contains(files, filepath.Join(pkg, file)) {
				return fmt.Errorf("there is no file %s in %s", file, pkg)
			}
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

// test runs tests of a package until one fails.
func (l *laboratory) test(ctx context.Context, pkg string, tests []string, env ...string) (result, error) {
	limit := l.limit(pkg, tests)
	within, cancel := context.WithTimeout(ctx, limit+10*time.Second)
	defer cancel()
	args := []string{"-test.failfast", "-test.short", "-test.timeout=" + limit.String(), "-test.run=^(" + strings.Join(tests, "|") + ")$"}
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

// limit is how long tests may take: some times what they do with every denial in place, once that is known.
func (l *laboratory) limit(pkg string, tests []string) time.Duration {
	limit := 30 * time.Second
	for _, test := range tests {
		usual, ok := l.usual[pkg+" "+test]
		if !ok {
			return testTimeout
		}
		limit += 8 * usual
	}
	return min(testTimeout, limit)
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

// fails says which of some tests of a package fails in an environment, or how the run ends.
//
// Nothing is believed at once, since a binary that dies may have been killed, and a test may fail for want of time on a busy
// machine: a test that is named must fail again by itself, and else a second run of all of them decides.
func (l *laboratory) fails(ctx context.Context, pkg string, tests []string, env ...string) (result, error) {
	first, err := l.test(ctx, pkg, tests, env...)
	if err != nil || first.passed {
		return first, err
	}
	if first.top != "" {
		alone, err := l.test(ctx, pkg, []string{first.top}, env...)
		if err != nil {
			return result{}, err
		}
		if !alone.passed && alone.top == first.top {
			return first, nil
		}
	}
	second, err := l.test(ctx, pkg, tests, env...)
	if err == nil && second.passed {
		l.say("%s: %s, but not a second time", pkg, first.by)
	}
	return second, err
}

// names are those of a package's tests, each once: a TestMain that runs all tests twice lists them twice.
func (l *laboratory) names(ctx context.Context, pkg string) ([]string, error) {
	out, err := l.run(ctx, pkg, []string{"-test.list=^(Test|Fuzz|Example)"}, nil)
	if err != nil {
		return nil, fmt.Errorf("list the tests of %s: %w\n%s", pkg, err, out)
	}
	var names []string
	for name := range strings.FieldsSeq(string(out)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// trace runs each test with every denial in place, and finds out which denials it comes by.
func (l *laboratory) trace(ctx context.Context) error {
	type run struct {
		pkg, test string
		took      time.Duration
		denials   []int
	}
	var runs []run
	for _, pkg := range tested() {
		names, err := l.names(ctx, pkg)
		if err != nil {
			return err
		}
		for _, name := range names {
			runs = append(runs, run{pkg: pkg, test: name})
		}
	}
	err := l.each(ctx, len(runs), func(ctx context.Context, i int) error {
		r, began := &runs[i], time.Now()
		file := filepath.Join(l.dir, fmt.Sprintf("%d.trace", i))
		outcome, err := l.fails(ctx, r.pkg, []string{r.test}, envTrace+"="+file)
		if err != nil {
			return err
		}
		if !outcome.passed {
			return fmt.Errorf("%s of %s fails with every denial in place: %s\n%s", r.test, r.pkg, outcome.by, outcome.output)
		}
		r.took = time.Since(began)
		r.denials, err = readTrace(file, len(l.mutants))
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range runs {
		l.usual[r.pkg+" "+r.test] = r.took
		for _, id := range r.denials {
			l.mutants[id-1].seenBy(r.pkg, r.test)
		}
	}
	l.say("%d tests of %d packages", len(runs), len(tested()))
	return nil
}

// readTrace reads which denials a run came by, of so many.
func readTrace(file string, mutants int) ([]int, error) {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read a trace: %w", err)
	}
	var ids []int
	for line := range strings.Lines(string(text)) {
		id, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil || id < 1 || id > mutants {
			return nil, fmt.Errorf("read a trace: %q", line)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// each calls a function for 0 to n-1, some at once. It ends with the first error.
func (l *laboratory) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	work := make(chan int)
	var workers sync.WaitGroup
	for range l.parallel {
		workers.Go(func() {
			for i := range work {
				if err := do(ctx, i); err != nil {
					stop(err) // the first counts
				}
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		work <- i
	}
	close(work)
	workers.Wait()
	return context.Cause(ctx)
}

// try runs, for each mutant, the tests that come by the denial until one fails.
func (l *laboratory) try(ctx context.Context, mutants []*mutant, known equivalent) error {
	var done atomic.Int64
	return l.each(ctx, len(mutants), func(ctx context.Context, i int) error {
		m := mutants[i]
		if err := l.kill(ctx, m); err != nil {
			return err
		}
		l.say("%*d/%d line %d of %s: %s", len(strconv.Itoa(len(mutants))), done.Add(1), len(mutants), m.line, m.name, m.fate(known))
		return nil
	})
}

func (l *laboratory) kill(ctx context.Context, m *mutant) error {
	for _, w := range m.witnesses {
		r, err := l.fails(ctx, w.pkg, w.tests, envWithout+"="+strconv.Itoa(m.id))
		if err != nil {
			return err
		}
		if !r.passed {
			m.killer, m.at = r.by, w.pkg
			return nil
		}
	}
	return nil
}
