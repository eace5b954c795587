package compile_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestGolden compiles each testdata/CASE/in.yaml and compares what the proxy would get and what users would be told with
// the golden files beside it. `go test ./internal/compile -update` writes these anew: read the difference.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("testdata", "*", "in.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(dirs) < 40 {
		t.Fatalf("found %d cases: are the fixtures gone?", len(dirs))
	}
	for _, in := range dirs {
		dir := filepath.Dir(in)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f := loadFixture(t, dir)
			out := f.compile()
			golden(t, filepath.Join(dir, "config.golden.yaml"), out.configView(t))
			if _, problems := routing.Build(out.config); len(problems) > 0 {
				t.Errorf("the router finds problems in what was compiled: %v", problems)
			}
			golden(t, filepath.Join(dir, "report.golden.yaml"), out.reportView(t))
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(readFile(t, path)), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// TestMain defines -update, so that it is no package variable.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	os.Exit(m.Run())
}
