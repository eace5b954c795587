package jwks

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/routing"
)

// Errors of Key and Keys.
var (
	// ErrKeyUnknown is a kid that the set lacks.
	ErrKeyUnknown = errors.New("the key set has no such key")
	// ErrUnavailable is a set that was never fetched, or not for MaxStale, or one that should be looked into anew for an
	// unknown kid and can't be fetched.
	ErrUnavailable = errors.New("the key set can't be fetched")
)

// Set is one remote key set. Its methods may be called from any goroutine.
type Set struct {
	source  routing.RemoteKeys
	fetcher *fetcher
	opts    *Options
	cancel  context.CancelFunc

	// current is nil before the first fetch.
	current atomic.Pointer[keys]
	// wake asks the set's goroutine for a fetch.
	wake chan struct{}

	fetches  atomic.Uint64 // that succeeded
	failures atomic.Uint64

	mu      sync.Mutex
	flight  *flight // nil while nothing is fetched
	waiters int
	// coolDown is until when no token asks for a fetch.
	coolDown time.Time
	// missing has the kids that a fetched set lacked, until when that is taken for granted.
	missing map[string]time.Time
	failure failure
}

// keys is a set as it was fetched. It is immutable.
type keys struct {
	all     []*jose.Key
	byKID   map[string]*jose.Key
	fetched time.Time
}

// same reports whether both have the same keys, in any order.
func (k *keys) same(other *keys) bool {
	return k == other || len(k.all) == len(other.all) && !slices.ContainsFunc(k.all, func(key *jose.Key) bool {
		return !slices.ContainsFunc(other.all, func(o *jose.Key) bool { return o.Equal(*key) })
	})
}

// flight is one fetch, which any number of requests wait for.
type flight struct {
	done chan struct{}
	err  error // after done
}

// failure is how fetching fails; the zero value while it does not.
type failure struct {
	count   int // in a row
	problem string
	// over says that there is no key any more that serves meanwhile.
	over bool
}

func newSet(source routing.RemoteKeys, opts *Options, f *fetcher) *Set {
	return &Set{source: source, opts: opts, fetcher: f, wake: make(chan struct{}, 1), missing: map[string]time.Time{}}
}

// fresh returns the current keys, nil where there are none that may be used.
func (s *Set) fresh(now time.Time) *keys {
	k := s.current.Load()
	if k == nil || now.Sub(k.fetched) >= MaxStale {
		return nil
	}
	return k
}

// Key returns the key of that kid. One that the set has is returned at once. Otherwise the set is fetched, or what it is
// being fetched for already is waited for, MaxWait at most, within the bounds of CoolDown, NegativeTTL and MaxWaiters.
// The error is ErrKeyUnknown or ErrUnavailable.
func (s *Set) Key(ctx context.Context, kid string) (*jose.Key, error) {
	k := s.fresh(s.opts.Now())
	if k != nil {
		if key := k.byKID[kid]; key != nil {
			return key, nil
		}
		if kid == "" || len(kid) > maxKID {
			return nil, ErrKeyUnknown
		}
	}
	if err := s.await(ctx, kid); err != nil {
		return nil, err
	}
	k = s.fresh(s.opts.Now())
	if k == nil {
		return nil, ErrUnavailable
	}
	if key := k.byKID[kid]; key != nil {
		return key, nil
	}
	s.lack(kid)
	return nil, ErrKeyUnknown
}

// Has reports whether the set has a key of that kid now. It causes no fetch and waits for none.
func (s *Set) Has(kid string) bool {
	k := s.fresh(s.opts.Now())
	return k != nil && k.byKID[kid] != nil
}

// Holds reports whether the set has that key now, under whatever name. It causes no fetch and waits for none.
func (s *Set) Holds(key *jose.Key) bool {
	k := s.fresh(s.opts.Now())
	return k != nil && slices.ContainsFunc(k.all, func(known *jose.Key) bool { return known.SameMaterial(*key) })
}

// Keys returns all keys, for tokens that name none. It causes no fetch, and waits only where the set was never fetched.
// The slice must not be changed. The error is ErrUnavailable.
func (s *Set) Keys(ctx context.Context) ([]*jose.Key, error) {
	k := s.fresh(s.opts.Now())
	if k == nil {
		if err := s.await(ctx, ""); err != nil {
			return nil, ErrUnavailable
		}
		if k = s.fresh(s.opts.Now()); k == nil {
			return nil, ErrUnavailable
		}
	}
	return k.all, nil
}

// await waits for a flight, the one that is under way or a new one. It returns nil where a flight ended well.
func (s *Set) await(ctx context.Context, kid string) error {
	f, err := s.board(kid)
	if err != nil {
		return err
	}
	timer := time.NewTimer(MaxWait)
	defer timer.Stop()
	select {
	case <-f.done:
		err = f.err
	case <-timer.C:
		err = ErrUnavailable
	case <-ctx.Done():
		err = ErrUnavailable
	}
	s.mu.Lock()
	s.waiters--
	s.mu.Unlock()
	return err
}

