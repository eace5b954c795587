package controllers

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
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

// cutting makes a replaced key of the credential stop at once.
func cutting(c *v1alpha1.JWTCredential) *v1alpha1.JWTCredential {
	c.Spec.Rotation = &v1alpha1.Rotation{Overlap: &metav1.Duration{}}
	return c
}

// accepts says which of the seeds' octets verify at this moment, in a replica's ring.
func accepts(b *testbed, r *replica, keyID string, seeds ...string) string {
	entry := r.ring.Namespace(b.namespace).ByKeyID(keyID)
	if entry == nil {
		return "no entry"
	}
	list := ""
	for _, seed := range seeds {
		const input = "header.payload"
		mac := hmac.New(sha256.New, octets(seed))
		mac.Write([]byte(input))
		if slices.ContainsFunc(entry.Keys, func(k keyring.Key) bool {
			return k.VerifiesAt(time.Now()) && k.Verify(jose.HS256, input, mac.Sum(nil)) == nil
		}) {
			list += seed
		}
	}
	return list
}

func (b *testbed) waitToAccept(r *replica, want string) {
	b.t.Helper()
	b.eventually(func() string {
		if got := accepts(b, r, "acme", "a", "b", "c", "d"); got != want {
			return fmt.Sprintf("the keys %q verify, want %q", got, want)
		}
		return ""
	})
}

// stored are the seeds of the octets in the vault's Secrets, in the order of their names, those that were replaced in brackets.
func (b *testbed) stored() string {
	b.t.Helper()
	var list corev1.SecretList
	if err := b.client.List(b.t.Context(), &list, client.InNamespace(b.namespace), client.MatchingLabels{labelComponent: "keys"}); err != nil {
		b.t.Fatal(err)
	}
	var found []string
	for i := range list.Items {
		for _, data := range list.Items[i].Data {
			_, stored, err := decodeRecords(data)
			if err != nil {
				b.t.Fatal(err)
			}
			for _, record := range stored.records {
				for _, seed := range []string{"a", "b", "c", "d"} {
					if !strings.Contains(string(record.Value), base64.RawURLEncoding.EncodeToString(octets(seed))) {
						continue
					}
					if !record.Replaced.IsZero() {
						seed = "(" + seed + ")"
					}
					found = append(found, seed)
				}
			}
		}
	}
	slices.Sort(found)
	return strings.Join(found, "")
}

func (b *testbed) waitToStore(want string) {
	b.t.Helper()
	b.eventually(func() string {
		if got := b.stored(); got != want {
			return fmt.Sprintf("stored are %q, want %q", got, want)
		}
		return ""
	})
}

// fingerprint is what status shows of a seed's octets.
func (b *testbed) fingerprint(seed string) string {
	b.t.Helper()
	var salt corev1.Secret
	if err := b.client.Get(b.t.Context(), b.name(DefaultInstance+"-salt"), &salt); err != nil {
		b.t.Fatal(err)
	}
	return jose.Fingerprint(salt.Data[saltEntry], octets(seed))
}

// setKey puts another value into a Secret.
func (b *testbed) setKey(secret *corev1.Secret, value []byte) {
	b.t.Helper()
	edit(b, secret, func(s *corev1.Secret) { s.Data["secret"] = value })
}

// rotating is a credential whose first key is stored already.
func (b *testbed) rotating(r *replica) (*v1alpha1.JWTCredential, *corev1.Secret) {
	b.t.Helper()
	c, secret := b.credential("acme", "acme", "acme-jwt"), b.secret("acme-jwt", "a")
	b.create(b.consumer("acme"))
	b.create(secret)
	b.create(c)
	b.waitToAccept(r, "a")
	b.waitToStore("a")
	return c, secret
}

// TestRotationRowsOnAnAPIServer holds, with all controllers and the API's own storage, what TestRotationRows holds without.
func TestRotationRowsOnAnAPIServer(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]func(*testing.T){
		"Q02 a shared secret is revoked by what status shows of it":       sharedSecretIsRevokedByItsFingerprint,
		"Q04 the last good key serves while the value is rubbish":         lastGoodKeyServesWhileTheValueIsRubbish,
		"Q07 a credential that goes while no replica runs leaves nothing": sweepOfWhatWentWhileNoReplicaRan,
		"Q08 a replaced key is retained across a restart of all replicas": replacedKeyIsRetained,
		"Q10 phases follow the clock alone":                               phasesFollowTheClockAlone,
	} {
		t.Run(name, row)
	}
}

