package jwks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// TestRotationRows holds what is promised of keys that others publish, by the numbers of the catalogue.
func TestRotationRows(t *testing.T) {
	for name, row := range map[string]func(*testing.T){
		"Q20 an outage: the last good keys serve up to MaxStale, then nothing":  outage,
		"Q20 a handshake that fails replaces nothing":                           handshakeThatFails,
		"Q21 down at the start: refused until it is there":                      setThatWasNeverFetched,
		"Q21 down at the start: asked again with back-off and jitter":           retriesBackOff,
		"Q22 flood of unknown kids: two fetches a minute":                       floodOfUnknownKIDs,
		"Q22 flood of unknown kids: 100,000 a second":                           floodAtFullRate,
		"Q22 an unknown kid is remembered":                                      unknownKIDIsAskedForOnceWhileTheAnswerIsRemembered,
		"Q22 requests share a flight and wait no longer than they may":          requestsShareAFlightAndWaitNoLongerThanTheyMay,
		"Q25 a key that is taken out is refused from the next refresh on":       keyThatIsTakenOut,
		"Q25 a new key is accepted at its first token, and the old one refused": newKeyIsAcceptedAtItsFirstToken,
		"Q28 one kid in two sets: each has its own":                             oneKIDInTwoSets,
		"Q29 1,000 credentials of one address: one fetch":                       credentialsOfOneAddress,
		"Q29 50 replicas of one address: one fetch each, spread from then on":   replicasOfOneAddress,
	} {
		t.Run(name, row)
	}
}

// when notes the times of a provider's fetches.
type when struct {
	mu sync.Mutex
	at []time.Time
}

func (w *when) note() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = append(w.at, time.Now())
}

// since are the fetches since the last call, in their order.
func (w *when) since() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.at
	w.at = nil
	return at
}

func handshakeThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		var broken atomic.Bool
		r := NewRegistry(Options{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := p.dial(ctx, network, address)
			if broken.Load() && err == nil {
				_ = conn.Close()
			}
			return conn, err
		}})
		t.Cleanup(r.Close)
		r.Apply([]routing.RemoteKeys{p.direct()})
		s, _ := r.Lookup(p.direct())
		synctest.Wait()
		broken.Store(true)
		pass(2 * RefreshDefault)
		wantKey(t, s, "a", nil)
		if got := s.State(); got.Problem != "the server can't be reached" || got.Keys != 1 {
			t.Errorf("state %+v", got)
		}
	})
}

// retriesBackOff: the pauses double, from retryFirst to CoolDown, where a set was never fetched, and up to retryMax where
// it was; a tenth at most is taken off at random.
func retriesBackOff(t *testing.T) {
	for name, tc := range map[string]struct {
		fetched bool
		want    []int // seconds
	}{
		"never fetched":  {false, []int{1, 2, 4, 8, 16, 30, 30}},
		"fetched before": {true, []int{30, 60, 120, 240, 300, 300}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider(t, "a")
				var fetches when
				fail := func(w http.ResponseWriter, _ *http.Request) {
					fetches.note()
					w.WriteHeader(http.StatusInternalServerError)
				}
				if !tc.fetched {
					p.handle(fail)
				}
				start(t, p, p.direct())
				if tc.fetched {
					p.handle(fail)
					pass(RefreshDefault)
				}
				pass(time.Hour)
				at := fetches.since()
				if len(at) <= len(tc.want) {
					t.Fatalf("%d fetches in an hour", len(at))
				}
				exact := 0
				for i, seconds := range tc.want {
					want := time.Duration(seconds) * time.Second
					got := at[i+1].Sub(at[i])
					if got > want || got < want*9/10 {
						t.Errorf("pause %d is %v, want %v or a tenth less", i, got, want)
					}
					if got == want {
						exact++
					}
				}
				if exact == len(tc.want) {
					t.Error("no pause is random")
				}
			})
		})
	}
}

