package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ending is how a run of a test binary ends in the tests of the laboratory: a nil error means that all passed.
type ending struct {
	output string
	err    error
}

func failed(tests ...string) ending {
	var b strings.Builder
	for _, name := range tests {
		fmt.Fprintf(&b, "--- FAIL: %s (0.00s)\n", name)
	}
	return ending{b.String() + "FAIL\n", &exec.ExitError{}}
}

// laboratoryOf has test binaries that end as told, one run after the other, and notes how each was called.
func laboratoryOf(t *testing.T, endings ...ending) (l *laboratory, calls *[]string) {
	t.Helper()
	l, calls = newLaboratory(t.TempDir(), time.Now()), new([]string)
	l.log = t.Output()
	l.run = func(_ context.Context, pkg string, args, env []string) ([]byte, error) {
		which := "none"
		for _, arg := range args {
			if pattern, ok := strings.CutPrefix(arg, "-test.run="); ok {
				which = pattern
			}
		}
		*calls = append(*calls, strings.Join(append([]string{pkg, which}, env...), " "))
		if len(endings) == 0 {
			t.Fatalf("one run more than the test tells of: %s", (*calls)[len(*calls)-1])
		}
		end := endings[0]
		endings = endings[1:]
		return []byte(end.output), end.err
	}
	return l, calls
}

// byTests are witnesses with two tests each.
func byTests(pkgs ...string) []witness {
	var all []witness
	for _, pkg := range pkgs {
		all = append(all, witness{pkg, []string{"TestA", "TestB"}})
	}
	return all
}

