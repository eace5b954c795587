package http1

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDifferencesAreDocumented compares the page about the engines with what stricter explains.
func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "\n## What the own engine refuses\n")
	section, _, ended := strings.Cut(rest, "\n## ")
	if !found || !ended {
		t.Fatal("the page has no such section")
	}
	rows := regexp.MustCompile(`(?m)^\| .* \|$`).FindAllString(section, -1)
	if len(rows) == 0 {
		t.Fatal("the section has no table")
	}
	var want []string
	for err, why := range stricter() {
		want = append(want, "| "+err.Error()+" | "+why+" |")
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, rows[1:]); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
