package controllers

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

const (
	// maxKeyStatuses is how many keys a status lists.
	maxKeyStatuses = 64
	// expiringSoon is how long before the last key ends people are told.
	expiringSoon = 7 * 24 * time.Hour
)

// keyObservation is what a credential's keys are at one moment.
type keyObservation struct {
	keys         []v1alpha1.KeyStatus
	lastRotation *metav1.Time
	conditions   []compile.Condition
	// due is the next moment at which it may be another; zero: never, while nothing is changed.
	due time.Time
}

// observeKeys judges the keys of a verdict at a moment. old is the status so far, which knows since when keys are there
// and which were active; lastUsed says when a key last verified a token, as far as is known. It changes nothing and reads no
// clock.
func observeKeys(old *v1alpha1.JWTCredentialStatus, verdict compile.Verdict, lastUsed func(thumbprint string) time.Time, now time.Time) keyObservation {
	v := keyView{verdict: verdict, now: now, uses: useView{old.Keys, lastUsed}}
	o := keyObservation{keys: v.statuses(old.Keys), lastRotation: old.LastRotationTime, due: v.due()}
	if rotated(old.Keys, o.keys) {
		at := metav1.NewTime(now)
		o.lastRotation = &at
	}
	if verdict.Serving == compile.ServingAll {
		o.conditions = append(v.readiness(), v.rotation(), v.degradation())
	} else {
		o.conditions = verdict.Conditions
	}
	return o
}

// keyView is the keys of a verdict at a moment.
type keyView struct {
	verdict compile.Verdict
	now     time.Time
	uses    useView
}

func (v *keyView) ended() bool {
	return !v.verdict.NotAfter.IsZero() && !v.now.Before(v.verdict.NotAfter)
}

// phase says where in its life a key is.
func (v *keyView) phase(k *compile.KeyReport) v1alpha1.KeyPhase {
	switch {
	case k.Unusable != "":
		return v1alpha1.KeyPhaseInvalid
	case k.State == v1alpha1.KeyStateRevoked:
		return v1alpha1.KeyPhaseRevoked
	case v.ended(), !k.NotAfter.IsZero() && !v.now.Before(k.NotAfter):
		return v1alpha1.KeyPhaseExpired
	case v.now.Before(k.NotBefore):
		return v1alpha1.KeyPhasePending
	case k.Retained:
		return v1alpha1.KeyPhaseRetained
	case k.State == v1alpha1.KeyStateRetiring:
		return v1alpha1.KeyPhaseRetiring
	default:
		return v1alpha1.KeyPhaseActive
	}
}

// phaseOrder lists phases from the most telling: a key that is listed twice has the first of its phases.
func phaseOrder() []v1alpha1.KeyPhase {
	return []v1alpha1.KeyPhase{
		v1alpha1.KeyPhaseActive, v1alpha1.KeyPhaseRetiring, v1alpha1.KeyPhaseRetained, v1alpha1.KeyPhasePending,
		v1alpha1.KeyPhaseInvalid, v1alpha1.KeyPhaseRevoked, v1alpha1.KeyPhaseExpired,
	}
}

func phaseRank(p v1alpha1.KeyPhase) int { return slices.Index(phaseOrder(), p) }

// statuses lists the keys, those that verify first, each once.
func (v *keyView) statuses(old []v1alpha1.KeyStatus) []v1alpha1.KeyStatus {
	var list []v1alpha1.KeyStatus
	for i := range v.verdict.Keys {
		k := &v.verdict.Keys[i]
		if k.Thumbprint == "" {
			continue // nothing that may be shown tells it apart
		}
		status := v1alpha1.KeyStatus{
			Thumbprint: k.Thumbprint, KID: k.KID, Name: k.Name, Algorithms: k.Algorithms, Source: k.Source,
			Phase: v.phase(k), Message: k.Unusable, FirstSeenTime: firstSeen(old, k.Thumbprint, v.now),
		}
		if status.Phase == v1alpha1.KeyPhaseRetained {
			until := metav1.NewTime(k.NotAfter).Rfc3339Copy()
			status.RetainUntil = &until
		}
		if isLeaving(status.Phase) {
			status.LastUsedTime = v.uses.shown(k.Thumbprint, v.now)
		}
		list = append(list, status)
	}
	slices.SortStableFunc(list, func(a, b v1alpha1.KeyStatus) int { return cmp.Compare(phaseRank(a.Phase), phaseRank(b.Phase)) })
	known := map[string]bool{}
	list = slices.DeleteFunc(list, func(k v1alpha1.KeyStatus) bool {
		twice := known[k.Thumbprint]
		known[k.Thumbprint] = true
		return twice
	})
	return list[:min(len(list), maxKeyStatuses)]
}

