package controllers

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestMarksSurviveJSON(t *testing.T) {
	t.Parallel()
	want := marks{resourcePipelines: 7, resourceSecrets: 1 << 63}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data); got != `{"pipelines":"7","secrets":"9223372036854775808"}` {
		t.Errorf("JSON = %s", got)
	}
	var got marks
	if err := json.Unmarshal([]byte(`{"pipelines":"7","secrets":"9223372036854775808","unheardof":"9"}`), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marks (-want +got):\n%s", diff)
	}
	if err := json.Unmarshal([]byte(`[]`), &got); err == nil {
		t.Error("a list was taken for marks")
	}
}

func TestVersionsThatAreNoNumbersAskNothing(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]uint64{"": 0, "12": 12, "-1": 0, "a7": 0, "18446744073709551615": 1<<64 - 1} {
		if got := parseVersion(version); got != want {
			t.Errorf("parseVersion(%q) = %d, want %d", version, got, want)
		}
	}
}

func TestTableProgress(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		steps func(p *tableProgress)
		want  uint64
	}{
		"nothing is live before the first compile": {
			steps: func(p *tableProgress) { p.observe(resourcePipelines, 5, effectWork) },
			want:  0,
		},
		"a compile includes what was observed before it began": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				p.finish(p.begin())
			},
			want: 5,
		},
		"what is observed while it runs is not included": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				run := p.begin()
				p.observe(resourcePipelines, 6, effectWork)
				p.finish(run)
			},
			want: 5,
		},
		"unless it asks for no work": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				run := p.begin()
				p.observe(resourcePipelines, 6, effectNone)
				p.finish(run)
			},
			want: 6,
		},
		"a status write is live at once when no work is outstanding": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				p.finish(p.begin())
				p.observe(resourcePipelines, 6, effectNone)
			},
			want: 6,
		},
		"and is not while work is outstanding": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				p.finish(p.begin())
				p.observe(resourcePipelines, 6, effectWork)
				p.observe(resourcePipelines, 7, effectNone)
			},
			want: 5,
		},
		"a compile that failed changes nothing": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				p.finish(p.begin())
				p.observe(resourcePipelines, 6, effectWork)
				p.begin()
			},
			want: 5,
		},
		"versions never go back": {
			steps: func(p *tableProgress) {
				p.observe(resourcePipelines, 5, effectWork)
				p.observe(resourcePipelines, 4, effectWork)
				p.finish(p.begin())
			},
			want: 5,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			moves := 0
			p := &tableProgress{changed: func() { moves++ }}
			test.steps(p)
			if got := p.marks()[resourcePipelines]; got != test.want {
				t.Errorf("live = %d, want %d", got, test.want)
			}
			if (moves > 0) != (test.want > 0) {
				t.Errorf("told of %d moves, live is %d", moves, test.want)
			}
		})
	}
}

func credentialKey(name string) routing.ObjectKey {
	return routing.ObjectKey{Namespace: "shop", Name: name}
}

func TestKeyProgress(t *testing.T) {
	t.Parallel()
	a, b := credentialKey("a"), credentialKey("b")
	tests := map[string]struct {
		steps func(p *keyProgress)
		want  uint64
	}{
		"an event that concerns no key is live at once": {
			steps: func(p *keyProgress) { p.observe(resourceSecrets, 5) },
			want:  5,
		},
		"an event is live once its keys are done": {
			steps: func(p *keyProgress) {
				p.observe(resourceSecrets, 5, a, b)
				p.finish(p.begin(a))
				p.finish(p.begin(b))
			},
			want: 5,
		},
		"and not before": {
			steps: func(p *keyProgress) {
				p.observe(resourceSecrets, 5, a, b)
				p.finish(p.begin(a))
			},
			want: 0,
		},
		"a reconcile that began before the event does not count": {
			steps: func(p *keyProgress) {
				run := p.begin(a)
				p.observe(resourceSecrets, 5, a)
				p.finish(run)
			},
			want: 0,
		},
		"an endless stream of events does not hold back what was there": {
			steps: func(p *keyProgress) {
				p.observe(resourceSecrets, 5, a)
				p.observe(resourceSecrets, 6, b)
				p.finish(p.begin(a)) // the checkpoint at 5 is done; the next has b
				p.observe(resourceSecrets, 7, a)
				p.finish(p.begin(b)) // the checkpoint at 6 is done; the next has a
				p.observe(resourceSecrets, 8, b)
			},
			want: 6,
		},
		"a key that fails holds back": {
			steps: func(p *keyProgress) {
				p.observe(resourceSecrets, 5, a)
				p.begin(a)
				p.observe(resourceSecrets, 6)
			},
			want: 0,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newKeyProgress(time.Now, nil)
			test.steps(p)
			if got := p.marks()[resourceSecrets]; got != test.want {
				t.Errorf("live = %d, want %d", got, test.want)
			}
		})
	}
}

// TestKeyProgressIsNeverAhead runs random events and reconciles and checks that live marks never include an event of
// which a key was not reconciled since, and that they include everything once all are.
func TestKeyProgressIsNeverAhead(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := newKeyProgress(time.Now, nil)
		names := []string{"a", "b", "c", "d"}
		var version uint64
		open := map[string][]uint64{} // events that are not done, by key
		began := map[string]uint64{}  // newest event when the running reconcile of a key began
		running := map[string]keyRun{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			name := rapid.SampledFrom(names).Draw(t, "key")
			switch rapid.SampledFrom([]string{"event", "begin", "finish"}).Draw(t, "step") {
			case "event":
				version++
				open[name] = append(open[name], version)
				p.observe(resourceSecrets, version, credentialKey(name))
			case "begin":
				running[name], began[name] = p.begin(credentialKey(name)), version
			case "finish":
				if run, ok := running[name]; ok {
					p.finish(run)
					delete(running, name)
					open[name] = slices.DeleteFunc(open[name], func(event uint64) bool { return event <= began[name] })
				}
			}
			live := p.marks()[resourceSecrets]
			for key, events := range open {
				if len(events) > 0 && live >= events[0] {
					t.Fatalf("live = %d includes event %d of %s, which is not done", live, events[0], key)
				}
			}
		}
		for _, name := range names {
			p.finish(p.begin(credentialKey(name)))
		}
		if got := p.marks()[resourceSecrets]; got != version {
			t.Fatalf("with all done live = %d, want %d", got, version)
		}
	})
}

func TestReadinessWaitsForTheInitialSet(t *testing.T) {
	t.Parallel()
	now := time.Unix(1000, 0)
	p := newKeyProgress(func() time.Time { return now }, nil)
	if err := p.ready("credentials", time.Minute); err == nil {
		t.Error("ready before the initial set is known")
	}
	p.observe(resourceJWTCredentials, 1, credentialKey("a"))
	p.markInitial()
	p.observe(resourceJWTCredentials, 2, credentialKey("later"))
	if err := p.ready("credentials", time.Minute); err == nil {
		t.Error("ready while a credential of the start is outstanding")
	}
	now = now.Add(time.Minute)
	if err := p.ready("credentials", time.Minute); err != nil {
		t.Errorf("after the grace: %v", err)
	}
	now = now.Add(-time.Second)
	p.finish(p.begin(credentialKey("a")))
	if err := p.ready("credentials", time.Minute); err != nil {
		t.Errorf("with the initial set done: %v", err)
	}
	p.markInitial()
	if err := p.ready("credentials", time.Minute); err != nil {
		t.Errorf("a second start: %v", err)
	}
}
