package controllers

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/proxy/routing"
)

// fleetFixture is a fleet whose own replica and clock the test sets.
type fleetFixture struct {
	*fleet
	own   replicaState
	clock time.Time
	woken []objectRef
}

func newFleetFixture() *fleetFixture {
	f := &fleetFixture{clock: time.Unix(1_000_000, 0)}
	f.fleet = newFleet("ostiary-replica-self", func() replicaState { return f.own },
		func(ref objectRef) { f.woken = append(f.woken, ref) }, func() time.Time { return f.clock })
	return f
}

// tell lets a replica say that it has pipelines up to version live.
func (f *fleetFixture) tell(t *testing.T, name string, r readiness, version uint64, renewed time.Time) {
	t.Helper()
	record := replicaRecord{Ready: r == isReady}
	record.Table[resourcePipelines] = version
	data, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotationReplica: string(data)}}}
	lease.Spec.RenewTime = ptr.To(metav1.NewMicroTime(renewed))
	if err := f.observe(lease); err != nil {
		t.Fatal(err)
	}
}

type readiness uint8

const (
	notReady readiness = iota
	isReady
)

func needPipelines(generation int64, version uint64) requirement {
	need := requirement{version: specVersion{uid: "u", generation: generation}}
	need.table[resourcePipelines] = version
	return need
}

func TestTally(t *testing.T) {
	t.Parallel()
	ref := objectRef{kindPipeline, credentialKey("orders")}
	tests := map[string]struct {
		steps func(t *testing.T, f *fleetFixture)
		want  tally
	}{
		"a replica that is alone and serves it": {
			steps: func(_ *testing.T, f *fleetFixture) { f.own.table[resourcePipelines] = 5 },
			want:  tally{all: true},
		},
		"a replica that is alone and does not yet": {
			steps: func(_ *testing.T, f *fleetFixture) { f.own.table[resourcePipelines] = 4 },
			want:  tally{want: 1},
		},
		"one of three lags": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "a", isReady, 6, f.clock)
				f.tell(t, "b", isReady, 4, f.clock)
			},
			want: tally{have: 2, want: 3},
		},
		"a replica that is not ready does not count": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "b", notReady, 0, f.clock)
			},
			want: tally{all: true},
		},
		"this replica's own Lease does not count twice": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "ostiary-replica-self", isReady, 0, f.clock)
			},
			want: tally{all: true},
		},
		"a replica whose Lease ran out does not count": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "b", isReady, 0, f.clock)
				f.clock = f.clock.Add(leaseDuration + time.Second)
			},
			want: tally{all: true},
		},
		"one that was left behind before this process began does not count": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "b", isReady, 0, f.clock.Add(-leaseDuration-time.Second))
			},
			want: tally{all: true},
		},
		"a clock ahead of ours does not make a replica immortal": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				ahead := f.clock.Add(24 * time.Hour)
				f.tell(t, "b", isReady, 0, ahead)
				f.clock = f.clock.Add(leaseDuration + time.Second)
				f.tell(t, "b", isReady, 0, ahead) // seen again, not renewed
			},
			want: tally{all: true},
		},
		"a clock behind ours does not hide a replica that renews": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				behind := f.clock.Add(-time.Hour)
				f.tell(t, "b", isReady, 0, behind)
				f.tell(t, "b", isReady, 0, behind.Add(leaseRenewal))
			},
			want: tally{have: 1, want: 2},
		},
		"a replica that left does not count": {
			steps: func(t *testing.T, f *fleetFixture) {
				f.own.table[resourcePipelines] = 5
				f.tell(t, "b", isReady, 0, f.clock)
				f.lost("b")
			},
			want: tally{all: true},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFleetFixture()
			test.steps(t, f)
			if diff := cmp.Diff(test.want, f.tally(ref, needPipelines(1, 5)), cmp.AllowUnexported(tally{})); diff != "" {
				t.Errorf("tally (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProgrammedLatchesUntilTheObjectChanges(t *testing.T) {
	t.Parallel()
	f := newFleetFixture()
	ref := objectRef{kindPipeline, credentialKey("orders")}
	f.own.table[resourcePipelines] = 5
	f.tell(t, "b", isReady, 5, f.clock)
	if !f.tally(ref, needPipelines(1, 5)).all {
		t.Fatal("not programmed although both replicas serve it")
	}
	f.tell(t, "c", isReady, 0, f.clock)
	if !f.tally(ref, needPipelines(1, 5)).all {
		t.Error("a new replica broke the latch")
	}
	if got := f.tally(ref, needPipelines(2, 6)); got.all || got.want != 3 {
		t.Errorf("the next generation: %+v, want 0 of 3", got)
	}
	if got := f.tally(ref, needPipelines(1, 5)); got.all {
		t.Error("the latch of a generation that was left still holds")
	}
	f.lost("c")
	if !f.tally(ref, needPipelines(1, 5)).all {
		t.Fatal("not programmed although both replicas serve it")
	}
	f.reset()
	f.tell(t, "b", isReady, 0, f.clock)
	if f.tally(ref, needPipelines(1, 5)).all {
		t.Error("a latch outlived the term")
	}
	f.forget(ref)
	f.tell(t, "b", isReady, 5, f.clock)
	f.recheck()
	if len(f.woken) > 0 {
		t.Errorf("woken for an object that is gone: %v", f.woken)
	}
}

func TestRecheckWakesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	f := newFleetFixture()
	near, far := objectRef{kindPipeline, credentialKey("near")}, objectRef{kindPipeline, credentialKey("far")}
	f.own.table[resourcePipelines] = 9
	f.tell(t, "b", isReady, 0, f.clock)
	f.tally(near, needPipelines(1, 5))
	f.tally(far, needPipelines(1, 8))
	f.recheck()
	if len(f.woken) > 0 {
		t.Fatalf("woken although nothing changed: %v", f.woken)
	}
	f.tell(t, "b", isReady, 6, f.clock)
	f.recheck()
	if diff := cmp.Diff([]objectRef{near}, f.woken, cmp.AllowUnexported(objectRef{})); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	f.clock = f.clock.Add(leaseDuration + time.Second) // b runs out
	f.woken = nil
	f.recheck()
	if len(f.woken) != 2 {
		t.Errorf("woken = %v, want both", f.woken)
	}
}

func TestLeasesOfReplicasThatAreGoneAreSwept(t *testing.T) {
	t.Parallel()
	f := newFleetFixture()
	f.tell(t, "ostiary-replica-self", isReady, 0, f.clock)
	f.tell(t, "b", isReady, 0, f.clock)
	f.clock = f.clock.Add(leaseDuration + staleLease)
	if got := f.stale(); len(got) > 0 {
		t.Errorf("stale = %v too early", got)
	}
	f.clock = f.clock.Add(time.Second)
	if diff := cmp.Diff([]string{"b"}, f.stale()); diff != "" {
		t.Errorf("stale (-want +got):\n%s", diff)
	}

	left := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: "doors", Name: "b"}}
	c := fakeClient(t, interceptor.Funcs{}, left)
	sweep := func(leader leadership) error {
		w := &fleetWatcher{fleet: f.fleet, writer: c, namespace: "doors", leader: leader, log: slog.New(slog.DiscardHandler)}
		w.sweep(t.Context())
		return c.Get(t.Context(), client.ObjectKeyFromObject(left), &coordinationv1.Lease{})
	}
	if err := sweep(notLeading{}); err != nil {
		t.Errorf("swept by a replica that does not lead: %v", err)
	}
	if err := sweep(alwaysLeading{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Lease is still there: %v", err)
	}
	if err := sweep(alwaysLeading{}); !apierrors.IsNotFound(err) { // the informer has not said so yet
		t.Errorf("the second sweep: %v", err)
	}
}

