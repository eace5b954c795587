package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/routing"
)

// initialGrace bounds how long readiness waits for the objects that existed at the start, of which some may not be
// readable.
const initialGrace = 2 * time.Minute

// startRequest is handled once, when the workers have started: all caches are synced then.
func startRequest() reconcile.Request { return reconcile.Request{} }

// credentialReconciler keeps the keyring. It runs on every replica, per JWTCredential.
type credentialReconciler struct {
	reader    client.Reader
	scope     *scope
	secrets   *secretStore
	publisher *publish.Publisher
	progress  *keyProgress
	reports   *reports
	started   *startGate
	log       *slog.Logger
	history   *rotation.History
	vault     *vault
	uses      *keyUses
	now       func() time.Time

	// askSalt is asked before anything else; salt is what it said.
	askSalt func(context.Context) ([]byte, error)
	salt    []byte
}

// Reconcile implements reconcile.Reconciler.
func (r *credentialReconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	if req == startRequest() {
		return reconcile.Result{}, r.start(ctx)
	}
	if err := r.started.wait(ctx); err != nil {
		return reconcile.Result{}, err
	}
	key := objectKey(req)
	run := r.progress.begin(key)
	credential, err := r.credential(ctx, key)
	if err != nil {
		return reconcile.Result{}, err
	}
	if credential == nil {
		r.publisher.DeleteCredential(key)
		r.secrets.retain(secretOwner(key), nil)
		r.history.Forget(key)
		r.vault.forget(key)
		r.uses.forget(key)
		r.reports.remove(objectRef{kindJWTCredential, key})
		r.progress.finish(run)
		return reconcile.Result{}, nil
	}
	input, read, err := r.input(ctx, credential)
	if err != nil {
		return reconcile.Result{}, err
	}
	records, err := r.remember(&input, read)
	if err != nil {
		return reconcile.Result{}, err
	}
	entry, verdict := compile.Credential(input)
	if entry == nil {
		r.publisher.DeleteCredential(key)
		r.uses.forget(key)
	} else {
		old := r.publisher.Keyring().Get(key)
		r.publisher.SetCredential(entry)
		r.uses.replaced(old, entry, verdict, r.salt)
		if entry.Remote != nil {
			// Only now that the set is asked for is it known how it is doing.
			if source, state, held := r.publisher.KeySets().Held(key); held {
				input.Remote = remoteState(source, state)
			}
			_, verdict = compile.Credential(input)
		}
	}
	if err := read.err(); err != nil {
		// What could be read is served; the verdict waits, since it would blame the user for a Secret that is there.
		return reconcile.Result{}, err
	}
	r.progress.finish(run)
	r.reports.set(objectRef{kindJWTCredential, key}, credentialReport(input, verdict, read))
	var later reconcile.Result
	if due := rotation.Due(records); !due.IsZero() {
		later.RequeueAfter = min(max(due.Sub(r.now()), time.Millisecond), longestWait)
	}
	return later, nil
}

// remember notes what the credential's Secrets hold, and adds what they held before to the input. Secrets of which it is not
// known what they hold change nothing.
func (r *credentialReconciler) remember(input *compile.CredentialInput, read secretsRead) ([]rotation.Record, error) {
	c := input.Credential
	key, uid := keyOf(c), string(c.UID)
	records := r.history.Records(key)
	if len(read.failed) == 0 {
		limits := rotation.Limits{Overlap: compile.Overlap(c), Retained: compile.MaxRetainedKeys(c)}
		records = r.history.Observe(rotation.Observation{
			Credential: key, UID: uid, Limits: limits, Others: r.vault.records(key, uid),
			Sources: rotation.Sources(compile.KeySources(c, input.Secrets), func(secret string) string {
				return string(read.uids[routing.ObjectKey{Namespace: c.Namespace, Name: secret}])
			}),
		}, r.now())
		stored := records
		if limits.Overlap <= 0 {
			stored = nil // there is nothing to be retained for
		}
		if err := r.vault.keep(key, uid, stored); err != nil {
			return nil, err
		}
	}
	input.Retained = rotation.Retained(records)
	return records, nil
}

// remoteState is what a verdict says of a remote key set.
func remoteState(source routing.RemoteKeys, state jwks.State) *compile.RemoteState {
	remote := &compile.RemoteState{Source: source, Problem: state.Problem}
	for _, key := range state.Known {
		remote.Keys = append(remote.Keys, compile.RemoteKey{KID: key.KID(), Thumbprint: key.Thumbprint(), Algorithms: key.Algorithms()})
	}
	if !state.Fetched.IsZero() {
		remote.Fetched = compile.FetchedOnce
	}
	return remote
}

// start reads what every credential needs, and what is there at once, where that is much, and lets the workers begin.
func (r *credentialReconciler) start(ctx context.Context) error {
	if err := r.loadSalt(ctx); err != nil {
		return err
	}
	r.prime(ctx)
	r.progress.markInitial()
	r.started.open()
	return nil
}

