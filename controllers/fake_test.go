package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/routing"
)

var errTimeout = errors.New("injected: time-out")

func fakeClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithInterceptorFuncs(funcs).
		WithStatusSubresource(&v1alpha1.Pipeline{}, &v1alpha1.JWTCredential{})
	for _, index := range fieldIndexes() {
		builder = builder.WithIndex(index.object, index.field, index.values)
	}
	return builder.Build()
}

// recorded is an eventRecorder that keeps reasons.
type recorded struct{ reasons []string }

func (r *recorded) Eventf(_, _ runtime.Object, eventType, reason, _, _ string, _ ...any) {
	r.reasons = append(r.reasons, eventType+"/"+reason)
}

type notLeading struct{}

func (notLeading) leading() bool { return false }

func TestStatusWrites(t *testing.T) {
	t.Parallel()
	key := routing.ObjectKey{Namespace: "shop", Name: "orders"}
	conflict := apierrors.NewConflict(schema.GroupResource{Resource: "pipelines"}, "orders", errors.New("modified"))
	tests := map[string]struct {
		generation int64 // of the report; the object's is 3
		leader     leadership
		fail       error // of the patch
		wantResult reconcile.Result
		wantErr    error
		want       string // status of Accepted afterwards
		wantEvents []string
	}{
		"the verdict of this generation is written": {
			generation: 3, leader: alwaysLeading{}, want: "False", wantEvents: []string{"Warning/Invalid"},
		},
		"that of another generation is not": {generation: 2, leader: alwaysLeading{}},
		"only the leader writes":            {generation: 3, leader: notLeading{}},
		"a conflict is tried again quietly": {
			generation: 3, leader: alwaysLeading{}, fail: conflict, wantResult: reconcile.Result{RequeueAfter: conflictRetry},
		},
		"an object that went meanwhile is no error": {
			generation: 3, leader: alwaysLeading{}, fail: apierrors.NewNotFound(schema.GroupResource{Resource: "pipelines"}, "orders"),
		},
		"a time-out is an error": {generation: 3, leader: alwaysLeading{}, fail: errTimeout, wantErr: errTimeout},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pipeline := &v1alpha1.Pipeline{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders", UID: "u", Generation: 3}}
			c := fakeClient(t, interceptor.Funcs{
				SubResourcePatch: func(ctx context.Context, c client.Client, sub string, object client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
					if test.fail != nil {
						return test.fail
					}
					return c.SubResource(sub).Patch(ctx, object, patch, opts...)
				},
			}, pipeline)
			all := newReports(func(objectRef) {})
			all.set(objectRef{kindPipeline, key}, report{verdict: compile.Verdict{
				UID: "u", Generation: test.generation,
				Conditions: []compile.Condition{{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid, Message: "no"}},
			}})
			events := &recorded{}
			r := &statusReconciler[*v1alpha1.Pipeline]{
				statusKind: pipelineStatus(), reader: c, writer: c, reports: all, leader: test.leader, recorder: events, now: time.Now,
				fleet: newFleet("self", func() replicaState { return replicaState{} }, func(objectRef) {}, time.Now),
			}
			result, err := r.Reconcile(t.Context(), request(key))
			if result != test.wantResult || !errors.Is(err, test.wantErr) {
				t.Errorf("Reconcile() = %+v, %v, want %+v, %v", result, err, test.wantResult, test.wantErr)
			}
			var after v1alpha1.Pipeline
			if err := c.Get(t.Context(), objectName(key), &after); err != nil {
				t.Fatal(err)
			}
			got := ""
			if condition := meta.FindStatusCondition(after.Status.Conditions, string(v1alpha1.ConditionAccepted)); condition != nil {
				got = string(condition.Status)
			}
			if got != test.want {
				t.Errorf("Accepted = %q, want %q", got, test.want)
			}
			if diff := cmp.Diff(test.wantEvents, events.reasons); diff != "" {
				t.Errorf("Events (-want +got):\n%s", diff)
			}
			version := after.ResourceVersion
			if _, err := r.Reconcile(t.Context(), request(key)); !errors.Is(err, test.wantErr) {
				t.Fatal(err)
			}
			if err := c.Get(t.Context(), objectName(key), &after); err != nil {
				t.Fatal(err)
			}
			if after.ResourceVersion != version || len(events.reasons) != len(test.wantEvents) {
				t.Error("a second reconcile wrote or announced something")
			}
		})
	}
}

// secretServer is the cache's metadata and the API server's data, which may differ and fail.
type secretServer struct {
	metadata, data client.WithWatch
	api            client.WithWatch // data as the store reads it: counted, and failing with fail
	fail           error
	reads          int
}

func newSecretServer(t *testing.T) *secretServer {
	t.Helper()
	s := &secretServer{}
	s.metadata = fakeClient(t, interceptor.Funcs{})
	s.data = fakeClient(t, interceptor.Funcs{})
	s.api = interceptor.NewClient(s.data, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if _, ok := object.(*corev1.Secret); ok {
				s.reads++
			}
			if s.fail != nil {
				return s.fail
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
			if s.fail != nil {
				return s.fail
			}
			return c.List(ctx, list) // the fake knows no field selectors and no pages
		},
	})
	return s
}

