package controllers

import (
	"fmt"
	"slices"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

// maxMessage caps a condition's message, in bytes. The API allows 32768.
const maxMessage = 4096

// tally says how many of the ready replicas serve an object as it is now.
type tally struct {
	have, want int
	// all latches: it stays true while replicas come and go, until the object changes.
	all bool
}

// transition is a condition whose status or reason is not what it was.
type transition struct {
	condition metav1.Condition
	// before is the old condition, nil when there was none.
	before *metav1.Condition
}

// nextConditions are the conditions that an object should have, given those it has. Conditions of others are left
// alone; those of ours that no longer apply are removed. It changes neither argument.
func nextConditions(old []metav1.Condition, verdict compile.Verdict, t tally, now metav1.Time) ([]metav1.Condition, []transition) {
	next := slices.Clone(old)
	wanted := slices.Concat(verdict.Conditions, []compile.Condition{programmedCondition(verdict, t)})
	next = slices.DeleteFunc(next, func(c metav1.Condition) bool {
		return isOurs(v1alpha1.ConditionType(c.Type)) && !slices.ContainsFunc(wanted, func(w compile.Condition) bool { return string(w.Type) == c.Type })
	})
	var transitions []transition
	for _, w := range wanted {
		condition := metav1.Condition{
			Type:               string(w.Type),
			Status:             w.Status,
			Reason:             string(w.Reason),
			Message:            capMessage(w.Message),
			ObservedGeneration: verdict.Generation,
			LastTransitionTime: now,
		}
		before := meta.FindStatusCondition(old, condition.Type)
		if before == nil || before.Status != condition.Status || before.Reason != condition.Reason {
			transitions = append(transitions, transition{condition: condition, before: before})
		}
		meta.SetStatusCondition(&next, condition) // keeps lastTransitionTime unless the status changes
	}
	return next, transitions
}

// programmedCondition says whether an object is being served.
func programmedCondition(verdict compile.Verdict, t tally) compile.Condition {
	c := compile.Condition{Type: v1alpha1.ConditionProgrammed, Status: metav1.ConditionFalse}
	switch {
	case verdict.Serving == compile.ServingBroken:
		c.Reason = v1alpha1.ReasonProtectionBroken
		c.Message = "Requests are answered 503: " + verdict.Broken
	case verdict.Serving != compile.ServingAll:
		c.Reason = v1alpha1.ReasonPending
		c.Message = "Nothing of this object is served; the other conditions say why."
	case t.all:
		c.Status = metav1.ConditionTrue
		c.Reason = v1alpha1.ReasonProgrammed
		c.Message = "Served by every ready replica."
	case t.have == 0:
		c.Reason = v1alpha1.ReasonPending
		c.Message = "No replica serves this generation yet."
	default:
		c.Reason = v1alpha1.ReasonPartiallyProgrammed
		c.Message = fmt.Sprintf("%d/%d replicas", t.have, t.want)
	}
	return c
}

// isOurs reports whether a condition type is one that this controller writes.
func isOurs(t v1alpha1.ConditionType) bool {
	switch t {
	case v1alpha1.ConditionAccepted, v1alpha1.ConditionResolvedRefs, v1alpha1.ConditionKeysReady,
		v1alpha1.ConditionProgrammed, v1alpha1.ConditionSuspended, v1alpha1.ConditionRotationInProgress, v1alpha1.ConditionDegraded:
		return true
	default:
		return false
	}
}

// isBad reports whether a condition tells of a fault.
func isBad(c metav1.Condition) bool {
	switch v1alpha1.ConditionType(c.Type) {
	case v1alpha1.ConditionSuspended, v1alpha1.ConditionRotationInProgress:
		return false // someone wanted it
	case v1alpha1.ConditionDegraded:
		return c.Status == metav1.ConditionTrue
	default:
		return c.Status == metav1.ConditionFalse
	}
}

// worthAnEvent reports whether people should be told of a transition: faults, their end, being served, and being
// suspended; not that things are in progress, that tokens of a replaced key are out there still, nor that a new object is in
// order.
func worthAnEvent(t transition) bool {
	if t.before != nil && t.before.Reason == string(v1alpha1.ReasonRetiringKeyInUse) && !isBad(t.condition) {
		return false // nobody was told of it either
	}
	switch v1alpha1.Reason(t.condition.Reason) {
	case v1alpha1.ReasonRetiringKeyInUse: // every rotation of a key that is used comes through here
		return false
	case v1alpha1.ReasonPending, v1alpha1.ReasonPartiallyProgrammed:
		return false
	case v1alpha1.ReasonProgrammed:
		return true
	case v1alpha1.ReasonSuspended, v1alpha1.ReasonOwnerSuspended:
		return true
	default:
		return t.before != nil || isBad(t.condition)
	}
}

func capMessage(message string) string {
	if len(message) <= maxMessage {
		return message
	}
	const more = " ..."
	cut := maxMessage - len(more)
	for cut > 0 && !utf8.RuneStart(message[cut]) {
		cut--
	}
	return message[:cut] + more
}
