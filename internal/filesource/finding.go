package filesource

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Severity says what a Finding means for the object.
type Severity uint8

const (
	// SeverityError: the object, or this version of it, is refused or can't do what it is for.
	SeverityError Severity = iota
	// SeverityWarning: everything is taken, but probably not what was meant.
	SeverityWarning
)

// String returns "error" or "warning".
func (s Severity) String() string {
	if s == SeverityWarning {
		return "warning"
	}
	return "error"
}

// Finding is something to tell the people who wrote the files. It never quotes a Secret's content.
type Finding struct {
	Severity Severity
	// File as it was found below the given paths; "(standard input)" for that.
	File string
	// Line that the document starts in, from 1; 0 when the Finding is about the whole file.
	Line int
	// Kind, Namespace and Name of the object, as far as they are known.
	Kind, Namespace, Name string
	// Field is the path of the field at fault; empty when it is none in particular.
	Field string
	// Message says what is wrong and what to write instead.
	Message string
}

// Object names the object: "Pipeline shop/orders", or less where less is known.
func (f Finding) Object() string {
	name := f.Name
	if f.Namespace != "" && name != "" {
		name = f.Namespace + "/" + name
	}
	return strings.TrimSpace(f.Kind + " " + name)
}

// String is one line: file, line, object, field and message.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(f.File)
	if f.Line > 0 {
		fmt.Fprintf(&b, ":%d", f.Line)
	}
	fmt.Fprintf(&b, ": %s: ", f.Severity)
	for _, part := range []string{f.Object(), f.Field} {
		if part != "" {
			b.WriteString(part + ": ")
		}
	}
	b.WriteString(f.Message)
	return b.String()
}

// HasErrors reports whether one of the Findings is an error.
func HasErrors(findings []Finding) bool {
	return slices.ContainsFunc(findings, func(f Finding) bool { return f.Severity == SeverityError })
}

// sortFindings orders by place, keeping the order of those about the same document.
func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}