// loadSalt asks until there is an answer. No credential is served without: one of its keys may be revoked by a name that
// only the salt makes.
func (r *credentialReconciler) loadSalt(ctx context.Context) error {
	said := false
	for {
		salt, err := r.askSalt(ctx)
		if err == nil {
			r.salt = salt
			return nil
		}
		if !said {
			r.log.Warn("credentials wait for this installation's salt", "err", err)
			said = true
		}
		if !sleep(ctx, saltRetry) {
			return fmt.Errorf("load the installation's salt: %w", err)
		}
	}
}

func (r *credentialReconciler) prime(ctx context.Context) {
	var list v1alpha1.JWTCredentialList
	if err := r.reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		r.log.Warn("credentials are read one by one", "err", err)
		return
	}
	owners := make(map[secretOwner][]routing.ObjectKey, len(list.Items))
	for i := range list.Items {
		owners[secretOwner(keyOf(&list.Items[i]))] = compile.CredentialSecrets(&list.Items[i])
	}
	if err := r.secrets.prime(ctx, owners); err != nil {
		r.log.Warn("credentials are read one by one", "err", err)
	}
}

// credential returns the object, or nil when nothing of it may be served: it is gone, being deleted, or in a namespace
// that is not served.
func (r *credentialReconciler) credential(ctx context.Context, key routing.ObjectKey) (*v1alpha1.JWTCredential, error) {
	var credential v1alpha1.JWTCredential
	if err := r.reader.Get(ctx, objectName(key), &credential); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("read JWTCredential %q: %w", path(key), err)
	}
	if isBeingDeleted(&credential) {
		return nil, nil
	}
	included, err := r.scope.includes(ctx, key.Namespace)
	if err != nil || !included {
		return nil, err
	}
	return &credential, nil
}

func (r *credentialReconciler) input(ctx context.Context, credential *v1alpha1.JWTCredential) (compile.CredentialInput, secretsRead, error) {
	input := compile.CredentialInput{Credential: credential, Salt: r.salt}
	namespace := client.InNamespace(credential.Namespace)

	var consumer v1alpha1.Consumer
	switch err := r.reader.Get(ctx, objectName(compile.CredentialConsumer(credential)), &consumer); {
	case err == nil:
		input.Consumer = &consumer
		var namesakes v1alpha1.ConsumerList
		if err := r.reader.List(ctx, &namesakes, namespace, client.MatchingFields{indexUsername: compile.Username(&consumer)}); err != nil {
			return input, secretsRead{}, fmt.Errorf("list Consumers: %w", err)
		}
		input.SameUsername = others(pointers(namesakes.Items), consumer.Name)
		if input.Owner, err = r.owner(ctx, &consumer); err != nil {
			return input, secretsRead{}, err
		}
	case !apierrors.IsNotFound(err):
		return input, secretsRead{}, fmt.Errorf("read Consumer %q: %w", path(compile.CredentialConsumer(credential)), err)
	}

	var siblings v1alpha1.JWTCredentialList
	if err := r.reader.List(ctx, &siblings, namespace, client.MatchingFields{indexKeyID: compile.KeyID(credential)}); err != nil {
		return input, secretsRead{}, fmt.Errorf("list JWTCredentials: %w", err)
	}
	input.SameKeyID = slices.DeleteFunc(others(pointers(siblings.Items), credential.Name), isBeingDeleted)

	read := r.secrets.read(ctx, secretOwner(keyOf(credential)), compile.CredentialSecrets(credential))
	input.Secrets = read.secrets
	return input, read, nil
}

// owner returns the Consumer that owns another, or nil when it doesn't exist or none is named.
func (r *credentialReconciler) owner(ctx context.Context, consumer *v1alpha1.Consumer) (*v1alpha1.Consumer, error) {
	key, ok := compile.ConsumerOwner(consumer)
	if !ok {
		return nil, nil
	}
	var owner v1alpha1.Consumer
	switch err := r.reader.Get(ctx, objectName(key), &owner); {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read Consumer %q: %w", path(key), err)
	}
	return &owner, nil
}

// others leaves out the object of that name.
func others[T client.Object](objects []T, name string) []T {
	return slices.DeleteFunc(objects, func(object T) bool { return object.GetName() == name })
}

// isBeingDeleted reports whether a credential serves nothing any more.
func isBeingDeleted(credential *v1alpha1.JWTCredential) bool {
	return !credential.DeletionTimestamp.IsZero()
}

func credentialReport(input compile.CredentialInput, verdict compile.Verdict, read secretsRead) report {
	secrets := compile.CredentialSecrets(input.Credential)
	rep := report{verdict: verdict}
	rep.need.version = specVersion{uid: verdict.UID, generation: verdict.Generation, secrets: read.version(secrets)}
	rep.need.keyring[resourceJWTCredentials] = parseVersion(input.Credential.ResourceVersion)
	rep.need.keyring.raise(resourceSecrets, read.newest(secrets))
	return rep
}

