// Package app wires the parts into commands: the controller for a cluster, serve and check for files, and small helpers
// for people who try Ostiary out.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes of the process.
const (
	exitOK       = 0
	exitFailed   = 1 // the command could not do its work
	exitFindings = 2 // check: an object was refused
	exitRefused  = 3 // explain: the request is not admitted
)

// errFindings ends check when objects were refused: everything there is to say was printed already.
var errFindings = errors.New("objects were refused")

// streams are where a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// Main runs the command that args name and returns the exit code of the process. SIGINT and SIGTERM end it gracefully;
// a second one at once.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	log.SetOutput(libraryLog{stderr})
	go func() { // a second signal must end the process even where the drain hangs
		<-ctx.Done()
		stop()
	}()
	return run(ctx, args, streams{in: stdin, out: stdout, err: stderr})
}

func run(ctx context.Context, args []string, s streams) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errFindings):
		return exitFindings
	case errors.Is(err, errNotAdmitted):
		return exitRefused
	default:
		_, _ = fmt.Fprintf(s.err, "ostiary: %v\n", err) // stderr is the last resort
		return exitFailed
	}
}

func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "ostiary",
		Short: "A Kubernetes ingress controller that checks JSON Web Tokens at the door",
		Long: `Ostiary routes HTTP requests to the Services of a cluster and verifies their JSON Web Tokens first.

Pipelines say which requests are taken and what happens to them, ServiceEndpoints where they go, Consumers who may call
and JWTCredentials with which keys. The same objects can be served from files, without a cluster.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newControllerCommand(s),
		newServeCommand(s),
		newCheckCommand(s),
		newExplainCommand(s),
		newQuickstartCommand(s),
		newKeygenCommand(s),
		newMintCommand(s),
		newVersionCommand(s),
	)
	return root
}

// Command is the tree of commands, for generating their documentation.
func Command() *cobra.Command {
	return newRootCommand(streams{out: io.Discard, err: io.Discard})
}
