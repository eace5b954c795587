package publish

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// clock is a settable time.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

type fixture struct {
	*Publisher
	live     *proxy.Live
	clock    *clock
	registry *prometheus.Registry
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	upstreams := upstream.NewRegistry(upstream.Options{})
	t.Cleanup(upstreams.Close)
	f := fixture{live: &proxy.Live{}, clock: &clock{now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)}, registry: prometheus.NewRegistry()}
	f.Publisher = New(Options{
		Keyring: keyring.New(), Upstreams: upstreams, Live: f.live, Log: slog.New(slog.DiscardHandler),
		Metrics: f.registry, Now: f.clock.Now,
	})
	return f
}

func terminating(name string) routing.Config {
	return routing.Config{Pipelines: []routing.Pipeline{{
		Key:       routing.ObjectKey{Namespace: "shop", Name: name},
		Insecure:  routing.InsecureServe,
		Matches:   []routing.Match{{Endpoint: "public", Path: routing.PathMatch{Type: routing.PathPrefix, Value: "/"}}},
		Terminate: &routing.Terminate{StatusCode: 204},
	}}}
}

func TestNothingIsReadyBeforeTheFirstConfiguration(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Ready(); !errors.Is(err, ErrNothingPublished) {
		t.Errorf("Ready() = %v, want ErrNothingPublished", err)
	}
	if f.live.Load() != nil {
		t.Error("a Program is live before any was published")
	}
}

func TestPublishMakesTheConfigurationLive(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.Publish(terminating("one")); err != nil {
		t.Fatal(err)
	}
	first := f.live.Load()
	if first == nil {
		t.Fatal("no Program is live")
	}
	if err := f.Ready(); err != nil {
		t.Errorf("Ready() = %v", err)
	}
	f.clock.now = f.clock.now.Add(time.Second)
	if err := f.Publish(routing.Config{}); err != nil {
		t.Fatal(err)
	}
	if f.live.Load() == first {
		t.Error("the second configuration did not become live")
	}
	want := Status{Generation: 2, LastGood: f.clock.now}
	if diff := cmp.Diff(want, f.Status(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("Status() (-want +got):\n%s", diff)
	}
}

func TestAFailureKeepsTheLastGoodConfiguration(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		build func(routing.Config) (*proxy.Program, []routing.Problem)
		want  string
	}{
		"building panics": {
			build: func(routing.Config) (*proxy.Program, []routing.Problem) { panic("s3cret from the configuration") },
			want:  "panic of type string",
		},
		"nothing is built": {
			build: func(routing.Config) (*proxy.Program, []routing.Problem) { return nil, nil },
			want:  "nothing was built",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			if err := f.Publish(terminating("good")); err != nil {
				t.Fatal(err)
			}
			good, build := f.live.Load(), f.build

			f.build = test.build
			err := f.Publish(terminating("bad"))
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Publish() = %v, want an error with %q and nothing of the configuration", err, test.want)
			}
			if f.live.Load() != good {
				t.Error("the last good Program is no longer live")
			}
			failedAt := f.clock.now
			f.clock.now = failedAt.Add(FailureGrace)
			if err := f.Publish(terminating("bad")); err == nil {
				t.Error("the second Publish() succeeded")
			}
			if err := f.Ready(); err != nil {
				t.Errorf("Ready() within the grace = %v", err)
			}
			f.clock.now = f.clock.now.Add(time.Nanosecond)
			if err := f.Ready(); err == nil || !strings.Contains(err.Error(), "2026-11-21T12:00:00Z") {
				t.Errorf("Ready() after the grace = %v, want since when", err)
			}
			if got := f.Status(); !got.FailingSince.Equal(failedAt) || got.Generation != 1 {
				t.Errorf("Status() = %+v, want generation 1 failing since the first failure", got)
			}
			if got := testutil.ToFloat64(f.metrics.failingSince); got != float64(failedAt.Unix()) {
				t.Errorf("failing since metric = %v, want %v", got, failedAt.Unix())
			}

			f.build = build
			if err := f.Publish(terminating("good again")); err != nil {
				t.Fatal(err)
			}
			if err := f.Ready(); err != nil {
				t.Errorf("Ready() after recovery = %v", err)
			}
			if got := testutil.ToFloat64(f.metrics.failingSince); got != 0 {
				t.Errorf("failing since metric after recovery = %v", got)
			}
		})
	}
}

