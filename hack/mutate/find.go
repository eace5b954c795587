package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is the code without one denial.
type mutant struct {
	id   int
	pkg  string // folder of its package
	file string // path below the repository
	line int
	name string // file, function and what decides: the same in every version that has it

	witnesses []witness // the tests that come by the denial, by package
	killer    string    // what found that it was missing
	at        string    // the package of that test
}

// witness is a package with tests that come by a denial.
type witness struct {
	pkg   string
	tests []string
}

// seenBy notes that a test comes by the denial. Those of a package are noted together.
func (m *mutant) seenBy(pkg, test string) {
	if last := len(m.witnesses) - 1; last >= 0 && m.witnesses[last].pkg == pkg {
		m.witnesses[last].tests = append(m.witnesses[last].tests, test)
		return
	}
	m.witnesses = append(m.witnesses, witness{pkg, []string{test}})
}

// edit inserts text into a file.
type edit struct {
	offset  int
	text    string
	closing bool // whether it ends what another began
}

// order is that of edits in a file. Of those at one place the closing come first, the innermost before what it is in, and
// then the opening, the outermost first; outer ones are made before inner ones.
func order(edits []edit) {
	rank := make(map[edit]int, len(edits))
	for i, e := range edits {
		rank[e] = i
	}
	slices.SortStableFunc(edits, func(a, b edit) int {
		switch {
		case a.offset != b.offset:
			return a.offset - b.offset
		case a.closing != b.closing:
			if a.closing {
				return -1
			}
			return 1
		case a.closing:
			return rank[b] - rank[a]
		default:
			return rank[a] - rank[b]
		}
	})
}

// finder finds the denials of one file.
type finder struct {
	fset    *token.FileSet
	source  []byte
	path    string
	target  target
	next    func() int
	names   map[string]int
	mutants []*mutant
	edits   []edit
}

// find returns the mutants of a file and the edits that make it one that goes without any of them.
func (f *finder) find() error {
	file, err := parser.ParseFile(f.fset, f.path, f.source, parser.SkipObjectResolution)
	if err != nil {
		return fmt.Errorf("parse: %w", err)
	}
	var functions []string
	for _, decl := range file.Decls {
		fn, ok := decl.(*ast.FuncDecl)
		if !ok || fn.Body == nil {
			continue
		}
		functions = append(functions, functionName(fn))
		if f.target.has(f.path, functionName(fn)) {
			s := scope{finder: f, name: functionName(fn), results: results(functionName(fn), fn.Type)}
			s.block(fn.Body.List)
		}
	}
	order(f.edits)
	for _, name := range f.target.files[filepath.Base(f.path)] {
		if !slices.Contains(functions, name) {
			return fmt.Errorf("there is no function %s", name)
		}
	}
	return nil
}

// apply returns the file with all edits. They keep every line where it was.
func (f *finder) apply() []byte {
	var b strings.Builder
	at := 0
	for _, e := range f.edits {
		b.Write(f.source[at:e.offset])
		b.WriteString(e.text)
		at = e.offset
	}
	b.Write(f.source[at:])
	return []byte(b.String())
}

func functionName(fn *ast.FuncDecl) string {
	if fn.Recv == nil || len(fn.Recv.List) == 0 {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if id, ok := t.(*ast.Ident); ok {
		return id.Name + "." + fn.Name.Name
	}
	return fn.Name.Name
}

// scope is a function, or one inside another.
type scope struct {
	*finder
	name    string
	results []kind
}

// block looks at statements and at all inside of them.
func (s scope) block(list []ast.Stmt) {
	for _, stmt := range list {
		if s.refuses(stmt) {
			s.wrap(stmt.Pos(), stmt.End(), s.text(stmt))
			continue
		}
		s.statement(stmt)
	}
	if len(list) == 0 {
		return
	}
	// The end of a function, or of a branch, that denies whatever was not let through before.
	if last, ok := list[len(list)-1].(*ast.ReturnStmt); ok {
		s.tail(last)
	}
}

func (s scope) statement(stmt ast.Stmt) {
	switch stmt := stmt.(type) {
	case *ast.IfStmt:
		s.branch(stmt)
		return
	case *ast.SwitchStmt:
		s.nested(stmt.Init)
		s.nested(stmt.Tag)
		s.clauses(stmt.Body, stmt.Tag == nil)
		return
	case *ast.TypeSwitchStmt:
		s.clauses(stmt.Body, false)
		return
	case *ast.ForStmt:
		s.inner(stmt.Body)
		return
	case *ast.RangeStmt:
		s.nested(stmt.X)
		s.inner(stmt.Body)
		return
	case *ast.BlockStmt:
		s.inner(stmt)
		return
	case *ast.AssignStmt:
		s.assign(stmt)
	}
	s.nested(stmt)
}

// assign mutates assignments that deny by themselves.
func (s scope) assign(stmt *ast.AssignStmt) {
	switch to := assigned(stmt); {
	case to == "upgrade":
		s.allow(stmt.Rhs[0])
	case slices.Contains([]string{"ambiguous", "malformed"}, flagOf(stmt)) && !literally(stmt.Rhs[0], "true"):
		s.wrap(stmt.Pos(), stmt.End(), s.text(stmt))
	case !s.target.config:
	case to == "revoked" && isField(stmt.Lhs[0]):
		s.without(stmt.Rhs[0])
	case confines(stmt):
		s.wrap(stmt.Pos(), stmt.End(), s.text(stmt))
	}
}

// inner is block without its tail: a return at the end of a loop or of a branch was judged with its condition.
func (s scope) inner(body *ast.BlockStmt) {
	for _, stmt := range body.List {
		s.statement(stmt)
	}
}

// nested looks into function literals, and at the members of composite ones.
func (s scope) nested(node ast.Node) {
	if node == nil {
		return
	}
	ast.Inspect(node, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			in := scope{finder: s.finder, name: s.name + ".func", results: results("", n.Type)}
			in.block(n.Body.List)
			return false
		case *ast.KeyValueExpr:
			s.member(n)
		}
		return true
	})
}

