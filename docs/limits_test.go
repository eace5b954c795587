package docs

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// constants finds the values of constants in the source, exported or not.
type constants struct {
	files *token.FileSet
	known map[string]*types.Package
}

func newConstants() *constants {
	clock := types.NewPackage("time", "time")
	for name, d := range map[string]time.Duration{
		"Nanosecond": time.Nanosecond, "Microsecond": time.Microsecond, "Millisecond": time.Millisecond,
		"Second": time.Second, "Minute": time.Minute, "Hour": time.Hour,
	} {
		clock.Scope().Insert(types.NewConst(token.NoPos, clock, name, types.Typ[types.Int64], constant.MakeInt64(int64(d))))
	}
	clock.MarkComplete()
	return &constants{files: token.NewFileSet(), known: map[string]*types.Package{"time": clock}}
}

// Import makes constants a types.Importer of the packages of this module. Of others nothing but time is known, nor needed.
func (c *constants) Import(path string) (*types.Package, error) {
	if found := c.known[path]; found != nil {
		return found, nil
	}
	folder, ours := strings.CutPrefix(path, "github.com/ostiary/ostiary/")
	if !ours {
		other := types.NewPackage(path, filepath.Base(path))
		other.MarkComplete()
		c.known[path] = other
		return other, nil
	}
	sources, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(c.files, source, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	// What it complains about needs packages that are not known here; the constants are right all the same.
	checker := types.Config{Importer: c, IgnoreFuncBodies: true, Error: func(error) {}}
	found, _ := checker.Check(path, c.files, files, nil)
	c.known[path] = found
	return found, nil
}

// value returns the value of an integer constant.
func (c *constants) value(t *testing.T, folder, name string) (int64, bool) {
	t.Helper()
	found, err := c.Import("github.com/ostiary/ostiary/" + folder)
	if err != nil {
		t.Fatal(err)
	}
	declared, ok := found.Scope().Lookup(name).(*types.Const)
	if !ok {
		return 0, false
	}
	return constant.Int64Val(constant.ToInt(declared.Val()))
}

// amount reads what the page says, in bytes or nanoseconds where it has a unit.
func amount(text string) (int64, bool) {
	number, unit, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(number, 10, 64)
	units := map[string]int64{
		"": 1, "KiB": 1 << 10, "MiB": 1 << 20,
		"ms": int64(time.Millisecond), "s": int64(time.Second), "min": int64(time.Minute), "h": int64(time.Hour),
	}
	return n * units[unit], err == nil && units[unit] != 0
}

// TestLimits compares the list of limits with the constants, and the constants with the list.
func TestLimits(t *testing.T) {
	page, err := os.ReadFile("reference/limits.md")
	if err != nil {
		t.Fatal(err)
	}
	folders := map[string]string{
		"http1": "proxy/http1", "proxy": "proxy", "server": "proxy/server", "upstream": "proxy/upstream",
		"routing": "proxy/routing", "compile": "internal/compile",
	}
	source := newConstants()
	var listed []string
	for _, row := range regexp.MustCompile("(?m)^\\|[^|]*\\| ([^|]+) \\|[^|]*\\| `(\\w+)\\.(\\w+)` \\|$").FindAllStringSubmatch(string(page), -1) {
		folder, name := row[2], row[3]
		listed = append(listed, folder+"."+name)
		want, found := source.value(t, folders[folder], name)
		got, valid := amount(row[1])
		if !found || !valid || got != want {
			t.Errorf("the page says of %s.%s that it is %s; found %t, value %d", folder, name, row[1], found, want)
		}
	}
	// Those of how the work is done, and those that hold defaults for callers that set none.
	elsewhere := []string{
		"http1.maxLineBytes", "http1.maxTransfer", "http1.DefaultReadHeaderTimeout", "http1.DefaultIdleTimeout", "http1.DefaultStallTimeout",
		"upstream.maxShards", "upstream.defaultConnectTimeout", "upstream.defaultIdleTimeout",
		"proxy.stallTimeout", "proxy.unreadTimeout", "server.maxHeadBytes", "server.DefaultShutdownTimeout",
		"http1.FaultTimeout", // no limit, but what came of one
	}
	limit := regexp.MustCompile("^(max|Max|default|Default)[A-Z]|Timeout$")
	for _, folder := range []string{"http1", "proxy", "server", "upstream"} {
		declared, err := source.Import("github.com/ostiary/ostiary/" + folders[folder])
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range declared.Scope().Names() {
			if _, ok := declared.Scope().Lookup(name).(*types.Const); !ok || !limit.MatchString(name) {
				continue
			}
			if full := folder + "." + name; !slices.Contains(listed, full) && !slices.Contains(elsewhere, full) {
				t.Errorf("%s is a limit that the page does not list", full)
			}
		}
	}
}
