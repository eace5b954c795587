package controllers

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/config/crd"
	"github.com/ostiary/ostiary/internal/publish"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// assetsVariable names the folder with the test control plane, as hack/kubebed/build.sh prints it.
const assetsVariable = "OSTIARY_KUBEBED"

// convergence bounds how long a test waits for the controllers.
const convergence = 30 * time.Second

// apiServer is the one API server that all tests of this package share; each test has a namespace of its own.
type apiServer struct {
	once sync.Once
	env  *envtest.Environment
	cfg  *rest.Config
	err  error

	users sync.Mutex // envtest's AddUser is not safe for concurrent use
}

var shared apiServer // starting it takes seconds; TestMain stops it

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	code := m.Run()
	if shared.env != nil {
		if err := shared.env.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the API server:", err)
			code = 1
		}
	}
	if err := goleak.Find(
		// The libraries' own: the event broadcaster's watch, and informers of namespaces that ended before they synced.
		goleak.IgnoreTopFunction("k8s.io/apimachinery/pkg/watch.(*filteredWatch).loop"),
		goleak.IgnoreTopFunction("sigs.k8s.io/controller-runtime/pkg/cache.newMultiNamespaceInformerHandlerRegistration.func1"),
		goleak.IgnoreTopFunction("sigs.k8s.io/controller-runtime/pkg/cache.newMultiNamespaceInformer.func1"),
	); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, "goroutines are left over:", err)
		code = 1
	}
	os.Exit(code)
}

func (s *apiServer) start() {
	definitions, err := crd.CRDs()
	if err != nil {
		s.err = err
		return
	}
	s.env = &envtest.Environment{
		BinaryAssetsDirectory: os.Getenv(assetsVariable),
		CRDInstallOptions:     envtest.CRDInstallOptions{CRDs: definitions},
	}
	s.cfg, s.err = s.env.Start()
}

// testbed is a namespace of the API server with an IngressClass of its own.
type testbed struct {
	t         *testing.T
	cfg       *rest.Config
	client    client.Client
	namespace string
}

func newTestbed(t *testing.T) *testbed {
	t.Helper()
	if os.Getenv(assetsVariable) == "" {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not set: run hack/kubebed/build.sh and set it to the folder that is printed", assetsVariable)
		}
		t.Skipf("SKIPPED, no API server: run hack/kubebed/build.sh and set %s to the folder that it prints", assetsVariable)
	}
	shared.once.Do(shared.start)
	if shared.err != nil {
		t.Fatalf("start the API server: %v", shared.err)
	}
	scheme, err := newScheme()
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.CopyConfig(shared.cfg)
	cfg.QPS = -1
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	b := &testbed{t: t, cfg: cfg, client: c}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	b.create(namespace)
	b.namespace = namespace.Name
	class := ingressClass(b.namespace, b.controllerName())
	b.create(class)
	t.Cleanup(func() {
		if err := c.Delete(context.Background(), class); err != nil {
			t.Error(err)
		}
	})
	return b
}

// become makes the testbed's replicas a user without any permission but those it was given.
func (b *testbed) become(user string) {
	b.t.Helper()
	shared.users.Lock()
	defer shared.users.Unlock()
	added, err := shared.env.AddUser(envtest.User{Name: user}, b.cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.cfg = added.Config()
}

func (b *testbed) controllerName() string { return "ostiary.dev/" + b.namespace }

func (b *testbed) create(object client.Object) {
	b.t.Helper()
	if err := b.client.Create(b.t.Context(), object); err != nil {
		b.t.Fatalf("create %T %s: %v", object, object.GetName(), err)
	}
}

func (b *testbed) delete(object client.Object) {
	b.t.Helper()
	if err := b.client.Delete(b.t.Context(), object); err != nil {
		b.t.Fatalf("delete %T %s: %v", object, object.GetName(), err)
	}
}

// edit reads an object, changes it and writes it, again where someone else wrote it meanwhile.
func edit[T client.Object](b *testbed, object T, with func(T)) {
	b.t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := b.client.Get(b.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return err
		}
		with(object)
		return b.client.Update(b.t.Context(), object)
	})
	if err != nil {
		b.t.Fatalf("edit %T %s: %v", object, object.GetName(), err)
	}
}

