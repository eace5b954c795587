package controllers

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/mint"
	"github.com/ostiary/ostiary/proxy"
)

// request sends a token of acme, signed with a seed's octets, through one replica's proxy.
func (b *testbed) request(r *replica, seed string) int {
	b.t.Helper()
	token, err := mint.Token("HS256", octets(seed), "", map[string]any{
		"sub": "acme", "aud": "orders", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
	req := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, "https://"+b.namespace+".example.com/", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	proxy.NewHandler(proxy.Options{Live: r.live, Log: slog.New(slog.DiscardHandler)}).ServeHTTP(answer, req)
	return answer.Code
}

// removals are the notes of the Events of keys that were taken away while in use.
func (b *testbed) removals() []string {
	b.t.Helper()
	var events eventsv1.EventList
	if err := b.client.List(b.t.Context(), &events, client.InNamespace(b.namespace)); err != nil {
		b.t.Fatal(err)
	}
	var notes []string
	for i := range events.Items {
		e := &events.Items[i]
		if e.Reason == string(v1alpha1.ReasonRemovedKeyInUse) && e.Type == corev1.EventTypeWarning && e.Regarding.Name == "acme" {
			notes = append(notes, e.Note)
		}
	}
	return notes
}

// A replaced key is used on one replica alone; whichever of the two leads, everyone can see it.
func TestUseOfAReplacedKeyIsReported(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	first, second := b.start("one"), b.start("two")
	b.create(b.pipeline("orders", "/", jwtPolicy(), terminatePolicy()))
	c, secret := b.rotating(first)
	b.waitToAccept(second, "a")
	b.eventually(func() string {
		if got := b.request(second, "a"); got != http.StatusNoContent {
			return fmt.Sprintf("answered %d", got)
		}
		return ""
	})
	b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	if len(c.Status.Keys) != 1 || c.Status.Keys[0].LastUsedTime != nil {
		t.Errorf("the status lists %+v, want no use of a key that stays", c.Status.Keys)
	}

	b.setKey(secret, octets("b"))
	for _, r := range []*replica{first, second} {
		b.waitToAccept(r, "ab")
	}
	b.waitForPhases(c, "current=Active current=Retained ")
	condition := b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonRetiringKeyInUse)
	if !strings.Contains(condition.Message, `"current"`) {
		t.Errorf("message %q does not name the key", condition.Message)
	}
	used := c.Status.Keys[1].LastUsedTime
	if used == nil || time.Since(used.Time) > 2*time.Minute || c.Status.Keys[0].LastUsedTime != nil {
		t.Errorf("used at %v; the active key at %v", used, c.Status.Keys[0].LastUsedTime)
	}

	// The replica that used it goes; what it saw stays.
	second.stop()
	var lease coordinationv1.Lease
	if err := b.client.Get(t.Context(), b.name("ostiary-key-uses-two-0"), &lease); err != nil || !strings.Contains(lease.Annotations[annotationKeyUses], ":") {
		t.Errorf("the replica that left told %v, error %v", lease.Annotations, err)
	}

	old := b.fingerprint("a")
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Rotation = &v1alpha1.Rotation{Overlap: &metav1.Duration{}} })
	b.waitToAccept(first, "b")
	b.eventually(func() string {
		if notes := b.removals(); len(notes) != 1 || !strings.Contains(notes[0], old) {
			return fmt.Sprintf("Events %q, want one that names %s", notes, old)
		}
		return ""
	})
	b.waitForPhases(c, "current=Active ")
	b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
}

// An active key that is replaced without an overlap was used on a replica that does not lead.
func TestRemovalOfAnActiveKeyInUseIsReported(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	replicas := []*replica{b.start("one"), b.start("two")}
	c, secret := cutting(b.credential("acme", "acme", "acme-jwt")), b.secret("acme-jwt", "a")
	b.create(b.pipeline("orders", "/", jwtPolicy(), terminatePolicy()))
	b.create(b.consumer("acme"))
	b.create(secret)
	b.create(c)
	var leader coordinationv1.Lease
	b.eventually(func() string {
		if err := b.client.Get(t.Context(), b.name(electionLeaseName(Options{Instance: DefaultInstance})), &leader); err != nil {
			return err.Error()
		}
		if leader.Spec.HolderIdentity == nil || *leader.Spec.HolderIdentity == "" {
			return "nobody leads"
		}
		return ""
	})
	other := replicas[1]
	if strings.HasPrefix(*leader.Spec.HolderIdentity, "two_") {
		other = replicas[0]
	}
	b.eventually(func() string {
		if got := b.request(other, "a"); got != http.StatusNoContent {
			return fmt.Sprintf("answered %d", got)
		}
		return ""
	})
	b.setKey(secret, octets("b"))
	b.eventually(func() string {
		if notes := b.removals(); len(notes) != 1 {
			return fmt.Sprintf("Events %q, want one", notes)
		}
		return ""
	})
}