func firstSeen(old []v1alpha1.KeyStatus, thumbprint string, now time.Time) metav1.Time {
	if i := slices.IndexFunc(old, func(k v1alpha1.KeyStatus) bool { return k.Thumbprint == thumbprint }); i >= 0 {
		return old[i].FirstSeenTime
	}
	return metav1.NewTime(now).Rfc3339Copy()
}

// rotated reports whether a key became active in the place of, or beside, another that was.
func rotated(old, next []v1alpha1.KeyStatus) bool {
	isActive := func(k v1alpha1.KeyStatus) bool { return k.Phase == v1alpha1.KeyPhaseActive }
	return slices.ContainsFunc(old, isActive) && slices.ContainsFunc(next, func(k v1alpha1.KeyStatus) bool {
		return isActive(k) && !slices.ContainsFunc(old, func(was v1alpha1.KeyStatus) bool {
			return was.Thumbprint == k.Thumbprint && isActive(was)
		})
	})
}

// due is the next boundary of time.
func (v *keyView) due() time.Time {
	var next time.Time
	consider := func(t time.Time) {
		if t.After(v.now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for i := range v.verdict.Keys {
		k := &v.verdict.Keys[i]
		consider(k.NotBefore)
		consider(k.NotAfter)
		if isLeaving(v.phase(k)) {
			consider(v.uses.due(k.Thumbprint))
			consider(v.uses.end(k.Thumbprint))
		}
	}
	consider(v.verdict.NotAfter)
	if end := v.end(); !end.IsZero() {
		consider(end.Add(-expiringSoon))
	}
	return next
}

// in lists the names of the items of spec.keys that have a key in one of these phases.
func (v *keyView) in(phases ...v1alpha1.KeyPhase) []string {
	var names []string
	for i := range v.verdict.Keys {
		k := &v.verdict.Keys[i]
		if slices.Contains(phases, v.phase(k)) && !slices.Contains(names, k.Name) {
			names = append(names, k.Name)
		}
	}
	return names
}

// readiness is the verdict's conditions, with KeysReady as it is at this moment.
func (v *keyView) readiness() []compile.Condition {
	conditions := slices.Clone(v.verdict.Conditions)
	if len(v.verdict.Keys) == 0 || len(v.in(v1alpha1.KeyPhaseActive, v1alpha1.KeyPhaseRetiring, v1alpha1.KeyPhaseRetained)) > 0 {
		return conditions // a credential without any says why
	}
	for i, c := range conditions {
		if c.Type == v1alpha1.ConditionKeysReady && c.Status == metav1.ConditionTrue {
			conditions[i].Status, conditions[i].Reason = metav1.ConditionFalse, v1alpha1.ReasonNoUsableKey
			conditions[i].Message = "No key verifies tokens at this time. " + c.Message
		}
	}
	return conditions
}

func (v *keyView) rotation() compile.Condition {
	c := compile.Condition{
		Type: v1alpha1.ConditionRotationInProgress, Status: metav1.ConditionTrue,
	}
	active, leaving := v.in(v1alpha1.KeyPhaseActive), v.in(v1alpha1.KeyPhaseRetiring, v1alpha1.KeyPhaseRetained)
	pending := v.in(v1alpha1.KeyPhasePending)
	switch {
	case len(active) > 0 && len(leaving) > 0:
		c.Reason = v1alpha1.ReasonOverlapActive
		c.Message = fmt.Sprintf("Keys on their way out verify tokens still, beside those that stay: %s.", quoted(leaving))
	case len(pending) > 0:
		c.Reason = v1alpha1.ReasonAwaitingActivation
		c.Message = fmt.Sprintf("Keys that don't verify tokens yet: %s.", quoted(pending))
	default:
		c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonCompleted
		c.Message = "No key is on its way in or out."
	}
	return c
}

func (v *keyView) degradation() compile.Condition {
	c := compile.Condition{Type: v1alpha1.ConditionDegraded, Status: metav1.ConditionTrue}
	if names := v.servingLastGood(); len(names) > 0 {
		c.Reason = v1alpha1.ReasonServingLastGood
		c.Message = fmt.Sprintf("The values of %s are no keys that can be used; those before verify tokens until %s at most: correct the Secrets.",
			quoted(names), v.lastRetained(names).UTC().Format(time.RFC3339))
		return c
	}
	if end := v.end(); !end.IsZero() && end.After(v.now) && !end.After(v.now.Add(expiringSoon)) {
		c.Reason = v1alpha1.ReasonExpiringSoon
		c.Message = fmt.Sprintf("No key verifies tokens from %s on: add another key, or move spec.keys[].notAfter or spec.expirationTime.",
			end.UTC().Format(time.RFC3339))
		return c
	}
	if v.servesStaleSet() {
		c.Reason = v1alpha1.ReasonStaleJWKS
		c.Message = "The keys of spec.remoteJWKS can't be fetched, and the last ones verify tokens for 24 hours: KeysReady says why."
		return c
	}
	if names := v.leavingInUse(); len(names) > 0 {
		c.Reason = v1alpha1.ReasonRetiringKeyInUse
		c.Message = fmt.Sprintf("Keys on their way out verified tokens within the last hour: %s. Without them such tokens are refused; "+
			"status.keys[].lastUsedTime says when they were used.", quoted(names))
		return c
	}
	c.Status, c.Reason, c.Message = metav1.ConditionFalse, v1alpha1.ReasonAsExpected, "Nothing needs attention."
	return c
}

// servesStaleSet reports whether the last keys of a remote set serve, which can't be fetched.
func (v *keyView) servesStaleSet() bool {
	return slices.ContainsFunc(v.verdict.Conditions, func(c compile.Condition) bool {
		return c.Type == v1alpha1.ConditionKeysReady && c.Status == metav1.ConditionTrue && c.Reason == v1alpha1.ReasonStaleKeys
	})
}

// servingLastGood lists the items of spec.keys of which only what their Secrets held before verifies tokens.
func (v *keyView) servingLastGood() []string {
	return slices.DeleteFunc(v.in(v1alpha1.KeyPhaseRetained), func(name string) bool {
		return slices.ContainsFunc(v.verdict.Keys, func(k compile.KeyReport) bool { return k.Name == name && !k.Retained && k.Unusable == "" })
	})
}

// lastRetained is when the last retained key of these items ends.
func (v *keyView) lastRetained(names []string) time.Time {
	var last time.Time
	for i := range v.verdict.Keys {
		if k := &v.verdict.Keys[i]; k.Retained && slices.Contains(names, k.Name) && k.NotAfter.After(last) {
			last = k.NotAfter
		}
	}
	return last
}

// end is the first moment from which on no key verifies tokens, without anyone doing something; zero: there is none, or it
// is over.
func (v *keyView) end() time.Time {
	end := v.now
	for moved := true; moved; {
		moved = false
		for i := range v.verdict.Keys {
			k := &v.verdict.Keys[i]
			if k.Unusable != "" || k.State == v1alpha1.KeyStateRevoked || k.NotBefore.After(end) {
				continue
			}
			if k.NotAfter.IsZero() {
				return v.verdict.NotAfter
			}
			if k.NotAfter.After(end) {
				end, moved = k.NotAfter, true
			}
		}
	}
	if !v.verdict.NotAfter.IsZero() && v.verdict.NotAfter.Before(end) {
		end = v.verdict.NotAfter
	}
	if !end.After(v.now) {
		return time.Time{}
	}
	return end
}

func quoted(names []string) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = strconv.Quote(name)
	}
	return strings.Join(list, ", ")
}
