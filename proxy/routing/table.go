package routing

import (
	"fmt"
	"log/slog"
	"slices"
)

// Table answers which Pipeline takes a request. It is immutable: any number of goroutines may use it.
type Table struct {
	pipelines    []Pipeline
	certificates []Certificate

	hosts     map[string]*hostTable // by exact host
	wildcards map[string]*hostTable // by what follows the "*."
	anyHost   *hostTable            // nil when no match is without a host

	certificateOf hostIndex
}

// Format writes how many Pipelines there are, whatever the verb: the certificates' keys are secret.
func (t *Table) Format(state fmt.State, _ rune) {
	_, _ = fmt.Fprintf(state, "Table(%d pipelines)", len(t.pipelines))
}

// LogValue is as Format.
func (t *Table) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(t)) }

// Request is what a request is matched by.
type Request struct {
	// Host is the canonical host, see CanonicalHost.
	Host string
	// Path is the canonical path in its match form, see ParsePath.
	Path string
	// Method is the method, as sent.
	Method string
	// Fields are asked only for names that matches ask for, in lower case.
	Fields Fields
}

// Fields are a request's header fields.
type Fields interface {
	// Values are the values of all field lines with that name, in order.
	Values(name string) []string
}

// Status says what became of a request.
type Status uint8

const (
	// NoRoute: nothing takes the request. Answered 404.
	NoRoute Status = iota
	// Found: Result.Route is set.
	Found
	// MethodNotAllowed: the path is there, but not for this method. Answered 405 with Result.Allow.
	MethodNotAllowed
)

// String returns the status in lower case.
func (s Status) String() string {
	switch s {
	case NoRoute:
		return "no route"
	case Found:
		return "found"
	case MethodNotAllowed:
		return "method not allowed"
	default:
		return "unknown"
	}
}

// Result is the answer to a Request.
type Result struct {
	Status Status
	// Route is set with Found. It belongs to the table and must not be changed.
	Route *Route
	// Allow is set with MethodNotAllowed: the methods that the path is there for, sorted, as in the Allow field
	// (RFC 9110 section 10.2.1).
	Allow string
}

// Route is a match of a Pipeline.
type Route struct {
	// Pipeline is the index into Config.Pipelines.
	Pipeline int
	// Match is the match that won.
	Match *Match
}

// Pipeline returns the Pipeline with that index of Config.Pipelines. It differs from the one in the Config where Build
// found a Problem with it: then it is Broken. It belongs to the table and must not be changed.
func (t *Table) Pipeline(index int) *Pipeline { return &t.pipelines[index] }

// Pipelines returns all Pipelines, in the order of the Config, as Pipeline returns them.
func (t *Table) Pipelines() []Pipeline { return slices.Clone(t.pipelines) }

// Certificates returns the certificates of the Config, in its order. The slice must not be changed.
func (t *Table) Certificates() []Certificate { return t.certificates }
