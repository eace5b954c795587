package controllers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/internal/rotation"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

type noGrants struct{}

func (noGrants) list(context.Context) ([]compile.Grant, error) { return nil, nil }

// shell is the reconcilers of a replica on fake clients.
type shell struct {
	cache     client.WithWatch
	readFails error // of the cache
	dataFails error // of reading Secrets' data
	ring      *keyring.Keyring
	live      *proxy.Live
	publisher *publish.Publisher
	reports   *reports
	table     *tableProgress
	keys      *keyProgress
	now       time.Time

	compile    *compileReconciler
	credential *credentialReconciler
}

func newShell(t *testing.T, objects ...client.Object) *shell {
	t.Helper()
	return newShellOn(t, fakeClient(t, interceptor.Funcs{}, objects...))
}

// newShellOn is another replica on the same API.
func newShellOn(t *testing.T, api client.WithWatch) *shell {
	t.Helper()
	s := &shell{cache: api, ring: keyring.New(), live: &proxy.Live{}, reports: newReports(func(objectRef) {}), table: &tableProgress{}, now: time.Unix(1000, 0)}
	s.keys = newKeyProgress(time.Now, nil)
	upstreams := upstream.NewRegistry(upstream.Options{})
	t.Cleanup(upstreams.Close)
	log := slog.New(slog.DiscardHandler)
	s.publisher = publish.New(publish.Options{Keyring: s.ring, Upstreams: upstreams, Live: s.live, Log: log})
	reader := interceptor.NewClient(s.cache, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if s.readFails != nil {
				return s.readFails
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if s.readFails != nil {
				return s.readFails
			}
			return c.List(ctx, list, opts...)
		},
	})
	data := interceptor.NewClient(s.cache, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if s.dataFails != nil {
				return s.dataFails
			}
			return c.Get(ctx, key, object, opts...)
		},
	})
	secrets, everywhere := newSecretStore(reader, data, nil), &scope{}
	options := validOptions()
	s.compile = &compileReconciler{
		snapshots: &snapshotter{options: options.CompileOptions(), reader: reader, scope: everywhere, secrets: secrets, grants: noGrants{}},
		publisher: s.publisher, progress: s.table, reports: s.reports, now: func() time.Time { return s.now },
	}
	started := newStartGate()
	started.open()
	s.credential = &credentialReconciler{
		reader: reader, scope: everywhere, secrets: secrets, publisher: s.publisher, progress: s.keys, reports: s.reports, started: started, log: log,
		askSalt: func(context.Context) ([]byte, error) { return octets("salt"), nil },
		history: rotation.NewHistory(), vault: newVault(options, nil, alwaysLeading{}, log), uses: newKeyUses(func() time.Time { return s.now }), now: func() time.Time { return s.now },
	}
	return s
}

// entry is what the keyring has for shop/acme.
func (s *shell) entry() *keyring.Entry { return s.ring.Namespace("shop").ByKeyID("acme") }

func (s *shell) reconcileCredential(t *testing.T) error {
	t.Helper()
	key := credentialKey("acme")
	s.keys.observe(resourceJWTCredentials, 1_000_000, key)
	_, err := s.credential.Reconcile(t.Context(), request(key))
	return err
}

func acme() (*v1alpha1.Consumer, *v1alpha1.JWTCredential, *corev1.Secret) {
	b := &testbed{namespace: "shop"}
	consumer, credential, secret := b.consumer("acme"), b.credential("acme", "acme", "acme-key"), b.secret("acme-key", "a")
	return consumer, credential, secret
}

func TestACredentialOutlivesFailuresToRead(t *testing.T) {
	t.Parallel()
	consumer, credential, secret := acme()
	s := newShell(t, consumer, credential, secret)
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	good := s.entry()
	if good == nil || len(good.Keys) != 1 || good.Consumer == nil {
		t.Fatalf("entry = %+v, want one with a key and a Consumer", good)
	}
	if got := s.keys.marks()[resourceJWTCredentials]; got != 1_000_000 {
		t.Errorf("progress = %d after success", got)
	}

	s.readFails = errTimeout
	s.keys.observe(resourceSecrets, 2_000_000, credentialKey("acme"))
	if err := s.reconcileCredential(t); err == nil {
		t.Error("no error although nothing can be read")
	}
	if s.entry() != good {
		t.Error("a failure to read changed the keyring")
	}
	if got := s.keys.marks()[resourceSecrets]; got != 0 {
		t.Errorf("progress = %d after a failure", got)
	}

	// The Secret's data can't be read, but a suspension must not wait for that.
	s.readFails, s.dataFails = nil, errTimeout
	suspend := true
	credential.Spec.Suspend = &suspend
	if err := s.cache.Update(t.Context(), credential); err != nil {
		t.Fatal(err)
	}
	secret.Data["secret"] = octets("b")
	if err := s.cache.Update(t.Context(), secret); err != nil {
		t.Fatal(err)
	}
	before, _ := s.reports.get(objectRef{kindJWTCredential, credentialKey("acme")})
	if err := s.reconcileCredential(t); err == nil {
		t.Error("no error although the Secret can't be read")
	}
	if got := s.entry(); got == nil || got.State != keyring.StateSuspended {
		t.Errorf("entry = %+v, want a suspended one", got)
	}
	if after, _ := s.reports.get(objectRef{kindJWTCredential, credentialKey("acme")}); after.need.version != before.need.version {
		t.Error("a verdict was given while a Secret could not be read")
	}

	s.dataFails = nil
	if err := s.cache.Delete(t.Context(), credential); err != nil {
		t.Fatal(err)
	}
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if got := s.entry(); got != nil {
		t.Errorf("entry = %+v after the credential was deleted", got)
	}
	if _, ok := s.reports.get(objectRef{kindJWTCredential, credentialKey("acme")}); ok {
		t.Error("a deleted credential has a report")
	}
}