// board counts the caller among the waiters of a flight, or says why it must not wait.
func (s *Set) board(kid string) (*flight, error) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := ErrUnavailable
	if k := s.fresh(now); k != nil {
		if k.byKID[kid] != nil {
			return s.landed(), nil // it came in between
		}
		if s.failure.count == 0 {
			refused = ErrKeyUnknown
		}
		if until, ok := s.missing[kid]; ok && now.Before(until) {
			return nil, ErrKeyUnknown
		}
	}
	if s.waiters >= MaxWaiters {
		return nil, refused
	}
	if s.flight == nil {
		if now.Before(s.coolDown) {
			return nil, refused
		}
		s.depart(now)
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	s.waiters++
	return s.flight, nil
}

// landed is a flight that ended well, with the caller among its waiters. The caller holds mu.
func (s *Set) landed() *flight {
	f := &flight{done: make(chan struct{})}
	close(f.done)
	s.waiters++
	return f
}

// depart begins a flight. The caller holds mu.
func (s *Set) depart(now time.Time) {
	s.flight = &flight{done: make(chan struct{}), err: ErrUnavailable}
	s.coolDown = now.Add(CoolDown)
}

// lack notes that a set which was just fetched has no such kid.
func (s *Set) lack(kid string) {
	now := s.opts.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.missing) >= maxMissing {
		for k, until := range s.missing {
			if !now.Before(until) {
				delete(s.missing, k)
			}
		}
		if len(s.missing) >= maxMissing {
			return
		}
	}
	s.missing[strings.Clone(kid)] = now.Add(NegativeTTL) // a clone, since kid is part of a token
}

// run fetches the set until ctx ends. It is the only goroutine that does.
func (s *Set) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			if s.flight != nil {
				close(s.flight.done)
				s.flight = nil
			}
			s.coolDown = s.opts.Now().Add(MaxStale)
			s.mu.Unlock()
			return
		case <-timer.C:
		case <-s.wake:
		}
		timer.Reset(s.fly(ctx))
	}
}

// fly fetches the set once and returns how long to pause.
func (s *Set) fly(ctx context.Context) time.Duration {
	began := s.opts.Now()
	s.mu.Lock()
	if s.flight == nil {
		s.depart(began)
	}
	s.mu.Unlock()

	fetched, err := s.fetcher.fetch(ctx)
	if ctx.Err() != nil {
		return 0
	}
	s.mu.Lock()
	before, earlier := s.failure, s.current.Load()
	pause := s.land(fetched, err)
	after := s.failure
	first := err == nil && s.fetches.Load() == 1
	s.mu.Unlock()
	now := s.current.Load()
	replaced := earlier != nil && !now.same(earlier)

	if err != nil && before.problem != after.problem {
		s.opts.Log.Warn("a key set can't be fetched", "keySet", Name(s.source), "problem", after.problem, "err", err)
	}
	for _, problem := range fetched.problems {
		s.opts.Log.Debug("a key of a key set can't be used", "keySet", Name(s.source), "problem", problem)
	}
	if first || replaced || before.problem != after.problem || before.over != after.over {
		s.opts.Changed(s.source)
	}
	return pause
}

// land ends the flight with what was fetched and returns how long to pause. The caller holds mu.
func (s *Set) land(got fetched, err error) time.Duration {
	var pause time.Duration
	now := s.opts.Now()
	if err == nil {
		k := &keys{all: got.keys, byKID: make(map[string]*jose.Key, len(got.keys)), fetched: now}
		for _, key := range got.keys {
			k.byKID[key.KID()] = key
		}
		s.current.Store(k)
		s.fetches.Add(1)
		s.failure = failure{}
		for kid := range s.missing {
			if k.byKID[kid] != nil {
				delete(s.missing, kid)
			}
		}
		s.flight.err = nil
		pause = got.lifetime
	} else {
		s.failures.Add(1)
		s.failure.count++
		s.failure.problem = problemOf(err)
		s.failure.over = s.fresh(now) == nil
		least := CoolDown
		if s.current.Load() == nil {
			least = retryFirst
		}
		pause = min(least<<min(s.failure.count-1, 16), retryMax)
		if least == retryFirst {
			pause = min(pause, CoolDown)
		}
	}
	close(s.flight.done)
	s.flight = nil
	return pause - time.Duration(s.opts.jitter()*float64(pause)/10)
}

// jitter is a number from 0 to 1.
func (o *Options) jitter() float64 { return rand.Float64() } //nolint:gosec // spreads load, protects nothing

// State says how a set is doing.
type State struct {
	// Known are the keys that serve, as many as Keys says. They must not be changed.
	Known []*jose.Key
	// Keys is how many keys serve; 0 before the first fetch and when the set is too old.
	Keys int
	// Fetched is when the set was fetched last; zero before the first time.
	Fetched time.Time
	// Problem says why it can't be fetched now, in words that stay the same while the reason does; empty while it can.
	Problem string
}

// State says how the set is doing.
func (s *Set) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	var state State
	if k := s.current.Load(); k != nil {
		state.Fetched = k.fetched
	}
	if k := s.fresh(s.opts.Now()); k != nil {
		state.Keys, state.Known = len(k.all), k.all
	}
	state.Problem = s.failure.problem
	return state
}

// Name is what people know a source by: the issuer, else the address of the set.
func Name(source routing.RemoteKeys) string {
	if source.Issuer != "" {
		return source.Issuer
	}
	return source.URI
}
