// Command bench measures what a request costs Ostiary and its peers, in CPU time of the proxy's processes, and prints what
// comes out as a table, a plot and JSON.
//
// All proxies share one processor and take turns; load and backend have another one. What is compared is measured in the
// same run, one after the other, several times: machines are noisy, and only ratios of medians mean something.
//
// Usage: bench [-rounds N] [-seconds N] [-run REGEXP] [-out DIR] [-express-gateway DIR] OSTIARY
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"time"
)

type options struct {
	ostiary string
	rounds  int
	seconds int
	only    *regexp.Regexp
	out     string
	// expressGateway is where npm has put it.
	expressGateway string
}

func main() {
	opts, err := parse()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = run(ctx, opts)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse() (options, error) {
	opts := options{}
	only := flag.String("run", "", "measure only cases whose name matches this regular `expression`")
	flag.IntVar(&opts.rounds, "rounds", 5, "how often each is measured")
	flag.IntVar(&opts.seconds, "seconds", 3, "how long each measurement takes")
	flag.StringVar(&opts.out, "out", "", "the `folder` that bench.json and bench.svg are written to; empty: nowhere")
	flag.StringVar(&opts.expressGateway, "express-gateway", "", "the `folder` of npm's package express-gateway; where there is none, it is not measured")
	flag.Parse()
	if flag.NArg() != 1 {
		return opts, errors.New("usage: bench [flags] OSTIARY, where OSTIARY is the binary to measure")
	}
	if opts.rounds < 1 || opts.seconds < 1 {
		return opts, errors.New("-rounds and -seconds are at least 1")
	}
	opts.ostiary = flag.Arg(0)
	var err error
	if opts.only, err = regexp.Compile(*only); err != nil {
		return opts, fmt.Errorf("read -run: %w", err)
	}
	return opts, nil
}

func run(ctx context.Context, opts options) error {
	dir, err := os.MkdirTemp("", "ostiary-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	b, err := newBed(ctx, dir, opts)
	if b != nil {
		defer b.stop()
	}
	if err != nil {
		return err
	}
	began := time.Now()
	report := newReport(ctx, opts)
	for _, c := range cases(b) {
		if !opts.only.MatchString(c.name) {
			continue
		}
		for round := range opts.rounds {
			for i := range c.contenders {
				one := &c.contenders[i]
				progress(began, "%s, round %d of %d: %s", c.name, round+1, opts.rounds, one.name)
				cost, err := measure(ctx, b, one, c.load, opts.seconds)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, one.name, err)
				}
				report.add(c.name, one.name, cost)
			}
		}
	}
	progress(began, "done\n")
	fmt.Println()
	report.print(os.Stdout)
	return report.write(opts.out)
}

// progress overwrites one line of a terminal, and writes lines elsewhere.
func progress(began time.Time, format string, args ...any) {
	end := "\n"
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		end = "\033[K\r"
	}
	fmt.Fprintf(os.Stderr, "[%4.0fs] %s%s", time.Since(began).Seconds(), fmt.Sprintf(format, args...), end)
}