// TestKill: nothing kills a mutant that happens only once.
func TestKill(t *testing.T) {
	crash := ending{"fatal error: runtime: out of memory\n", &exec.ExitError{}}
	killed := ending{"", &exec.ExitError{}}
	stuck := ending{"panic: test timed out after 2m0s\n", &exec.ExitError{}}
	passed := ending{"PASS\n", nil}
	const all, alone = "p ^(TestA|TestB)$ OSTIARY_MUTANT=7", "p ^(TestA)$ OSTIARY_MUTANT=7"
	for name, tc := range map[string]struct {
		endings []ending
		killer  string
		calls   []string
	}{
		"all pass":                           {[]ending{passed}, "", []string{all}},
		"a test fails, and by itself too":    {[]ending{failed("TestA"), failed("TestA")}, "TestA", []string{all, alone}},
		"a subtest":                          {[]ending{failed("TestA", "TestA/b"), failed("TestA", "TestA/b")}, "TestA/b", []string{all, alone}},
		"a subtest alone is named":           {[]ending{failed("TestA/b"), failed("TestA")}, "TestA/b", []string{all, alone}},
		"a test fails among others":          {[]ending{failed("TestA"), passed, failed("TestA")}, "TestA", []string{all, alone, all}},
		"a test fails once":                  {[]ending{failed("TestA"), passed, passed}, "", []string{all, alone, all}},
		"a test fails once, then another":    {[]ending{failed("TestA"), passed, failed("TestB")}, "TestB", []string{all, alone, all}},
		"a test fails, alone the run dies":   {[]ending{failed("TestA"), killed, passed}, "", []string{all, alone, all}},
		"the binary dies once":               {[]ending{crash, passed}, "", []string{all, all}},
		"the binary dies twice":              {[]ending{crash, crash}, "a crash", []string{all, all}},
		"the binary is killed once":          {[]ending{killed, passed}, "", []string{all, all}},
		"the binary is killed, a test fails": {[]ending{killed, failed("TestA")}, "TestA", []string{all, all}},
		"out of time once":                   {[]ending{stuck, passed}, "", []string{all, all}},
		"out of time twice":                  {[]ending{stuck, stuck}, "a test that never ends", []string{all, all}},
	} {
		t.Run(name, func(t *testing.T) {
			l, calls := laboratoryOf(t, tc.endings...)
			m := &mutant{id: 7, witnesses: byTests("p")}
			if err := l.kill(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if m.killer != tc.killer {
				t.Errorf("killed by %q, want %q", m.killer, tc.killer)
			}
			if diff := cmp.Diff(tc.calls, *calls); diff != "" {
				t.Errorf("runs (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKillAsksAllWitnesses: what the tests of one package do not find, those of the next may.
func TestKillAsksAllWitnesses(t *testing.T) {
	l, calls := laboratoryOf(t, ending{}, failed("TestA"), failed("TestA"))
	m := &mutant{id: 7, witnesses: byTests("p", "q", "r")}
	if err := l.kill(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if m.killer != "TestA" || m.at != "q" {
		t.Errorf("killed by %s %s", m.at, m.killer)
	}
	want := []string{"p ^(TestA|TestB)$ OSTIARY_MUTANT=7", "q ^(TestA|TestB)$ OSTIARY_MUTANT=7", "q ^(TestA)$ OSTIARY_MUTANT=7"}
	if diff := cmp.Diff(want, *calls); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
}

// TestKillThatCannotRun: a binary that does not start kills nothing, and ends everything.
func TestKillThatCannotRun(t *testing.T) {
	missing := errors.New("no such file")
	for name, endings := range map[string][]ending{
		"at first":          {{err: missing}},
		"by itself":         {failed("TestA"), {err: missing}},
		"the second time":   {failed("TestA"), {}, {err: missing}},
		"after it was dead": {{err: &exec.ExitError{}}, {err: missing}},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := laboratoryOf(t, endings...)
			m := &mutant{id: 7, name: "m", witnesses: byTests("p")}
			if err := l.try(t.Context(), []*mutant{m}, nil); !errors.Is(err, missing) {
				t.Errorf("error %v, want %v", err, missing)
			}
			if m.killer != "" {
				t.Errorf("killed by %q", m.killer)
			}
		})
	}
}

// TestTryIsInterrupted: what an interrupt ends is no kill.
func TestTryIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, _ := laboratoryOf(t)
	l.run = func(context.Context, string, []string, []string) ([]byte, error) {
		cancel()
		return nil, &exec.ExitError{}
	}
	mutants := []*mutant{{id: 1, witnesses: byTests("p")}, {id: 2, witnesses: byTests("p")}, {id: 3, witnesses: byTests("p")}}
	if err := l.try(ctx, mutants, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	for _, m := range mutants {
		if m.killer != "" {
			t.Errorf("mutant %d killed by %q", m.id, m.killer)
		}
	}
}

func TestNames(t *testing.T) {
	l, calls := laboratoryOf(t, ending{output: "TestA\nFuzzB\nTestA\nFuzzB\n"})
	got, err := l.names(t.Context(), "p")
	if err != nil || !slices.Equal(got, []string{"TestA", "FuzzB"}) {
		t.Errorf("%q, %v, want each once; runs: %q", got, err, *calls)
	}
}

// TestSeenBy: tests are asked package by package.
func TestSeenBy(t *testing.T) {
	m := &mutant{}
	m.seenBy("p", "TestA")
	m.seenBy("p", "TestB")
	m.seenBy("q", "TestA")
	if diff := cmp.Diff([]witness{{"p", []string{"TestA", "TestB"}}, {"q", []string{"TestA"}}}, m.witnesses, cmp.AllowUnexported(witness{})); diff != "" {
		t.Errorf("witnesses (-want +got):\n%s", diff)
	}
}

func TestReadTrace(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "trace")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	if got, err := readTrace(write("3\n1\n"), 3); err != nil || !slices.Equal(got, []int{3, 1}) {
		t.Errorf("%v, %v, want 3 and 1", got, err)
	}
	if got, err := readTrace(filepath.Join(t.TempDir(), "none"), 3); err != nil || got != nil {
		t.Errorf("of a test that comes by nothing: %v, %v", got, err)
	}
	for _, text := range []string{"0\n", "4\n", "x\n", "\n"} {
		if got, err := readTrace(write(text), 3); err == nil {
			t.Errorf("%q: %v, want an error", text, got)
		}
	}
}

func TestLimit(t *testing.T) {
	l := newLaboratory("", time.Time{})
	l.usual["p TestA"], l.usual["p TestB"] = time.Second, time.Minute
	for tests, want := range map[string]time.Duration{
		"TestA": 38 * time.Second, "TestA,TestA": 46 * time.Second, "TestB": testTimeout, "TestA,TestC": testTimeout,
	} {
		if got := l.limit("p", strings.Split(tests, ",")); got != want {
			t.Errorf("%s: %s, want %s", tests, got, want)
		}
	}
}

func TestHasProperties(t *testing.T) {
	for pkg, want := range map[string]bool{"../../internal/compile": true, "../../internal/rotation": false} {
		if got, err := hasProperties(pkg); err != nil || got != want {
			t.Errorf("%s: %t, %v, want %t", pkg, got, err, want)
		}
	}
}
