package controllers

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/ostiary/ostiary/api/v1alpha1"
)

// phases are the phases of a credential's keys by their names, in the order of status.
func (b *testbed) phases(c *v1alpha1.JWTCredential) string {
	b.t.Helper()
	b.conditions(c)
	list := ""
	for _, k := range c.Status.Keys {
		list += fmt.Sprintf("%s=%s ", k.Name, k.Phase)
	}
	return list
}

func (b *testbed) waitForPhases(c *v1alpha1.JWTCredential, want string) {
	b.t.Helper()
	b.eventually(func() string {
		if got := b.phases(c); got != want {
			return fmt.Sprintf("phases %q, want %q", got, want)
		}
		return ""
	})
}

func TestPhasesFollowTheClockAlone(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	soon := metav1.NewTime(time.Now().Add(4 * time.Second).Truncate(time.Second))
	c := b.credential("acme", "acme", "acme-jwt")
	c.Spec.Keys[0].NotAfter = &soon
	b.create(b.consumer("acme"))
	b.create(b.secret("acme-jwt", "a"))
	b.create(c)
	b.waitForPhases(c, "current=Active ")
	b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonExpiringSoon)
	written := c.ResourceVersion
	b.waitForPhases(c, "current=Expired ")
	b.waitFor(c, v1alpha1.ConditionKeysReady, metav1.ConditionFalse, v1alpha1.ReasonNoUsableKey)
	b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
	if c.Generation != 1 || c.ResourceVersion == written {
		t.Errorf("generation %d, resourceVersion %s as before", c.Generation, c.ResourceVersion)
	}
	if now := time.Now(); now.Before(soon.Time) {
		t.Errorf("the key expired %s too early", soon.Sub(now))
	}
	if got := verifies(b, r, "acme", "a"); got != "the key" {
		t.Errorf("the keyring was touched: %s", got) // the window is data there
	}
}

// A shared secret is revoked by what status shows of it, on another replica and after a restart too.
func TestSharedSecretIsRevokedByItsFingerprint(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	first := b.start("one")
	c := b.credential("acme", "acme", "acme-jwt")
	b.create(b.consumer("acme"))
	b.create(b.secret("acme-jwt", "a"))
	b.create(c)
	b.waitForPhases(c, "current=Active ")
	shown := c.Status.Keys[0].Thumbprint
	first.stop()

	second := b.start("two")
	waitForKey(b, second, "acme", "a", "the key")
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Revocation = &v1alpha1.Revocation{KeyIDs: []string{shown}} })
	waitForKey(b, second, "acme", "a", "0 keys")
	b.waitForPhases(c, "current=Revoked ")
	if got := c.Status.Keys[0].Thumbprint; got != shown {
		t.Errorf("the fingerprint is %s, was %s", got, shown)
	}
}

func TestRotationByTwoSecretsIsReported(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	b.start("one")
	c := b.credential("acme", "acme", "acme-jwt")
	b.create(b.consumer("acme"))
	b.create(b.secret("acme-jwt", "a"))
	b.create(b.secret("acme-next", "b"))
	b.create(c)
	b.waitForPhases(c, "current=Active ")
	if c.Status.LastRotationTime != nil {
		t.Errorf("rotated at %s before there was a second key", c.Status.LastRotationTime)
	}
	next := v1alpha1.CredentialKey{
		Name: "next", SecretKeyRef: v1alpha1.SecretKeyReference{Name: "acme-next", Key: "secret"}, Format: v1alpha1.KeyFormatOctets,
		NotBefore: ptr.To(metav1.NewTime(time.Now().Add(time.Hour))),
	}
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Keys = append(c.Spec.Keys, next) })
	b.waitForPhases(c, "current=Active next=Pending ")
	b.waitFor(c, v1alpha1.ConditionRotationInProgress, metav1.ConditionTrue, v1alpha1.ReasonAwaitingActivation)
	edit(b, c, func(c *v1alpha1.JWTCredential) {
		c.Spec.Keys[0].State, c.Spec.Keys[1].NotBefore = v1alpha1.KeyStateRetiring, nil
	})
	b.waitForPhases(c, "next=Active current=Retiring ")
	b.waitFor(c, v1alpha1.ConditionRotationInProgress, metav1.ConditionTrue, v1alpha1.ReasonOverlapActive)
	if c.Status.LastRotationTime == nil {
		t.Error("no time of the rotation")
	}
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Keys = c.Spec.Keys[1:] })
	b.waitForPhases(c, "next=Active ")
	b.waitFor(c, v1alpha1.ConditionRotationInProgress, metav1.ConditionFalse, v1alpha1.ReasonCompleted)
	b.eventually(func() string {
		var salt corev1.Secret
		if err := b.client.Get(t.Context(), b.name(DefaultInstance+"-salt"), &salt); err != nil || salt.Labels[labelComponent] != "salt" {
			return fmt.Sprintf("the salt's Secret has labels %v, error %v", salt.Labels, err)
		}
		return ""
	})
}
