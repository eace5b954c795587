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
		if k.LastUsedTime != nil {
			line += " used " + k.LastUsedTime.Sub(since).String()
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
	listed := func(thumbprint string, ago time.Duration) v1alpha1.KeyStatus {
		used := metav1.NewTime(now.Add(-ago))
		return v1alpha1.KeyStatus{Thumbprint: thumbprint, Phase: v1alpha1.KeyPhaseRetained, LastUsedTime: &used}
	}
	tests := map[string]struct {
		old  []v1alpha1.KeyStatus
		keys []compile.KeyReport
		end  time.Duration // of the credential
		// used says how long before now the keys of these thumbprints were used.
		used map[string]time.Duration
		// ready is the reason of KeysReady in the verdict, where it is another than usual.
		ready v1alpha1.Reason
		want  []string
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
		"a retiring key that was used": {
			keys: []compile.KeyReport{key("old", state(v1alpha1.KeyStateRetiring)), key("new")},
			used: map[string]time.Duration{"t-old": 10 * time.Minute, "t-new": time.Minute},
			want: []string{"t-new Active", "t-old Retiring used -10m0s", "RotationInProgress=OverlapActive", "Degraded=RetiringKeyInUse", "due in 55m0s"},
		},
		"a replaced key that was used long ago": {
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(day), retained)},
			used: map[string]time.Duration{"t-old": 65 * time.Minute},
			want: []string{"t-a Active", "t-old Retained used -1h5m0s", "RotationInProgress=OverlapActive", "Degraded=AsExpected", "due in 24h0m0s"},
		},
		"a use that the replicas forgot": {
			old:  []v1alpha1.KeyStatus{listed("t-old", 30*time.Minute)},
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(day), retained)},
			want: []string{"t-a Active", "t-old Retained used -30m0s", "RotationInProgress=OverlapActive", "Degraded=RetiringKeyInUse", "due in 35m0s"},
		},
		"a later use within the hour": {
			old:  []v1alpha1.KeyStatus{listed("t-old", 30*time.Minute)},
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(day), retained)},
			used: map[string]time.Duration{"t-old": time.Minute},
			want: []string{"t-a Active", "t-old Retained used -30m0s", "RotationInProgress=OverlapActive", "Degraded=RetiringKeyInUse", "due in 30m0s"},
		},
		"a later use after an hour": {
			old:  []v1alpha1.KeyStatus{listed("t-old", time.Hour)},
			keys: []compile.KeyReport{key("a"), key("a", as("t-old"), until(day), retained)},
			used: map[string]time.Duration{"t-old": time.Minute},
			want: []string{"t-a Active", "t-old Retained used -1m0s", "RotationInProgress=OverlapActive", "Degraded=RetiringKeyInUse", "due in 1h4m0s"},
		},
		"the use of a key that was revoked": {
			old:  []v1alpha1.KeyStatus{listed("t-old", time.Minute)},
			keys: []compile.KeyReport{key("a"), key("old", state(v1alpha1.KeyStateRevoked))},
			used: map[string]time.Duration{"t-old": time.Minute},
			want: []string{"t-a Active", "t-old Revoked", "RotationInProgress=Completed", "Degraded=AsExpected"},
		},
		"a retiring key in use that another item keeps": {
			keys: []compile.KeyReport{key("a"), key("b", as("t-a"), state(v1alpha1.KeyStateRetiring))},
			used: map[string]time.Duration{"t-a": 0},
			want: []string{"t-a Active", "RotationInProgress=OverlapActive", "Degraded=AsExpected", "due in 1h5m0s"},
		},
		"a key in use in the place of rubbish": {
			keys: []compile.KeyReport{key("a", unusable), key("a", as("t-old"), until(day), retained)},
			used: map[string]time.Duration{"t-old": 0},
			want: []string{"t-old Retained used 0s", "t-a Invalid: too short", "RotationInProgress=Completed", "Degraded=ServingLastGood", "due in 1h5m0s"},
		},
		"a remote set that can't be fetched": {
			ready: v1alpha1.ReasonStaleKeys,
			want:  []string{"RotationInProgress=Completed", "Degraded=StaleJWKS"},
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
			if tc.ready != "" {
				verdict.Conditions[0].Reason = tc.ready
			}
			old := v1alpha1.JWTCredentialStatus{Keys: tc.old}
			lastUsed := func(thumbprint string) time.Time {
				if ago, ok := tc.used[thumbprint]; ok {
					return now.Add(-ago)
				}
				return time.Time{}
			}
			if diff := cmp.Diff(tc.want, observed(observeKeys(&old, verdict, lastUsed, now), now)); diff != "" {
				t.Errorf("observed (-want +got):\n%s", diff)
			}
			if verdict.Conditions[0].Status != metav1.ConditionTrue {
				t.Error("the verdict was changed")
			}
		})
	}
}

func neverUsed(string) time.Time { return time.Time{} }

func TestKeysAreSeenOnce(t *testing.T) {
	t.Parallel()
	first := time.Unix(1_800_000_000, 0)
	verdict := compile.Verdict{Serving: compile.ServingAll}
	for i := range 100 {
		verdict.Keys = append(verdict.Keys, compile.KeyReport{Name: "set", Thumbprint: fmt.Sprint(i), State: v1alpha1.KeyStateActive})
	}
	verdict.Keys[99].State = v1alpha1.KeyStateRevoked
	verdict.Keys[98].Unusable = strings.Repeat("x", 10)
	status := v1alpha1.JWTCredentialStatus{Keys: observeKeys(&v1alpha1.JWTCredentialStatus{}, verdict, neverUsed, first).keys}
	if len(status.Keys) != maxKeyStatuses {
		t.Errorf("%d keys are listed, want %d", len(status.Keys), maxKeyStatuses)
	}
	for _, k := range observeKeys(&status, verdict, neverUsed, first.Add(time.Hour)).keys {
		if !k.FirstSeenTime.Time.Equal(first) || k.Phase != v1alpha1.KeyPhaseActive {
			t.Errorf("%s is %s since %s", k.Thumbprint, k.Phase, k.FirstSeenTime)
		}
	}
}

func TestCredentialThatIsNotAcceptedHasNoPhaseConditions(t *testing.T) {
	t.Parallel()
	accepted := compile.Condition{Type: v1alpha1.ConditionAccepted, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalid}
	o := observeKeys(&v1alpha1.JWTCredentialStatus{}, compile.Verdict{Conditions: []compile.Condition{accepted}}, neverUsed, time.Unix(1, 0))
	if diff := cmp.Diff([]compile.Condition{accepted}, o.conditions); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
}
