//go:build linux

// Command cluster is what `make cluster` runs: a real API server with one node in
// a network namespace, Ostiary installed there from its Helm chart, sample backends
// and the objects of config/samples, and a shell inside. Everything ends with the
// shell.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/test/bed"
)

const (
	ostiaryImage = "ghcr.io/ostiary/ostiary"
	backendImage = "example.test/backend"
)

func main() {
	bed.Main()
	line := flag.String("exec", "", "run this line with bash instead of an interactive shell, and end with its exit code")
	verbose := flag.Bool("verbose", false, "say what happens to every pod")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: cluster [-exec LINE] [-verbose]")
		flag.PrintDefaults()
	}
	flag.Parse()
	log := slog.New(slog.DiscardHandler)
	if *verbose {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	code, err := run(*line, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		code = 1
	}
	os.Exit(code)
}

func run(line string, log *slog.Logger) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	root, err := os.Getwd()
	if err != nil {
		return 1, fmt.Errorf("find the repository: %w", err)
	}
	if _, err := os.Stat(filepath.Join(root, "charts", "ostiary", "Chart.yaml")); err != nil {
		return 1, fmt.Errorf("run this in the repository's root folder: %w", err)
	}
	programs := filepath.Join(root, "bin", "cluster")
	say := newProgress(os.Stderr)
	if !bed.Inside() {
		if err := build(ctx, programs, say); err != nil {
			return 1, err
		}
		return 1, bed.EnterNamespace() // returns only if it fails
	}
	c := &cluster{root: root, programs: programs, say: say}
	code, err := c.boot(ctx, log)
	if err == nil {
		code, err = c.shell(ctx, line)
	}
	if c.bed != nil {
		say.step("removing the cluster")
		err = errors.Join(err, c.bed.Stop())
	}
	return code, err
}

// build compiles what the cluster runs, outside of the namespace.
func build(ctx context.Context, programs string, say *progress) error {
	say.step("control plane")
	if _, err := bed.FindAssets(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(programs, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	say.step("ostiary (a few minutes with an empty Go cache)")
	if err := bed.BuildStatic(ctx, ".", filepath.Join(programs, "ostiary")); err != nil {
		return err
	}
	say.step("sample backend")
	if err := bed.BuildStatic(ctx, "./test/backend", filepath.Join(programs, "backend")); err != nil {
		return err
	}
	say.step("helm (a few minutes with an empty Go cache)")
	return linkHelm(ctx, filepath.Join(programs, "helm"))
}

// linkHelm points link to the helm that `make lint` uses too, building it if need
// be.
func linkHelm(ctx context.Context, link string) error {
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=hack/tools/go.mod", "-n", "helm")
	// What this program was built with is not what the tools are built with.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CGO_ENABLED=") })
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	path, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("build helm: %w: %s", err, stderr.String())
	}
	if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace helm: %w", err)
	}
	if err := os.Symlink(strings.TrimSpace(string(path)), link); err != nil {
		return fmt.Errorf("link helm: %w", err)
	}
	return nil
}

// progress says what is done when, as one line a step.
type progress struct {
	to    io.Writer
	began time.Time
}

// newProgress counts from when make started, if make did.
func newProgress(to io.Writer) *progress {
	began := time.Now()
	if seconds, err := strconv.ParseInt(os.Getenv("OSTIARY_MAKE_START"), 10, 64); err == nil {
		began = time.Unix(seconds, 0)
	}
	return &progress{to: to, began: began}
}

func (p *progress) step(what string) {
	took := time.Since(p.began).Round(time.Second)
	fmt.Fprintf(p.to, "[%d:%02d] %s\n", int(took.Minutes()), int(took.Seconds())%60, what)
}
