// Package trace records how one request was decided, for people who ask why. The code that decides takes a Trace along and
// notes in it what it finds; where requests are served there is none, so that what people are told is what the proxy does.
//
// A Trace never holds anything of a token but where it was: no claim, no kid, no signature. What it names comes from the
// configuration.
package trace

import (
	"fmt"
	"io"
	"strings"
)

// Mark says what a line is about.
type Mark uint8

const (
	// Note is something worth knowing.
	Note Mark = iota
	// Pass is a step that let the request go on.
	Pass
	// Fail is a step that ended it.
	Fail
)

// Line is one thing that was found.
type Line struct {
	// Depth is how many steps the line is part of.
	Depth int
	Mark  Mark
	Text  string
}

// Trace is what was found, in order. Its methods may be called on nil, which keeps nothing; where a request is served,
// callers must not even build the text then.
type Trace struct {
	lines []Line
	depth int
}

// Add appends a line.
func (t *Trace) Add(mark Mark, format string, args ...any) {
	if t != nil {
		t.add(mark, format, args)
	}
}

func (t *Trace) add(mark Mark, format string, args []any) {
	t.lines = append(t.lines, Line{Depth: t.depth, Mark: mark, Text: fmt.Sprintf(format, args...)})
}

// Within has the lines that f adds shown as parts of the last one.
func (t *Trace) Within(f func()) {
	if t == nil {
		return
	}
	t.depth++
	defer func() { t.depth-- }()
	f()
}

// Lines returns all lines. The slice must not be changed.
func (t *Trace) Lines() []Line {
	if t == nil {
		return nil
	}
	return t.lines
}

// Write draws the lines as a tree below a title.
func (t *Trace) Write(w io.Writer, title string) error {
	var b strings.Builder
	b.WriteString(printable(title) + "\n")
	lines := t.Lines()
	for i, line := range lines {
		for depth := range line.Depth {
			if continues(lines[i+1:], depth) {
				b.WriteString("│  ")
			} else {
				b.WriteString("   ")
			}
		}
		if continues(lines[i+1:], line.Depth) {
			b.WriteString("├─ ")
		} else {
			b.WriteString("└─ ")
		}
		b.WriteString(sign(line.Mark) + " " + printable(line.Text) + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	return nil
}

// continues says whether another line of that depth follows in the same step.
func continues(rest []Line, depth int) bool {
	for _, line := range rest {
		if line.Depth <= depth {
			return line.Depth == depth
		}
	}
	return false
}

func sign(mark Mark) string {
	switch mark {
	case Pass:
		return "✓"
	case Fail:
		return "✗"
	default:
		return "·"
	}
}

// printable keeps a line on one line: a request's path and names may hold anything.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029' {
			return '\ufffd'
		}
		return r
	}, s)
}
