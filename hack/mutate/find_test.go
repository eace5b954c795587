package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mutantsOf returns the names of the mutants of a source, and the source that has them.
func mutantsOf(t *testing.T, source string, of target) (names []string, mutated string) {
	t.Helper()
	n := 0
	f := &finder{
		fset: token.NewFileSet(), source: []byte("package p\n" + source), path: "p.go", target: of, names: map[string]int{},
		next: func() int { n++; return n },
	}
	if err := f.find(); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.mutants {
		names = append(names, strings.TrimPrefix(m.name, "p.go "))
	}
	mutated = string(f.apply())
	if _, err := parser.ParseFile(token.NewFileSet(), "p.go", mutated, 0); err != nil {
		t.Fatalf("the mutants are no Go: %v\n%s", err, mutated)
	}
	if got, want := strings.Count(mutated, "\n"), strings.Count(source, "\n")+1; got != want {
		t.Errorf("%d lines, want %d", got, want)
	}
	return names, strings.TrimPrefix(mutated, "package p\n")
}

func TestFind(t *testing.T) {
	for name, tc := range map[string]struct {
		source, want string
		names        []string
	}{
		"each reason of a condition": {
			source: `func (p *P) f() *Refused { if a || b { return refuse(X) }; return nil }`,
			want:   `func (p *P) f() *Refused { if (a) && mutantLive(1) || (b) && mutantLive(2) { return refuse(X) }; return nil }`,
			names:  []string{"P.f: a", "P.f: b"},
		},
		"what lets through is left alone": {
			source: `func f() error { if a { return nil }; if b { g() }; return h() }`,
			want:   `func f() error { if a { return nil }; if b { g() }; return h() }`,
		},
		"cases": {
			source: `func f() (T, error) { switch { case a, b: return T{}, err; case c: x = 1; default: return T{}, errD }; return t, nil }`,
			want: `func f() (T, error) { switch { case (a) && mutantLive(1), (b) && mutantLive(2): return T{}, err; case c: x = 1; ` +
				`default: if !mutantLive(3) { return T{}, nil }; return T{}, errD }; return t, nil }`,
			names: []string{"f: a", "f: b", "f: default"},
		},
		"cases of a value": {
			source: `func f() bool { switch x { case 1, 2: return false }; return true }`,
			want:   `func f() bool { switch x { case 1, 2: if !mutantLive(1) { return true }; return false }; return true }`,
			names:  []string{"f: case 1, 2"},
		},
		"the end": {
			source: `func f() (int, bool) { if ok { return 1, true }; return 0, false }`,
			want:   `func f() (int, bool) { if ok { return 1, true }; if !mutantLive(1) { return 0, true }; return 0, false }`,
			names:  []string{"f: return 0, false"},
		},
		"parts of a result": {
			source: `func f() bool { return a && (b || c) }`,
			want:   `func f() bool { return (a || !mutantLive(1)) && ((b || c || !mutantLive(2))) }`,
			names:  []string{"f: return a", "f: return b || c"},
		},
		"true denies": {
			source: `func joined() bool { if a { return true }; return b || c }`,
			want:   `func joined() bool { if (a) && mutantLive(1) { return true }; return (b) && mutantLive(2) || (c) && mutantLive(3) }`,
			names:  []string{"joined: a", "joined: b", "joined: c"},
		},
		"flags and steps": {
			source: `func f(in *S) { if a { in.ambiguous = true; return }; for { if b { continue } }; in.ambiguous = in.ambiguous || c }`,
			want: `func f(in *S) { if (a) && mutantLive(1) { in.ambiguous = true; return }; for { if (b) && mutantLive(2) { continue } }; ` +
				`if mutantLive(3) { in.ambiguous = in.ambiguous || c } }`,
			names: []string{"f: a", "f: b", "f: in.ambiguous = in.ambiguous || c"},
		},
		"a verdict that refuses": {
			source: `func f(v *V) { if a { v.Refusal.Reason = X; return }; switch y { default: v.Refusal.Reason = Z; return } }`,
			want: `func f(v *V) { if (a) && mutantLive(1) { v.Refusal.Reason = X; return }; ` +
				`switch y { default: if mutantLive(2) { v.Refusal.Reason = Z; return } } }`,
			names: []string{"f: a", "f: default"},
		},
		"an error that is kept": {
			source: `func f() error { var err error; if a && b { err = failf(c) }; return err }`,
			want:   `func f() error { var err error; if (a && b) && mutantLive(1) { err = failf(c) }; if !mutantLive(2) { return nil }; return err }`,
			names:  []string{"f: a && b", "f: return err"},
		},
		"a lookup": {
			source: `func f() *Entry { if a { return nil }; if a { return nil }; return e }`,
			want:   `func f() *Entry { if (a) && mutantLive(1) { return nil }; if (a) && mutantLive(2) { return nil }; return e }`,
			names:  []string{"f: a", "f: a (2)"},
		},
		"a class": {
			source: `func f(ip A) AddressClass { switch { case a: return AddressLoopback }; switch x { case b: return AddressMetadata }; return AddressOrdinary }`,
			want: `func f(ip A) AddressClass { switch { case (a) && mutantLive(1): return AddressLoopback }; ` +
				`switch x { case b: if !mutantLive(2) { return AddressOrdinary }; return AddressMetadata }; return AddressOrdinary }`,
			names: []string{"f: a", "f: case b"},
		},
		"either way": {
			source: `func (n Names) Has() bool { return ok }`,
			want:   `func (n Names) Has() bool { return ((ok || !mutantLive(2))) && mutantLive(1) }`,
			names:  []string{"Names.Has: ok", "Names.Has: return ok"},
		},
		"a guard": {
			source: `func f() { if a && !v.Reserved(b) { c = d }; h.upgrade = e && g }`,
			want:   `func f() { if a && (!v.Reserved(b) || !mutantLive(1)) { c = d }; h.upgrade = (e || !mutantLive(2)) && (g || !mutantLive(3)) }`,
			names:  []string{"f: !v.Reserved(b)", "f: e", "f: g"},
		},
		"a function inside": {
			source: `func f() bool { return any(l, func(x T) bool { return x == y }) }`,
			want:   `func f() bool { return (any(l, func(x T) bool { return (x == y || !mutantLive(1)) }) || !mutantLive(2)) }`,
			names:  []string{"f.func: return x == y", "f: return any(l, func(x T) bool { return x == y })"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectMutants(t, tc.source, target{}, tc.names, tc.want)
		})
	}
}