// credentialWatches are the sources of credentialReconciler and of its progress.
type credentialWatches struct {
	reader   client.Reader
	progress *keyProgress
	scope    *scope
	vault    *vault
	stored   cache.Cache // the vault's; nil: nothing is kept
}

func (w *credentialWatches) sources(c cache.Cache) []source.Source {
	sources := []source.Source{
		source.Func(func(_ context.Context, q queue) error {
			urgent(q, startRequest())
			return nil
		}),
		watch(c, &v1alpha1.JWTCredential{}, w.credentialChanged),
		watch(c, &v1alpha1.Consumer{}, w.consumerChanged),
		watch(c, secretMetadata(), w.secretChanged),
	}
	if w.stored != nil {
		sources = append(sources, watch(w.stored, &corev1.Secret{}, w.vaultChanged))
	}
	if w.scope.restricted() {
		sources = append(sources, watch(c, namespaceMetadata(), w.namespaceChanged))
	}
	return sources
}

// credentialChanged wakes the credential, and those with the same keyID when one comes or goes, since the oldest wins.
func (w *credentialWatches) credentialChanged(ctx context.Context, e change[*v1alpha1.JWTCredential], q queue) {
	if !e.respecified() && labels.Equals(e.old.Labels, e.new.Labels) {
		w.progress.observe(resourceJWTCredentials, e.version())
		return
	}
	keys := []routing.ObjectKey{keyOf(e.object())}
	e.states(func(credential *v1alpha1.JWTCredential) {
		keys = append(keys, w.credentials(ctx, credential.Namespace, client.MatchingFields{indexKeyID: compile.KeyID(credential)})...)
	})
	w.wake(resourceJWTCredentials, e.version(), keys, q)
}

// consumerChanged wakes the credentials of a Consumer, of those with the same username and of those that it owns.
func (w *credentialWatches) consumerChanged(ctx context.Context, e change[*v1alpha1.Consumer], q queue) {
	if !e.respecified() {
		w.progress.observe(resourceConsumers, e.version())
		return
	}
	consumers := map[string]bool{e.object().Name: true}
	concerned := []client.MatchingFields{{indexOwner: e.object().Name}}
	e.states(func(consumer *v1alpha1.Consumer) {
		concerned = append(concerned, client.MatchingFields{indexUsername: compile.Username(consumer)})
	})
	for _, fields := range concerned {
		var list v1alpha1.ConsumerList
		if err := w.reader.List(ctx, &list, client.InNamespace(e.object().Namespace), client.UnsafeDisableDeepCopy, fields); err != nil {
			return // the cache answers from memory; it fails only while the process ends
		}
		for i := range list.Items {
			consumers[list.Items[i].Name] = true
		}
	}
	var keys []routing.ObjectKey
	for _, name := range slices.Sorted(maps.Keys(consumers)) {
		keys = append(keys, w.credentials(ctx, e.object().Namespace, client.MatchingFields{indexConsumer: name})...)
	}
	w.wake(resourceConsumers, e.version(), keys, q)
}

func (w *credentialWatches) secretChanged(ctx context.Context, e change[*metav1.PartialObjectMetadata], q queue) {
	keys := w.credentials(ctx, e.object().Namespace, client.MatchingFields{indexSecret: e.object().Name})
	w.wake(resourceSecrets, e.version(), keys, q)
}

// vaultChanged wakes the credentials of which something else is retained, and those of which something is and that are gone.
func (w *credentialWatches) vaultChanged(_ context.Context, e change[*corev1.Secret], q queue) {
	w.wake(resourceJWTCredentials, 0, w.vault.observe(e), q)
}

func (w *credentialWatches) namespaceChanged(ctx context.Context, e change[*metav1.PartialObjectMetadata], q queue) {
	if e.kind == updated && labels.Equals(e.old.Labels, e.new.Labels) {
		return
	}
	w.wake(resourceJWTCredentials, 0, w.credentials(ctx, e.object().Name), q)
}

func (w *credentialWatches) wake(r resource, version uint64, keys []routing.ObjectKey, q queue) {
	keys = uniqueKeys(keys)
	w.progress.observe(r, version, keys...)
	for _, key := range keys {
		q.Add(request(key))
	}
}

func (w *credentialWatches) credentials(ctx context.Context, namespace string, opts ...client.ListOption) []routing.ObjectKey {
	var list v1alpha1.JWTCredentialList
	if err := w.reader.List(ctx, &list, append(opts, client.InNamespace(namespace), client.UnsafeDisableDeepCopy)...); err != nil {
		return nil // the cache answers from memory; it fails only while the process ends
	}
	keys := make([]routing.ObjectKey, len(list.Items))
	for i := range list.Items {
		keys[i] = keyOf(&list.Items[i])
	}
	return keys
}

// startGate holds workers back until it is opened.
type startGate struct {
	once   sync.Once
	opened chan struct{}
}

func newStartGate() *startGate { return &startGate{opened: make(chan struct{})} }

func (g *startGate) open() { g.once.Do(func() { close(g.opened) }) }

func (g *startGate) wait(ctx context.Context) error {
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the start: %w", ctx.Err())
	}
}
