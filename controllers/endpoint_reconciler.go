package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy/routing"
)

// endpointReconciler keeps the addresses of the Services that ServiceEndpoints refer to. It runs on every replica, per
// Service, and never makes the world compile.
type endpointReconciler struct {
	reader    client.Reader
	scope     *scope
	publisher *publish.Publisher
	progress  *keyProgress
}

// Reconcile implements reconcile.Reconciler.
func (r *endpointReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if req == startRequest() {
		r.progress.markInitial()
		return reconcile.Result{}, nil
	}
	key := objectKey(req)
	run := r.progress.begin(key)
	service, err := r.service(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if service == nil {
		r.publisher.DeleteEndpoints(key)
		r.progress.finish(run)
		return reconcile.Result{}, nil
	}
	var slices discoveryv1.EndpointSliceList
	err = r.reader.List(ctx, &slices, client.InNamespace(key.Namespace), client.UnsafeDisableDeepCopy, client.MatchingFields{indexService: key.Name})
	if err != nil {
		return reconcile.Result{}, fmt.Errorf("list EndpointSlices of Service %q: %w", path(key), err)
	}
	r.publisher.SetEndpoints(key, compile.Endpoints(service, pointers(slices.Items)))
	r.progress.finish(run)
	return reconcile.Result{}, nil
}

// service returns the Service, or nil when there is none or nothing refers to it.
func (r *endpointReconciler) service(ctx context.Context, key routing.ObjectKey) (*corev1.Service, error) {
	if !r.scope.cached(key.Namespace) {
		return nil, nil
	}
	var users v1alpha1.ServiceEndpointList
	err := r.reader.List(ctx, &users, client.UnsafeDisableDeepCopy, client.MatchingFields{indexService: path(key)})
	if err != nil {
		return nil, fmt.Errorf("list ServiceEndpoints of Service %q: %w", path(key), err)
	}
	if len(users.Items) == 0 {
		return nil, nil
	}
	var service corev1.Service
	if err := r.reader.Get(ctx, objectName(key), &service); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read Service %q: %w", path(key), err)
	}
	return &service, nil
}

// endpointWatches are the sources of endpointReconciler.
type endpointWatches struct {
	progress *keyProgress
}

func (w *endpointWatches) sources(c cache.Cache) []source.Source {
	return []source.Source{
		source.Func(func(_ context.Context, q queue) error {
			urgent(q, startRequest())
			return nil
		}),
		watch(c, &discoveryv1.EndpointSlice{}, func(_ context.Context, e change[*discoveryv1.EndpointSlice], q queue) {
			var keys []routing.ObjectKey
			e.states(func(slice *discoveryv1.EndpointSlice) {
				if name := slice.Labels[discoveryv1.LabelServiceName]; name != "" {
					keys = append(keys, routing.ObjectKey{Namespace: slice.Namespace, Name: name})
				}
			})
			w.wake(resourceServices, 0, keys, q)
		}),
		watch(c, &corev1.Service{}, func(_ context.Context, e change[*corev1.Service], q queue) {
			w.wake(resourceServices, e.version(), []routing.ObjectKey{keyOf(e.object())}, q)
		}),
		watch(c, &v1alpha1.ServiceEndpoint{}, func(_ context.Context, e change[*v1alpha1.ServiceEndpoint], q queue) {
			if !e.respecified() {
				return
			}
			var keys []routing.ObjectKey
			e.states(func(endpoint *v1alpha1.ServiceEndpoint) {
				keys = append(keys, compile.ServiceEndpointServices(endpoint)...)
			})
			w.wake(resourceServiceEndpoints, e.version(), keys, q)
		}),
	}
}

func (w *endpointWatches) wake(r resource, version uint64, keys []routing.ObjectKey, q queue) {
	keys = uniqueKeys(keys)
	w.progress.observe(r, version, keys...)
	for _, key := range keys {
		q.Add(request(key))
	}
}
