package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
)

// equivalent says of mutants, by name, why no test can tell them from the code.
type equivalent map[string]string

// readEquivalent reads lines of a mutant's name, " => " and the reason. Lines that begin with # are comments.
func readEquivalent(path string) (equivalent, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of equivalent mutants: %w", err)
	}
	defer file.Close()
	known := equivalent{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, why, ok := strings.Cut(line, " => ")
		if !ok || strings.TrimSpace(why) == "" {
			return nil, fmt.Errorf("%s:%d: expected a mutant's name, => and the reason", path, n)
		}
		known[name] = why
	}
	return known, lines.Err()
}

// fate is what became of a mutant.
func (m *mutant) fate(known equivalent) string {
	switch {
	case m.killer != "":
		return "killed by " + m.at + " " + m.killer
	case known[m.name] != "":
		return "equivalent: " + known[m.name]
	case len(m.witnesses) == 0:
		return "SURVIVED: no test comes by it"
	default:
		var tests []string
		for _, w := range m.witnesses {
			tests = append(tests, w.pkg+" "+strings.Join(w.tests, " "))
		}
		return "SURVIVED " + strings.Join(tests, ", ")
	}
}

// list writes the mutants' names, each with its place.
func list(w io.Writer, mutants []*mutant) error {
	for _, m := range mutants {
		if _, err := fmt.Fprintf(w, "%s:%d: %s\n", m.file, m.line, m.name); err != nil {
			return fmt.Errorf("write the list: %w", err)
		}
	}
	return nil
}

type options struct {
	verbose  bool
	complete bool // whether all mutants were tried
	took     time.Duration
}

// report writes the table, and returns an error where a mutant survived that may not.
func report(w io.Writer, mutants []*mutant, known equivalent, o options) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	killed, same, survived, stale := 0, 0, 0, 0
	tried := map[string]bool{}
	for _, m := range mutants {
		tried[m.name] = true
		why := known[m.name]
		switch {
		case m.killer != "" && why != "":
			stale++
			fmt.Fprintf(table, "%s:%d\t%s\tis listed as equivalent, but was %s\n", m.file, m.line, m.name, m.fate(nil))
			continue
		case m.killer != "":
			killed++
		case why != "":
			same++
		default:
			survived++
		}
		if o.verbose || (m.killer == "" && why == "") {
			fmt.Fprintf(table, "%s:%d\t%s\t%s\n", m.file, m.line, m.name, m.fate(known))
		}
	}
	for name := range known {
		if o.complete && !tried[name] {
			stale++
			fmt.Fprintf(table, "\t%s\tis listed as equivalent, but there is no such mutant\n", name)
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Fprintf(w, "%d denials taken away in turn: %d found missing by a test, %d equivalent, %d survived, in %s\n",
		len(mutants), killed, same, survived, clock(o.took))
	if survived+stale > 0 {
		return fmt.Errorf("%d mutants survived, %d entries of %s are out of date", survived, stale, equivalentFile)
	}
	return nil
}