// floodAtFullRate asks for 100,000 kids that nobody has in one second, again and again: while the cool-down lasts, and
// while a slow fetch is under way.
func floodAtFullRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		p.handle(func(w http.ResponseWriter, r *http.Request) {
			pass(MaxWait / 2)
			p.serveKeys(w, r)
		})
		const workers, rounds = 100, 3
		kids := []int{10_000, 100_000, 10_000}
		for round := range rounds {
			before, began := p.fetches.Load(), time.Now()
			var flood sync.WaitGroup
			for worker := range workers {
				flood.Go(func() {
					for i := range kids[round] / workers {
						if _, err := s.Key(t.Context(), fmt.Sprint(round, "-", worker, "-", i)); !errors.Is(err, ErrKeyUnknown) {
							t.Errorf("an unknown kid: %v", err)
							return
						}
						if i%100 == 0 {
							if key, err := s.Key(t.Context(), "a"); key == nil || err != nil {
								t.Errorf("a known kid: %v", err)
							}
						}
					}
				})
			}
			flood.Wait()
			if took := time.Since(began); took > MaxWait {
				t.Errorf("round %d: the last answer came after %v", round, took)
			}
			most := int64(1)
			if round == 0 { // right after the first fetch
				most = 0
			}
			if got := p.fetches.Load() - before; got > most {
				t.Errorf("round %d: %d fetches, want %d at most", round, got, most)
			}
			s.mu.Lock()
			remembered, waiting := len(s.missing), s.waiters
			s.mu.Unlock()
			if remembered > maxMissing || waiting != 0 {
				t.Errorf("round %d: %d kids are remembered, %d requests wait", round, remembered, waiting)
			}
			pass(CoolDown)
		}
	})
}

// keyThatIsTakenOut: nobody has to ask for another key first. What Cache-Control may ask for is within RefreshMin and RefreshMax,
// by decision narrower than the catalogue's minute and day: a key that leaked is refused within the hour, whoever cached it.
func keyThatIsTakenOut(t *testing.T) {
	for name, tc := range map[string]struct {
		control string
		within  time.Duration
	}{
		"nothing said about caching": {"", RefreshDefault},
		"fresh for ten years":        {"max-age=315360000", RefreshMax},
		"not to be stored":           {"no-store", RefreshMin},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider(t, "good", "leaked")
				if tc.control != "" {
					p.header.Set("Cache-Control", tc.control)
				}
				s := start(t, p, p.direct())
				p.mu.Lock()
				p.keys = p.keys[:1]
				p.mu.Unlock()
				pass(tc.within + time.Second)
				wantKey(t, s, "good", nil)
				wantKey(t, s, "leaked", ErrKeyUnknown)
				if keys, err := s.Keys(t.Context()); err != nil || len(keys) != 1 {
					t.Errorf("%d keys for tokens without kid, %v", len(keys), err)
				}
			})
		})
	}
}

func oneKIDInTwoSets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q := newProvider(t, "1"), newProvider(t, "1")
		first, second := start(t, p, p.direct()), start(t, q, q.direct())
		a, err := first.Key(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		b, err := second.Key(t.Context(), "1")
		if err != nil {
			t.Fatal(err)
		}
		if a.Thumbprint() == b.Thumbprint() {
			t.Error("two sets share a key by its kid")
		}
	})
}

func credentialsOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		r := NewRegistry(Options{Dial: p.dial})
		t.Cleanup(r.Close)
		sets := map[*Set]int{}
		const credentials = 1000
		var joined sync.WaitGroup
		var mu sync.Mutex
		for i := range credentials {
			joined.Go(func() {
				set := r.Hold(routing.ObjectKey{Namespace: "shop", Name: fmt.Sprint("acme-", i)}, p.direct())
				mu.Lock()
				defer mu.Unlock()
				sets[set]++
			})
		}
		joined.Wait()
		synctest.Wait()
		if got := p.fetches.Load(); got != 1 || len(sets) != 1 {
			t.Errorf("%d fetches for %d sets, want 1 for 1", got, len(sets))
		}
		pass(10*RefreshDefault + time.Second)
		if got := p.fetches.Load(); got < 11 || got > 12 { // each comes up to a tenth early
			t.Errorf("%d fetches after ten intervals, want 11 or 12", got)
		}
	})
}

// replicasOfOneAddress: the first fetch is not put off, since tokens wait for it; so replicas that start together fetch
// together, once each. From then on they drift apart.
func replicasOfOneAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		var fetches when
		p.handle(func(w http.ResponseWriter, r *http.Request) {
			fetches.note()
			p.serveKeys(w, r)
		})
		const replicas, crowd = 50, 12
		for range replicas {
			start(t, p, p.direct())
		}
		if got := len(fetches.since()); got != replicas {
			t.Fatalf("%d fetches at the start, want %d", got, replicas)
		}
		for round := range 3 {
			pass(RefreshDefault)
			at := fetches.since()
			if len(at) < replicas || len(at) > replicas*12/10 {
				t.Errorf("round %d: %d fetches, want about %d", round, len(at), replicas)
			}
			slices.SortFunc(at, time.Time.Compare)
			for i := range at {
				together := 0
				for _, other := range at[i:] {
					if other.Sub(at[i]) < time.Second {
						together++
					}
				}
				if together > crowd {
					t.Fatalf("round %d: %d of %d fetches come in one second", round, together, len(at))
				}
			}
		}
	})
}