func expectMutants(t *testing.T, source string, of target, wantNames []string, want string) {
	t.Helper()
	names, mutated := mutantsOf(t, source, of)
	if diff := cmp.Diff(wantNames, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want, mutated); diff != "" {
		t.Errorf("source (-want +got):\n%s", diff)
	}
}

// TestFindInConfigurations: what makes a configuration denies in more ways.
func TestFindInConfigurations(t *testing.T) {
	for name, tc := range map[string]struct {
		source, want string
		names        []string
	}{
		"a problem": {
			source: `func f(errs *problems) { if a || b { errs.invalid(c) }; if d { notes.add(e) } }`,
			want:   `func f(errs *problems) { if (a) && mutantLive(1) || (b) && mutantLive(2) { errs.invalid(c) }; if d { notes.add(e) } }`,
			names:  []string{"f: a", "f: b"},
		},
		"a problem at the end": {
			source: `func f(p *problems) { if a { return }; p.add(b) }`,
			want:   `func f(p *problems) { if a { return }; if mutantLive(1) { p.add(b) } }`,
			names:  []string{"f: p.add(b)"},
		},
		"a bound": {
			source: `func f() { if a { r.NotAfter = b }; c = K{NotBefore: d(e), Name: g} }`,
			want:   `func f() { if a { if mutantLive(1) { r.NotAfter = b } }; c = K{NotBefore: mutantKeep(2, d(e)), Name: g} }`,
			names:  []string{"f: r.NotAfter = b", "f: NotBefore: d(e)"},
		},
		"what shuts out": {
			source: `func f() { if a { v.Serving = ServingNothing }; candidate = nil; other = nil }`,
			want:   `func f() { if a { if mutantLive(1) { v.Serving = ServingNothing } }; if mutantLive(2) { candidate = nil }; other = nil }`,
			names:  []string{"f: v.Serving = ServingNothing", "f: candidate = nil"},
		},
		"a state": {
			source: `func f() keyring.State { if a { return keyring.StateSuspended }; return keyring.StateActive }`,
			want:   `func f() keyring.State { if (a) && mutantLive(1) { return keyring.StateSuspended }; return keyring.StateActive }`,
			names:  []string{"f: a"},
		},
		"what is revoked": {
			source: `func f() { k.revoked = k.revoked || a; found = append(found, foundKey{revoked: b}) }`,
			want: `func f() { k.revoked = (k.revoked) && mutantLive(1) || (a) && mutantLive(2); ` +
				`found = append(found, foundKey{revoked: (b) && mutantLive(3)}) }`,
			names: []string{"f: k.revoked", "f: a", "f: b"},
		},
		"what is kept": {
			source: `func f() { if a && !b { keys = append(keys, k) }; if a { notes = append(notes, n) }; if a { keyIDs = append(keyIDs, k) } }`,
			want: `func f() { if (a || !mutantLive(1)) && (!b || !mutantLive(2)) { keys = append(keys, k) }; ` +
				`if a { notes = append(notes, n) }; if a { if mutantLive(3) { keyIDs = append(keyIDs, k) } } }`,
			names: []string{"f: a", "f: !b", "f: keyIDs = append(keyIDs, k)"},
		},
		"what gets nothing": {
			source: `func (s *Source) next() { switch { case a, b: default: c() } }`,
			want:   `func (s *Source) next() { switch { case (a) && mutantLive(1), (b) && mutantLive(2): default: c() } }`,
			names:  []string{"Source.next: a", "Source.next: b"},
		},
		"what lets in": {
			source: `func Identities() { if a { b = c } }`,
			want:   `func Identities() { if (a || !mutantLive(1)) { b = c } }`,
			names:  []string{"Identities: a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			expectMutants(t, tc.source, target{config: true}, tc.names, tc.want)
		})
	}
}

