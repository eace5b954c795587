package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each row of the catalogue of what is promised of keys (testdata/keyrows.txt) is held by tests whose names begin with its
// number: as the key of a table, or as the name that a subtest is run by. With -v the test lists them.
func TestEveryRowOfTheKeyCatalogueIsHeld(t *testing.T) {
	promises := keyRows(t)
	holders := map[string][]string{}
	for name, content := range trackedFiles(t, "*_test.go") {
		for _, test := range rowTests(t, name, content) {
			number, _, _ := strings.Cut(test, " ")
			if promises[number] == "" {
				t.Errorf("%s: the test %q names a row that the catalogue does not have", name, test)
			}
			holders[number] = append(holders[number], name+": "+test)
		}
	}
	for _, number := range slices.Sorted(maps.Keys(promises)) {
		if len(holders[number]) == 0 {
			t.Errorf("no test holds %s: %s", number, promises[number])
			continue
		}
		slices.Sort(holders[number])
		t.Logf("%s %s\n\t%s", number, promises[number], strings.Join(holders[number], "\n\t"))
	}
}

// keyRows are the promises by their numbers.
func keyRows(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/keyrows.txt")
	if err != nil {
		t.Fatal(err)
	}
	promises := map[string]string{}
	for line := range strings.Lines(string(text)) {
		number, promise, ok := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if !ok || !rowName.MatchString(number+" ") || promises[number] != "" {
			t.Fatalf("testdata/keyrows.txt: %q is no row, or one that is there already", line)
		}
		promises[number] = promise
	}
	if len(promises) != 24 {
		t.Fatalf("the catalogue has %d rows, want 24", len(promises))
	}
	return promises
}

var rowName = regexp.MustCompile(`^Q[0-9]{2} `)

// rowTests are the names of tests in a file that begin with a row's number: keys of map literals, and first arguments of Run,
// also where more is added to them.
func rowTests(t *testing.T, name string, content []byte) []string {
	t.Helper()
	if !strings.Contains(string(content), `"Q`) {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, content, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	take := func(e ast.Expr) {
		for {
			sum, ok := e.(*ast.BinaryExpr)
			if !ok {
				break
			}
			e = sum.X
		}
		literal, ok := e.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return
		}
		if text, err := strconv.Unquote(literal.Value); err == nil && rowName.MatchString(text) {
			found = append(found, text)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			take(n.Key)
		case *ast.CallExpr:
			if call, ok := n.Fun.(*ast.SelectorExpr); ok && call.Sel.Name == "Run" && len(n.Args) == 2 {
				take(n.Args[0])
			}
		default:
		}
		return true
	})
	return found
}
