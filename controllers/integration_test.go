package controllers

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
)

// verifies says whether the ring's one key for a keyID is the octets of that seed, or what the ring has instead.
func verifies(b *testbed, r *replica, keyID, seed string) string {
	entry := r.ring.Namespace(b.namespace).ByKeyID(keyID)
	switch {
	case entry == nil:
		return "no entry"
	case len(entry.Keys) != 1:
		return fmt.Sprintf("%d keys", len(entry.Keys))
	}
	const input = "header.payload"
	mac := hmac.New(sha256.New, octets(seed))
	mac.Write([]byte(input))
	if err := entry.Keys[0].Verify(jose.HS256, input, mac.Sum(nil)); err != nil {
		return "another key"
	}
	return "the key"
}

// waitForKey waits until the ring has that to say of a keyID and a seed.
func waitForKey(b *testbed, r *replica, keyID, seed, want string) {
	b.t.Helper()
	b.eventually(func() string {
		if got := verifies(b, r, keyID, seed); got != want {
			return fmt.Sprintf("the ring has %s for %q, want %s", got, keyID, want)
		}
		return ""
	})
}

// fault is the first condition that tells of one, or that there are none.
func fault(conditions []metav1.Condition) string {
	for _, condition := range conditions {
		if isBad(condition) {
			return fmt.Sprintf("%+v", condition)
		}
	}
	if len(conditions) == 0 {
		return "no conditions"
	}
	return ""
}

func TestObjectsConvergeInAnyOrder(t *testing.T) {
	t.Parallel()
	tests := map[string][]int{
		"what is referred to comes first": {0, 1, 2, 3, 4, 5},
		"what is referred to comes last":  {5, 4, 3, 2, 1, 0},
		"mixed":                           {3, 0, 5, 1, 4, 2},
	}
	for name, order := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestbed(t)
			r := b.start("one")
			b.ready(r)
			pipeline := b.pipeline("orders", "/orders", jwtPolicy(), proxyPolicy("orders"))
			endpoint := b.serviceEndpoint("orders", "orders")
			consumer := b.consumer("acme")
			credential := b.credential("acme", "acme", "acme-key")
			objects := []client.Object{b.service("orders"), b.secret("acme-key", "a"), endpoint, consumer, credential, pipeline}
			for _, i := range order {
				b.create(objects[i])
			}
			for _, object := range []client.Object{pipeline, endpoint, consumer, credential} {
				b.eventually(func() string { return fault(b.conditions(object)) })
				b.waitFor(object, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
			}
			waitForKey(b, r, "acme", "a", "the key")
		})
	}
}

func TestUpdatingASecretSwitchesTheKey(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	secret := b.secret("acme-key", "a")
	credential := cutting(b.credential("acme", "acme", "acme-key"))
	b.create(b.consumer("acme"))
	b.create(secret)
	b.create(credential)
	waitForKey(b, r, "acme", "a", "the key")
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	edit(b, secret, func(s *corev1.Secret) { s.Data["secret"] = octets("b") })
	waitForKey(b, r, "acme", "b", "the key")
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	edit(b, secret, func(s *corev1.Secret) { s.Data["secret"] = []byte("short") })
	b.waitFor(credential, v1alpha1.ConditionKeysReady, metav1.ConditionFalse, v1alpha1.ReasonWeakKey)
	waitForKey(b, r, "acme", "a", "0 keys")

	edit(b, secret, func(s *corev1.Secret) { s.Data["secret"] = octets("a") })
	waitForKey(b, r, "acme", "a", "the key")

	b.delete(secret)
	waitForKey(b, r, "acme", "a", "0 keys")
	condition := b.waitFor(credential, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound)
	if !strings.Contains(condition.Message, "acme-key") {
		t.Errorf("message %q does not name the Secret", condition.Message)
	}
}

