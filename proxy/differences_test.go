package proxy_test

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/server"
)

// TestDifferencesAreDocumented compares the page about the engines with engineDifferences.
func TestDifferencesAreDocumented(t *testing.T) {
	if engine == server.EngineHTTP1 {
		if different := engineDifferences(); len(different) > 0 {
			t.Errorf("our own engine does not do all that the catalogue wants: %v", different)
		}
		return
	}
	page, err := os.ReadFile("../docs/reference/engines.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (P\d+) \| (.*) \|$`).FindAllStringSubmatch(string(page), -1) {
		listed[row[1]] = row[2]
	}
	if diff := cmp.Diff(engineDifferences(), listed); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
