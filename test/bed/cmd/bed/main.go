//go:build linux

// Command bed runs the test cluster until it gets SIGINT, SIGTERM or SIGHUP. The
// cluster lives in a network namespace of its own: reach it with the program given
// after the flags, which runs inside.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/ostiary/ostiary/test/bed"
)

type imageFlag map[string]string

func (f imageFlag) String() string { return "" }

func (f imageFlag) Set(value string) error {
	repository, binary, ok := strings.Cut(value, "=")
	if !ok {
		return errors.New("want REPOSITORY=BINARY")
	}
	f[repository] = binary
	return nil
}

func main() {
	bed.Main()
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bed:", err)
		code = 1
	}
	os.Exit(code)
}

func run() (int, error) {
	options := bed.Options{Images: imageFlag{}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	flag.StringVar(&options.Assets, "assets", "", "folder with the control plane's programs (default: $OSTIARY_KUBEBED, or built by hack/kubebed/build.sh)")
	flag.StringVar(&options.WorkDir, "work", "", "folder for data and logs, kept afterwards (default: a temporary one)")
	flag.Var(imageFlag(options.Images), "image", "REPOSITORY=BINARY: the static binary that stands for an image (repeatable)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: bed [flags] [program [argument ...]]\n\n"+
			"Runs the test cluster; with a program, until that has ended. It gets KUBECONFIG\n"+
			"and a PATH with kubectl.")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if options.Assets == "" {
		assets, err := bed.FindAssets(ctx)
		if err != nil {
			return 1, err
		}
		options.Assets = assets
	}
	if err := bed.EnterNamespace(); err != nil {
		return 1, err
	}
	cluster, err := bed.Start(ctx, options)
	if err != nil {
		return 1, err
	}
	code := 0
	if flag.NArg() > 0 {
		code, err = runProgram(ctx, cluster, flag.Args())
	} else {
		select {
		case <-ctx.Done():
		case <-cluster.Failed():
			err = errors.New("the control plane has failed")
		}
	}
	return code, errors.Join(err, cluster.Stop())
}

// runProgram returns the program's exit code.
func runProgram(ctx context.Context, cluster *bed.Bed, argv []string) (int, error) {
	// Here and not only in the program's environment: it may be kubectl itself.
	if err := os.Setenv("PATH", cluster.Assets()+":"+os.Getenv("PATH")); err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig())
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), nil
	}
	return 0, err
}
