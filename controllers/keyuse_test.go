package controllers

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/ostiary/ostiary/api/v1alpha1"
	"github.com/ostiary/ostiary/internal/compile"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
)

// useFleet is replicas that tell each other of the use of the keys of shop/acme, by an API server that is none.
type useFleet struct {
	t        *testing.T
	now      time.Time
	client   client.WithWatch
	writes   int
	fail     error // of writes
	replicas map[string]*useReplica
}

// useReplica is one of them.
type useReplica struct {
	fleet    *useFleet
	reporter *useReporter
	entry    *keyring.Entry
	leads    bool
	events   []string
	woken    int
}

func (r *useReplica) leading() bool { return r.leads }

func (r *useReplica) Eventf(_, _ runtime.Object, eventType, reason, _, note string, args ...any) {
	r.events = append(r.events, eventType+" "+reason+": "+fmt.Sprintf(note, args...))
}

func newUseFleet(t *testing.T, names ...string) *useFleet {
	t.Helper()
	_, credential, _ := acme()
	credential.UID = "uid-acme"
	f := &useFleet{t: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), replicas: map[string]*useReplica{}}
	f.client = fakeClient(t, interceptor.Funcs{
		Apply: func(ctx context.Context, c client.WithWatch, object runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			f.writes++
			if f.fail != nil {
				return f.fail
			}
			return c.Apply(ctx, object, opts...)
		},
	}, credential)
	now := func() time.Time { return f.now }
	for i, name := range names {
		options := validOptions()
		options.PodName = name
		r := &useReplica{fleet: f, leads: i == 0}
		r.reporter = &useReporter{
			options: options, client: f.client, uses: newKeyUses(now), ledger: newUseLedger(now), leader: r, recorder: r,
			wake: func(objectRef) { r.woken++ }, now: now, log: slog.New(slog.DiscardHandler),
		}
		f.replicas[name] = r
	}
	return f
}

// has makes these the keys of the credential on all replicas: seeds of octets, those of keys on their way out in brackets.
func (f *useFleet) has(keys ...string) {
	f.t.Helper()
	for _, r := range f.replicas {
		r.has(keys...)
	}
}

func useThumbprint(seed string) string { return jose.Fingerprint(octets("salt"), octets(seed)) }

