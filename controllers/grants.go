package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/ostiary/ostiary/internal/compile"
)

const (
	grantGroup = "gateway.networking.k8s.io"
	grantKind  = "ReferenceGrant"

	// grantRecheck is how often the API server is asked whether it knows ReferenceGrants.
	grantRecheck = 30 * time.Second
	// grantSyncGrace bounds how long the first table waits for ReferenceGrants, where the API server knows them.
	grantSyncGrace = 5 * time.Second
)

// resourceDiscovery says which resources a group and version of the API server has.
type resourceDiscovery interface {
	ServerResourcesForGroupVersion(groupVersion string) (*metav1.APIResourceList, error)
}

// grantWatcher follows ReferenceGrants of the Gateway API where its CRDs are installed: v1, else v1beta1. They may come
// and go at any time; without them there are no grants. They never gate readiness.
type grantWatcher struct {
	cache     cache.Cache
	discovery resourceDiscovery
	changed   func()
	log       *slog.Logger

	settled chan struct{} // closed once the first discovery is done and what it found is synced
	once    sync.Once

	mu       sync.Mutex
	watching schema.GroupVersionKind // empty: none
	informer cache.Informer
}

func newGrantWatcher(c cache.Cache, d resourceDiscovery, changed func(), log *slog.Logger) *grantWatcher {
	return &grantWatcher{cache: c, discovery: d, changed: changed, log: log, settled: make(chan struct{})}
}

// Start implements manager.Runnable.
func (g *grantWatcher) Start(ctx context.Context) error {
	ticker := time.NewTicker(grantRecheck)
	defer ticker.Stop()
	for {
		if err := g.recheck(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("ReferenceGrants can't be followed", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*grantWatcher) NeedLeaderElection() bool { return false }

// recheck starts, stops or exchanges the watch after what the API server has. An API server that can't be asked changes
// nothing.
func (g *grantWatcher) recheck(ctx context.Context) error {
	found, err := g.discover()
	if err != nil {
		return err
	}
	g.mu.Lock()
	before := g.watching
	g.mu.Unlock()
	if found == before {
		if found.Empty() {
			g.settle()
		}
		return nil
	}
	if !before.Empty() {
		g.mu.Lock()
		g.watching, g.informer = schema.GroupVersionKind{}, nil
		g.mu.Unlock()
		if err := g.cache.RemoveInformer(ctx, grantObject(before)); err != nil {
			return fmt.Errorf("stop the watch of ReferenceGrants: %w", err)
		}
		g.changed()
	}
	if found.Empty() {
		g.settle()
		return nil
	}
	informer, err := g.cache.GetInformer(ctx, grantObject(found), cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch ReferenceGrants: %w", err)
	}
	if _, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { g.changed() },
		UpdateFunc: func(any, any) { g.changed() },
		DeleteFunc: func(any) { g.changed() },
	}); err != nil {
		return fmt.Errorf("watch ReferenceGrants: %w", err)
	}
	g.mu.Lock()
	g.watching, g.informer = found, informer
	g.mu.Unlock()
	g.log.Info("following ReferenceGrants", "version", found.Version)
	go func() { // ends with ctx
		if toolscache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
			g.settle()
			g.changed()
		}
	}()
	return nil
}

func (g *grantWatcher) settle() { g.once.Do(func() { close(g.settled) }) }

// discover returns the newest version of ReferenceGrant that the API server has, empty when it has none.
func (g *grantWatcher) discover() (schema.GroupVersionKind, error) {
	for _, version := range []string{"v1", "v1beta1"} {
		gv := schema.GroupVersion{Group: grantGroup, Version: version}
		list, err := g.discovery.ServerResourcesForGroupVersion(gv.String())
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return schema.GroupVersionKind{}, fmt.Errorf("discover %s: %w", gv, err)
		}
		for i := range list.APIResources {
			if list.APIResources[i].Kind == grantKind {
				return gv.WithKind(grantKind), nil
			}
		}
	}
	return schema.GroupVersionKind{}, nil
}

// list implements grantLister. The first call waits a little, so that a start does not refuse what grants permit.
func (g *grantWatcher) list(ctx context.Context) ([]compile.Grant, error) {
	timer := time.NewTimer(grantSyncGrace)
	defer timer.Stop()
	select {
	case <-g.settled:
	case <-timer.C:
		g.settle()
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for ReferenceGrants: %w", ctx.Err())
	}
	g.mu.Lock()
	watching, informer := g.watching, g.informer
	g.mu.Unlock()
	if watching.Empty() || !informer.HasSynced() {
		return nil, nil
	}
	var objects unstructured.UnstructuredList
	objects.SetGroupVersionKind(watching.GroupVersion().WithKind(grantKind + "List"))
	if err := g.cache.List(ctx, &objects, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("list ReferenceGrants: %w", err)
	}
	var grants []compile.Grant
	for i := range objects.Items {
		// v1 and v1beta1 have the same fields.
		var spec struct {
			Spec gatewayv1.ReferenceGrantSpec `json:"spec"`
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects.Items[i].Object, &spec); err != nil {
			g.log.Warn("a ReferenceGrant is not understood and grants nothing", "namespace", objects.Items[i].GetNamespace(),
				"name", objects.Items[i].GetName(), "err", err)
			continue
		}
		grants = append(grants, flattenGrant(objects.Items[i].GetNamespace(), &spec.Spec)...)
	}
	return grants, nil
}

// flattenGrant turns a grant's from and to lists into pairs.
func flattenGrant(namespace string, spec *gatewayv1.ReferenceGrantSpec) []compile.Grant {
	var grants []compile.Grant
	for _, from := range spec.From {
		for _, to := range spec.To {
			grant := compile.Grant{
				Namespace: namespace,
				FromGroup: string(from.Group), FromKind: string(from.Kind), FromNamespace: string(from.Namespace),
				ToGroup: string(to.Group), ToKind: string(to.Kind),
			}
			if to.Name != nil {
				grant.ToName = string(*to.Name)
			}
			grants = append(grants, grant)
		}
	}
	return grants
}

func grantObject(gvk schema.GroupVersionKind) *unstructured.Unstructured {
	var object unstructured.Unstructured
	object.SetGroupVersionKind(gvk)
	return &object
}