func TestRevocationsTakeEffect(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		revoke func(*testbed, *v1alpha1.Consumer, *v1alpha1.JWTCredential)
		gone   func(*testbed, *replica) string
	}{
		"Q07 the credential is deleted": {
			revoke: func(b *testbed, _ *v1alpha1.Consumer, credential *v1alpha1.JWTCredential) { b.delete(credential) },
			gone:   func(b *testbed, r *replica) string { return verifies(b, r, "acme", "a") },
		},
		"Q07 the credential is suspended": {
			revoke: func(b *testbed, _ *v1alpha1.Consumer, credential *v1alpha1.JWTCredential) {
				edit(b, credential, func(c *v1alpha1.JWTCredential) { c.Spec.Suspend = ptr.To(true) })
			},
			gone: func(b *testbed, r *replica) string {
				if entry := r.ring.Namespace(b.namespace).ByKeyID("acme"); entry != nil && entry.State == 0 {
					return "no entry"
				}
				return "still active"
			},
		},
		"Q07 the consumer is suspended": {
			revoke: func(b *testbed, consumer *v1alpha1.Consumer, _ *v1alpha1.JWTCredential) {
				edit(b, consumer, func(c *v1alpha1.Consumer) { c.Spec.Suspend = ptr.To(true) })
			},
			gone: suspendedConsumer,
		},
		"Q07 the consumer's owner is suspended": {
			revoke: func(b *testbed, consumer *v1alpha1.Consumer, _ *v1alpha1.JWTCredential) {
				owner := b.consumer("alice")
				owner.Spec.Type = v1alpha1.ConsumerUser
				b.create(owner)
				edit(b, consumer, func(c *v1alpha1.Consumer) { c.Spec.OwnerRef = &v1alpha1.LocalObjectReference{Name: "alice"} })
				b.waitFor(consumer, v1alpha1.ConditionResolvedRefs, metav1.ConditionTrue, v1alpha1.ReasonResolvedRefs)
				b.waitFor(consumer, v1alpha1.ConditionSuspended, metav1.ConditionFalse, v1alpha1.ReasonActive)
				edit(b, owner, func(c *v1alpha1.Consumer) { c.Spec.Suspend = ptr.To(true) })
				b.waitFor(consumer, v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonOwnerSuspended)
			},
			gone: suspendedConsumer,
		},
		"Q07 the consumer's owner is deleted": {
			revoke: func(b *testbed, consumer *v1alpha1.Consumer, _ *v1alpha1.JWTCredential) {
				owner := b.consumer("alice")
				owner.Spec.Type = v1alpha1.ConsumerUser
				b.create(owner)
				edit(b, consumer, func(c *v1alpha1.Consumer) { c.Spec.OwnerRef = &v1alpha1.LocalObjectReference{Name: "alice"} })
				b.waitFor(consumer, v1alpha1.ConditionSuspended, metav1.ConditionFalse, v1alpha1.ReasonActive)
				b.delete(owner)
				b.waitFor(consumer, v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonConsumerNotFound)
			},
			gone: suspendedConsumer,
		},
		"Q07 the consumer is deleted": {
			revoke: func(b *testbed, consumer *v1alpha1.Consumer, _ *v1alpha1.JWTCredential) { b.delete(consumer) },
			gone: func(b *testbed, r *replica) string {
				if entry := r.ring.Namespace(b.namespace).ByKeyID("acme"); entry == nil || entry.Consumer == nil {
					return "no entry"
				}
				return "still has a consumer"
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestbed(t)
			r := b.start("one")
			consumer, credential := b.consumer("acme"), b.credential("acme", "acme", "acme-key")
			for _, object := range []client.Object{b.secret("acme-key", "a"), consumer, credential} {
				b.create(object)
			}
			waitForKey(b, r, "acme", "a", "the key")
			test.revoke(b, consumer, credential)
			b.eventually(func() string {
				if got := test.gone(b, r); got != "no entry" {
					return got
				}
				return ""
			})
		})
	}
}

func suspendedConsumer(b *testbed, r *replica) string {
	if entry := r.ring.Namespace(b.namespace).ByKeyID("acme"); entry != nil && entry.Consumer != nil && entry.Consumer.State == 0 {
		return "no entry"
	}
	return "still active"
}

func TestForeignStatusEditsAreRepaired(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.start("one")
	pipeline := b.pipeline("orders", "/", terminatePolicy())
	b.create(pipeline)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	foreign := metav1.Condition{Type: "example.com/Audited", Status: metav1.ConditionTrue, Reason: "Looked", LastTransitionTime: metav1.Now()}
	meta.SetStatusCondition(&pipeline.Status.Conditions, foreign)
	meta.SetStatusCondition(&pipeline.Status.Conditions, metav1.Condition{
		Type: string(v1alpha1.ConditionAccepted), Status: metav1.ConditionFalse, Reason: "Meddled", LastTransitionTime: metav1.Now(),
	})
	if err := b.client.Status().Update(t.Context(), pipeline); err != nil {
		t.Fatal(err)
	}
	b.waitFor(pipeline, v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)
	if meta.FindStatusCondition(pipeline.Status.Conditions, foreign.Type) == nil {
		t.Error("a foreign condition was removed")
	}
}

