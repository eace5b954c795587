package app

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/proxy/routing"
)

// conditionRows are the conditions of all objects, one tab-separated line each, sorted.
func conditionRows(o filesource.Outcome) []string {
	type line struct {
		kind int
		key  routing.ObjectKey
		text string
	}
	var lines []line
	for i, group := range []struct {
		kind     string
		verdicts map[routing.ObjectKey]compile.Verdict
	}{
		{"pipeline", o.Report.Pipelines},
		{"serviceendpoint", o.Report.ServiceEndpoints},
		{"consumer", o.Report.Consumers},
		{"jwtcredential", o.Credentials},
	} {
		for key, verdict := range group.verdicts {
			for _, c := range verdict.Conditions {
				text := fmt.Sprintf("%s/%s\t%s\t%s\t%s\t%s\t%s", group.kind, key.Name, key.Namespace, c.Type, c.Status, c.Reason, c.Message)
				lines = append(lines, line{kind: i, key: key, text: text})
			}
		}
	}
	slices.SortFunc(lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.Name, b.key.Name), cmp.Compare(a.text, b.text))
	})
	texts := make([]string, len(lines))
	for i, l := range lines {
		texts[i] = l.text
	}
	return texts
}

// printChanges prints findings and conditions that were not printed before, and returns what holds now.
func printChanges(w io.Writer, before []string, findings []filesource.Finding, conditions []string) []string {
	var now []string
	for _, finding := range findings {
		text := finding.String()
		now = append(now, text)
		if !slices.Contains(before, text) {
			_, _ = fmt.Fprintln(w, text) // the terminal has gone; nobody is left to tell
		}
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var rows int
	for _, text := range conditions {
		now = append(now, text)
		if slices.Contains(before, text) {
			continue
		}
		if rows++; rows == 1 {
			_, _ = fmt.Fprintln(table, strings.Join([]string{"OBJECT", "NAMESPACE", "CONDITION", "STATUS", "REASON", "MESSAGE"}, "\t"))
		}
		_, _ = fmt.Fprintln(table, text)
	}
	_ = table.Flush()
	return now
}
