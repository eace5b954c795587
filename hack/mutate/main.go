// Command mutate proves that the tests hold every denial of the authentication code: it takes each branch that denies
// away in turn and asks for a test that fails without it.
//
// All mutants are compiled into the test binaries at once, through `go test -overlay`, so that no file of the work tree
// is touched and nothing is compiled twice; an environment variable says which one a run goes without.
//
// Usage: mutate [-v] [-run REGEXP]
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

// packages are those with code that authenticates, each before those that import it: a mutant is tried with the tests of
// its own package first, and then with those that follow.
func packages() []string {
	return []string{
		"proxy/internal/base64url",
		"proxy/internal/strictjson",
		"proxy/jsonpointer",
		"proxy/jose",
		"proxy/keyring",
		"proxy/jwt/internal/token",
		"proxy/expr",
		"proxy/jwks",
		"proxy/jwt",
		"proxy/gate",
	}
}

// witnesses are packages whose tests are asked as well, last.
func witnesses() []string { return []string{"proxy"} }

const equivalentFile = "hack/mutate/equivalent.txt"

func main() {
	only := flag.String("run", "", "try only mutants whose name matches this regular `expression`")
	verbose := flag.Bool("v", false, "list every mutant, not only the survivors")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *only, *verbose)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, verbose bool) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("read -run: %w", err)
	}
	began := time.Now()
	known, err := readEquivalent(equivalentFile)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "ostiary-mutate-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	l := &laboratory{dir: dir, began: began}
	if err := l.prepare(); err != nil {
		return err
	}
	l.say("%d denials in %d packages; building their tests", len(l.mutants), len(packages()))
	if err := l.build(ctx); err != nil {
		return err
	}
	if err := l.trace(ctx); err != nil {
		return err
	}
	tried := l.mutants[:0:0]
	for _, m := range l.mutants {
		if filter.MatchString(m.name) {
			tried = append(tried, m)
		}
	}
	l.try(ctx, tried, known)
	if err := ctx.Err(); err != nil {
		return errors.New("interrupted")
	}
	return report(os.Stdout, tried, known, options{verbose: verbose, complete: only == "", took: time.Since(began)})
}