func TestStatusIsNotWrittenWhenNothingChanged(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.start("one")
	first := b.pipeline("first", "/first", terminatePolicy())
	b.create(first)
	b.waitFor(first, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	version := first.ResourceVersion

	for i := range 3 { // each is a new compile and new reports
		next := b.pipeline(fmt.Sprintf("next-%d", i), fmt.Sprintf("/next/%d", i), terminatePolicy())
		b.create(next)
		b.waitFor(next, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	}
	b.conditions(first)
	if first.ResourceVersion != version {
		t.Errorf("the first Pipeline was written again: resourceVersion %s, then %s", version, first.ResourceVersion)
	}
}

func TestForeignPipelinesAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.start("one")
	foreign := b.pipeline("foreign", "/", terminatePolicy())
	foreign.Spec.IngressClassName = ptr.To("someone-elses")
	b.create(foreign)
	ours := b.pipeline("ours", "/", terminatePolicy())
	b.create(ours)
	b.waitFor(ours, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	if conditions := b.conditions(foreign); len(conditions) > 0 {
		t.Errorf("a Pipeline of another class got conditions: %+v", conditions)
	}
}

func TestAnUnreadableSecretIsNotADeletedOne(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	secret, credential := b.secret("acme-key", "a"), cutting(b.credential("acme", "acme", "acme-key"))
	for _, object := range []client.Object{secret, b.consumer("acme"), credential} {
		b.create(object)
	}
	waitForKey(b, r, "acme", "a", "the key")
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	failed := make(chan struct{}, 1)
	r.faults.fail(func(req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "/secrets/acme-key") {
			return false
		}
		select {
		case failed <- struct{}{}:
		default:
		}
		return true
	})
	edit(b, secret, func(s *corev1.Secret) { s.Data["secret"] = octets("b") })
	<-failed
	<-failed // the second read begins after the first was dealt with
	if got := verifies(b, r, "acme", "a"); got != "the key" {
		t.Errorf("while the Secret can't be read the ring has %s, want the key it had", got)
	}
	if c := meta.FindStatusCondition(b.conditions(credential), string(v1alpha1.ConditionKeysReady)); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("while the Secret can't be read KeysReady = %+v", c)
	}
	r.faults.heal()
	waitForKey(b, r, "acme", "b", "the key")
}

func TestReadinessOutlivesTheAPIServer(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	if err := r.runner.Ready(); err == nil {
		t.Error("ready before the first table")
	}
	served := b.pipeline("served", "/served", terminatePolicy())
	b.create(served)
	b.waitFor(served, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.ready(r)
	asked := make(chan struct{}, 1)
	r.faults.fail(func(*http.Request) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		return true
	})
	for range 3 { // the Leases can't be renewed
		<-asked
	}
	if err := r.runner.Ready(); err != nil {
		t.Errorf("not ready without the API server: %v", err)
	}
	if got := r.publisher.Status().Pipelines; got != 1 {
		t.Errorf("%d Pipelines are served without the API server, want 1", got)
	}
	r.faults.heal()
	pipeline := b.pipeline("later", "/", terminatePolicy())
	b.create(pipeline)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
}

func TestEndpointsReachTheRegistryWithoutACompile(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	endpoint := b.serviceEndpoint("orders", "orders")
	b.create(b.service("orders"))
	b.create(endpoint)
	pipeline := b.pipeline("orders", "/", proxyPolicy("orders"))
	b.create(pipeline)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.waitFor(endpoint, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	generation := r.publisher.Status().Generation

	b.create(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: b.namespace, Name: "orders-1", Labels: map[string]string{discoveryv1.LabelServiceName: "orders"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To(""), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.7"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
	})
	b.eventually(func() string {
		if total, _ := r.publisher.Upstreams().Endpoints(keyOf(endpoint)); total != 1 {
			return fmt.Sprintf("the ServiceEndpoint has %d endpoints, want 1", total)
		}
		return ""
	})
	if got := r.publisher.Status().Generation; got != generation {
		t.Errorf("endpoints made the world compile: generation %d, then %d", generation, got)
	}
}

func TestAStartWithManyCredentialsReadsSecretsByPages(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	const credentials = primeThreshold + 20
	b.create(b.consumer("acme"))
	for i := range credentials {
		name := fmt.Sprintf("acme-%d", i)
		b.create(b.secret(name, name))
		b.create(b.credential(name, "acme", name))
	}
	var reads atomic.Int64
	r := b.start("one")
	r.faults.fail(func(req *http.Request) bool {
		if strings.Contains(req.URL.Path, "/secrets/acme-") {
			reads.Add(1)
		}
		return false // it only counts
	})
	b.ready(r)
	for i := range credentials { // ready means that all are there
		name := fmt.Sprintf("acme-%d", i)
		if got := verifies(b, r, name, name); got != "the key" {
			t.Fatalf("the ring has %s for %s", got, name)
		}
	}
	if got := reads.Load(); got > 0 {
		t.Errorf("%d Secrets were read one by one", got)
	}
}
