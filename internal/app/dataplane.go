package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"github.com/ostiary/ostiary/internal/admin"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/server"
	"github.com/ostiary/ostiary/proxy/upstream"
)

var errDraining = errors.New("draining: this process is about to end")

// dataPlane is everything that serves requests; controller and serve differ only in what feeds it.
type dataPlane struct {
	options   serveOptions
	log       *slog.Logger
	metrics   *prometheus.Registry
	publisher *publish.Publisher
	server    *server.Server
	upstreams *upstream.Registry
	keySets   *jwks.Registry
	draining  atomic.Bool
	onListen  func(name, address string)

	mu sync.Mutex
	// listeners are the addresses of all listeners that are open: no route leads to one, least of all to profiles.
	listeners []netip.AddrPort
}

// source feeds a data plane until its context ends. ready says why the process should get no requests yet.
type source struct {
	run   func(context.Context) error
	ready func() error
	// metrics are shown beside those of the data plane.
	metrics []prometheus.Gatherer
}

func newDataPlane(options serveOptions, loopback upstream.LoopbackPolicy, log *slog.Logger, onListen func(name, address string)) (*dataPlane, error) {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	live := &proxy.Live{}
	plane := &dataPlane{options: options, log: log, metrics: metrics, onListen: onListen}
	plane.upstreams = upstream.NewRegistry(upstream.Options{
		Loopback:     loopback,
		OwnListeners: plane.ownListeners,
		Log:          log,
		Metrics:      metrics,
	})
	plane.keySets = jwks.NewRegistry(jwks.Options{
		Loopback:     keySetLoopback(loopback),
		Private:      options.keySetPrivate(),
		OwnListeners: plane.ownListeners,
		Log:          log,
		Metrics:      metrics,
	})
	plane.publisher = publish.New(publish.Options{
		Keyring:   keyring.New(),
		Upstreams: plane.upstreams,
		KeySets:   plane.keySets,
		TokenCache: jwt.NewCache(jwt.CacheOptions{
			Bytes:   options.tokenCacheBytes(),
			Metrics: metrics,
		}),
		Live:    live,
		Log:     log,
		Metrics: metrics,
	})
	proxyOptions := proxy.Options{Live: live, Log: log, Metrics: metrics, RedirectPort: options.RedirectPort}
	if options.AccessLog == accessLogAll {
		proxyOptions.AccessLog = log
	}
	engine, err := server.ParseEngine(options.HTTPEngine)
	if err != nil {
		return nil, fmt.Errorf("choose the HTTP engine: %w", err)
	}
	plane.server, err = server.New(server.Options{
		HTTPAddress:     options.HTTPAddress,
		HTTPSAddress:    options.HTTPSAddress,
		Handler:         proxy.NewHandler(proxyOptions),
		Engine:          engine,
		Live:            live,
		Log:             log,
		ShutdownTimeout: options.ShutdownTimeout,
		OnListen:        plane.listening,
	})
	if err != nil {
		return nil, fmt.Errorf("set the listeners up: %w", err)
	}
	return plane, nil
}

// keySetLoopback allows key sets on this host where backends may be there too.
func keySetLoopback(loopback upstream.LoopbackPolicy) jwks.Addresses {
	if loopback == upstream.LoopbackAllow {
		return jwks.AddressesAllow
	}
	return jwks.AddressesRefuse
}

// run serves until ctx ends and drains then: readiness fails at once, the listeners close after the drain delay, and
// the source goes on feeding until the last request is through, so that what is in flight meets live endpoints.
func (d *dataPlane) run(ctx context.Context, feed source) error {
	defer d.upstreams.Close()
	defer d.keySets.Close()
	base := context.WithoutCancel(ctx)
	feedCtx, stopFeed := context.WithCancel(base)
	defer stopFeed()
	serveCtx, stopServing := context.WithCancel(base)
	defer stopServing()

	group, groupCtx := errgroup.WithContext(base)
	group.Go(func() error {
		if err := feed.run(feedCtx); err != nil {
			return fmt.Errorf("follow the configuration: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		defer stopFeed()
		return d.server.Run(serveCtx)
	})
	group.Go(func() error {
		return admin.Run(feedCtx, admin.Options{
			AdminAddress: d.options.AdminAddress,
			DebugAddress: d.options.DebugAddress,
			Ready:        func() error { return d.ready(feed) },
			Metrics:      append(prometheus.Gatherers{d.metrics}, feed.metrics...),
			Status:       func() any { return d.publisher.Status() },
			Keys:         func() any { return d.publisher.Keys() },
			OnListen:     d.listening,
			Log:          d.log,
		})
	})
	group.Go(func() error {
		defer stopServing()
		select {
		case <-ctx.Done():
		case <-groupCtx.Done(): // a part failed: end the others
			stopFeed()
			return nil
		}
		d.draining.Store(true)
		d.server.Drain()
		d.log.Info("draining", "delay", d.options.DrainDelay, "timeout", d.options.ShutdownTimeout)
		delay := time.NewTimer(d.options.DrainDelay)
		defer delay.Stop()
		select {
		case <-delay.C:
		case <-groupCtx.Done():
		}
		return nil
	})
	return group.Wait()
}

// listening is called for every listener before it serves.
func (d *dataPlane) listening(name, address string) {
	if bound, err := netip.ParseAddrPort(address); err == nil { // the listeners are all TCP's
		d.mu.Lock()
		d.listeners = append(d.listeners, bound)
		d.mu.Unlock()
	}
	d.onListen(name, address)
}

func (d *dataPlane) ownListeners() []netip.AddrPort {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.listeners)
}

func (d *dataPlane) ready(feed source) error {
	if d.draining.Load() {
		return errDraining
	}
	if err := feed.ready(); err != nil {
		return err
	}
	return d.publisher.Ready()
}
