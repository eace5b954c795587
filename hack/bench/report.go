package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was measured.
type report struct {
	Date     string        `json:"date"`
	Machine  string        `json:"machine"`
	Versions []string      `json:"versions"`
	Rounds   int           `json:"rounds"`
	Seconds  int           `json:"seconds"`
	Cases    []*caseReport `json:"cases"`
}

type caseReport struct {
	Name       string             `json:"name"`
	Unit       string             `json:"unit"`
	Contenders []*contenderReport `json:"contenders"`
}

type contenderReport struct {
	Name    string    `json:"name"`
	Samples []float64 `json:"samples"`
	Median  float64   `json:"median"`
}

func newReport(ctx context.Context, opts options) *report {
	r := &report{
		Date: time.Now().UTC().Format(time.DateOnly), Machine: machine(), Rounds: opts.rounds, Seconds: opts.seconds,
		Versions: []string{runtime.Version()},
	}
	for _, command := range [][]string{{opts.ostiary, "version"}, {"haproxy", "-v"}, {"nginx", "-v"}} {
		out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
		if err == nil {
			first, _, _ := strings.Cut(string(out), "\n")
			r.Versions = append(r.Versions, strings.TrimSpace(first))
		}
	}
	return r
}

// machine is the processor, how many of it, and the kernel.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		kernel = []byte("unknown")
	}
	return fmt.Sprintf("%s, %d processors, Linux %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}

func (r *report) add(name, contender string, sample float64) {
	i := slices.IndexFunc(r.Cases, func(c *caseReport) bool { return c.Name == name })
	if i < 0 {
		i = len(r.Cases)
		r.Cases = append(r.Cases, &caseReport{Name: name, Unit: "us/request"})
	}
	c := r.Cases[i]
	j := slices.IndexFunc(c.Contenders, func(o *contenderReport) bool { return o.Name == contender })
	if j < 0 {
		j = len(c.Contenders)
		c.Contenders = append(c.Contenders, &contenderReport{Name: contender})
	}
	one := c.Contenders[j]
	one.Samples = append(one.Samples, sample)
	sorted := slices.Sorted(slices.Values(one.Samples))
	one.Median = (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// print writes the table.
func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s\n%s\nmedians of %d rounds of %d s\n\n", r.Machine, strings.Join(r.Versions, " | "), r.Rounds, r.Seconds)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CASE\tWHO\tMEDIAN\tRANGE\tUNIT\tOSTIARY NEEDS")
	for _, c := range r.Cases {
		for i, one := range c.Contenders {
			fmt.Fprintf(table, "%s\t%s\t%.1f\t%.1f-%.1f\t%s\t%s\n",
				c.Name, one.Name, one.Median, slices.Min(one.Samples), slices.Max(one.Samples), c.Unit, c.ratio(i))
		}
	}
	_ = table.Flush() // to a terminal
}

// markdown is the table as a page.
func (r *report) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Results\n\nWritten by `make bench-peers`; see [performance](../performance.md) for what it means.\n\n")
	fmt.Fprintf(&b, "- %s\n- %s\n- %s\n- medians of %d rounds of %d s\n\n", r.Date, r.Machine, strings.Join(r.Versions, "; "), r.Rounds, r.Seconds)
	fmt.Fprintf(&b, "| case | who | median | range | unit | Ostiary needs |\n|---|---|---|---|---|---|\n")
	for _, c := range r.Cases {
		for i, one := range c.Contenders {
			fmt.Fprintf(&b, "| %s | %s | %.1f | %.1f-%.1f | %s | %s |\n",
				c.Name, one.Name, one.Median, slices.Min(one.Samples), slices.Max(one.Samples), c.Unit, c.ratio(i))
		}
	}
	return b.Bytes()
}

// ratio is what Ostiary needs for each unit that another one needs.
func (c *caseReport) ratio(i int) string {
	if i == 0 || c.Contenders[i].Median <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f x", c.Contenders[0].Median/c.Contenders[i].Median)
}

// write writes the JSON, the plot and the table.
func (r *report) write(dir string) error {
	if dir == "" {
		return nil
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the report: %w", err)
	}
	for name, content := range map[string][]byte{"bench.json": append(text, '\n'), "bench.svg": r.plot(), "results.md": r.markdown()} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	return nil
}