// member mutates a member of a configuration that bounds what it lets in.
func (s scope) member(kv *ast.KeyValueExpr) {
	name, ok := kv.Key.(*ast.Ident)
	switch {
	case !ok || !s.target.config:
	case name.Name == "revoked":
		s.without(kv.Value)
	case slices.Contains(bounds(), name.Name) && name.Name != "cuts":
		id := s.add(kv.Pos(), s.text(kv))
		s.open(kv.Value.Pos(), fmt.Sprintf("mutantKeep(%d, ", id))
		s.end(kv.Value.End(), ")")
	}
}

// branch mutates the condition of an if that denies: each of what is joined by || is a denial of its own.
func (s scope) branch(stmt *ast.IfStmt) {
	if stmt.Init != nil {
		s.nested(stmt.Init)
	}
	s.nested(stmt.Cond)
	switch {
	case s.denies(stmt.Body.List):
		s.without(stmt.Cond)
	case s.target.config && (keeps(stmt.Body.List) || letsIn(s.name)):
		s.allow(stmt.Cond)
	default:
		s.guarded(stmt.Cond)
	}
	s.inner(stmt.Body)
	switch otherwise := stmt.Else.(type) {
	case *ast.IfStmt:
		s.branch(otherwise)
	case *ast.BlockStmt:
		if s.denies(otherwise.List) {
			s.cut(otherwise.List, "else")
		}
		s.inner(otherwise)
	}
}

// guarded mutates the conditions of what may go on that ask a guard.
func (s scope) guarded(condition ast.Expr) {
	for _, part := range operands(condition, token.LAND) {
		call := part
		if not, ok := part.(*ast.UnaryExpr); ok {
			call = not.X
		}
		if call, ok := call.(*ast.CallExpr); ok && slices.Contains(guards(), lastName(call.Fun)) {
			s.allow(part)
		}
	}
}

func (s scope) clauses(body *ast.BlockStmt, conditions bool) {
	for _, stmt := range body.List {
		clause := stmt.(*ast.CaseClause)
		denies := s.denies(clause.Body) || conditions && clause.List != nil && len(clause.Body) == 0 && emptyDenies(s.name)
		switch {
		case denies && conditions && clause.List != nil:
			for _, condition := range clause.List {
				s.without(condition)
			}
		case denies && clause.List == nil:
			s.cut(clause.Body, "default")
		case denies:
			s.cut(clause.Body, "case "+s.textOf(clause.List[0].Pos(), clause.List[len(clause.List)-1].End()))
		}
		for _, condition := range clause.List {
			s.nested(condition)
		}
		for _, stmt := range clause.Body {
			s.statement(stmt)
		}
		if last := len(clause.Body) - 1; last >= 0 && !denies {
			if end, ok := clause.Body[last].(*ast.ReturnStmt); ok {
				s.tail(end)
			}
		}
	}
}

// without makes a condition that denies one that does not.
func (s scope) without(condition ast.Expr) {
	for _, part := range operands(condition, token.LOR) {
		id := s.add(part.Pos(), s.text(part))
		s.open(part.Pos(), "(")
		s.end(part.End(), fmt.Sprintf(") && mutantLive(%d)", id))
	}
}

// allow makes a condition that lets through one that lets through whatever is before it: each of what is joined by && is a
// denial of its own.
func (s scope) allow(condition ast.Expr) {
	for _, part := range operands(condition, token.LAND) {
		id := s.add(part.Pos(), s.text(part))
		s.open(part.Pos(), "(")
		s.end(part.End(), fmt.Sprintf(" || !mutantLive(%d))", id))
	}
}

// wrap makes statements ones that can be left out.
func (s scope) wrap(from, to token.Pos, name string) {
	id := s.add(from, name)
	s.open(from, fmt.Sprintf("if mutantLive(%d) { ", id))
	s.end(to, " }")
}