func TestALeaseThatIsNotUnderstoodIsAnError(t *testing.T) {
	t.Parallel()
	f := newFleetFixture()
	if err := f.observe(&coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "b"}}); err == nil {
		t.Error("a Lease without the annotation was taken")
	}
}

func TestReportsTellOfChangesOnly(t *testing.T) {
	t.Parallel()
	var changed []objectRef
	r := newReports(func(ref objectRef) { changed = append(changed, ref) })
	a := objectRef{kindPipeline, credentialKey("a")}
	r.set(a, report{need: needPipelines(1, 5)})
	r.set(a, report{need: needPipelines(1, 9)}) // the same version, seen again after a status write
	if len(changed) != 1 {
		t.Errorf("told %d times, want once", len(changed))
	}
	if got, _ := r.get(a); got.need.table[resourcePipelines] != 5 {
		t.Errorf("the requirement moved to %d with a status write", got.need.table[resourcePipelines])
	}
	r.set(a, report{need: needPipelines(2, 10)})
	if got, _ := r.get(a); len(changed) != 2 || got.need.table[resourcePipelines] != 10 {
		t.Errorf("told %d times, requirement %d after a new generation", len(changed), got.need.table[resourcePipelines])
	}
	r.replace(kindPipeline, nil, map[routing.ObjectKey]bool{a.key: true})
	if _, ok := r.get(a); !ok {
		t.Error("an undecided object lost its report")
	}
	r.replace(kindPipeline, nil, nil)
	if _, ok := r.get(a); ok || len(changed) != 3 {
		t.Errorf("still there: %t, told %d times", ok, len(changed))
	}
	if refs := r.refs(); len(refs) > 0 {
		t.Errorf("refs = %v", refs)
	}
}