// TestFindInTarget: only the functions that count have mutants.
func TestFindInTarget(t *testing.T) {
	const source = `func f() error { if a { return errA }; return nil }; func (s S) g() error { if b { return errB }; return nil }`
	for name, tc := range map[string]struct {
		files map[string][]string
		want  []string
	}{
		"all":         {nil, []string{"f: a", "S.g: b"}},
		"of the file": {map[string][]string{"p.go": nil}, []string{"f: a", "S.g: b"}},
		"some":        {map[string][]string{"p.go": {"S.g"}}, []string{"S.g: b"}},
		"none":        {map[string][]string{"q.go": nil}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := mutantsOf(t, source, target{files: tc.files})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCulprit(t *testing.T) {
	for output, want := range map[string]string{
		"--- FAIL: TestA (0.00s)\n    --- FAIL: TestA/b (0.00s)\nFAIL\n": "TestA/b",
		"--- FAIL: TestA (0.00s)\nFAIL\n":                                "TestA",
		"panic: index out of range\n":                                    "a crash",
		"panic: test timed out after 2m0s\n":                             "a test that never ends",
	} {
		if got, _ := culprit(output); got != want {
			t.Errorf("%q: %q, want %q", output, got, want)
		}
	}
}

// TestReport: a survivor fails the run, one with a reason does not, and a reason that no longer holds does.
func TestReport(t *testing.T) {
	dead := &mutant{name: "dead", killer: "TestA", at: "p"}
	alive := &mutant{name: "alive", witnesses: []witness{{"p", []string{"TestA"}}}}
	for name, tc := range map[string]struct {
		known equivalent
		fails bool
	}{
		"a survivor":            {nil, true},
		"with a reason":         {equivalent{"alive": "because"}, false},
		"a reason for the dead": {equivalent{"alive": "because", "dead": "because"}, true},
		"a reason for nothing":  {equivalent{"alive": "because", "gone": "because"}, true},
	} {
		var out strings.Builder
		err := report(&out, []*mutant{dead, alive}, tc.known, options{complete: true})
		if (err != nil) != tc.fails {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
}

// TestFindWhatIsGone: a function that was renamed must not leave the list unseen.
func TestFindWhatIsGone(t *testing.T) {
	f := &finder{
		fset: token.NewFileSet(), source: []byte("package p\nfunc f() {}\n"), path: "p.go", names: map[string]int{},
		target: target{files: map[string][]string{"p.go": {"f", "g"}}},
	}
	if err := f.find(); err == nil || !strings.Contains(err.Error(), "function g") {
		t.Errorf("error %v, want one that names the function", err)
	}
}