func replacedKeyIsRetained(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	first, second := b.start("one"), b.start("two")
	c, secret := b.rotating(first)
	b.setKey(secret, octets("b"))
	for _, r := range []*replica{first, second} {
		b.waitToAccept(r, "ab")
	}
	b.waitForPhases(c, "current=Active current=Retained ")
	b.waitFor(c, v1alpha1.ConditionRotationInProgress, metav1.ConditionTrue, v1alpha1.ReasonOverlapActive)
	until := c.Status.Keys[1].RetainUntil
	if until == nil || time.Until(until.Time) < 23*time.Hour || time.Until(until.Time) > 24*time.Hour || c.Status.LastRotationTime == nil {
		t.Errorf("retained until %v, rotated at %v", until, c.Status.LastRotationTime)
	}
	b.waitToStore("(a)b")

	// A restart of all replicas, and another value while none runs.
	first.stop()
	second.stop()
	b.setKey(secret, octets("c"))
	third := b.start("three")
	b.waitToAccept(third, "abc")
	b.waitToStore("(a)(b)c")
	b.setKey(secret, octets("d"))
	b.waitToAccept(third, "bcd") // two are retained

	// A revocation by the name that status shows, and a lower overlap, which ends what is retained already.
	latest := b.fingerprint("c")
	b.eventually(func() string {
		b.conditions(c)
		if len(c.Status.Keys) != 3 || c.Status.Keys[1].Phase != v1alpha1.KeyPhaseRetained || c.Status.Keys[1].Thumbprint != latest {
			return fmt.Sprintf("status lists %+v, want the key %s second", c.Status.Keys, latest)
		}
		return ""
	})
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Revocation = &v1alpha1.Revocation{KeyIDs: []string{latest}} })
	b.waitToAccept(third, "bd")
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Rotation = &v1alpha1.Rotation{Overlap: &metav1.Duration{}} })
	b.waitToAccept(third, "d")
	b.waitToStore("") // nothing is kept where nothing is to be retained
	edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Rotation = nil })
	b.waitToStore("d")
	b.waitToAccept(third, "d")
}

func TestRetainedKeysEndWithWhatTheyBelongTo(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*testbed, *v1alpha1.JWTCredential, *corev1.Secret){
		"Q05 the Secret is deleted":     func(b *testbed, _ *v1alpha1.JWTCredential, s *corev1.Secret) { b.delete(s) },
		"Q07 the credential is deleted": func(b *testbed, c *v1alpha1.JWTCredential, _ *corev1.Secret) { b.delete(c) },
		"Q05 the entry is deleted": func(b *testbed, _ *v1alpha1.JWTCredential, s *corev1.Secret) {
			edit(b, s, func(s *corev1.Secret) { delete(s.Data, "secret") })
		},
		"a set takes its place": func(b *testbed, _ *v1alpha1.JWTCredential, s *corev1.Secret) {
			edit(b, s, func(s *corev1.Secret) { s.Data["secret"] = []byte(`{"keys":[]}`) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newTestbed(t)
			r := b.start("one")
			c, secret := b.rotating(r)
			edit(b, c, func(c *v1alpha1.JWTCredential) { c.Spec.Keys[0].Format = v1alpha1.KeyFormatAuto })
			b.setKey(secret, octets("b"))
			b.waitToAccept(r, "ab")
			b.waitToStore("(a)b")
			end(b, c, secret)
			b.eventually(func() string {
				if got := accepts(b, r, "acme", "a", "b"); got != "" && got != "no entry" {
					return fmt.Sprintf("the keys %q verify", got)
				}
				return ""
			})
			b.waitToStore("")
		})
	}
}

func sweepOfWhatWentWhileNoReplicaRan(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	c, _ := b.rotating(r)
	r.stop()
	b.delete(c)
	b.ready(b.start("two"))
	b.waitToStore("")
}

func lastGoodKeyServesWhileTheValueIsRubbish(t *testing.T) {
	t.Parallel()
	b := newTestbed(t)
	r := b.start("one")
	c, secret := b.rotating(r)
	for _, rubbish := range []string{"short", ""} {
		b.setKey(secret, []byte(rubbish))
		condition := b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonServingLastGood)
		if !strings.Contains(condition.Message, `"current"`) {
			t.Errorf("message %q does not name the key", condition.Message)
		}
		b.waitToAccept(r, "a")
		b.setKey(secret, octets("a"))
		b.waitFor(c, v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected)
		b.waitFor(c, v1alpha1.ConditionKeysReady, metav1.ConditionTrue, v1alpha1.ReasonKeysReady)
	}
	b.eventually(func() string {
		var events eventsv1.EventList
		if err := b.client.List(t.Context(), &events, client.InNamespace(b.namespace)); err != nil {
			return err.Error()
		}
		if !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool {
			return e.Reason == string(v1alpha1.ReasonServingLastGood) && e.Type == corev1.EventTypeWarning
		}) {
			return fmt.Sprintf("no Event of ServingLastGood among %d", len(events.Items))
		}
		return ""
	})
}

func phasesFollowTheClockAlone(t *testing.T) {
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
func sharedSecretIsRevokedByItsFingerprint(t *testing.T) {
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
