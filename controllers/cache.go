package controllers

import (
	"context"
	"fmt"
	"sync"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

func newScheme() (*runtime.Scheme, error) {
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the kinds of Kubernetes: %w", err)
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("register the kinds of Ostiary: %w", err)
	}
	return scheme, nil
}

// secretSelector leaves out Secrets that are never ours and may be many or large.
func secretSelector() fields.Selector {
	return fields.AndSelectors(
		fields.OneTermNotEqualSelector("type", "helm.sh/release.v1"),
		fields.OneTermNotEqualSelector("type", string(corev1.SecretTypeServiceAccountToken)),
		fields.OneTermNotEqualSelector("type", "bootstrap.kubernetes.io/token"),
	)
}

// secretMetadata is a Secret without its data, the only form in which Secrets are cached.
func secretMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}}
}

// namespaceMetadata is a Namespace as it is cached.
func namespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}

func cacheOptions(opts Options, watchErrors *watchErrors) cache.Options {
	o := cache.Options{
		DefaultTransform:         stripManagedFields,
		DefaultWatchErrorHandler: watchErrors.handle,
		ByObject: map[client.Object]cache.ByObject{
			secretMetadata():             {Field: secretSelector(), Transform: stripAnnotations},
			&corev1.Service{}:            {Transform: stripAnnotations},
			&discoveryv1.EndpointSlice{}: {Transform: stripAnnotations},
		},
	}
	if len(opts.WatchNamespaces) > 0 {
		o.DefaultNamespaces = map[string]cache.Config{}
		for _, namespace := range opts.WatchNamespaces {
			o.DefaultNamespaces[namespace] = cache.Config{}
		}
	}
	if opts.PodNamespace != "" {
		o.ByObject[&coordinationv1.Lease{}] = cache.ByObject{
			Namespaces: map[string]cache.Config{opts.PodNamespace: {LabelSelector: labels.SelectorFromSet(leaseLabels(opts))}},
		}
	}
	return o
}

// stripManagedFields drops what takes the most memory and is never read.
func stripManagedFields(in any) (any, error) {
	if object, err := meta.Accessor(in); err == nil {
		object.SetManagedFields(nil)
	}
	return in, nil
}

// stripAnnotations drops annotations too: kubectl keeps a copy of the whole object, a Secret's data included, in one.
func stripAnnotations(in any) (any, error) {
	if object, err := meta.Accessor(in); err == nil {
		object.SetManagedFields(nil)
		object.SetAnnotations(nil)
	}
	return in, nil
}

// watchErrors remembers why something can't be watched, so that a replica that never turns ready can say why.
type watchErrors struct {
	mu   sync.Mutex
	last error
}

func (w *watchErrors) handle(ctx context.Context, r *toolscache.Reflector, err error) {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		w.mu.Lock()
		w.last = fmt.Errorf("watch %s: %w", r.TypeDescription(), err)
		w.mu.Unlock()
	}
	toolscache.DefaultWatchErrorHandler(ctx, r, err)
}

// err is the last of these errors, nil when there was none.
func (w *watchErrors) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// stoppableCache lets the manager stop while its cache is not synced. The manager's own wait for that ends with the sync
// alone: it would neither heed a signal nor leave the processor alone.
type stoppableCache struct {
	cache.Cache
	stop chan struct{}
}

// WaitForCacheSync implements cache.Cache. It returns true when the cache is synced, and when all is to stop.
func (c *stoppableCache) WaitForCacheSync(ctx context.Context) bool {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	if c.Cache.WaitForCacheSync(ctx) {
		return true
	}
	select {
	case <-c.stop:
		return true
	default:
		return false
	}
}
