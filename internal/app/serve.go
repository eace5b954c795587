package app

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// manifestOptions say what serve serves.
type manifestOptions struct {
	// Paths are files and directories; "-" is standard input.
	Paths []string
	// OnReady is called once, when the first table is live and every listener is open, with the listeners' addresses by
	// name. Nil prints a line a listener.
	OnReady func(addresses map[string]string)
}

func newServeCommand(s streams) *cobra.Command {
	serving := serveOptions{}
	options := manifestOptions{}
	cmd := &cobra.Command{
		Use:   "serve --manifests DIR",
		Short: "Serve the Pipelines in files, without a cluster",
		Long: `Serve the objects in files and directories: the same YAML that "kubectl apply" takes, validated as the API server would.
Directories are watched, and a change takes effect at once. What became of the objects is printed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := serving.Validate(); err != nil {
				return err
			}
			return serveManifests(cmd.Context(), options, serving, s)
		},
	}
	flags := cmd.Flags()
	serving.BindFlags(flags)
	flags.StringArrayVar(&options.Paths, "manifests", nil, "a file or directory with objects, or - for standard input; may be repeated (required)")
	markRequired(cmd, "manifests")
	return cmd
}

func serveManifests(ctx context.Context, options manifestOptions, serving serveOptions, s streams) error {
	log, err := serving.logger(s.err)
	if err != nil {
		return err
	}
	files, err := filesource.NewSource(options.Paths, s.in)
	if err != nil {
		return err
	}
	started := newStarted(serving, options.OnReady, s)
	plane, err := newDataPlane(serving, upstream.LoopbackAllow, log, started.listening)
	if err != nil {
		return err
	}
	follower := &follower{
		files:   files,
		applier: filesource.NewApplier(plane.publisher),
		history: rotation.NewHistory(),
		streams: s,
		log:     log,
		live:    started.tableLive,
	}
	return plane.run(ctx, source{
		run: func(ctx context.Context) error {
			return filesource.Watch(ctx, options.Paths, follower.reload)
		},
		ready: func() error { return nil }, // the publisher knows whether a table is live
	})
}

// follower brings the files to the data plane, again whenever they change.
type follower struct {
	files   *filesource.Source
	applier *filesource.Applier
	history *rotation.History
	streams streams
	log     *slog.Logger
	live    func()

	started bool // something was made live
	printed []string
}

// reload never fails as a whole: what can't be read leaves the last good objects serving, and is told. Before anything
// serves there are no last good objects, and requests for a Pipeline that is refused could be taken by a broader one that
// is public: then nothing is made live (see opensWithout).
func (f *follower) reload() {
	began := time.Now()
	world, findings, err := f.files.Load()
	if err != nil {
		f.log.Error("read the manifests; what is live stays", "error", err)
		return
	}
	outcome := filesource.Follow(world, f.history, began)
	if !f.started && slices.ContainsFunc(findings, opensWithout) {
		f.printed = printChanges(f.streams.out, f.printed, findings, nil)
		f.log.Error("nothing is served until no Pipeline, IngressClass or unreadable document is refused")
		return
	}
	if err := f.applier.Apply(outcome); err != nil {
		f.log.Error("make the manifests live; what is live stays", "error", err)
		return
	}
	f.started = true
	rows := conditionRows(outcome)
	f.printed = printChanges(f.streams.out, f.printed, append(findings, outcome.Findings...), rows)
	f.log.Info("manifests are live", "objects", world.Len(), "took", time.Since(began))
	f.live()
}

// opensWithout says whether more could be let through without what a Finding refuses: a Pipeline takes requests from
// broader ones, an IngressClass takes Pipelines from us, and a document that can't be read may be either. Without any other
// object less is let through.
func opensWithout(f filesource.Finding) bool {
	return f.Severity == filesource.SeverityError && (f.Kind == "Pipeline" || f.Kind == "IngressClass" || f.Kind == "")
}

// started knows when everything that serve needs is there.
type started struct {
	onReady func(map[string]string)

	mu        sync.Mutex
	missing   int // listeners and the first table
	hasTable  bool
	addresses map[string]string
}

func newStarted(serving serveOptions, onReady func(map[string]string), s streams) *started {
	if onReady == nil {
		onReady = func(addresses map[string]string) {
			for _, name := range []string{"http", "https", "admin", "debug"} {
				if address, ok := addresses[name]; ok {
					_, _ = fmt.Fprintf(s.out, "ready: %-5s %s\n", name, address)
				}
			}
		}
	}
	state := &started{onReady: onReady, missing: 1, addresses: map[string]string{}}
	for _, address := range []string{serving.HTTPAddress, serving.HTTPSAddress, serving.AdminAddress, serving.DebugAddress} {
		if address != "" {
			state.missing++
		}
	}
	return state
}

func (s *started) listening(name, address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addresses[name] = address
	s.arrived()
}

func (s *started) tableLive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasTable {
		s.hasTable = true
		s.arrived()
	}
}

func (s *started) arrived() {
	s.missing--
	if s.missing == 0 {
		s.onReady(maps.Clone(s.addresses))
	}
}

func newCheckCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check PATH...",
		Short: "Say what the API server and the controller would say of the objects in files",
		Long: `Validate and compile the objects in files and directories ("-" is standard input), print what there is to say, and exit
with 2 when an object is refused. Nothing is served and no cluster is asked.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, paths []string) error {
			world, findings, err := filesource.Load(paths, s.in)
			if err != nil {
				return err
			}
			outcome := filesource.Check(world)
			findings = append(findings, outcome.Findings...)
			printChanges(s.out, nil, findings, conditionRows(outcome))
			if filesource.HasErrors(findings) {
				return errFindings
			}
			_, err = fmt.Fprintf(s.out, "%d objects, nothing refused\n", world.Len())
			return err
		},
	}
}
