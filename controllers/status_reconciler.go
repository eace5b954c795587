package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

// conflictRetry is how long a status write waits for the cache after someone else wrote the object.
const conflictRetry = 100 * time.Millisecond

// longestWait bounds how long a status goes unlooked at before a boundary of time: clocks are set, and timers are not told.
const longestWait = time.Hour

// statusKind is what differs from kind to kind.
type statusKind[T client.Object] struct {
	kind       kind
	name       string
	empty      func() T
	conditions func(T) *[]metav1.Condition
	// observe, where there is one, writes what else there is to the status of the object, and returns the verdict as it is
	// at that moment and the next moment at which it may be another, zero for never.
	observe func(object T, verdict compile.Verdict, now time.Time) (compile.Verdict, time.Time)
}

func pipelineStatus() statusKind[*v1alpha1.Pipeline] {
	return statusKind[*v1alpha1.Pipeline]{
		kindPipeline, "Pipeline",
		func() *v1alpha1.Pipeline { return &v1alpha1.Pipeline{} },
		func(p *v1alpha1.Pipeline) *[]metav1.Condition { return &p.Status.Conditions },
		nil,
	}
}

func serviceEndpointStatus() statusKind[*v1alpha1.ServiceEndpoint] {
	return statusKind[*v1alpha1.ServiceEndpoint]{
		kindServiceEndpoint, "ServiceEndpoint",
		func() *v1alpha1.ServiceEndpoint { return &v1alpha1.ServiceEndpoint{} },
		func(e *v1alpha1.ServiceEndpoint) *[]metav1.Condition { return &e.Status.Conditions },
		nil,
	}
}

func consumerStatus() statusKind[*v1alpha1.Consumer] {
	return statusKind[*v1alpha1.Consumer]{
		kindConsumer, "Consumer",
		func() *v1alpha1.Consumer { return &v1alpha1.Consumer{} },
		func(c *v1alpha1.Consumer) *[]metav1.Condition { return &c.Status.Conditions },
		nil,
	}
}

func credentialStatus(uses *useLedger) statusKind[*v1alpha1.JWTCredential] {
	return statusKind[*v1alpha1.JWTCredential]{
		kindJWTCredential, "JWTCredential",
		func() *v1alpha1.JWTCredential { return &v1alpha1.JWTCredential{} },
		func(c *v1alpha1.JWTCredential) *[]metav1.Condition { return &c.Status.Conditions },
		func(c *v1alpha1.JWTCredential, verdict compile.Verdict, now time.Time) (compile.Verdict, time.Time) {
			lastUsed := func(thumbprint string) time.Time { return uses.last(newUseID(c.UID, thumbprint)) }
			o := observeKeys(&c.Status, verdict, lastUsed, now)
			c.Status.Keys, c.Status.LastRotationTime = o.keys, o.lastRotation
			verdict.Conditions = o.conditions
			return verdict, o.due
		},
	}
}

// leadership says whether this replica may write status.
type leadership interface{ leading() bool }

// eventRecorder is the part of an events.k8s.io recorder that is used.
type eventRecorder interface {
	Eventf(regarding, related runtime.Object, eventType, reason, action, note string, args ...any)
}

// statusReconciler writes the conditions of one kind. It runs on every replica but acts on the leader only. An object
// without a report is left alone: it belongs to another installation, or has not been compiled yet.
type statusReconciler[T client.Object] struct {
	statusKind[T]

	reader   client.Reader // the cache
	writer   client.StatusClient
	reports  *reports
	fleet    *fleet
	leader   leadership
	recorder eventRecorder
	now      func() time.Time
}

// Reconcile implements reconcile.Reconciler.
func (r *statusReconciler[T]) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if !r.leader.leading() {
		return reconcile.Result{}, nil
	}
	ref := objectRef{r.kind, objectKey(req)}
	object := r.empty()
	if err := r.reader.Get(ctx, req.NamespacedName, object); err != nil {
		if apierrors.IsNotFound(err) {
			r.fleet.forget(ref)
			return reconcile.Result{}, nil
		}
		return reconcile.Result{}, fmt.Errorf("read %s %q: %w", r.name, path(ref.key), err)
	}
	rep, ok := r.reports.get(ref)
	if !ok || rep.verdict.UID != object.GetUID() || rep.verdict.Generation != object.GetGeneration() {
		return reconcile.Result{}, nil // a report of what is there now will wake us
	}
	base, ok := object.DeepCopyObject().(T)
	if !ok {
		return reconcile.Result{}, fmt.Errorf("copy %s %q: got another type", r.name, path(ref.key))
	}
	now, verdict, later := r.now(), rep.verdict, reconcile.Result{}
	if r.observe != nil {
		var due time.Time
		if verdict, due = r.observe(object, verdict, now); !due.IsZero() {
			later.RequeueAfter = min(due.Sub(now), longestWait)
		}
	}
	conditions := r.conditions(object)
	next, transitions := nextConditions(*conditions, verdict, r.fleet.tally(ref, rep.need), metav1.NewTime(now))
	*conditions = next
	if equality.Semantic.DeepEqual(base, object) {
		return later, nil
	}
	err := r.writer.Status().Patch(ctx, object, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	switch {
	case apierrors.IsConflict(err):
		return reconcile.Result{RequeueAfter: conflictRetry}, nil
	case apierrors.IsNotFound(err), errors.Is(ctx.Err(), context.Canceled): // gone, or we are
		return reconcile.Result{}, nil
	case err != nil:
		return reconcile.Result{}, fmt.Errorf("write the status of %s %q: %w", r.name, path(ref.key), err)
	}
	r.announce(object, transitions)
	return later, nil
}

// announce emits an Event for each transition that people should know of, with the condition's reason.
func (r *statusReconciler[T]) announce(object T, transitions []transition) {
	for _, t := range transitions {
		if !worthAnEvent(t) {
			continue
		}
		eventType := corev1.EventTypeNormal
		if isBad(t.condition) {
			eventType = corev1.EventTypeWarning
		}
		r.recorder.Eventf(object, nil, eventType, t.condition.Reason, t.condition.Type, "%s", capNote(t.condition.Message))
	}
}

// capNote caps an Event's note, which the API limits to 1024 bytes.
func capNote(note string) string {
	const limit = 1000
	if len(note) <= limit {
		return note
	}
	return note[:limit-4] + " ..."
}

// sources wake the reconciler after every change of an object, a foreign status write included, and when told to.
func (r *statusReconciler[T]) sources(c cache.Cache, t *trigger) []source.Source {
	return []source.Source{
		t.source(),
		watch(c, r.empty(), func(_ context.Context, e change[T], q queue) { q.Add(request(keyOf(e.object()))) }),
	}
}
