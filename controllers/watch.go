package controllers

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/proxy/routing"
)

type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]

// change is one event of an informer. Old is nil when the object is new, New when it is gone.
type change[T client.Object] struct {
	old, new T
	kind     changeKind
}

type changeKind uint8

const (
	created changeKind = iota
	updated
	deleted
)

// object is the newest known state.
func (c change[T]) object() T {
	if c.kind == deleted {
		return c.old
	}
	return c.new
}

// version is the resourceVersion of that state.
func (c change[T]) version() uint64 { return parseVersion(c.object().GetResourceVersion()) }

// respecified reports whether more than status and metadata changed. The generation of a re-created object starts anew.
func (c change[T]) respecified() bool {
	return c.kind != updated || c.old.GetGeneration() != c.new.GetGeneration() || c.old.GetUID() != c.new.GetUID() ||
		c.old.GetDeletionTimestamp().IsZero() != c.new.GetDeletionTimestamp().IsZero()
}

// states calls f with every known state, the old and the new one.
func (c change[T]) states(f func(T)) {
	if c.kind != created {
		f(c.old)
	}
	if c.kind != deleted {
		f(c.new)
	}
}

// watch is a source of the changes of one kind of object. Workers start once all present objects were handed to handle,
// which runs after the cache has the object's new state.
func watch[T client.Object](c cache.Cache, object T, handle func(context.Context, change[T], queue)) source.Source {
	return source.Kind(c, object, handler.TypedFuncs[T, reconcile.Request]{
		CreateFunc: func(ctx context.Context, e event.TypedCreateEvent[T], q queue) {
			handle(ctx, change[T]{new: e.Object, kind: created}, q)
		},
		UpdateFunc: func(ctx context.Context, e event.TypedUpdateEvent[T], q queue) {
			if e.ObjectOld.GetResourceVersion() == e.ObjectNew.GetResourceVersion() && e.ObjectOld.GetUID() == e.ObjectNew.GetUID() {
				return // the informer's periodic resync
			}
			handle(ctx, change[T]{old: e.ObjectOld, new: e.ObjectNew, kind: updated}, q)
		},
		DeleteFunc: func(ctx context.Context, e event.TypedDeleteEvent[T], q queue) {
			handle(ctx, change[T]{old: e.Object, kind: deleted}, q)
		},
	})
}

// trigger lets code outside a controller add to its queue. Before the controller has started, additions are kept.
type trigger struct {
	mu    sync.Mutex
	queue queue
	early []delayed
}

type delayed struct {
	request reconcile.Request
	after   time.Duration
}

// source hands the controller's queue to the trigger.
func (t *trigger) source() source.Source {
	return source.Func(func(_ context.Context, q queue) error {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.queue = q
		for _, d := range t.early {
			q.AddAfter(d.request, d.after)
		}
		t.early = nil
		return nil
	})
}

func (t *trigger) add(key routing.ObjectKey) { t.addAfter(request(key), 0) }

func (t *trigger) addAfter(r reconcile.Request, after time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queue == nil {
		t.early = append(t.early, delayed{request: r, after: after})
		return
	}
	t.queue.AddAfter(r, after)
}

func request(key routing.ObjectKey) reconcile.Request {
	return reconcile.Request{NamespacedName: types.NamespacedName{Namespace: key.Namespace, Name: key.Name}}
}

func objectKey(r reconcile.Request) routing.ObjectKey {
	return routing.ObjectKey{Namespace: r.Namespace, Name: r.Name}
}

func objectName(key routing.ObjectKey) types.NamespacedName {
	return types.NamespacedName{Namespace: key.Namespace, Name: key.Name}
}

// urgent puts a request in front of the objects that a start or a new leader has to go through.
func urgent(q queue, r reconcile.Request) {
	if p, ok := q.(priorityqueue.PriorityQueue[reconcile.Request]); ok {
		priority := 100
		p.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, r)
		return
	}
	q.Add(r)
}
