package controllers

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/mint"
	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/routing"
)

// door is a replica from the objects to its answers: the reconcilers on a fake API, the proxy on a listener, and one clock
// for both, which stands still unless it is moved.
type door struct {
	*shell
	t      *testing.T
	clock  atomic.Int64 // nanoseconds since 1970
	url    string
	client *http.Client

	consumer *v1alpha1.Consumer
	acme     *v1alpha1.JWTCredential
	secret   *corev1.Secret
}

// newDoor opens a door for acme, whose credential is changed first. The Secret holds the octets of "a".
func newDoor(t *testing.T, change func(*v1alpha1.JWTCredential, *corev1.Secret)) *door {
	t.Helper()
	b := &testbed{namespace: "shop"}
	d := &door{}
	d.consumer, d.acme, d.secret = acme()
	d.acme.UID, d.secret.UID = "uid-acme", "uid-secret"
	if change != nil {
		change(d.acme, d.secret)
	}
	pipeline := b.pipeline("orders", "/", jwtPolicy(), terminatePolicy())
	pipeline.UID, pipeline.Generation = "uid-orders", 1
	api := fakeClient(t, interceptor.Funcs{}, d.consumer, d.acme, d.secret, pipeline, ingressClass("shop", DefaultControllerName))
	d.clock.Store(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	d.open(t, api)
	return d
}

// again opens a door on the same API at the same time, as a replica that starts: it knows nothing but what is stored.
func (d *door) again() *door {
	d.t.Helper()
	next := &door{consumer: d.consumer, acme: d.acme, secret: d.secret}
	next.clock.Store(d.clock.Load())
	next.open(d.t, d.cache)
	return next
}

func (d *door) open(t *testing.T, api client.WithWatch) {
	t.Helper()
	d.t, d.shell = t, newShellOn(t, api)
	d.shell.compile.now, d.shell.credential.now = d.now, d.now
	d.shell.credential.vault = newVault(validOptions(), api, alwaysLeading{}, d.shell.credential.log)
	var stored corev1.SecretList
	if err := api.List(t.Context(), &stored, client.MatchingLabels(vaultLabels(validOptions()))); err != nil {
		t.Fatal(err)
	}
	for i := range stored.Items {
		d.shell.credential.vault.observe(change[*corev1.Secret]{new: &stored.Items[i], kind: created})
	}
	if _, err := d.shell.compile.Reconcile(t.Context(), compileRequest()); err != nil {
		t.Fatal(err)
	}
	d.reconcile()
	server := httptest.NewServer(proxy.NewHandler(proxy.Options{Live: d.live, Now: d.now}))
	t.Cleanup(server.Close)
	d.url, d.client = server.URL+"/", server.Client()
}

func (d *door) now() time.Time { return time.Unix(0, d.clock.Load()) }

func (d *door) pass(by time.Duration) { d.clock.Add(int64(by)) }

// reconcile takes in what changed, and has it stored.
func (d *door) reconcile() {
	d.t.Helper()
	if err := d.reconcileCredential(d.t); err != nil {
		d.t.Fatal(err)
	}
	if err := d.shell.credential.vault.flush(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

// write writes an object, and has it taken in.
func (d *door) write(object client.Object) {
	d.t.Helper()
	if err := d.cache.Update(d.t.Context(), object); err != nil {
		d.t.Fatal(err)
	}
	d.reconcile()
}

func (d *door) remove(object client.Object) {
	d.t.Helper()
	if err := d.cache.Delete(d.t.Context(), object); err != nil {
		d.t.Fatal(err)
	}
	d.reconcile()
}

// put replaces the value of the Secret.
func (d *door) put(value []byte) {
	d.t.Helper()
	d.secret.Data["secret"] = value
	d.write(d.secret)
}

// signer makes tokens of acme.
type signer struct {
	algorithm string
	private   []byte
}

func hmacOf(seed string) signer { return signer{"HS256", octets(seed)} }

// token is good for a minute, with claims over the usual ones.
func (d *door) token(s signer, claims map[string]any) string {
	d.t.Helper()
	all := map[string]any{"sub": "acme", "aud": "orders", "iat": d.now().Unix(), "exp": d.now().Unix() + 60}
	for name, value := range claims {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	token, err := mint.Token(s.algorithm, s.private, "", all)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

// ask sends a request, and returns the status of the answer. An empty token is none.
func (d *door) ask(ctx context.Context, token string) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, http.NoBody)
	if err != nil {
		d.t.Error(err)
		return 0
	}
	request.Host = "shop.example.com"
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := d.client.Do(request)
	if err != nil {
		d.t.Error(err)
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// accepts checks which seeds' tokens are accepted now, of a, b, c and d, and that nobody else gets in.
func (d *door) accepts(when, want string) {
	d.t.Helper()
	var got strings.Builder
	for _, seed := range []string{"a", "b", "c", "d"} {
		switch status := d.ask(d.t.Context(), d.token(hmacOf(seed), nil)); status {
		case http.StatusNoContent:
			got.WriteString(seed)
		case http.StatusUnauthorized:
		default:
			d.t.Errorf("%s: a token of %s is answered %d", when, seed, status)
		}
	}
	if got.String() != want {
		d.t.Errorf("%s: tokens of the keys %q are accepted, want %q", when, got.String(), want)
	}
	d.closed(when)
}

// closed checks that there is no way in without a token, nor with a stranger's.
func (d *door) closed(when string) {
	d.t.Helper()
	for who, token := range map[string]string{"no token": "", "a stranger's": d.token(hmacOf("stranger"), nil)} {
		if status := d.ask(d.t.Context(), token); status != http.StatusUnauthorized {
			d.t.Errorf("%s: %s is answered %d, want 401", when, who, status)
		}
	}
}

// conditions are those of acme's credential that don't say that all is well, as Type=Reason.
func (d *door) conditions() string {
	d.t.Helper()
	told, ok := d.reports.get(objectRef{kindJWTCredential, routing.ObjectKey{Namespace: "shop", Name: "acme"}})
	if !ok {
		return "none"
	}
	var bad []string
	for _, c := range observeKeys(&v1alpha1.JWTCredentialStatus{}, told.verdict, neverUsed, d.now()).conditions {
		if isBad(metav1.Condition{Type: string(c.Type), Status: c.Status}) {
			bad = append(bad, string(c.Type)+"="+string(c.Reason))
		}
	}
	slices.Sort(bad)
	return strings.Join(bad, " ")
}

// servingLastGood is what the metric says.
func (d *door) servingLastGood() float64 {
	return testutil.ToFloat64(newCredentialMetrics(d.reports, d.now))
}