func TestACredentialThatIsBeingDeletedIsOutOfServiceAtOnce(t *testing.T) {
	t.Parallel()
	consumer, credential, secret := acme()
	credential.Finalizers = []string{"example.com/audit"}
	s := newShell(t, consumer, credential, secret)
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if s.entry() == nil {
		t.Fatal("no entry")
	}
	if err := s.cache.Delete(t.Context(), credential); err != nil { // the finalizer keeps the object
		t.Fatal(err)
	}
	if err := s.reconcileCredential(t); err != nil {
		t.Fatal(err)
	}
	if got := s.entry(); got != nil {
		t.Errorf("entry = %+v while the credential is being deleted", got)
	}
}

// servedWithTLS is a Pipeline with a certificate, whose Secret the compile step reads, and one without.
func servedWithTLS() []client.Object {
	b := &testbed{namespace: "shop"}
	pipeline := b.pipeline("orders", "/", terminatePolicy())
	pipeline.UID, pipeline.Generation = "u", 1
	pipeline.Spec.TLS = []v1alpha1.PipelineTLS{{Hosts: []string{"shop.example.com"}, SecretName: "tls"}}
	plain := b.pipeline("plain", "/plain", terminatePolicy())
	plain.UID, plain.Generation = "v", 1
	class := ingressClass("shop", DefaultControllerName)
	return []client.Object{pipeline, plain, class, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "tls"}}}
}

func TestTheFirstTableWaitsForSecretsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newShell(t, servedWithTLS()...)
	s.dataFails = errTimeout
	attempt := func() error {
		_, err := s.compile.Reconcile(t.Context(), compileRequest())
		return err
	}
	s.table.observe(resourcePipelines, 7, effectWork)
	if err := attempt(); err == nil || s.publisher.Ready() == nil {
		t.Fatalf("first attempt: %v, Ready: %v", err, s.publisher.Ready())
	}
	s.now = s.now.Add(firstCompileGrace)
	if err := attempt(); err == nil {
		t.Error("after the grace: no error, so nobody tries again")
	}
	if err := s.publisher.Ready(); err != nil {
		t.Errorf("after the grace: %v", err)
	}
	if got := s.table.marks()[resourcePipelines]; got != 0 {
		t.Errorf("progress = %d while a Secret can't be read", got)
	}
	undecided, decided := objectRef{kindPipeline, credentialKey("orders")}, objectRef{kindPipeline, credentialKey("plain")}
	if _, ok := s.reports.get(undecided); ok {
		t.Error("the Pipeline got a verdict although its Secret could not be read")
	}
	if _, ok := s.reports.get(decided); !ok {
		t.Error("a Pipeline without that Secret got no verdict")
	}
	s.dataFails = nil
	if err := attempt(); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.reports.get(undecided); !ok || s.table.marks()[resourcePipelines] != 7 {
		t.Errorf("once the Secret can be read: verdict %t, progress %d", ok, s.table.marks()[resourcePipelines])
	}
	generation := s.publisher.Status().Generation
	s.readFails = errTimeout
	if err := attempt(); err == nil || s.publisher.Status().Generation != generation {
		t.Errorf("with an unreadable cache: %v, generation %d, then %d", err, generation, s.publisher.Status().Generation)
	}
}

func TestOnlyBrokenPipelinesAreMarkedSo(t *testing.T) {
	t.Parallel()
	broken, handshake := credentialKey("broken"), credentialKey("handshake")
	verdicts := compile.Report{Pipelines: map[routing.ObjectKey]compile.Verdict{
		broken: {Serving: compile.ServingAll}, handshake: {Serving: compile.ServingAll},
	}}
	markBroken(verdicts, []routing.Problem{
		{Pipeline: broken, Message: "no such thing"},
		{Pipeline: handshake, Kind: routing.ProblemCertificate, Message: "no certificate"},
		{Pipeline: credentialKey("gone"), Message: "of nobody"},
	})
	if got := verdicts.Pipelines[broken]; got.Serving != compile.ServingBroken || got.Broken != "no such thing" {
		t.Errorf("broken: %+v", got)
	}
	if got := verdicts.Pipelines[handshake]; got.Serving != compile.ServingAll {
		t.Errorf("handshake: %+v", got)
	}
	if len(verdicts.Pipelines) != 2 {
		t.Errorf("verdicts = %v", verdicts.Pipelines)
	}
}
