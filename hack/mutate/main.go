// Command mutate proves that the tests hold every denial of the code that decides who gets in: it takes each branch that
// denies away in turn and asks for a test that fails without it. Where what denies is a bound of a configuration, the bound
// is left out.
//
// No single failure counts: a test must fail again by itself, and a run that dies or hangs must do so twice.
//
// All mutants are compiled into the test binaries at once, through `go test -overlay`, so that no file of the work tree
// is touched and nothing is compiled twice; an environment variable says which one a run goes without.
//
// Usage: mutate [-v] [-list] [-parallel N] [-run REGEXP]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

// target is a package whose denials are taken away.
type target struct {
	pkg string
	// files are the only ones with denials that count, each with the functions that do; nil means all.
	files map[string][]string
	// config says that the package makes what others judge by, so that a bound that is left out is a denial as well.
	config bool
}

// has says whether a function of a file counts.
func (t target) has(file, function string) bool {
	functions, ok := t.files[filepath.Base(file)]
	return !onlyReports(function) && (t.files == nil || ok && (functions == nil || slices.Contains(functions, function)))
}

// targets are the packages with code that decides who gets in, each before those that import it: a mutant is tried with the
// tests of its own package first, and then with those that follow.
func targets() []target {
	return []target{
		{pkg: "proxy/internal/base64url"},
		{pkg: "proxy/internal/strictjson"},
		{pkg: "proxy/jsonpointer"},
		{pkg: "proxy/head"},
		{pkg: "proxy/jose"},
		{pkg: "proxy/routing", files: map[string][]string{ // what a request is for, and which addresses are out of bounds
			"address.go": nil,
			"host.go":    nil,
			"path.go":    nil,
		}},
		{pkg: "proxy/keyring"},
		{pkg: "proxy/jwt/internal/token"},
		{pkg: "proxy/expr"},
		{pkg: "proxy/internal/dialguard"},
		{pkg: "proxy/jwks"},
		{pkg: "proxy/jwt"},
		{pkg: "proxy/gate"},
		{pkg: "proxy", files: map[string][]string{ // what is refused before it is judged, and what upstreams must not be told
			"earlybody.go": nil,
			"nethttp.go":   nil,
			"http1.go":     {"Handler.RefuseHTTP1", "wireExchange.serve"},
			"http1body.go": {"wireHead.ReadBody"},
			"http1forward.go": {
				"wireExchange.repeatable", "wireExchange.appendAnnouncement", "wireHead.appendForwarded",
				"wireExchange.KeepResponseField", "wireExchange.KeepResponseTrailer", "wireExchange.KeepRequestTrailer",
			},
			"http1head.go": nil,
			"handler.go":   {"exchange.serve"},
			"forward.go":   {"exchange.outgoing", "trailerAllowed", "copyResponseFields"},
			"upgrade.go":   {"exchange.switchProtocols"},
			"program.go":   {"Program.Certificate", "parseCertificate"},
		}},
		{pkg: "internal/compile", config: true, files: map[string][]string{ // credentials, whom they stand for, and token policies
			"claimheaders.go": nil,
			"claimrules.go":   nil,
			"consumer.go":     nil,
			"credential.go":   nil,
			"grants.go":       nil,
			"identities.go":   nil,
			"issuers.go":      nil,
			"jwt.go":          nil,
			"namespaces.go":   nil,
			"message.go":      nil,
			"owner.go":        nil,
			"pipeline.go":     nil,
			"policies.go":     nil,
			"remote.go":       nil,
			"retained.go":     nil,
			"revocation.go":   nil,
			"tokenlimits.go":  nil,
		}},
		{pkg: "internal/rotation", config: true},
	}
}

// witnesses are packages whose tests are asked as well, last.
func witnesses() []string { return []string{"proxy/upstream", "internal/filesource"} }

const equivalentFile = "hack/mutate/equivalent.txt"

func main() {
	only := flag.String("run", "", "try only mutants whose name matches this regular `expression`")
	list := flag.Bool("list", false, "list the mutants, and try none")
	parallel := flag.Int("parallel", 2, "so many test binaries run at once")
	verbose := flag.Bool("v", false, "list every mutant, not only the survivors")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, choice{only: *only, parallel: max(1, *parallel), list: *list, verbose: *verbose})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// choice is what the flags say.
type choice struct {
	only          string
	parallel      int
	list, verbose bool
}

func run(ctx context.Context, o choice) error {
	filter, err := regexp.Compile(o.only)
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
	l := newLaboratory(dir, began)
	l.parallel = o.parallel
	if err := l.prepare(); err != nil {
		return err
	}
	tried := slices.DeleteFunc(slices.Clone(l.mutants), func(m *mutant) bool { return !filter.MatchString(m.name) })
	if o.list {
		return list(os.Stdout, tried)
	}
	l.say("%d denials in %d packages; building their tests", len(l.mutants), len(targets()))
	if err := l.build(ctx); err != nil {
		return err
	}
	if err := l.trace(ctx); err != nil {
		return err
	}
	if err := l.try(ctx, tried, known); err != nil {
		if errors.Is(err, context.Canceled) {
			err = errors.New("interrupted")
		}
		return err
	}
	return report(os.Stdout, tried, known, options{verbose: o.verbose, complete: o.only == "", took: time.Since(began)})
}