// cut takes away the body of a clause that denies whatever has come so far.
func (s scope) cut(body []ast.Stmt, name string) {
	last := body[len(body)-1]
	end, returns := last.(*ast.ReturnStmt)
	switch {
	case !returns, len(end.Results) == 0:
		s.wrap(body[0].Pos(), last.End(), name)
	default:
		if yes, ok := s.yes(end); ok {
			id := s.add(body[0].Pos(), name)
			s.open(body[0].Pos(), fmt.Sprintf("if !mutantLive(%d) { return %s }; ", id, yes))
		}
	}
}

// tail mutates a return that decides by itself: one that denies, or an expression whose parts do.
func (s scope) tail(end *ast.ReturnStmt) {
	if len(end.Results) == 0 || len(end.Results) != len(s.results) {
		return
	}
	if s.deniesBy(end) {
		if yes, ok := s.yes(end); ok {
			id := s.add(end.Pos(), s.text(end))
			s.open(end.Pos(), fmt.Sprintf("if !mutantLive(%d) { return %s }; ", id, yes))
		}
		return
	}
	last := end.Results[len(end.Results)-1]
	if s.results[len(s.results)-1] != flagged || literally(last, "true") || literally(last, "false") {
		return
	}
	if trueDenies(s.name) || eitherDenies(s.name) {
		s.without(last)
	}
	if trueDenies(s.name) {
		return
	}
	for _, part := range operands(last, token.LAND) {
		id := s.add(part.Pos(), "return "+s.text(part))
		s.open(part.Pos(), "(")
		s.end(part.End(), fmt.Sprintf(" || !mutantLive(%d))", id))
	}
}

// yes is the return that says the opposite, where one can be written without knowing types.
func (s scope) yes(end *ast.ReturnStmt) (string, bool) {
	if len(end.Results) != len(s.results) {
		return "", false
	}
	texts, changed := make([]string, len(end.Results)), false
	for i, result := range end.Results {
		texts[i] = s.text(result)
		instead, other := lenient(result)
		switch {
		case s.results[i] == class && other:
			texts[i], changed = instead, true
		case s.results[i] == verdict:
			texts[i], changed = "nil", true
		case s.results[i] == flagged && literally(result, "false"):
			texts[i], changed = "true", true
		case s.results[i] == flagged && literally(result, "true"):
			texts[i], changed = "false", true
		}
	}
	return strings.Join(texts, ", "), changed
}

// denies says whether statements deny: by their end, or by raising a flag that denies.
func (s scope) denies(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	for _, stmt := range body {
		assign, ok := stmt.(*ast.AssignStmt)
		if s.refuses(stmt) || ok && (raisesFlag(assign) || s.target.config && assigned(assign) == "known") {
			return true
		}
	}
	switch last := body[len(body)-1].(type) {
	case *ast.ReturnStmt:
		return s.deniesBy(last)
	case *ast.BranchStmt:
		return last.Tok == token.CONTINUE
	default:
		return false
	}
}

// deniesBy says whether a return denies.
func (s scope) deniesBy(end *ast.ReturnStmt) bool {
	if len(end.Results) != len(s.results) {
		return false
	}
	for i, result := range end.Results {
		switch s.results[i] {
		case verdict:
			if !literally(result, "nil") && !passesOn(result) {
				return true
			}
		case flagged:
			if i == len(end.Results)-1 && (literally(result, "true") && trueDenies(s.name) || literally(result, "false") && !trueDenies(s.name)) {
				return true
			}
		case found:
			if literally(result, "nil") && !slices.Contains(s.results, verdict) {
				return true
			}
		case class:
			if _, ok := lenient(result); ok {
				return true
			}
		case outcome:
			if call, ok := result.(*ast.CallExpr); ok && lastName(call.Fun) == "refuse" {
				return true
			}
		}
	}
	return false
}

// add makes a mutant; a name that was there before gets a number.
func (s scope) add(at token.Pos, name string) int {
	full := s.path + " " + s.name + ": " + name
	s.names[full]++
	if n := s.names[full]; n > 1 {
		full = fmt.Sprintf("%s (%d)", full, n)
	}
	m := &mutant{id: s.next(), file: s.path, line: s.fset.Position(at).Line, name: full}
	s.mutants = append(s.mutants, m)
	return m.id
}

func (f *finder) open(at token.Pos, text string) {
	f.edits = append(f.edits, edit{offset: f.fset.Position(at).Offset, text: text})
}

func (f *finder) end(at token.Pos, text string) {
	f.edits = append(f.edits, edit{offset: f.fset.Position(at).Offset, text: text, closing: true})
}

func (f *finder) text(n ast.Node) string { return f.textOf(n.Pos(), n.End()) }

// textOf is source text on one line.
func (f *finder) textOf(from, to token.Pos) string {
	return strings.Join(strings.Fields(string(f.source[f.fset.Position(from).Offset:f.fset.Position(to).Offset])), " ")
}
