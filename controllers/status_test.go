package controllers

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

func TestNextConditions(t *testing.T) {
	t.Parallel()
	before, now := metav1.NewTime(time.Unix(1000, 0)), metav1.NewTime(time.Unix(2000, 0))
	condition := func(t v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason, message string, generation int64, since metav1.Time) metav1.Condition {
		return metav1.Condition{
			Type: string(t), Status: status, Reason: string(reason), Message: message,
			ObservedGeneration: generation, LastTransitionTime: since,
		}
	}
	accepted := compile.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonAccepted, Message: "fine"}
	foreign := metav1.Condition{Type: "example.com/Audited", Status: metav1.ConditionTrue, Reason: "Looked", LastTransitionTime: before}

	tests := map[string]struct {
		old             []metav1.Condition
		verdict         compile.Verdict
		tally           tally
		want            []metav1.Condition
		wantTransitions []string
	}{
		"a new object that every replica serves": {
			verdict: compile.Verdict{Generation: 3, Serving: compile.ServingAll, Conditions: []compile.Condition{accepted}},
			tally:   tally{all: true},
			want: []metav1.Condition{
				condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "fine", 3, now),
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Served by every ready replica.", 3, now),
			},
			wantTransitions: []string{"Accepted", "Programmed"},
		},
		"a new generation keeps the time of conditions that stay": {
			old: []metav1.Condition{
				condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "fine", 3, before),
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed, "Served by every ready replica.", 3, before),
			},
			verdict: compile.Verdict{Generation: 4, Serving: compile.ServingAll, Conditions: []compile.Condition{accepted}},
			tally:   tally{have: 2, want: 3},
			want: []metav1.Condition{
				condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted, "fine", 4, before),
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed, "2/3 replicas", 4, now),
			},
			wantTransitions: []string{"Programmed"},
		},
		"a reason that changes is a transition, and keeps the time of the status": {
			old: []metav1.Condition{condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending, "", 1, before)},
			verdict: compile.Verdict{
				Generation: 1, Serving: compile.ServingBroken, Broken: "the expression is broken",
			},
			want: []metav1.Condition{
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonProtectionBroken, "Requests are answered 503: the expression is broken", 1, before),
			},
			wantTransitions: []string{"Programmed"},
		},
		"what no longer applies goes, what is not ours stays": {
			old: []metav1.Condition{
				condition(v1alpha1.ConditionKeysReady, metav1.ConditionTrue, v1alpha1.ReasonKeysReady, "", 1, before), foreign,
			},
			verdict: compile.Verdict{Generation: 1, Serving: compile.ServingNothing},
			want: []metav1.Condition{
				foreign,
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending, "Nothing of this object is served; the other conditions say why.", 1, now),
			},
			wantTransitions: []string{"Programmed"},
		},
		"nothing is served where nothing may be, whatever the replicas say": {
			verdict: compile.Verdict{Generation: 1, Serving: compile.ServingNothing},
			tally:   tally{all: true},
			want: []metav1.Condition{
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending, "Nothing of this object is served; the other conditions say why.", 1, now),
			},
			wantTransitions: []string{"Programmed"},
		},
		"no replica serves it yet": {
			verdict: compile.Verdict{Generation: 1, Serving: compile.ServingAll},
			tally:   tally{want: 3},
			want: []metav1.Condition{
				condition(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending, "No replica serves this generation yet.", 1, now),
			},
			wantTransitions: []string{"Programmed"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old := append([]metav1.Condition(nil), test.old...)
			got, transitions := nextConditions(test.old, test.verdict, test.tally, now)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			var types []string
			for _, transition := range transitions {
				types = append(types, transition.condition.Type)
			}
			if diff := cmp.Diff(test.wantTransitions, types); diff != "" {
				t.Errorf("transitions (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(old, test.old); diff != "" {
				t.Errorf("the old conditions were changed (-before +after):\n%s", diff)
			}
			again, transitions := nextConditions(got, test.verdict, test.tally, metav1.NewTime(now.Add(time.Hour)))
			if diff := cmp.Diff(got, again); diff != "" || len(transitions) > 0 {
				t.Errorf("an hour later, with nothing changed (-want +got):\n%s%v", diff, transitions)
			}
		})
	}
}

