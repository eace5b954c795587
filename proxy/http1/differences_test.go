package http1

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDifferencesAreDocumented compares the page about the engines with what stricter and stricterResponses explain.
func TestDifferencesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/reference/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	responses := stricterResponses()
	for refused, why := range stricter() {
		if responses[refused] == why {
			delete(responses, refused) // said of requests already
		}
	}
	for heading, explained := range map[string]map[error]string{
		"What the own engine refuses": stricter(),
		"Responses":                   responses,
	} {
		var want []string
		for refused, why := range explained {
			want = append(want, "| "+refused.Error()+" | "+why+" |")
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, rows(t, string(page), heading)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", heading, diff)
		}
	}
}

// rows are those of the table below a heading, without its head.
func rows(t *testing.T, page, heading string) []string {
	t.Helper()
	_, below, found := strings.Cut(page, "\n## "+heading+"\n")
	below, _, _ = strings.Cut(below, "\n## ")
	lines := regexp.MustCompile(`(?m)^\| .* \|$`).FindAllString(below, -1)
	if !found || len(lines) == 0 {
		t.Fatalf("the page has no table below %q", heading)
	}
	return lines[1:]
}
