package trace

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTree(t *testing.T) {
	var tr Trace
	tr.Add(Pass, "route")
	tr.Within(func() {
		tr.Add(Note, "first")
		tr.Within(func() { tr.Add(Note, "below the first") })
		tr.Add(Fail, "second\x1b[31m\nX")
		tr.Within(func() { tr.Add(Note, "%d of %q", 1, "a") })
	})
	tr.Add(Fail, "token")
	tr.Within(func() { tr.Add(Note, "last") })
	var got strings.Builder
	if err := tr.Write(&got, "GET /"); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"GET /",
		"├─ ✓ route",
		"│  ├─ · first",
		"│  │  └─ · below the first",
		"│  └─ ✗ second\ufffd[31m\ufffdX",
		"│     └─ · 1 of \"a\"",
		"└─ ✗ token",
		"   └─ · last",
		"",
	}, "\n")
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

// TestNil: the code that decides does not ask whether there is a Trace.
func TestNil(t *testing.T) {
	var tr *Trace
	tr.Add(Pass, "a")
	tr.Within(func() { t.Error("a part of nothing") })
	if tr.Lines() != nil {
		t.Error("a nil Trace has lines")
	}
}

type broken struct{}

var errBroken = errors.New("broken")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWriteFails(t *testing.T) {
	if err := new(Trace).Write(broken{}, "x"); !errors.Is(err, errBroken) {
		t.Errorf("error %v", err)
	}
}