// eventually polls until check says nothing, and fails with what it said last.
func (b *testbed) eventually(check func() string) {
	b.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(convergence)
	defer deadline.Stop()
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-deadline.C:
			b.t.Fatalf("after %s: %s", convergence, problem)
		case <-ticker.C:
		}
	}
}

// conditions reads the conditions of an object.
func (b *testbed) conditions(object client.Object) []metav1.Condition {
	b.t.Helper()
	if err := b.client.Get(b.t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		b.t.Fatal(err)
	}
	switch o := object.(type) {
	case *v1alpha1.Pipeline:
		return o.Status.Conditions
	case *v1alpha1.ServiceEndpoint:
		return o.Status.Conditions
	case *v1alpha1.Consumer:
		return o.Status.Conditions
	case *v1alpha1.JWTCredential:
		return o.Status.Conditions
	default:
		b.t.Fatalf("%T has no conditions", object)
		return nil
	}
}

// waitFor waits until a condition of an object's present generation has that status and reason.
func (b *testbed) waitFor(object client.Object, t v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason) metav1.Condition {
	b.t.Helper()
	var found metav1.Condition
	b.eventually(func() string {
		conditions := b.conditions(object)
		condition := meta.FindStatusCondition(conditions, string(t))
		if condition == nil || condition.Status != status || condition.Reason != string(reason) || condition.ObservedGeneration != object.GetGeneration() {
			return fmt.Sprintf("%T %s: want %s=%s/%s, got %+v", object, object.GetName(), t, status, reason, conditions)
		}
		found = *condition
		return ""
	})
	return found
}

// replica is a running set of controllers and what they feed.
type replica struct {
	runner    *Runner
	publisher *publish.Publisher
	live      *proxy.Live
	ring      *keyring.Keyring
	faults    *faults
	stop      func()
}

// start runs the controllers as one replica until the test ends or stop is called.
func (b *testbed) start(name string, configure ...func(*Options)) *replica {
	b.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(&testWriter{t: b.t}, nil)).With("replica", name)
	}
	upstreams := upstream.NewRegistry(upstream.Options{})
	r := &replica{live: &proxy.Live{}, ring: keyring.New(), faults: &faults{}}
	r.publisher = publish.New(publish.Options{Keyring: r.ring, Upstreams: upstreams, Live: r.live, Log: log})
	cfg := rest.CopyConfig(b.cfg)
	cfg.Wrap(r.faults.wrap)
	opts := DefaultOptions()
	opts.ControllerName = b.controllerName()
	opts.WatchNamespaces = []string{b.namespace}
	opts.PodName, opts.PodNamespace = name, b.namespace
	for _, c := range configure {
		c(&opts)
	}
	ctx, cancel := context.WithCancel(b.t.Context())
	runner, err := New(ctx, cfg, opts, r.publisher, log)
	if err != nil {
		b.t.Fatal(err)
	}
	r.runner = runner
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := runner.Run(ctx); err != nil {
			b.t.Errorf("run replica %s: %v", name, err)
		}
	}()
	r.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		upstreams.Close()
	})
	b.t.Cleanup(r.stop)
	return r
}

// ready waits until the replica is.
func (b *testbed) ready(r *replica) {
	b.t.Helper()
	b.eventually(func() string {
		if err := r.runner.Ready(); err != nil {
			return "not ready: " + err.Error()
		}
		return ""
	})
}

// faults makes requests to the API server fail. Watches that are open go on.
type faults struct {
	match atomic.Pointer[func(*http.Request) bool]
}

