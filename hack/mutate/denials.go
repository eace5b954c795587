package main

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// This file is the vocabulary: how this repository's code says no.

// trueDenies are the functions whose true is the denial; anywhere else it is false.
func trueDenies(function string) bool {
	return slices.Contains([]string{
		"notToken", "joined", "roca", "looksPublic", "isPublicDER", "hasPrivate", "isPrivate", "usesMacroVariable",
		"effectiveScopes.func", "Entry.Ended", "Revocation.Covers", "Policy.expired", "Policy.early",
		"sources.stripFields.func", "sources.stripCookies.func", "sources.stripQuery.func",
		"IsIdentity", "SameName", "ofConnection", "replaced", "reserved.has", "reserved.has.func", "Verdict.Reserved", "isDotSegment", "isControl",
		"isOwn", "isLocal", "isLocal.func", "owner.missing", "owner.suspends", "isSuspended", "Record.Spent",
		"credentialDraft.retainOne.func",
	}, function)
}

// eitherDenies are those whose answer denies in some places and lets through in others.
func eitherDenies(function string) bool {
	return slices.Contains([]string{"Key.SameMaterial", "Names.Has", "groups.hasOneOf", "groups.hasOneOf.func"}, function)
}

// onlyReports are functions that decide about nothing but what people are told.
func onlyReports(function string) bool {
	return slices.Contains([]string{"keys.same", "Entry.NoteUses", "issuerSecrets", "noteTokenHeaders", "credentialDraft.remoteReports"}, function)
}

// emptyDenies are the functions in which a case without statements leaves something out.
func emptyDenies(function string) bool { return function == "Source.next" }

// kind is what a result of a function says about a denial.
type kind int

const (
	neutral kind = iota
	verdict      // nil is yes: error, *Refused, *Refusal, *Problem
	flagged      // bool
	found        // nil is no: what a lookup returns
	outcome      // a Verdict, whose zero value denies
	class        // one of several values, of which one lets through
)