func (r *useReplica) has(keys ...string) {
	r.fleet.t.Helper()
	entry := &keyring.Entry{Key: credentialKey("acme")}
	verdict := compile.Verdict{UID: "uid-acme"}
	for _, key := range keys {
		seed := strings.Trim(key, "()")
		parsed, problems, _ := jose.Parse(octets(seed), jose.Options{Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
		if len(parsed) != 1 {
			r.fleet.t.Fatal(problems)
		}
		entry.Keys = append(entry.Keys, keyring.Keys(parsed...)...)
		verdict.Keys = append(verdict.Keys, compile.KeyReport{Name: seed, Thumbprint: useThumbprint(seed), Retained: seed != key})
	}
	entry.NoteUses(r.entry)
	r.reporter.uses.replaced(r.entry, entry, verdict, octets("salt"))
	r.entry = entry
}

// use uses a key on one replica.
func (f *useFleet) use(replica, seed string) {
	f.t.Helper()
	entry := f.replicas[replica].entry
	i := slices.IndexFunc(entry.Keys, func(k keyring.Key) bool { return k.Fingerprint(octets("salt")) == useThumbprint(seed) })
	if i < 0 {
		f.t.Fatalf("%s has no key %q", replica, seed)
	}
	entry.Keys[i].Use().Note(f.now)
}

// step lets every replica do what there is to do, and learn what the others told.
func (f *useFleet) step() {
	f.t.Helper()
	for _, phase := range []func(*useReplica){
		func(r *useReplica) { r.reporter.step(f.t.Context()) },
		func(r *useReplica) {
			var leases coordinationv1.LeaseList
			if err := f.client.List(f.t.Context(), &leases); err != nil {
				f.t.Fatal(err)
			}
			handler := r.reporter.handler()
			for i := range leases.Items {
				handler.OnUpdate(nil, &leases.Items[i])
			}
		},
		func(r *useReplica) { r.reporter.step(f.t.Context()) },
	} {
		for _, name := range slices.Sorted(maps.Keys(f.replicas)) {
			phase(f.replicas[name])
		}
	}
}

// known is when a replica knows a key to have been used last, on any.
func (f *useFleet) known(replica, seed string) string {
	last := f.replicas[replica].reporter.ledger.last(newUseID("uid-acme", useThumbprint(seed)))
	if last.IsZero() {
		return "never"
	}
	return last.Format("15:04")
}

func TestUsesAreToldAtFirstAndThenHourly(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one", "two")
	f.has("new", "(old)")
	start := f.now
	for _, step := range []struct {
		at     time.Duration
		use    string
		known  string
		writes int
	}{
		{0, "", "never", 0},
		{0, "new", "never", 0},
		{time.Minute, "old", "12:01", 1},
		{2 * time.Minute, "old", "12:01", 1},
		{60 * time.Minute, "old", "12:01", 1},
		{61 * time.Minute, "", "13:00", 2},
		{62 * time.Minute, "old", "13:00", 2},
		{200 * time.Minute, "old", "15:20", 3},
		{400 * time.Minute, "", "15:20", 3},
	} {
		f.now = start.Add(step.at)
		if step.use != "" {
			f.use("two", step.use)
		}
		f.step()
		if got := f.known("one", "old"); got != step.known || f.writes != step.writes {
			t.Errorf("after %s: last used at %s with %d writes, want %s with %d", step.at, got, f.writes, step.known, step.writes)
		}
		if got := f.known("one", "new"); got != "never" {
			t.Errorf("after %s: the key that stays was used at %s", step.at, got)
		}
	}
	if f.replicas["one"].woken == 0 {
		t.Error("nobody was woken to write the status")
	}
}

// What was seen since the last hourly record is told when a replica ends.
func TestUsesAreToldBeforeTheEnd(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one", "two")
	f.has("new", "(old)")
	f.use("two", "old")
	f.step()
	f.now = f.now.Add(10 * time.Minute)
	f.use("two", "old")
	f.replicas["two"].reporter.write(t.Context(), everyUse)
	f.step()
	if got := f.known("one", "old"); got != "12:10" {
		t.Errorf("last used at %s, want 12:10", got)
	}
}

func TestUsesThatCannotBeToldAreToldLater(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one", "two")
	f.has("new", "(old)")
	f.use("two", "old")
	f.fail = errTimeout
	f.step()
	if got := f.known("two", "old"); got != "12:00" {
		t.Errorf("the replica itself knows of %s, want 12:00", got)
	}
	f.fail, f.now = nil, f.now.Add(usePoll)
	f.step()
	if got := f.known("one", "old"); got != "12:00" {
		t.Errorf("last used at %s, want 12:00", got)
	}
}

func TestRemovedKeyInUseIsAnEventOnce(t *testing.T) {
	t.Parallel()
	warning := func(seed, at string) string {
		return "Warning RemovedKeyInUse: No longer verifies tokens, though in use within the last hour: key " + useThumbprint(seed) +
			", used at 2026-11-21T" + at + ":00Z. Its tokens are refused now."
	}
	tests := map[string]struct {
		act  func(f *useFleet)
		want []string // Events of all replicas
	}{
		"it was used here": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.has("b")
			},
			want: []string{warning("a", "12:00")},
		},
		"it was used on another replica": {
			act: func(f *useFleet) {
				f.use("two", "a")
				f.now = f.now.Add(59 * time.Minute)
				f.has("b")
			},
			want: []string{warning("a", "12:00")},
		},
		"another replica lags behind": {
			act: func(f *useFleet) {
				f.use("two", "a")
				f.replicas["one"].has("b")
				f.step()
				f.now = f.now.Add(5 * time.Minute)
				f.replicas["two"].has("b")
			},
			want: []string{warning("a", "12:00")},
		},
		"another replica is ahead": {
			act: func(f *useFleet) {
				f.use("two", "a")
				f.replicas["two"].has("b")
				f.step()
				f.replicas["one"].has("b")
			},
			want: []string{warning("a", "12:00")},
		},
		"both used it": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.now = f.now.Add(2 * time.Minute)
				f.use("two", "a")
				f.has("b")
			},
			want: []string{warning("a", "12:00")}, // the others' is not waited for
		},
		"the leader goes at that moment": {
			act: func(f *useFleet) {
				f.use("two", "a")
				f.replicas["one"].leads = false
				f.has("b")
				f.step()
				f.now = f.now.Add(handover - time.Second)
				f.replicas["two"].leads = true
			},
			want: []string{warning("a", "12:00")},
		},
		"it was used long ago": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.now = f.now.Add(61 * time.Minute)
				f.has("b")
			},
		},
		"it was never used": {act: func(f *useFleet) { f.has("b") }},
		"it is on its way out only": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.has("b", "(a)")
			},
		},
		"it went at the end of its overlap": {
			act: func(f *useFleet) {
				f.has("b", "(a)")
				f.now = f.now.Add(24 * time.Hour)
				f.use("two", "a")
				f.step()
				f.has("b")
			},
			want: []string{strings.Replace(warning("a", "12:00"), "11-21", "11-22", 1)},
		},
		"it is back at once": {
			act: func(f *useFleet) {
				f.use("two", "a")
				f.has("b")
				f.has("b", "a")
			},
		},
		"other keys change afterwards": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.has("b")
				f.has("b", "c")
				f.has("c")
				f.step()
			},
			want: []string{warning("a", "12:00")},
		},
		"several go at once": {
			act: func(f *useFleet) {
				f.has("a", "b", "c", "d", "e")
				for _, seed := range []string{"a", "b", "c", "d"} {
					f.use("one", seed)
					f.now = f.now.Add(time.Minute)
				}
				f.has("e")
			},
			want: []string{
				"Warning RemovedKeyInUse: No longer verifies tokens, though in use within the last hour: key " + useThumbprint("d") +
					", used at 2026-11-21T12:03:00Z; key " + useThumbprint("c") + ", used at 2026-11-21T12:02:00Z; key " +
					useThumbprint("b") + ", used at 2026-11-21T12:01:00Z; 1 more. Its tokens are refused now.",
			},
		},
		"the credential is gone": {
			act: func(f *useFleet) {
				f.use("one", "a")
				f.has("b")
				_, credential, _ := acme()
				if err := f.client.Delete(f.t.Context(), credential); err != nil {
					f.t.Fatal(err)
				}
			},
		},
		"the credential serves nothing any more": {
			act: func(f *useFleet) {
				f.use("one", "a")
				for _, r := range f.replicas {
					r.has("b")
					r.reporter.uses.forget(credentialKey("acme"))
				}
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newUseFleet(t, "one", "two")
			f.has("a")
			test.act(f)
			f.step()
			f.now = f.now.Add(handover + time.Second)
			f.step()
			// Nothing more is said by another leader, nor later.
			f.replicas["one"].leads, f.replicas["two"].leads = false, true
			f.step()
			f.now = f.now.Add(removalWindow + time.Minute)
			f.step()
			var events []string
			for _, name := range []string{"one", "two"} {
				events = append(events, f.replicas[name].events...)
				for id, key := range f.replicas[name].reporter.uses.keys {
					if !key.gone.IsZero() {
						t.Errorf("%s follows the key %s that went at %s", name, id, key.gone)
					}
				}
			}
			if diff := cmp.Diff(test.want, events); diff != "" {
				t.Errorf("Events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestUsesOfManyKeysAreShared(t *testing.T) {
	t.Parallel()
	for _, many := range []int{0, 1, 4800, 4801, 6000, 12_000, 100_000} {
		seen := map[useID]int64{}
		for i := range many {
			seen[newUseID("uid", fmt.Sprint(i))] = int64(i)
		}
		all := map[useID]int64{}
		for _, share := range shareUses(seen) {
			if len(share) > maxUsesPerLease {
				t.Errorf("of %d keys, %d are in one Lease", many, len(share))
			}
			maps.Copy(all, share)
		}
		if !maps.Equal(all, seen) {
			t.Errorf("of %d keys, %d are told of", many, len(all))
		}
	}
}

func TestMoreSharesHoldAllAgain(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one")
	r := f.replicas["one"].reporter
	used := func(n int) {
		for i := range n {
			use := &keyring.Use{}
			use.Note(f.now)
			r.uses.keys[newUseID("uid", fmt.Sprint(i))] = &followedKey{use: use}
		}
	}
	used(100)
	r.write(t.Context(), dueUses)
	used(10_000)
	f.now = f.now.Add(time.Hour)
	r.write(t.Context(), dueUses)
	for i := range 10_000 {
		if r.ledger.last(newUseID("uid", fmt.Sprint(i))).IsZero() {
			t.Fatalf("the use of key %d is forgotten", i)
		}
	}
	if writes := f.writes; writes != 5 {
		t.Errorf("%d writes, want 1 and then 4", writes)
	}
	f.now = f.now.Add(time.Second)
	used(10_001)
	if r.write(t.Context(), dueUses); f.writes != 5 {
		t.Errorf("%d writes at once, though there are so many keys", f.writes)
	}
}

func TestRecordsThatNobodyRenewsAreSwept(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one", "two")
	f.has("new", "(old)")
	f.use("two", "old")
	f.step()
	delete(f.replicas, "two")
	f.now = f.now.Add(staleUses + time.Minute)
	count := func() int {
		var leases coordinationv1.LeaseList
		if err := f.client.List(t.Context(), &leases); err != nil {
			t.Fatal(err)
		}
		return len(leases.Items)
	}
	one := f.replicas["one"]
	if one.leads = false; count() != 1 {
		t.Fatalf("%d Leases, want 1", count())
	}
	one.reporter.step(t.Context())
	if count() != 1 {
		t.Error("another than the leader deleted a Lease")
	}
	one.leads = true
	one.reporter.step(t.Context())
	if count() != 0 {
		t.Error("the Lease of a replica that is gone is still there")
	}
	gone := &coordinationv1.Lease{}
	gone.Name, gone.Labels = keyUseLeaseName(Options{PodName: "two"}, 0), keyUseLabels(validOptions())
	one.reporter.handler().OnDelete(gone)
	if got := f.known("one", "old"); got != "12:00" {
		t.Errorf("last used at %s as soon as the Lease is gone, want 12:00: the status may not have it yet", got)
	}
	f.now = f.now.Add(lostUses + time.Second)
	one.reporter.step(t.Context())
	if got := f.known("one", "old"); got != "never" {
		t.Errorf("last used at %s long after the Lease is gone", got)
	}
}

func TestLeasesOfKeyUsesAreToldApart(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one")
	r := f.replicas["one"].reporter
	for name, lease := range map[string]*coordinationv1.Lease{
		"another component": {}, "no record": {}, "no JSON": {},
	} {
		lease.Name, lease.Labels = name, keyUseLabels(r.options)
		switch name {
		case "another component":
			lease.Labels = replicaLabels(r.options)
			lease.Annotations = map[string]string{annotationKeyUses: `{"x":1}`}
		case "no JSON":
			lease.Annotations = map[string]string{annotationKeyUses: `{"x"`}
		}
		r.handler().OnAdd(lease, true)
	}
	if len(r.ledger.records) > 0 {
		t.Errorf("records of %v", slices.Collect(maps.Keys(r.ledger.records)))
	}
}

// Without replicas to be told there is nothing to write, and the status is as complete.
func TestUsesOfAReplicaThatIsAlone(t *testing.T) {
	t.Parallel()
	f := newUseFleet(t, "one")
	f.replicas["one"].reporter.options.PodNamespace = ""
	f.has("new", "(old)")
	f.use("one", "old")
	f.step()
	if got := f.known("one", "old"); got != "12:00" || f.writes > 0 || f.replicas["one"].woken == 0 {
		t.Errorf("last used at %s, %d writes, woken %d times", got, f.writes, f.replicas["one"].woken)
	}
	var status v1alpha1.JWTCredentialStatus
	_, credential, _ := acme()
	credential.UID, credential.Status = "uid-acme", status
	verdict := compile.Verdict{UID: "uid-acme", Serving: compile.ServingAll, Keys: []compile.KeyReport{
		{Name: "old", Thumbprint: useThumbprint("old"), State: v1alpha1.KeyStateRetiring},
	}}
	credentialStatus(f.replicas["one"].reporter.ledger).observe(credential, verdict, f.now)
	if used := credential.Status.Keys[0].LastUsedTime; used == nil || !used.Time.Equal(f.now) {
		t.Errorf("the status says %v", used)
	}
}