func (f *faults) fail(match func(*http.Request) bool) { f.match.Store(&match) }
func (f *faults) heal()                               { f.match.Store(nil) }

var errInjected = errors.New("injected: the API server does not answer")

func (f *faults) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if match := f.match.Load(); match != nil && (*match)(req) {
			return nil, errInjected
		}
		return next.RoundTrip(req)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// testWriter shows logs of a test that is run with -v.
type testWriter struct{ t *testing.T }

var _ io.Writer = (*testWriter)(nil)

func (w *testWriter) Write(line []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(line)))
	return len(line), nil
}

// Objects of the tests.

func ingressClass(name, controller string) *networkingv1.IngressClass {
	return &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
}

func (b *testbed) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: b.namespace, Name: name}
}

func (b *testbed) pipeline(name, path string, policies ...v1alpha1.Policy) *v1alpha1.Pipeline {
	class := b.namespace
	return &v1alpha1.Pipeline{ObjectMeta: b.meta(name), Spec: v1alpha1.PipelineSpec{
		IngressClassName: &class,
		APIEndpoints: []v1alpha1.APIEndpoint{{
			Name: "public", Hosts: []string{b.namespace + ".example.com"},
			Paths: []v1alpha1.PathMatch{{Type: v1alpha1.PathMatchPathPrefix, Value: path}},
		}},
		Policies: policies,
	}}
}

func jwtPolicy() v1alpha1.Policy {
	return v1alpha1.Policy{Name: "auth", Type: v1alpha1.PolicyJWT, JWT: &v1alpha1.JWTPolicy{Audiences: []string{"orders"}}}
}

func terminatePolicy() v1alpha1.Policy {
	return v1alpha1.Policy{Name: "answer", Type: v1alpha1.PolicyTerminate, Terminate: &v1alpha1.TerminatePolicy{StatusCode: 204}}
}

func proxyPolicy(endpoint string) v1alpha1.Policy {
	return v1alpha1.Policy{Name: "backend", Type: v1alpha1.PolicyProxy, Proxy: &v1alpha1.ProxyPolicy{ServiceEndpointRef: v1alpha1.LocalObjectReference{Name: endpoint}}}
}

func (b *testbed) consumer(name string) *v1alpha1.Consumer {
	return &v1alpha1.Consumer{ObjectMeta: b.meta(name), Spec: v1alpha1.ConsumerSpec{Type: v1alpha1.ConsumerApplication}}
}

func (b *testbed) credential(name, consumer, secret string) *v1alpha1.JWTCredential {
	return &v1alpha1.JWTCredential{ObjectMeta: b.meta(name), Spec: v1alpha1.JWTCredentialSpec{
		ConsumerRef: v1alpha1.LocalObjectReference{Name: consumer},
		Algorithms:  []v1alpha1.Algorithm{"HS256"},
		Keys: []v1alpha1.CredentialKey{{
			Name: "current", SecretKeyRef: v1alpha1.SecretKeyReference{Name: secret, Key: "secret"}, Format: v1alpha1.KeyFormatOctets,
		}},
	}}
}

// octets are 32 octets, good for HS256, that differ from seed to seed.
func octets(seed string) []byte {
	sum := sha256.Sum256([]byte(seed))
	return sum[:]
}

func (b *testbed) secret(name, seed string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: b.meta(name), Data: map[string][]byte{"secret": octets(seed)}}
}

func (b *testbed) serviceEndpoint(name, service string) *v1alpha1.ServiceEndpoint {
	return &v1alpha1.ServiceEndpoint{ObjectMeta: b.meta(name), Spec: v1alpha1.ServiceEndpointSpec{
		BackendRefs: []v1alpha1.BackendRef{{Name: service, Port: 80}},
	}}
}

func (b *testbed) service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: b.meta(name), Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
}

func (b *testbed) name(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: b.namespace, Name: name}
}
