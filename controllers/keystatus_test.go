package controllers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
)

// observed writes an observation in a few lines.
func observed(o keyObservation, since time.Time) []string {
	var lines []string
	for _, k := range o.keys {
		line := fmt.Sprintf("%s %s", k.Thumbprint, k.Phase)
		if k.Message != "" {
			line += ": " + k.Message
		}
		lines = append(lines, line)
	}
	for _, c := range o.conditions {
		if c.Type != v1alpha1.ConditionKeysReady || c.Status != metav1.ConditionTrue {
			lines = append(lines, fmt.Sprintf("%s=%s", c.Type, c.Reason))
		}
	}
	if !o.due.IsZero() {
		lines = append(lines, "due in "+o.due.Sub(since).String())
	}
	if o.lastRotation != nil {
		lines = append(lines, "rotated at "+o.lastRotation.Sub(since).String())
	}
	return lines
}

func TestObserveKeys(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	const day = 24 * time.Hour
	key := func(name string, change ...func(*compile.KeyReport)) compile.KeyReport {
		k := compile.KeyReport{Name: name, Thumbprint: "t-" + name, State: v1alpha1.KeyStateActive}
		for _, c := range change {
			c(&k)
		}
		return k
	}
	state := func(s v1alpha1.KeyState) func(*compile.KeyReport) {
		return func(k *compile.KeyReport) { k.State = s }
	}
	from := func(d time.Duration) func(*compile.KeyReport) {
		return func(k *compile.KeyReport) { k.NotBefore = now.Add(d) }
	}
	until := func(d time.Duration) func(*compile.KeyReport) {
		return func(k *compile.KeyReport) { k.NotAfter = now.Add(d) }
	}
	as := func(thumbprint string) func(*compile.KeyReport) {
		return func(k *compile.KeyReport) { k.Thumbprint = thumbprint }
	}
	retained := func(k *compile.KeyReport) { k.Retained = true }
	unusable := func(k *compile.KeyReport) { k.Unusable = "too short" }
	tests := map[string]struct {
		old  []v1alpha1.KeyStatus
		keys []compile.KeyReport
		end  time.Duration // of the credential
		want []string
	}{
		"one key": {
			keys: []compile.KeyReport{key("a")},
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a key to come beside one that stays": {
			keys: []compile.KeyReport{key("a"), key("b", from(day))},
			want: []string{"t-a Active", "t-b Pending", "RotationInProgress=AwaitingActivation", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"a key of this moment": {
			keys: []compile.KeyReport{key("a", from(0))},
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a key until this moment": {
			keys: []compile.KeyReport{key("a", until(0))},
			want: []string{"t-a Expired", "KeysReady=NoUsableKey", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"only a key to come": {
			keys: []compile.KeyReport{key("a", from(time.Hour))},
			want: []string{"t-a Pending", "KeysReady=NoUsableKey", "RotationInProgress=AwaitingActivation", "Degraded=AsExpected", "due in 1h0m0s"},
		},
		"a retiring key beside the new one": {
			keys: []compile.KeyReport{key("old", state(v1alpha1.KeyStateRetiring)), key("new")},
			want: []string{"t-new Active", "t-old Retiring", "RotationInProgress=OverlapActive", "Degraded=AsExpected"},
		},
		"a retiring key alone": {
			keys: []compile.KeyReport{key("old", state(v1alpha1.KeyStateRetiring))},
			want: []string{"t-old Retiring", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a revoked key, whatever its window": {
			keys: []compile.KeyReport{key("a", state(v1alpha1.KeyStateRevoked), until(-day)), key("b")},
			want: []string{"t-b Active", "t-a Revoked", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a value that is no key": {
			keys: []compile.KeyReport{key("a", unusable), key("b")},
			want: []string{"t-b Active", "t-a Invalid: too short", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a replaced key beside the new one": {
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(day), retained)},
			want: []string{"t-a Active", "t-old Retained", "RotationInProgress=OverlapActive", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"a replaced key beside one that is retiring": {
			keys: []compile.KeyReport{key("a", state(v1alpha1.KeyStateRetiring)), key("a", as("t-old"), until(day), retained)},
			want: []string{"t-a Retiring", "t-old Retained", "RotationInProgress=Completed", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"a replaced key whose time is over": {
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(0), retained)},
			want: []string{"t-a Active", "t-old Expired", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a replaced key in the place of rubbish": {
			keys: []compile.KeyReport{key("a", unusable), key("a", as("t-old"), until(day), retained), key("b")},
			want: []string{
				"t-b Active", "t-old Retained", "t-a Invalid: too short", "RotationInProgress=OverlapActive", "Degraded=ServingLastGood", "due in 24h0m0s",
			},
		},
		"a replaced key in the place of nothing": {
			keys: []compile.KeyReport{key("a", as("t-old"), until(day), retained)},
			want: []string{"t-old Retained", "RotationInProgress=Completed", "Degraded=ServingLastGood", "due in 24h0m0s"},
		},
		"the last good key is revoked": {
			keys: []compile.KeyReport{key("a", unusable), key("a", as("t-old"), until(day), retained, state(v1alpha1.KeyStateRevoked))},
			want: []string{"t-a Invalid: too short", "t-old Revoked", "KeysReady=NoUsableKey", "RotationInProgress=Completed", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"the last key ends in a month": {
			keys: []compile.KeyReport{key("a", until(30*day))},
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=AsExpected", "due in 552h0m0s"},
		},
		"the last key ends in a week": {
			keys: []compile.KeyReport{key("a", until(7*day))},
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=ExpiringSoon", "due in 168h0m0s"},
		},
		"the next key follows without a gap": {
			keys: []compile.KeyReport{key("a", until(day)), key("b", from(day))},
			want: []string{"t-a Active", "t-b Pending", "RotationInProgress=AwaitingActivation", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"the next key follows after a gap": {
			keys: []compile.KeyReport{key("a", until(day)), key("b", from(2*day))},
			want: []string{"t-a Active", "t-b Pending", "RotationInProgress=AwaitingActivation", "Degraded=ExpiringSoon", "due in 24h0m0s"},
		},
		"a revoked key is no successor": {
			keys: []compile.KeyReport{key("a", until(day)), key("b", state(v1alpha1.KeyStateRevoked))},
			want: []string{"t-a Active", "t-b Revoked", "RotationInProgress=Completed", "Degraded=ExpiringSoon", "due in 24h0m0s"},
		},
		"the credential ends soon": {
			keys: []compile.KeyReport{key("a")}, end: day,
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=ExpiringSoon", "due in 24h0m0s"},
		},
		"the credential ends before its key": {
			keys: []compile.KeyReport{key("a", until(30*day))}, end: 20 * day,
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=AsExpected", "due in 312h0m0s"},
		},
		"the credential has ended": {
			keys: []compile.KeyReport{key("a")}, end: -day,
			want: []string{"t-a Expired", "KeysReady=NoUsableKey", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"another key became active": {
			old:  []v1alpha1.KeyStatus{{Thumbprint: "t-a", Phase: v1alpha1.KeyPhaseActive}},
			keys: []compile.KeyReport{key("b")},
			want: []string{"t-b Active", "RotationInProgress=Completed", "Degraded=AsExpected", "rotated at 0s"},
		},
		"a key to come became active": {
			old: []v1alpha1.KeyStatus{
				{Thumbprint: "t-a", Phase: v1alpha1.KeyPhaseActive}, {Thumbprint: "t-b", Phase: v1alpha1.KeyPhasePending},
			},
			keys: []compile.KeyReport{key("a", until(0)), key("b")},
			want: []string{"t-b Active", "t-a Expired", "RotationInProgress=Completed", "Degraded=AsExpected", "rotated at 0s"},
		},
		"an active key went": {
			old: []v1alpha1.KeyStatus{
				{Thumbprint: "t-a", Phase: v1alpha1.KeyPhaseActive}, {Thumbprint: "t-b", Phase: v1alpha1.KeyPhaseActive},
			},
			keys: []compile.KeyReport{key("b")},
			want: []string{"t-b Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"the first key became active": {
			old:  []v1alpha1.KeyStatus{{Thumbprint: "t-a", Phase: v1alpha1.KeyPhaseInvalid}},
			keys: []compile.KeyReport{key("b")},
			want: []string{"t-b Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"one key in two windows": {
			keys: []compile.KeyReport{key("a", until(-day)), key("b", as("t-a"))},
			want: []string{"t-a Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"what can't be told apart is left out": {
			keys: []compile.KeyReport{key("a", as("")), key("b")},
			want: []string{"t-b Active", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verdict := compile.Verdict{Serving: compile.ServingAll, Keys: tc.keys, Conditions: []compile.Condition{
				{Type: v1alpha1.ConditionKeysReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonKeysReady, Message: "1 key"},
			}}
			if tc.end != 0 {
				verdict.NotAfter = now.Add(tc.end)
			}
			old := v1alpha1.JWTCredentialStatus{Keys: tc.old}
			if diff := cmp.Diff(tc.want, observed(observeKeys(&old, verdict, now), now)); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if verdict.Conditions[0].Status != metav1.ConditionTrue {
				t.Error("the verdict was changed")
			}
		})
	}
}

func TestKeysAreSeenOnce(t *testing.T) {
	t.Parallel()
	first := time.Unix(1_800_000_000, 0)
	verdict := compile.Verdict{Serving: compile.ServingAll}
	for i := range 100 {
		verdict.Keys = append(verdict.Keys, compile.KeyReport{Name: "set", Thumbprint: fmt.Sprint(i), State: v1alpha1.KeyStateActive})
	}
	verdict.Keys[99].State = v1alpha1.KeyStateRevoked
	verdict.Keys[98].Unusable = strings.Repeat("x", 10)
	status := v1alpha1.JWTCredentialStatus{Keys: observeKeys(&v1alpha1.JWTCredentialStatus{}, verdict, first).keys}
	if len(status.Keys) != maxKeyStatuses {
		t.Errorf("%d keys are listed, want %d", len(status.Keys), maxKeyStatuses)
	}
	for _, k := range observeKeys(&status, verdict, first.Add(time.Hour)).keys {
		if !k.FirstSeenTime.Time.Equal(first) || k.Phase != v1alpha1.KeyPhaseActive {
			t.Errorf("%s is %s since %s", k.Thumbprint, k.Phase, k.FirstSeenTime)
		}
	}
}

func TestCredentialThatIsNotAcceptedHasNoPhaseConditions(t *testing.T) {
	t.Parallel()
	accepted := compile.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid}
	o := observeKeys(&v1alpha1.JWTCredentialStatus{}, compile.Verdict{Conditions: []compile.Condition{accepted}}, time.Unix(1, 0))
	if diff := cmp.Diff([]compile.Condition{accepted}, o.conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}