func TestAPipelineThatCannotBeBuiltIsAProblemAndNoError(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	config := terminating("broken")
	config.Pipelines[0].Matches[0].Path = routing.PathMatch{Type: routing.PathRegularExpression, Value: "("}
	if err := f.Publish(config); err != nil {
		t.Fatal(err)
	}
	status := f.Status()
	if len(status.Problems) != 1 || status.Problems[0].Pipeline != config.Pipelines[0].Key {
		t.Fatalf("Problems = %+v, want one of %v", status.Problems, config.Pipelines[0].Key)
	}
	status.Problems[0].Message = "changed by the caller"
	if f.Status().Problems[0].Message == "changed by the caller" {
		t.Error("Status() shares its slice with the caller")
	}
}

func TestPublishingIsSafeFromSeveralGoroutines(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const publishers = 8
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			if err := f.Publish(terminating("any")); err != nil {
				t.Error(err)
			}
			_ = f.Ready()
			_ = f.Status()
		})
	}
	group.Wait()
	if got := f.Status().Generation; got != publishers {
		t.Errorf("Generation = %d, want %d", got, publishers)
	}
}

func TestUsesOutliveAReplacedCredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	secret := []byte("0uT-of-32-octets-none-is-the-same")
	entry := func() *keyring.Entry {
		keys, problems, _ := jose.Parse(secret, jose.Options{Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
		if len(keys) != 1 {
			t.Fatal(problems)
		}
		return &keyring.Entry{Key: routing.ObjectKey{Namespace: "shop", Name: "acme"}, Keys: keyring.Keys(keys...)}
	}
	first, second := entry(), entry()
	f.SetCredential(first)
	first.Keys[0].Use().Note(f.clock.now)
	f.SetCredential(second)
	if got := f.Keyring().Get(second.Key).Keys[0].Use().Last(); !got.Equal(f.clock.now) {
		t.Errorf("last used at %s, want %s", got, f.clock.now)
	}
}

func TestKeysAreListedWithoutSecrets(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	secret := []byte("0uT-of-32-octets-none-is-the-same")
	keys, problems, _ := jose.Parse(secret, jose.Options{KID: "k1", Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
	if len(keys) != 1 {
		t.Fatal(problems)
	}
	end := f.clock.now.Add(time.Hour)
	entry := &keyring.Entry{
		Key: routing.ObjectKey{Namespace: "shop", Name: "acme"}, KeyID: "acme-1",
		Keys: []keyring.Key{{Key: keys[0], NotAfter: end}},
	}
	f.SetCredential(entry)
	entry.Keys[0].Use().Note(f.clock.now)
	f.Keyring().Set(&keyring.Entry{ // without having them fetched
		Key: routing.ObjectKey{Namespace: "shop", Name: "bob"}, KeyID: "bob",
		Remote: &keyring.Remote{Source: routing.RemoteKeys{URI: "https://keys.invalid/set"}},
	})
	want := []CredentialKeys{
		{Credential: "shop/acme", KeyID: "acme-1", Keys: []Key{
			{KID: "k1", Algorithms: []jose.Algorithm{jose.HS256}, NotAfter: end, LastUsed: f.clock.now},
		}},
		{Credential: "shop/bob", KeyID: "bob", RemoteJWKS: "https://keys.invalid/set", Keys: []Key{}},
	}
	if diff := cmp.Diff(want, f.Keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
