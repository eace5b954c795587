package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/ostiary/ostiary/controllers"
	"github.com/ostiary/ostiary/proxy/upstream"
)

func newControllerCommand(s streams) *cobra.Command {
	serving := serveOptions{}
	options := controllers.DefaultOptions()
	var kubeconfig, kubeContext string
	cmd := &cobra.Command{
		Use:   "controller",
		Short: "Serve the Pipelines of a Kubernetes cluster",
		Long: `Follow the objects of a Kubernetes cluster, serve its Pipelines, and say in the objects' status what became of them.

Inside a cluster, the Pod's service account is used; outside, the kubeconfig that kubectl would use.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := errors.Join(serving.Validate(), options.Validate()); err != nil {
				return err
			}
			log, err := serving.logger(s.err)
			if err != nil {
				return err
			}
			cfg, err := clusterConfig(kubeconfig, kubeContext)
			if err != nil {
				return err
			}
			return runController(cmd.Context(), cfg, options, serving, log)
		},
	}
	flags := cmd.Flags()
	serving.BindFlags(flags)
	options.BindFlags(flags)
	flags.StringVar(&kubeconfig, "kubeconfig", "", "the kubeconfig to use; absent: the service account in a cluster, KUBECONFIG or ~/.kube/config outside")
	flags.StringVar(&kubeContext, "context", "", "the context of the kubeconfig; absent: its current one")
	return cmd
}

func clusterConfig(kubeconfig, kubeContext string) (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules() // falls back to the service account
	rules.ExplicitPath = kubeconfig
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: kubeContext}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w; write --kubeconfig, or run without a cluster: ostiary serve", err)
	}
	cfg.UserAgent = "ostiary/" + Version()
	return cfg, nil
}

func runController(ctx context.Context, cfg *rest.Config, options controllers.Options, serving serveOptions, log *slog.Logger) error {
	bridge := logr.FromSlogHandler(log.Handler())
	ctrl.SetLogger(bridge)
	klog.SetLogger(bridge)
	plane, err := newDataPlane(serving, upstream.LoopbackRefuse, log, logListener(log))
	if err != nil {
		return err
	}
	runner, err := controllers.New(ctx, cfg, options, plane.publisher, log)
	if err != nil {
		return fmt.Errorf("set the controllers up: %w", err)
	}
	if err := plane.metrics.Register(runner.Metrics()); err != nil {
		return fmt.Errorf("register the controllers' metrics: %w", err)
	}
	log.Info("starting", "version", Version(), "controller", options.ControllerName)
	return plane.run(ctx, source{
		run:     runner.Run,
		ready:   runner.Ready,
		metrics: []prometheus.Gatherer{controllers.Gatherer()},
	})
}

func logListener(log *slog.Logger) func(name, address string) {
	return func(name, address string) { log.Info("listening", "listener", name, "address", address) }
}
