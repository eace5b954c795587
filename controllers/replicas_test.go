package controllers

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// otherReplica writes the Lease of a replica that is not there, as one that has made record live would.
func (b *testbed) otherReplica(name string, record replicaRecord) {
	b.t.Helper()
	data, err := json.Marshal(record)
	if err != nil {
		b.t.Fatal(err)
	}
	opts := DefaultOptions()
	opts.PodName, opts.PodNamespace = name, b.namespace
	lease := &coordinationv1.Lease{ObjectMeta: b.meta(replicaLeaseName(opts))}
	set := func(l *coordinationv1.Lease) {
		l.Labels = replicaLabels(opts)
		l.Annotations = map[string]string{annotationReplica: string(data)}
		l.Spec.RenewTime = ptr.To(metav1.NewMicroTime(time.Now()))
	}
	set(lease)
	if err := b.client.Create(b.t.Context(), lease); apierrors.IsAlreadyExists(err) {
		edit(b, lease, set)
	} else if err != nil {
		b.t.Fatal(err)
	}
}

func TestProgrammedWaitsForEveryReadyReplica(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.otherReplica("lagging", replicaRecord{Ready: true})
	b.otherReplica("starting", replicaRecord{Ready: false})
	b.ready(b.start("one"))
	pipeline := b.pipeline("orders", "/", terminatePolicy())
	credential := b.credential("acme", "acme", "acme-key")
	b.create(pipeline)
	b.create(b.consumer("acme"))
	b.create(b.secret("acme-key", "a"))
	b.create(credential)

	condition := b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed)
	if condition.Message != "1/2 replicas" {
		t.Errorf("message = %q, want 1/2 replicas", condition.Message)
	}
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed)

	// The other replica's table has the Pipeline now, its keyring does not have the credential yet.
	caughtUp := replicaRecord{Ready: true}
	caughtUp.Table[resourcePipelines] = parseVersion(pipeline.ResourceVersion)
	b.otherReplica("lagging", caughtUp)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed)
	caughtUp.Keyring[resourceJWTCredentials] = parseVersion(credential.ResourceVersion)
	caughtUp.Keyring[resourceSecrets] = parseVersion(credential.ResourceVersion)
	b.otherReplica("lagging", caughtUp)
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)

	// It latches: a replica that falls back, or a new one, changes nothing for this generation.
	latched := pipeline.ResourceVersion
	b.otherReplica("lagging", replicaRecord{Ready: true})
	second := b.pipeline("second", "/second", terminatePolicy())
	b.create(second)
	b.waitFor(second, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	if pipeline.ResourceVersion != latched {
		t.Error("the latched Pipeline was written again")
	}
	// A new generation starts anew.
	edit(b, pipeline, func(p *v1alpha1.Pipeline) { p.Spec.Policies[0].Terminate.StatusCode = 410 })
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed)
}

func TestTwoReplicasCountEachOther(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	replicas := []*replica{b.start("one"), b.start("two")}
	for _, r := range replicas {
		b.ready(r)
	}
	b.eventually(func() string {
		for _, name := range []string{"one", "two"} {
			var lease coordinationv1.Lease
			if err := b.client.Get(t.Context(), b.name("ostiary-replica-"+name), &lease); err != nil {
				return err.Error()
			}
			if state, err := decodeReplica(&lease); err != nil || !state.ready {
				return name + " is not known to be ready"
			}
		}
		return ""
	})
	pipeline := b.pipeline("orders", "/", terminatePolicy())
	credential := b.credential("acme", "acme", "acme-key")
	b.create(pipeline)
	b.create(b.consumer("acme"))
	b.create(b.secret("acme-key", "a"))
	b.create(credential)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.waitFor(credential, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	for i, r := range replicas { // Programmed said so, so there is nothing to wait for
		if got := verifies(b, r, "acme", "a"); got != "the key" {
			t.Errorf("replica %d has %s", i, got)
		}
		if got := r.publisher.Status().Pipelines; got != 1 {
			t.Errorf("replica %d serves %d Pipelines", i, got)
		}
	}

	// A replica that can't read a new Secret holds Programmed back, and goes on serving what it had.
	leading, lagging := replicas[0], replicas[1]
	failed := make(chan struct{}, 1)
	lagging.faults.fail(func(req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "/secrets/other-key") {
			return false
		}
		select {
		case failed <- struct{}{}:
		default:
		}
		return true
	})
	other := b.credential("other", "acme", "other-key")
	b.create(b.secret("other-key", "b"))
	b.create(other)
	waitForKey(b, leading, "other", "b", "the key")
	<-failed
	<-failed // the second read begins after the first was dealt with
	if got := verifies(b, lagging, "acme", "a"); got != "the key" {
		t.Errorf("the lagging replica has %s for another credential", got)
	}
	if c := meta.FindStatusCondition(b.conditions(other), string(v1alpha1.ConditionProgrammed)); c != nil && c.Status == metav1.ConditionTrue {
		t.Errorf("%+v while a replica does not serve it", c)
	}
	lagging.faults.heal()
	b.waitFor(other, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	if got := verifies(b, lagging, "other", "b"); got != "the key" {
		t.Errorf("Programmed is true while a replica has %s", got)
	}
}

func TestAnotherReplicaTakesOverStatus(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	first := b.start("one")
	b.ready(first)
	pipeline := b.pipeline("before", "/before", terminatePolicy())
	b.create(pipeline)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	second := b.start("two")
	b.ready(second)
	first.stop()
	after := b.pipeline("after", "/after", terminatePolicy())
	b.create(after)
	b.waitFor(after, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	b.waitFor(pipeline, v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)
	var lease coordinationv1.Lease
	if err := b.client.Get(t.Context(), b.name("ostiary-replica-one"), &lease); !apierrors.IsNotFound(err) {
		t.Errorf("the Lease of the replica that left: %v, want not found", err)
	}
}
