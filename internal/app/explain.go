package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ostiary/ostiary/controllers"
	"github.com/ostiary/ostiary/internal/compile"
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

// maxTokenFile bounds what is read as a token: more than any policy takes.
const maxTokenFile = 1 << 20

// tokenPlaceholder is where --token-in takes the token.
const tokenPlaceholder = "{}"

// explainOptions are the flags of explain.
type explainOptions struct {
	// Manifests are files and directories; none: the objects are read from the cluster.
	Manifests  []string
	Kubeconfig string
	Context    string
	Controller controllers.Options
	Request    string
	Headers    []string
	TokenFile  string
	TokenIn    string
	At         string
}

func newExplainCommand(s streams) *cobra.Command {
	options := explainOptions{Controller: controllers.DefaultOptions()}
	cmd := &cobra.Command{
		Use:   "explain --request 'GET https://HOST/PATH'",
		Short: "Say what would become of a request, and why",
		Long: `Decide about one request by the code that serves requests, send it nowhere, and print which match takes it and why others
don't, which credential and keys its token is tried with, and which check refuses it.

The objects are read once, from --manifests or else from the cluster that kubectl would use, with the rights of its user, who must
be allowed to read the Secrets that are referred to.

The token is read from a file or standard input and never printed, nor is any claim or key. The command ends with 0 where
the request is admitted and with 3 where it is not.`,
		Example: `  ostiary explain --request 'GET https://api.example.com/orders' --token-file token.txt
  ostiary explain --manifests ./shop --request 'GET http://api.example.com/orders' --token-file token.txt
  pbpaste | ostiary explain --manifests ./shop --request 'POST https://api.example.com/orders' --token-file - --token-in 'Cookie: session={}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return explain(cmd.Context(), options, s) },
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&options.Manifests, "manifests", nil, "a file or directory with objects; may be repeated; absent: the objects of the cluster")
	flags.StringVar(&options.Kubeconfig, "kubeconfig", "", "the kubeconfig to use; absent: the one that kubectl would use")
	flags.StringVar(&options.Context, "context", "", "the context of the kubeconfig; absent: its current one")
	flags.StringVar(&options.Controller.ControllerName, "controller-name", options.Controller.ControllerName, "as the controller's flag, for objects of the cluster")
	flags.StringVar((*string)(&options.Controller.HostOwnership), "host-ownership", string(options.Controller.HostOwnership), "as the controller's flag, for objects of the cluster")
	flags.StringVar(&options.Request, "request", "", "the method and URL of the request, such as 'GET https://api.example.com/orders'; https: as if by TLS (required)")
	flags.StringArrayVar(&options.Headers, "header", nil, "a header field of the request, such as 'Accept: text/plain'; may be repeated")
	flags.StringVar(&options.TokenFile, "token-file", "", "the file with the token, or - for standard input; absent: the request has none")
	flags.StringVar(&options.TokenIn, "token-in", "Authorization: Bearer "+tokenPlaceholder, "where the token is, "+tokenPlaceholder+" standing for it: a header field, or a query parameter such as '?access_token={}'")
	flags.StringVar(&options.At, "at", "", "the time that the token is judged by, such as 2026-11-21T12:00:00Z; absent: now")
	markRequired(cmd, "request")
	return cmd
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
	token, err := options.token(s.in)
	if err != nil {
		return err
	}
	request, err := options.request(ctx, token)
	if err != nil {
		return err
	}
	world, findings, err := options.world(ctx, s.err)
	if err != nil {
		return err
	}
	outcome := filesource.Check(world)
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

// world reads the objects. What serve would serve nothing without ends the command: it would explain something else.
func (o *explainOptions) world(ctx context.Context, w io.Writer) (*filesource.World, []filesource.Finding, error) {
	if len(o.Manifests) == 0 {
		world, err := o.cluster(ctx)
		return world, nil, err
	}
	if o.Kubeconfig != "" || o.Context != "" {
		return nil, nil, errors.New("--manifests excludes --kubeconfig and --context: write where the objects are once")
	}
	if slices.Contains(o.Manifests, "-") {
		return nil, nil, errors.New("--manifests -: name a file or a directory, standard input is for the token")
	}
	world, findings, err := filesource.Load(o.Manifests, nil)
	if err != nil {
		return nil, nil, err
	}
	if slices.ContainsFunc(findings, opensWithout) {
		printChanges(w, nil, findings, nil)
		return nil, nil, errors.New("a Pipeline, an IngressClass or an unreadable document is refused: nothing would be served")
	}
	return world, findings, nil
}

// cluster reads the objects of a cluster.
func (o *explainOptions) cluster(ctx context.Context) (*filesource.World, error) {
	options := compile.Options{
		Classes: compile.ClassesOfController, ControllerName: o.Controller.ControllerName,
		HostOwnership: compile.HostOwnershipNamespace, Loopback: compile.LoopbackRefused,
	}
	switch o.Controller.HostOwnership {
	case controllers.HostOwnershipNamespace:
	case controllers.HostOwnershipShared:
		options.HostOwnership = compile.HostOwnershipShared
	default:
		return nil, fmt.Errorf("--host-ownership %q: write Namespace or Shared", o.Controller.HostOwnership)
	}
	reader, err := newClusterReader(o.Kubeconfig, o.Context)
	if err != nil {
		return nil, err
	}
	return readCluster(ctx, reader, options)
}

// token reads the token; it is empty where there is none.
func (o *explainOptions) token(stdin io.Reader) (string, error) {
	if o.TokenFile == "" {
		return "", nil
	}
	from := stdin
	if o.TokenFile != "-" {
		file, err := os.Open(o.TokenFile)
		if err != nil {
			return "", fmt.Errorf("read the token: %w", err)
		}
		defer func() { _ = file.Close() }() // it was only read
		from = file
	}
	content, err := io.ReadAll(io.LimitReader(from, maxTokenFile))
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(content))
	if token == "" {
		return "", errors.New("--token-file: there is no token in it; leave the flag out for a request without one")
	}
	if strings.ContainsAny(token, "\r\n\x00") {
		return "", errors.New("--token-file: there is more than one line in it; a token has no line breaks")
	}
	return token, nil
}

// title is the request without its query, which may hold a token.
func (o *explainOptions) title() string {
	title, _, _ := strings.Cut(o.Request, "?")
	return title
}

// request makes the request as net/http's server would have it.
func (o *explainOptions) request(ctx context.Context, token string) (*http.Request, error) {
	method, target, ok := strings.Cut(strings.TrimSpace(o.Request), " ")
	if !ok {
		method, target = http.MethodGet, method
	}
	u, err := url.Parse(strings.TrimSpace(target))
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		// The cause would quote the URL, and its query may hold a token.
		return nil, errors.New("--request: write a method and a URL, such as 'GET https://api.example.com/orders'")
	}
	r, err := http.NewRequestWithContext(ctx, method, u.String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("--request: %q is no method", method)
	}
	r.RequestURI = requestTarget(target)
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{ServerName: u.Hostname()}
	}
	for _, line := range o.Headers {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, errors.New("--header: write a name and a value, such as 'Accept: text/plain'")
		}
		if value = strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	if token == "" {
		return r, nil
	}
	if query, ok := strings.CutPrefix(o.TokenIn, "?"); ok && strings.Contains(query, tokenPlaceholder) {
		separator := "?"
		if strings.Contains(r.RequestURI, "?") {
			separator = "&"
		}
		r.RequestURI += separator + strings.ReplaceAll(query, tokenPlaceholder, url.QueryEscape(token))
		return r, nil
	}
	name, value, ok := strings.Cut(o.TokenIn, ":")
	if !ok || name == "" || !strings.Contains(value, tokenPlaceholder) {
		return nil, fmt.Errorf("--token-in %q: write a header field such as 'Cookie: session=%[2]s', or '?access_token=%[2]s'", o.TokenIn, tokenPlaceholder)
	}
	r.Header.Add(name, strings.ReplaceAll(strings.TrimSpace(value), tokenPlaceholder, token))
	return r, nil
}

// requestTarget is the path and query of a URL as they are written: parsing would hide what is wrong with them.
func requestTarget(target string) string {
	_, rest, _ := strings.Cut(strings.TrimSpace(target), "://")
	i := strings.IndexAny(rest, "/?#")
	switch {
	case i < 0:
		return "/"
	case rest[i] != '/':
		return "/" + rest[i:]
	default:
		return rest[i:]
	}
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