// results are the kinds of a function's results.
func results(function string, t *ast.FuncType) []kind {
	var kinds []kind
	if t.Results == nil {
		return nil
	}
	for _, field := range t.Results.List {
		k := kindOf(field.Type)
		if function == "EmbeddedAddresses" { // each is one more to be refused
			k = verdict
		}
		for range max(1, len(field.Names)) {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

func kindOf(t ast.Expr) kind {
	switch t := t.(type) {
	case *ast.Ident:
		switch t.Name {
		case "error":
			return verdict
		case "bool":
			return flagged
		case "Verdict":
			return outcome
		case "AddressClass", "Fate":
			return class
		}
	case *ast.SelectorExpr:
		if t.Sel.Name == "State" {
			return class
		}
	case *ast.StarExpr:
		switch name := lastName(t.X); name {
		case "Refused", "Refusal", "Problem", "problem":
			return verdict
		default:
			return found
		}
	case *ast.ArrayType, *ast.MapType:
		return found
	}
	return neutral
}

// lenient is the value of a class that lets through, instead of one that does not.
func lenient(e ast.Expr) (string, bool) {
	switch name := lastName(e); name {
	case "StateSuspended":
		return "keyring.StateActive", true
	case "AddressLoopback", "AddressNoServer", "AddressLinkLocal", "AddressMetadata":
		return "AddressOrdinary", true
	case "Connection", "Replaced", "Identity", "Misread":
		return "Kept", true
	default:
		return "", false
	}
}

// passesOn says whether an expression asks another function, which may say yes, for the verdict.
func passesOn(e ast.Expr) bool {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	return !slices.Contains(makers(), lastName(call.Fun))
}

// makers are functions that make a denial, whatever they are called with.
func makers() []string {
	return []string{"refuse", "problemf", "Errorf", "New", "failf", "statusError", "connectError"}
}

// refuses says whether a statement is a call that refuses: a request, or an object of the API.
func (s scope) refuses(stmt ast.Stmt) bool {
	expr, ok := stmt.(*ast.ExprStmt)
	if !ok {
		return false
	}
	call, ok := expr.X.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch lastName(call.Fun) {
	case "refuse", "badResponse":
		return !s.target.config // a compiled credential's refuse only reports
	case "invalid":
		return s.target.config
	case "add":
		on, ok := call.Fun.(*ast.SelectorExpr)
		return ok && s.target.config && slices.Contains([]string{"errs", "p", "invalid", "unresolved", "unprotected"}, lastName(on.X))
	default:
		return false
	}
}

// letsIn are the functions whose conditions let something in, or keep what was there first.
func letsIn(function string) bool {
	return slices.Contains([]string{"Identities", "newIdentityOwners", "pipelineDraft.compiled"}, function)
}

// guards are functions that say whether something may go on, in conditions of what lets it.
func guards() []string { return []string{"trailerAllowed", "Reserved", "KeepRequestTrailer"} }

// raisesFlag says whether an assignment is to a field that makes the code deny in the end.
func raisesFlag(stmt *ast.AssignStmt) bool { return flagOf(stmt) != "" }

// flagOf is the name of that field, or of the error that is made.
func flagOf(stmt *ast.AssignStmt) string {
	if len(stmt.Lhs) != 1 || stmt.Tok != token.ASSIGN {
		return ""
	}
	if call, ok := stmt.Rhs[0].(*ast.CallExpr); ok && literally(stmt.Lhs[0], "err") && slices.Contains(makers(), lastName(call.Fun)) {
		return "err"
	}
	for e := stmt.Lhs[0]; ; {
		selector, ok := e.(*ast.SelectorExpr)
		if !ok {
			return ""
		}
		switch name := selector.Sel.Name; name {
		case "ambiguous", "malformed", "Refusal":
			return name
		}
		e = selector.X
	}
}

// assigned is the last name of what an assignment of one value is to: that of the variable, the field or the map.
func assigned(stmt *ast.AssignStmt) string {
	if len(stmt.Lhs) != 1 || len(stmt.Rhs) != 1 || stmt.Tok != token.ASSIGN {
		return ""
	}
	to := stmt.Lhs[0]
	if index, ok := to.(*ast.IndexExpr); ok {
		to = index.X
	}
	return lastName(to)
}

// bounds are the names of fields and variables of a configuration that bound what it lets in: without a value they bound
// nothing.
func bounds() []string {
	return []string{
		"NotBefore", "NotAfter", "Until", "until", "Replaced", "RetainUntil", "cuts",
		"Revocation", "IssuedBefore", "TokenIDs", "KeyIDs", "keyIDs",
		"Issuer", "Audiences", "MaxLifetime", "TokenTypes", "RequiredClaims", "RequiredScopes", "ClaimRules",
		"AllowGroups", "DenyGroups",
	}
}

// confines says whether an assignment is to one of them, or of a value that shuts out.
func confines(stmt *ast.AssignStmt) bool {
	to := assigned(stmt)
	switch {
	case to == "":
		return false
	case slices.Contains(bounds(), to), to == "candidate" && literally(stmt.Rhs[0], "nil"):
		return true
	default:
		return slices.Contains([]string{"ServingNothing", "StateSuspended"}, lastName(stmt.Rhs[0]))
	}
}

// keeps says whether statements do nothing but to add to a list other than one of notes for people: what the condition does
// not let pass is left out.
func keeps(body []ast.Stmt) bool {
	if len(body) != 1 {
		return false
	}
	stmt, ok := body[0].(*ast.AssignStmt)
	if !ok || assigned(stmt) == "" || strings.HasSuffix(strings.ToLower(assigned(stmt)), "notes") || confines(stmt) {
		return false
	}
	call, ok := stmt.Rhs[0].(*ast.CallExpr)
	return ok && lastName(call.Fun) == "append"
}

func isField(e ast.Expr) bool {
	_, ok := e.(*ast.SelectorExpr)
	return ok
}

func literally(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	default:
		return ""
	}
}

// operands are what an operator joins, without parentheses.
func operands(e ast.Expr, op token.Token) []ast.Expr {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return operands(e.X, op)
	case *ast.BinaryExpr:
		if e.Op == op {
			return append(operands(e.X, op), operands(e.Y, op)...)
		}
	}
	return []ast.Expr{e}
}
