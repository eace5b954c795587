package controllers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// retryMin and retryMax bound the pause before something that failed is tried again.
	retryMin = 50 * time.Millisecond
	retryMax = 5 * time.Second
	// reconcileTimeout bounds one reconcile, so that an API server that doesn't answer never holds a worker for good.
	reconcileTimeout = 30 * time.Second
	// stopTimeout bounds how long the controllers take to stop.
	stopTimeout = 15 * time.Second

	credentialWorkers = 4
	statusWorkers     = 4
)

// Runner is the controllers of one replica.
type Runner struct {
	manager     manager.Manager
	publisher   *publish.Publisher
	credentials *keyProgress
	endpoints   *keyProgress
	watchErrors *watchErrors
	metrics     *credentialMetrics
	log         *slog.Logger
	stop        chan struct{} // see stoppableCache
}

// New sets up the controllers of a replica that feed pub. It asks the API server for nothing but what resources it has;
// Run does the rest.
func New(ctx context.Context, cfg *rest.Config, opts Options, pub *publish.Publisher, log *slog.Logger) (*Runner, error) {
	if err := opts.Validate(); err != nil {
		return nil, fmt.Errorf("check the controllers' options: %w", err)
	}
	cfg = rest.CopyConfig(cfg)
	if cfg.QPS == 0 {
		cfg.QPS = -1 // the few workers bound the rate, and the API server's own fairness does
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	watchErrors, stop := &watchErrors{}, make(chan struct{})
	mgr, err := ctrl.NewManager(cfg, manager.Options{
		Scheme: scheme,
		Cache:  cacheOptions(opts, watchErrors),
		NewCache: func(cfg *rest.Config, opts cache.Options) (cache.Cache, error) {
			c, err := cache.New(cfg, opts)
			return &stoppableCache{Cache: c, stop: stop}, err
		},
		Logger:                  logr.FromSlogHandler(log.Handler()),
		Metrics:                 metricsserver.Options{BindAddress: "0"}, // see Gatherer
		HealthProbeBindAddress:  "0",
		PprofBindAddress:        "0",
		LeaderElection:          false, // the manager's ends the process when it loses; see elector
		GracefulShutdownTimeout: ptr.To(stopTimeout),
		Controller: config.Controller{
			SkipNameValidation:    ptr.To(true), // several replicas may share a process, in tests
			NeedLeaderElection:    ptr.To(false),
			ReconciliationTimeout: reconcileTimeout,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("set up the manager: %w", err)
	}
	if err := addIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, err
	}
	r := &Runner{manager: mgr, publisher: pub, watchErrors: watchErrors, log: log, stop: stop}
	if err := r.assemble(cfg, opts, log); err != nil {
		return nil, err
	}
	return r, nil
}

// assemble makes the parts and ties them together.
func (r *Runner) assemble(cfg *rest.Config, opts Options, log *slog.Logger) error {
	mgr, now := r.manager, time.Now
	namespaces, err := newScope(opts, mgr.GetCache())
	if err != nil {
		return err
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfigAndClient(cfg, mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("make the discovery client: %w", err)
	}

	// Progress of this replica, and those who want to know of it.
	replica := &replicaPublisher{options: opts, client: mgr.GetClient(), now: now, log: log, moved: make(chan struct{}, 1)}
	var triggers [kindCount]trigger
	wake := func(ref objectRef) { triggers[ref.kind].add(ref.key) }
	var others *fleet
	moved := func() {
		replica.changed()
		others.changed()
	}
	table := &tableProgress{changed: moved}
	r.credentials = newKeyProgress(now, moved)
	r.endpoints = newKeyProgress(now, nil)
	own := func() replicaState {
		return replicaState{ready: r.Ready() == nil, table: table.marks(), keyring: r.credentials.marks()}
	}
	replica.own = own
	others = newFleet(replicaLeaseName(opts), own, wake, now)
	all := newReports(wake)
	r.metrics = newCredentialMetrics(all, now)

	// Who writes status and the vault.
	history := rotation.NewHistory()
	uses, ledger := newKeyUses(now), newUseLedger(now)
	var keys *vault
	var credentialTrigger trigger
	var leader leadership = alwaysLeading{}
	if opts.LeaderElection == LeaderElectionEnabled {
		elected, err := newElector(cfg, opts, log, func() {
			others.reset()
			for _, ref := range all.refs() {
				wake(ref)
			}
			for _, key := range append(history.Credentials(), keys.credentials()...) {
				credentialTrigger.add(key)
			}
		})
		if err != nil {
			return err
		}
		leader = elected
	}
	keys, stored, err := r.newVault(cfg, opts, leader, log)
	if err != nil {
		return err
	}

	// Compile, credentials, endpoints: on every replica.
	salt := &saltSource{options: opts, reader: mgr.GetAPIReader(), writer: mgr.GetClient()}
	secrets := newSecretStore(mgr.GetCache(), mgr.GetAPIReader(), opts.WatchNamespaces)
	var compileTrigger trigger
	r.publisher.KeySets().Observe(func(source routing.RemoteKeys) {
		for _, credential := range r.publisher.KeySets().Holders(source) {
			credentialTrigger.add(credential)
		}
		compileTrigger.addAfter(compileRequest(), compileWindow)
	})
	grants := newGrantWatcher(mgr.GetCache(), discoveryClient, func() { compileTrigger.addAfter(compileRequest(), compileWindow) }, log)
	compiles := &compileWatches{reader: mgr.GetCache(), progress: table, scope: namespaces}
	credentials := &credentialWatches{reader: mgr.GetCache(), progress: r.credentials, scope: namespaces, vault: keys, stored: stored}
	endpoints := &endpointWatches{progress: r.endpoints}
	errs := []error{
		add(mgr, "compile", 1, &compileReconciler{
			snapshots: &snapshotter{options: opts.CompileOptions(), reader: mgr.GetCache(), scope: namespaces, secrets: secrets, grants: grants},
			publisher: r.publisher, progress: table, reports: all, now: now,
		}, append(compiles.sources(mgr.GetCache()), compileTrigger.source())),
		add(mgr, "credential", credentialWorkers, &credentialReconciler{
			reader: mgr.GetCache(), scope: namespaces, secrets: secrets, publisher: r.publisher,
			progress: r.credentials, reports: all, started: newStartGate(), log: log, askSalt: salt.get,
			history: history, vault: keys, uses: uses, now: now,
		}, append(credentials.sources(mgr.GetCache()), credentialTrigger.source())),
		add(mgr, "endpoint", 1, &endpointReconciler{
			reader: mgr.GetCache(), scope: namespaces, publisher: r.publisher, progress: r.endpoints,
		}, endpoints.sources(mgr.GetCache())),
		mgr.Add(grants),
	}

	// Status: the leader's.
	status := statusParts{manager: mgr, reports: all, fleet: others, leader: leader, now: now, triggers: &triggers}
	errs = append(errs,
		addStatus(status, pipelineStatus()),
		addStatus(status, serviceEndpointStatus()),
		addStatus(status, consumerStatus()),
		addStatus(status, credentialStatus(ledger)),
		mgr.Add(&fleetWatcher{fleet: others, cache: mgr.GetCache(), writer: mgr.GetClient(), namespace: opts.PodNamespace, leader: leader, log: log}),
		mgr.Add(&useReporter{
			options: opts, client: mgr.GetClient(), cache: mgr.GetCache(), uses: uses, ledger: ledger,
			leader: leader, recorder: mgr.GetEventRecorder("ostiary"), wake: wake, now: now, log: log,
		}),
	)
	if elected, ok := leader.(*elector); ok {
		errs = append(errs, mgr.Add(elected))
	}
	if opts.PodNamespace != "" {
		errs = append(errs, mgr.Add(replica), mgr.Add(stored), mgr.Add(keys))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("set up the controllers: %w", err)
	}
	return nil
}

// newVault makes the vault and the cache that it is read through; outside of a cluster there is no cache, and nothing is kept.
func (r *Runner) newVault(cfg *rest.Config, opts Options, leader leadership, log *slog.Logger) (*vault, cache.Cache, error) {
	if opts.PodNamespace == "" {
		return newVault(opts, nil, leader, log), nil, nil
	}
	base := cache.Options{
		Scheme: r.manager.GetScheme(), Mapper: r.manager.GetRESTMapper(), HTTPClient: r.manager.GetHTTPClient(),
		DefaultWatchErrorHandler: r.watchErrors.handle,
	}
	stored, err := cache.New(cfg, vaultCacheOptions(base, opts))
	if err != nil {
		return nil, nil, fmt.Errorf("make the cache of retained keys: %w", err)
	}
	return newVault(opts, r.manager.GetClient(), leader, log), stored, nil
}

// add adds one controller to the manager.
func add(mgr manager.Manager, name string, workers int, reconciler reconcile.Reconciler, sources []source.Source) error {
	c, err := controller.New(name, mgr, controller.Options{
		Reconciler:              reconciler,
		MaxConcurrentReconciles: workers,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryMin, retryMax),
	})
	if err != nil {
		return fmt.Errorf("make the controller %s: %w", name, err)
	}
	for _, s := range sources {
		if err := c.Watch(s); err != nil {
			return fmt.Errorf("watch for the controller %s: %w", name, err)
		}
	}
	return nil
}

// statusParts is what the status reconcilers share.
type statusParts struct {
	manager  manager.Manager
	reports  *reports
	fleet    *fleet
	leader   leadership
	now      func() time.Time
	triggers *[kindCount]trigger
}

func addStatus[T client.Object](p statusParts, k statusKind[T]) error {
	reconciler := &statusReconciler[T]{
		statusKind: k,
		reader:     p.manager.GetCache(), writer: p.manager.GetClient(),
		reports: p.reports, fleet: p.fleet, leader: p.leader,
		recorder: p.manager.GetEventRecorder("ostiary"),
		now:      p.now,
	}
	return add(p.manager, "status-"+k.name, statusWorkers, reconciler, reconciler.sources(p.manager.GetCache(), &p.triggers[k.kind]))
}

// Run runs the controllers, once, until ctx ends, and serves whether or not this replica is the leader. It returns an error
// when they can't be started: the CRDs are missing, or a permission is.
func (r *Runner) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { close(r.stop) })()
	err := r.manager.Start(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil: // what is cut short by stopping is no reason to end with an error
		r.log.Warn("the controllers did not stop cleanly", "err", err)
		return nil
	default:
		return errors.Join(fmt.Errorf("run the controllers: %w", err), r.watchErrors.err())
	}
}

// Metrics tell of the objects as this replica judges them (ostiary_credentials_*).
func (r *Runner) Metrics() prometheus.Collector { return r.metrics }

// Ready says why this replica should get no requests: its first table is not live, the credentials or endpoints that
// existed when it started are not processed, or publishing has failed for long. It stays nil while the API server is
// away: what is live is served.
func (r *Runner) Ready() error {
	if err := r.publisher.Ready(); err != nil {
		if errors.Is(err, publish.ErrNothingPublished) {
			return errors.Join(err, r.watchErrors.err())
		}
		return err
	}
	if err := r.credentials.ready("credentials", initialGrace); err != nil {
		return err
	}
	return r.endpoints.ready("Services", initialGrace)
}
