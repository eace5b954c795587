package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ostiary/ostiary/controllers"
	"github.com/ostiary/ostiary/internal/filesource"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/trace"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// errNotAdmitted ends explain when the request would not be let through: why was printed already.
var errNotAdmitted = errors.New("the request is not admitted")

// defaultNamespace is where the manifests of this project install the controller.
const defaultNamespace = "ostiary-system"

// explainOptions are the flags of explain.
type explainOptions struct {
	// Manifests are files and directories; none: the objects are read from the cluster.
	Manifests  []string
	Kubeconfig string
	Context    string
	Controller controllers.Options
	Request    string
	Headers    []string
	Body       string
	TokenFile  string
	TokenIn    string
	At         string
}

func newExplainCommand(s streams) *cobra.Command {
	options := explainOptions{Controller: controllers.DefaultOptions()}
	if options.Controller.PodNamespace == "" {
		options.Controller.PodNamespace = defaultNamespace
	}
	cmd := &cobra.Command{
		Use:   "explain --request 'GET https://HOST/PATH'",
		Short: "Say what would become of a request, and why",
		Long: `Decide about one request by the code that serves requests, send it nowhere, and print which match takes it and why others
don't, which credential and keys its token is tried with, and which check refuses it.

The objects are read once, from --manifests or else from the cluster that kubectl would use, with the rights of its user, who must
be allowed to read the Secrets that are referred to, and those of --pod-namespace that hold keys which were replaced and
are retained. Of a cluster, --watch-namespaces or --namespace-selector say what the controller was told to serve.

The token is read from a file or standard input, or is in the request's --body, and is never printed, nor is any claim or
key. The command ends with 0 where the request is admitted and with 3 where it is not.`,
		Example: `  ostiary explain --request 'GET https://api.example.com/orders' --token-file token.txt
  ostiary explain --manifests ./shop --request 'GET http://api.example.com/orders' --token-file token.txt
  pbpaste | ostiary explain --manifests ./shop --request 'POST https://api.example.com/orders' --token-file - --token-in 'Cookie: session={}'
  ostiary explain --request 'POST https://api.example.com/orders' --header 'Content-Type: application/json' --body order.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return explain(cmd.Context(), options, s) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&options.Manifests, "manifests", nil, "a file or directory with objects; may be repeated; absent: the objects of the cluster")
	flags.StringVar(&options.Kubeconfig, "kubeconfig", "", "the kubeconfig to use; absent: the one that kubectl would use")
	flags.StringVar(&options.Context, "context", "", "the context of the kubeconfig; absent: its current one")
	options.bindController(flags)
	flags.StringVar(&options.Request, "request", "", "the method and URL of the request, such as 'GET https://api.example.com/orders'; https: as if by TLS (required)")
	flags.StringArrayVar(&options.Headers, "header", nil, "a header field of the request, such as 'Accept: text/plain'; may be repeated")
	flags.StringVar(&options.Body, "body", "", "the file with the request's body, or - for standard input, as its Content-Type --header says; absent: the request has none")
	flags.StringVar(&options.TokenFile, "token-file", "", "the file with the token, or - for standard input; absent: the request has none")
	flags.StringVar(&options.TokenIn, "token-in", "Authorization: Bearer "+tokenPlaceholder, "where the token is, "+tokenPlaceholder+" standing for it: a header field, or a query parameter such as '?access_token={}'")
	flags.StringVar(&options.At, "at", "", "the time that the token is judged by, such as 2026-11-21T12:00:00Z; absent: now")
	markRequired(cmd, "request")
	return cmd
}

// bindController adds the flags that say what the controller of the cluster was told.
func (o *explainOptions) bindController(flags *pflag.FlagSet) {
	c := &o.Controller
	flags.StringVar(&c.ControllerName, "controller-name", c.ControllerName, "as the controller's flag, for objects of the cluster")
	flags.StringVar((*string)(&c.HostOwnership), "host-ownership", string(c.HostOwnership), "as the controller's flag, for objects of the cluster")
	flags.StringSliceVar(&c.WatchNamespaces, "watch-namespaces", c.WatchNamespaces, "as the controller's flag, for objects of the cluster")
	flags.StringVar(&c.NamespaceSelector, "namespace-selector", c.NamespaceSelector, "as the controller's flag, for objects of the cluster")
	flags.StringVar(&c.Instance, "instance", c.Instance, "as the controller's flag, for the keys that are retained in the cluster")
	flags.StringVar(&c.PodNamespace, "pod-namespace", c.PodNamespace, "the controller's namespace, where keys that were replaced are retained; empty: judge as if none had been")
}

// explain prints what would become of the request. Errors say nothing of the token.
func explain(ctx context.Context, options explainOptions, s streams) error {
	now := time.Now()
	if options.At != "" {
		var err error
		if now, err = time.Parse(time.RFC3339, options.At); err != nil {
			return fmt.Errorf("--at %q: write a time such as 2026-11-21T12:00:00Z", options.At)
		}
	}
	if options.Body == "-" && options.TokenFile == "-" {
		return errors.New("--body - and --token-file -: there is one standard input; name a file for one of them")
	}
	token, err := options.token(s.in)
	if err != nil {
		return err
	}
	body, err := options.body(s.in)
	if err != nil {
		return err
	}
	request, err := options.request(ctx, token, body)
	if err != nil {
		return err
	}
	outcome, findings, err := options.outcome(ctx, now, s.err)
	if err != nil {
		return err
	}
	findings = append(findings, outcome.Findings...)
	printChanges(s.err, nil, slices.DeleteFunc(findings, func(f filesource.Finding) bool { return f.Severity != filesource.SeverityError }), nil)

	upstreams := upstream.NewRegistry(upstream.Options{})
	defer upstreams.Close()
	remote := newRemoteSets(outcome)
	keySets := jwks.NewRegistry(jwks.Options{Loopback: options.keySetLoopback(), Changed: remote.changed})
	defer keySets.Close()
	live := &proxy.Live{}
	publisher := publish.New(publish.Options{
		Keyring: keyring.New(), Upstreams: upstreams, KeySets: keySets, Live: live, Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now },
	})
	if err := filesource.NewApplier(publisher).Apply(outcome); err != nil {
		return fmt.Errorf("build the configuration: %w", err)
	}
	remote.wait(ctx)
	explanation := live.Load().Explain(request, now)
	if explanation.Admitted && explanation.Upstream.Name != "" {
		if total, _ := upstreams.Endpoints(explanation.Upstream); total == 0 {
			explanation.Trace.Add(trace.Note, "it has no endpoints now: 503 no_endpoints")
		}
	}
	return printExplanation(s.out, options.title(), explanation)
}

// keySetLoopback allows key sets on this host where serve would.
func (o *explainOptions) keySetLoopback() jwks.Addresses {
	if len(o.Manifests) > 0 {
		return jwks.AddressesAllow
	}
	return jwks.AddressesRefuse
}

// outcome is what becomes of the objects. What serve would serve nothing without ends the command: it would explain something
// else.
func (o *explainOptions) outcome(ctx context.Context, now time.Time, w io.Writer) (filesource.Outcome, []filesource.Finding, error) {
	if len(o.Manifests) == 0 {
		outcome, err := o.cluster(ctx, now, w)
		return outcome, nil, err
	}
	if o.Kubeconfig != "" || o.Context != "" {
		return filesource.Outcome{}, nil, errors.New("--manifests excludes --kubeconfig and --context: write where the objects are once")
	}
	if slices.Contains(o.Manifests, "-") {
		return filesource.Outcome{}, nil, errors.New("--manifests -: name a file or a directory, standard input is for the token")
	}
	world, findings, err := filesource.Load(o.Manifests, nil)
	if err != nil {
		return filesource.Outcome{}, nil, err
	}
	if slices.ContainsFunc(findings, opensWithout) {
		printChanges(w, nil, findings, nil)
		return filesource.Outcome{}, nil, errors.New("a Pipeline, an IngressClass or an unreadable document is refused: nothing would be served")
	}
	return filesource.Check(world), findings, nil
}

// cluster is what becomes of the objects of a cluster.
func (o *explainOptions) cluster(ctx context.Context, now time.Time, w io.Writer) (filesource.Outcome, error) {
	options := o.Controller
	// Of no concern to one who only reads.
	options.LeaderElection, options.PodName = controllers.LeaderElectionDisabled, "explain"
	if err := options.Validate(); err != nil {
		return filesource.Outcome{}, err
	}
	reader, err := newClusterReader(o.Kubeconfig, o.Context)
	if err != nil {
		return filesource.Outcome{}, err
	}
	snapshot, err := readCluster(ctx, reader, options)
	if err != nil {
		return filesource.Outcome{}, err
	}
	if snapshot.kept != nil && snapshot.kept.Empty() {
		_, _ = fmt.Fprintf(w, "note: namespace %q has no keys of an installation %q: --pod-namespace and --instance say where keys that were replaced are retained\n",
			options.PodNamespace, options.Instance) // stderr is the last resort
	}
	return filesource.CheckWith(snapshot.world(), snapshot.complete(now)), nil
}

// printExplanation prints the tree and what it comes to.
func printExplanation(w io.Writer, title string, e *proxy.Explanation) error {
	if err := e.Trace.Write(w, title); err != nil {
		return err
	}
	var sum string
	switch {
	case e.Admitted:
		sum = "admitted"
	case e.Reason != "":
		sum = fmt.Sprintf("refused: %d %s", e.Status, e.Reason)
		if e.Challenge != "" {
			sum += "\nWWW-Authenticate: " + e.Challenge
		}
	case e.Status != 0:
		sum = fmt.Sprintf("not admitted: answered %d %s", e.Status, http.StatusText(e.Status))
	default:
		sum = "not admitted: there is no connection"
	}
	if _, err := fmt.Fprintln(w, sum); err != nil {
		return fmt.Errorf("print the explanation: %w", err)
	}
	if !e.Admitted {
		return errNotAdmitted
	}
	return nil
}