// put writes the Secret shop/key.
func put(t *testing.T, c client.Client, value string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "key", UID: "u"}}
	err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret)
	secret.Data = map[string][]byte{"k": []byte(value)}
	switch {
	case apierrors.IsNotFound(err):
		err = c.Create(t.Context(), secret)
	case err == nil:
		err = c.Update(t.Context(), secret)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecretStore(t *testing.T) {
	t.Parallel()
	key := routing.ObjectKey{Namespace: "shop", Name: "key"}
	type outcome struct {
		Value                string
		Missing, Failed, Old bool
		Reads                int
	}
	tests := map[string]struct {
		steps func(t *testing.T, s *secretServer, read func())
		want  outcome
	}{
		"a Secret that is not there is missing, without asking the API server": {
			steps: func(*testing.T, *secretServer, func()) {},
			want:  outcome{Missing: true},
		},
		"it is read once while its version stays": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				read()
			},
			want: outcome{Value: "one", Reads: 1},
		},
		"it is read again when its version changes": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				put(t, s.data, "two")
				put(t, s.metadata, "changed")
			},
			want: outcome{Value: "two", Reads: 2},
		},
		"when it can't be read the earlier data stands in": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				put(t, s.metadata, "changed")
				s.fail = errTimeout
			},
			want: outcome{Value: "one", Old: true, Reads: 2},
		},
		"when it never could be read it has failed, and is not missing": {
			steps: func(t *testing.T, s *secretServer, _ func()) {
				put(t, s.metadata, "")
				s.fail = errTimeout
			},
			want: outcome{Failed: true, Reads: 1},
		},
		"once the cache says that it is gone, it is": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				if err := s.metadata.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "key"}}); err != nil {
					t.Fatal(err)
				}
				s.fail = errTimeout
			},
			want: outcome{Missing: true, Reads: 1},
		},
		"once the API server says that it is gone, it is": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				put(t, s.metadata, "changed")
				if err := s.data.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "key"}}); err != nil {
					t.Fatal(err)
				}
			},
			want: outcome{Missing: true, Reads: 2},
		},
		"the data of another Secret of that name never stands in": {
			steps: func(t *testing.T, s *secretServer, read func()) {
				put(t, s.metadata, "")
				put(t, s.data, "one")
				read()
				again := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "key"}}
				if err := s.metadata.Delete(t.Context(), again); err != nil {
					t.Fatal(err)
				}
				again = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "key", UID: "another"}}
				if err := s.metadata.Create(t.Context(), again); err != nil {
					t.Fatal(err)
				}
				s.fail = errTimeout
			},
			want: outcome{Failed: true, Reads: 2},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newSecretServer(t)
			store := newSecretStore(server.metadata, server.api, nil)
			read := func() secretsRead {
				return store.read(t.Context(), secretOwner{Name: "owner"}, []routing.ObjectKey{key})
			}
			test.steps(t, server, func() { read() })
			result := read()
			secret, ok := result.secrets[key]
			got := outcome{
				Value: string(secret.Data["k"]), Failed: result.failed[key] != nil, Old: result.stale[key] != nil, Reads: server.reads,
			}
			got.Missing = !ok && !got.Failed
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if (result.err() != nil) != (got.Failed || got.Old) {
				t.Errorf("err() = %v", result.err())
			}
			store.retain(secretOwner{Name: "owner"}, nil)
			if len(store.secrets) > 0 || len(store.owners) > 0 {
				t.Errorf("data is kept that nobody refers to: %d Secrets, %d owners", len(store.secrets), len(store.owners))
			}
		})
	}
}

func TestSecretVersionChangesWithTheDataOnly(t *testing.T) {
	t.Parallel()
	server := newSecretServer(t)
	store := newSecretStore(server.metadata, server.api, nil)
	keys := []routing.ObjectKey{{Namespace: "shop", Name: "key"}}
	put(t, server.metadata, "1")
	put(t, server.data, "same")
	first := store.read(t.Context(), secretOwner{}, keys).version(keys)
	put(t, server.metadata, "2")
	put(t, server.data, "same")
	if got := store.read(t.Context(), secretOwner{}, keys).version(keys); got != first {
		t.Errorf("version = %q, then %q, with the same data", first, got)
	}
	put(t, server.metadata, "3")
	put(t, server.data, "new")
	if got := store.read(t.Context(), secretOwner{}, keys).version(keys); got == first {
		t.Errorf("version = %q before and after a change", got)
	}
}

func TestPrimeReadsManySecretsAtOnce(t *testing.T) {
	t.Parallel()
	server := newSecretServer(t)
	store := newSecretStore(server.metadata, server.api, nil)
	owners := map[secretOwner][]routing.ObjectKey{}
	for i := range primeThreshold {
		key := routing.ObjectKey{Namespace: "shop", Name: "key-" + string(rune('a'+i/26)) + string(rune('a'+i%26))}
		for _, c := range []client.Client{server.metadata, server.data} {
			secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}, Data: map[string][]byte{"k": []byte(key.Name)}}
			if err := c.Create(t.Context(), secret); err != nil {
				t.Fatal(err)
			}
		}
		owners[secretOwner(key)] = []routing.ObjectKey{key}
	}
	put(t, server.data, "nobody refers to this one")
	if err := store.prime(t.Context(), owners); err != nil {
		t.Fatal(err)
	}
	for owner, keys := range owners {
		read := store.read(t.Context(), owner, keys)
		if got := string(read.secrets[keys[0]].Data["k"]); got != keys[0].Name {
			t.Errorf("%s = %q", keys[0].Name, got)
		}
	}
	if server.reads != 0 {
		t.Errorf("%d Secrets were read one by one", server.reads)
	}
	if len(store.secrets) != len(owners) {
		t.Errorf("%d Secrets are held, %d are referred to", len(store.secrets), len(owners))
	}
	server.fail = errTimeout
	if err := newSecretStore(server.metadata, server.api, nil).prime(t.Context(), owners); !errors.Is(err, errTimeout) {
		t.Errorf("prime() = %v, want the time-out", err)
	}
}