func TestLongMessagesAreCutBetweenCharacters(t *testing.T) {
	t.Parallel()
	for _, message := range []string{strings.Repeat("x", maxMessage), strings.Repeat("x", maxMessage+1), "x" + strings.Repeat("\u00e9", maxMessage)} {
		got := capMessage(message)
		if len(got) > maxMessage || !utf8.ValidString(got) {
			t.Errorf("capMessage of %d bytes has %d, valid: %t", len(message), len(got), utf8.ValidString(got))
		}
		if (got == message) != (len(message) <= maxMessage) {
			t.Errorf("capMessage of %d bytes: same text: %t", len(message), got == message)
		}
	}
}

func TestWhichTransitionsAreEvents(t *testing.T) {
	t.Parallel()
	was := &metav1.Condition{}
	inUse := &metav1.Condition{Status: metav1.ConditionTrue, Reason: string(v1alpha1.ReasonRetiringKeyInUse)}
	tests := map[string]struct {
		transition  transition
		want        bool
		wantWarning bool
	}{
		"a new object in order":           {transition{condition: cond(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted)}, false, false},
		"a new object that is refused":    {transition{condition: cond(v1alpha1.ConditionAccepted, metav1.ConditionFalse, v1alpha1.ReasonInvalid)}, true, true},
		"an object in order again":        {transition{condition: cond(v1alpha1.ConditionAccepted, metav1.ConditionTrue, v1alpha1.ReasonAccepted), before: was}, true, false},
		"a Secret that went away":         {transition{condition: cond(v1alpha1.ConditionResolvedRefs, metav1.ConditionFalse, v1alpha1.ReasonSecretNotFound), before: was}, true, true},
		"on its way to the replicas":      {transition{condition: cond(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPending), before: was}, false, true},
		"on some replicas":                {transition{condition: cond(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonPartiallyProgrammed), before: was}, false, true},
		"served":                          {transition{condition: cond(v1alpha1.ConditionProgrammed, metav1.ConditionTrue, v1alpha1.ReasonProgrammed)}, true, false},
		"broken protection":               {transition{condition: cond(v1alpha1.ConditionProgrammed, metav1.ConditionFalse, v1alpha1.ReasonProtectionBroken)}, true, true},
		"a consumer created as suspended": {transition{condition: cond(v1alpha1.ConditionSuspended, metav1.ConditionTrue, v1alpha1.ReasonSuspended)}, true, false},
		"a consumer that is not":          {transition{condition: cond(v1alpha1.ConditionSuspended, metav1.ConditionFalse, v1alpha1.ReasonActive)}, false, false},
		"a replaced key in use":           {transition{condition: cond(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonRetiringKeyInUse), before: was}, false, true},
		"a replaced key no longer in use": {transition{condition: cond(v1alpha1.ConditionDegraded, metav1.ConditionFalse, v1alpha1.ReasonAsExpected), before: inUse}, false, false},
		"rubbish in the place of a key":   {transition{condition: cond(v1alpha1.ConditionDegraded, metav1.ConditionTrue, v1alpha1.ReasonServingLastGood), before: inUse}, true, true},
		"a consumer no longer suspended":  {transition{condition: cond(v1alpha1.ConditionSuspended, metav1.ConditionFalse, v1alpha1.ReasonActive), before: was}, true, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := worthAnEvent(test.transition); got != test.want {
				t.Errorf("worthAnEvent = %t, want %t", got, test.want)
			}
			if got := isBad(test.transition.condition); got != test.wantWarning {
				t.Errorf("isBad = %t, want %t", got, test.wantWarning)
			}
		})
	}
}

func cond(t v1alpha1.ConditionType, status metav1.ConditionStatus, reason v1alpha1.Reason) metav1.Condition {
	return metav1.Condition{Type: string(t), Status: status, Reason: string(reason)}
}
