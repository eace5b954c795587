package controllers

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// compileWindow is how long events are gathered before one compile takes them all.
	compileWindow = 100 * time.Millisecond
	// firstCompileGrace is how long the first table waits for Secrets that can't be read and for ReferenceGrants. After
	// that it goes live without them: nothing of what they protect is served.
	firstCompileGrace = 20 * time.Second
)

// compileRequest is the one key of the compile queue.
func compileRequest() reconcile.Request { return request(routing.ObjectKey{Name: "world"}) }

// compileReconciler compiles the world and makes it live. It runs on every replica.
type compileReconciler struct {
	snapshots *snapshotter
	publisher *publish.Publisher
	progress  *tableProgress
	reports   *reports
	now       func() time.Time

	began     time.Time // of the first attempt; used by the one worker only
	published bool
}

// Reconcile implements reconcile.Reconciler.
func (r *compileReconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	if r.began.IsZero() {
		r.began = r.now()
	}
	run := r.progress.begin()
	view, err := r.snapshots.take(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	unread := view.secretsRead.err()
	if unread != nil && !r.published && r.now().Sub(r.began) < firstCompileGrace {
		return reconcile.Result{}, unread
	}
	view.FetchProblems = r.publisher.KeySets().Problems()
	config, verdicts := compile.Compile(view.Snapshot)
	// First, so that a Consumer that was suspended is, whatever becomes of the table.
	r.publisher.SetIdentities(compile.Identities(view.Snapshot))
	if err := r.publisher.Publish(config); err != nil {
		return reconcile.Result{}, err
	}
	r.published = true
	markBroken(verdicts, r.publisher.Status().Problems)
	if unread == nil {
		r.progress.finish(run)
	}
	r.report(view, verdicts)
	return reconcile.Result{}, unread // nil, or to be tried again
}

// markBroken turns what could not be built into the verdict of its Pipeline. A certificate that can't be used is not
// among that: it is a matter of references, which compile judges.
func markBroken(verdicts compile.Report, problems []routing.Problem) {
	for _, problem := range problems {
		if problem.Kind != routing.ProblemBroken {
			continue
		}
		if verdict, ok := verdicts.Pipelines[problem.Pipeline]; ok {
			verdict.Serving = compile.ServingBroken
			verdict.Broken = problem.Message
			verdicts.Pipelines[problem.Pipeline] = verdict
		}
	}
}

// report stores the verdicts for the status reconcilers.
func (r *compileReconciler) report(view worldView, verdicts compile.Report) {
	read := view.secretsRead
	store(r.reports, kindPipeline, view.Pipelines, verdicts.Pipelines, read, compile.PipelineSecrets,
		func(version uint64, need *requirement) { need.table[resourcePipelines] = version })
	store(r.reports, kindServiceEndpoint, view.ServiceEndpoints, verdicts.ServiceEndpoints, read, compile.ServiceEndpointSecrets,
		func(version uint64, need *requirement) { need.table[resourceServiceEndpoints] = version })
	store(r.reports, kindConsumer, view.Consumers, verdicts.Consumers, read,
		func(*v1alpha1.Consumer) []routing.ObjectKey { return nil },
		func(version uint64, need *requirement) {
			need.table[resourceConsumers] = version
			need.keyring[resourceConsumers] = version
		})
}

// store replaces the reports of one kind.
func store[T client.Object](
	all *reports, k kind, objects []T, verdicts map[routing.ObjectKey]compile.Verdict, read secretsRead,
	secretsOf func(T) []routing.ObjectKey, require func(version uint64, need *requirement),
) {
	fresh := make(map[routing.ObjectKey]report, len(verdicts))
	undecided := map[routing.ObjectKey]bool{}
	for _, object := range objects {
		key := keyOf(object)
		verdict, ok := verdicts[key]
		if !ok {
			continue
		}
		secrets := secretsOf(object)
		if read.undecided(secrets) {
			undecided[key] = true
			continue
		}
		need := requirement{version: specVersion{uid: verdict.UID, generation: verdict.Generation, secrets: read.version(secrets)}}
		require(parseVersion(object.GetResourceVersion()), &need)
		need.table.raise(resourceSecrets, read.newest(secrets))
		fresh[key] = report{verdict: verdict, need: need}
	}
	all.replace(k, fresh, undecided)
}

// compileWatches are the sources of compileReconciler and of tableProgress, which must see every event.
type compileWatches struct {
	reader   client.Reader
	progress *tableProgress
	scope    *scope
}

func (w *compileWatches) sources(c cache.Cache) []source.Source {
	sources := []source.Source{
		source.Func(func(_ context.Context, q queue) error {
			q.AddAfter(compileRequest(), compileWindow) // an empty world is a world too
			return nil
		}),
		watch(c, &v1alpha1.Pipeline{}, respecifiedCompiles[*v1alpha1.Pipeline](w, resourcePipelines)),
		watch(c, &v1alpha1.ServiceEndpoint{}, respecifiedCompiles[*v1alpha1.ServiceEndpoint](w, resourceServiceEndpoints)),
		watch(c, &v1alpha1.Consumer{}, respecifiedCompiles[*v1alpha1.Consumer](w, resourceConsumers)),
		watch(c, &networkingv1.IngressClass{}, compiles(w, resourceIngressClasses, func(context.Context, change[*networkingv1.IngressClass]) bool { return true })),
		watch(c, &corev1.Service{}, compiles(w, resourceServices, w.serviceMatters)),
		watch(c, &v1alpha1.JWTCredential{}, w.credentialChanged),
		watch(c, secretMetadata(), compiles(w, resourceSecrets, w.secretMatters)),
	}
	if w.scope.restricted() {
		sources = append(sources, watch(c, namespaceMetadata(), func(_ context.Context, e change[*metav1.PartialObjectMetadata], q queue) {
			if e.kind != updated || !labels.Equals(e.old.Labels, e.new.Labels) {
				w.progress.observe(resourcePipelines, 0, effectWork)
				q.AddAfter(compileRequest(), compileWindow)
			}
		}))
	}
	return sources
}

// compiles observes every event of a resource and asks for a compile after those that matter.
func compiles[T client.Object](w *compileWatches, r resource, matters func(context.Context, change[T]) bool) func(context.Context, change[T], queue) {
	return func(ctx context.Context, e change[T], q queue) {
		if !matters(ctx, e) {
			w.progress.observe(r, e.version(), effectNone)
			return
		}
		w.progress.observe(r, e.version(), effectWork)
		q.AddAfter(compileRequest(), compileWindow)
	}
}

// respecifiedCompiles leaves out events that only changed status or metadata.
func respecifiedCompiles[T client.Object](w *compileWatches, r resource) func(context.Context, change[T], queue) {
	return compiles(w, r, func(_ context.Context, e change[T]) bool { return e.respecified() })
}

// serviceMatters reports whether a ServiceEndpoint refers to a Service that was changed in more than its status.
func (w *compileWatches) serviceMatters(ctx context.Context, e change[*corev1.Service]) bool {
	if e.kind == updated && e.old.UID == e.new.UID && equality.Semantic.DeepEqual(e.old.Spec, e.new.Spec) {
		return false
	}
	return w.referenced(ctx, &v1alpha1.ServiceEndpointList{}, client.MatchingFields{indexService: path(keyOf(e.object()))})
}

// credentialChanged asks for a compile where a Pipeline says that the credential is never asked, or did, or will. Nothing
// waits for that: what is served doesn't depend on it.
func (w *compileWatches) credentialChanged(ctx context.Context, e change[*v1alpha1.JWTCredential], q queue) {
	if !e.respecified() && labels.Equals(e.old.Labels, e.new.Labels) {
		return
	}
	matters := false
	e.states(func(credential *v1alpha1.JWTCredential) {
		for _, issuer := range []string{credential.Spec.Issuer, compile.KeyID(credential)} {
			matters = matters || issuer != "" && w.referenced(ctx, &v1alpha1.PipelineList{}, client.MatchingFields{indexIssuer: issuer})
		}
	})
	if matters {
		q.AddAfter(compileRequest(), compileWindow)
	}
}

// secretMatters reports whether a Pipeline or a ServiceEndpoint refers to a Secret.
func (w *compileWatches) secretMatters(ctx context.Context, e change[*metav1.PartialObjectMetadata]) bool {
	namespace := client.InNamespace(e.object().Namespace)
	byName := client.MatchingFields{indexSecret: e.object().Name}
	return w.referenced(ctx, &v1alpha1.PipelineList{}, namespace, byName) ||
		w.referenced(ctx, &v1alpha1.ServiceEndpointList{}, namespace, byName)
}

// referenced reports whether the list has any item. A cache that can't tell is taken to say yes: a compile too many
// does no harm.
func (w *compileWatches) referenced(ctx context.Context, list client.ObjectList, opts ...client.ListOption) bool {
	if err := w.reader.List(ctx, list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		return true
	}
	switch l := list.(type) {
	case *v1alpha1.PipelineList:
		return len(l.Items) > 0
	case *v1alpha1.ServiceEndpointList:
		return len(l.Items) > 0
	default:
		return true
	}
}
