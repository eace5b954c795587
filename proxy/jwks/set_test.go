package jwks

import (
	"compress/gzip"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start returns the set of a source that is being fetched, in a bubble.
func start(t *testing.T, p *provider, source routing.RemoteKeys) *Set {
	t.Helper()
	r := NewRegistry(Options{Dial: p.dial})
	t.Cleanup(r.Close)
	r.Apply([]routing.RemoteKeys{source})
	set, ok := r.Lookup(source)
	if !ok {
		t.Fatal("the set is not there")
	}
	synctest.Wait()
	return set
}

func wantKey(t *testing.T, s *Set, kid string, want error) {
	t.Helper()
	key, err := s.Key(t.Context(), kid)
	if !errors.Is(err, want) || (want == nil) != (key != nil) {
		t.Fatalf("key %q: %v, error %v; want error %v", kid, key, err, want)
	}
	if key != nil && key.KID() != kid {
		t.Fatalf("key %q has kid %q", kid, key.KID())
	}
}

func TestKeysAreFetchedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a", "b")
		for name, source := range map[string]routing.RemoteKeys{"by URI": p.direct(), "by discovery": p.discovered()} {
			t.Log(name)
			s := start(t, p, source)
			wantKey(t, s, "a", nil)
			wantKey(t, s, "b", nil)
			if keys, err := s.Keys(t.Context()); err != nil || len(keys) != 2 {
				t.Errorf("%d keys, error %v", len(keys), err)
			}
			if got := s.State(); got.Keys != 2 || got.Problem != "" || !got.Fetched.Equal(time.Now()) {
				t.Errorf("state %+v", got)
			}
		}
		if p.metadata.Load() != 1 || p.fetches.Load() != 2 {
			t.Errorf("%d of the metadata, %d of the set; want 1 and 2", p.metadata.Load(), p.fetches.Load())
		}
	})
}

func newKeyIsAcceptedAtItsFirstToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "old")
		s := start(t, p, p.direct())
		pass(CoolDown)
		p.rotate(t, "old", "new")
		began := time.Now()
		wantKey(t, s, "new", nil)
		if took := time.Since(began); took > MaxWait {
			t.Errorf("accepted after %v", took)
		}
		// Once more, right after a fetch: only when the cool-down is over.
		p.rotate(t, "new", "newer")
		for wait := time.Duration(0); ; wait += time.Second {
			if _, err := s.Key(t.Context(), "newer"); err == nil {
				if wait > CoolDown {
					t.Errorf("a key that came right after a fetch was accepted after %v, want %v at most", wait, CoolDown)
				}
				break
			} else if !errors.Is(err, ErrKeyUnknown) {
				t.Fatal(err)
			}
			pass(time.Second)
		}
		wantKey(t, s, "old", ErrKeyUnknown) // taken out: revoked
		if got := p.fetches.Load(); got != 3 {
			t.Errorf("%d fetches, want 3", got)
		}
	})
}

func floodOfUnknownKIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		const minutes = 30
		most, before := int64(0), p.fetches.Load()
		for minute := range minutes {
			for second := range 60 {
				for i := range 50 {
					wantKey(t, s, fmt.Sprint("unknown-", minute, "-", second, "-", i), ErrKeyUnknown)
				}
				wantKey(t, s, "a", nil)
				pass(time.Second)
			}
			now := p.fetches.Load()
			most, before = max(most, now-before), now
		}
		t.Logf("%d unknown kids: %d fetches in %d minutes, %d a minute at most", minutes*60*50, p.fetches.Load(), minutes, most)
		if most > 2 {
			t.Errorf("%d fetches in a minute, want 2 at most", most)
		}
	})
}

func unknownKIDIsAskedForOnceWhileTheAnswerIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		pass(CoolDown)
		for range int(NegativeTTL/time.Second) - 1 {
			wantKey(t, s, "nobody", ErrKeyUnknown)
			pass(time.Second)
		}
		if got := p.fetches.Load(); got != 2 {
			t.Errorf("%d fetches, want 2", got)
		}
		wantKey(t, s, strings.Repeat("k", maxKID+1), ErrKeyUnknown)
		wantKey(t, s, "", ErrKeyUnknown)
		if got := p.fetches.Load(); got != 2 {
			t.Errorf("a kid that no key can have caused a fetch")
		}
		pass(2 * time.Second)
		wantKey(t, s, "nobody", ErrKeyUnknown)
		if got := p.fetches.Load(); got != 3 {
			t.Errorf("%d fetches after the answer was forgotten, want 3", got)
		}
	})
}

func requestsShareAFlightAndWaitNoLongerThanTheyMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		pass(CoolDown)
		release := make(chan struct{})
		p.handle(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-release:
				p.serveKeys(w, r)
			case <-r.Context().Done():
			}
		})
		const requests = MaxWaiters + 36
		results := make(chan error, requests)
		began := time.Now()
		for i := range requests {
			go func() {
				_, err := s.Key(t.Context(), fmt.Sprint("new-", i))
				results <- err
			}()
		}
		synctest.Wait()
		wantKey(t, s, "a", nil) // a slow answer holds up nobody who needs no key of it
		if waited := time.Since(began); waited != 0 {
			t.Errorf("a key that is known was waited for: %v", waited)
		}
		if got := len(results); got != requests-MaxWaiters {
			t.Errorf("%d requests did not wait, want %d", got, requests-MaxWaiters)
		}
		counts := map[error]int{}
		for range requests {
			counts[<-results]++
		}
		if counts[ErrKeyUnknown] != requests-MaxWaiters || counts[ErrUnavailable] != MaxWaiters {
			t.Errorf("outcomes %v", counts)
		}
		if took := time.Since(began); took != MaxWait {
			t.Errorf("the last answer took %v, want %v", took, MaxWait)
		}
		if got := p.fetches.Load(); got != 2 {
			t.Errorf("%d fetches, want 2", got)
		}
		wantKey(t, s, "a", nil)
		p.rotate(t, "new-7")
		close(release)
		synctest.Wait()
		wantKey(t, s, "new-7", nil)
	})
}

// outage: MaxStale is the same for all sets, by decision: how long keys serve that nobody can take back is part of what the
// API says, and no one's setting.
func outage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		p.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
		began := time.Now()
		pass(RefreshDefault + time.Minute)
		wantKey(t, s, "a", nil)
		wantKey(t, s, "unknown", ErrUnavailable) // it may be a new one
		if got := s.State(); got.Problem != "the server answers 500 for the key set" || got.Keys != 1 {
			t.Errorf("state %+v", got)
		}
		pass(time.Until(began.Add(MaxStale - time.Second)))
		wantKey(t, s, "a", nil)
		before := p.fetches.Load()
		pass(2 * time.Second)
		wantKey(t, s, "a", ErrUnavailable)
		if _, err := s.Keys(t.Context()); !errors.Is(err, ErrUnavailable) {
			t.Errorf("keys of a set that is too old: %v", err)
		}
		if got := s.State().Keys; got != 0 {
			t.Errorf("%d keys serve, want none", got)
		}
		if before > 330 {
			t.Errorf("%d fetches in a day of outage", before)
		}
		p.handle(nil)
		pass(retryMax)
		wantKey(t, s, "a", nil)
		if got := s.State(); got.Problem != "" || got.Keys != 1 {
			t.Errorf("state after the outage %+v", got)
		}
	})
}

func setThatWasNeverFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		p.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
		s := start(t, p, p.direct())
		wantKey(t, s, "a", ErrUnavailable)
		if got := s.State(); got.Keys != 0 || !got.Fetched.IsZero() || got.Problem == "" {
			t.Errorf("state %+v", got)
		}
		p.handle(nil)
		pass(2 * retryFirst)
		wantKey(t, s, "a", nil)
	})
}

// TestFirstRequestsWaitForTheFirstFetch: a token that comes right after a new Pipeline is not refused while its keys are
// on their way.
func TestFirstRequestsWaitForTheFirstFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		p.handle(func(w http.ResponseWriter, r *http.Request) {
			pass(MaxWait / 2)
			p.serveKeys(w, r)
		})
		r := NewRegistry(Options{Dial: p.dial})
		t.Cleanup(r.Close)
		s := r.Hold(routing.ObjectKey{Namespace: "shop", Name: "acme"}, p.direct())
		wantKey(t, s, "a", nil)
	})
}

// TestRefreshHonoursCacheControlWithinLimits: Expires and Date are not looked at, so that no clock but ours decides. The limits
// are narrower than RFC 9111 has any: a key that is taken out is refused within the hour, whatever the server says.
func TestRefreshHonoursCacheControlWithinLimits(t *testing.T) {
	cases := map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"nothing said":              {http.Header{}, RefreshDefault},
		"a day":                     {http.Header{"Cache-Control": {"public, max-age=86400"}}, RefreshMax},
		"a second":                  {http.Header{"Cache-Control": {"max-age=1"}}, RefreshMin},
		"twenty minutes":            {http.Header{"Cache-Control": {"public, max-age=1200, must-revalidate"}}, 20 * time.Minute},
		"twenty minutes, aged five": {http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"300"}}, 15 * time.Minute},
		"no-store":                  {http.Header{"Cache-Control": {"no-store, max-age=86400"}}, RefreshMin},
		"no number":                 {http.Header{"Cache-Control": {"max-age=soon"}}, RefreshDefault},
		"more than fits":            {http.Header{"Cache-Control": {"max-age=99999999999999999999"}}, RefreshDefault},
		"max-age=0":                 {http.Header{"Cache-Control": {"max-age=0"}}, RefreshMin},
		"ten years":                 {http.Header{"Cache-Control": {"max-age=315360000"}}, RefreshMax},
		"less than nothing":         {http.Header{"Cache-Control": {"max-age=-1"}}, RefreshDefault},
		"older than it is fresh":    {http.Header{"Cache-Control": {"max-age=600"}, "Age": {"601"}}, RefreshMin},
		"an age before its time":    {http.Header{"Cache-Control": {"max-age=1200"}, "Age": {"-99999"}}, 20 * time.Minute},
		"a directive without value": {http.Header{"Cache-Control": {"max-age"}}, RefreshDefault},
		"Expires that is no date":   {http.Header{"Expires": {"soon"}}, RefreshDefault},
		"Expires in 1970":           {http.Header{"Expires": {"Thu, 01 Jan 1970 00:00:00 GMT"}}, RefreshDefault},
		"a Date in ten years": {
			http.Header{"Cache-Control": {"max-age=1200"}, "Date": {"Wed, 21 Nov 2035 12:00:00 GMT"}, "Expires": {"Wed, 21 Nov 2035 12:00:00 GMT"}}, 20 * time.Minute,
		},
		"two numbers": {http.Header{"Cache-Control": {"max-age=3000", "max-age=900"}}, 15 * time.Minute},
	}
	for name, c := range cases {
		t.Run("Q27 "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider(t, "a")
				p.header = c.header
				start(t, p, p.direct())
				pass(c.want*9/10 - time.Second)
				if got := p.fetches.Load(); got != 1 {
					t.Errorf("refreshed before %v: %d fetches", c.want, got)
				}
				pass(c.want/10 + 2*time.Second)
				if got := p.fetches.Load(); got != 2 {
					t.Errorf("not refreshed after %v: %d fetches", c.want, got)
				}
			})
		})
	}
}

// TestAnswersThatAreNoKeySet: none of them replaces the last good set.
func TestAnswersThatAreNoKeySet(t *testing.T) {
	body := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	cases := map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"garbage":         {body("\x00\xff<html>"), "the answer is no JWK Set with a key that verifies"},
		"nothing":         {body(""), "the answer is no JWK Set with a key that verifies"},
		"an empty set":    {body(`{"keys":[]}`), "the answer is no JWK Set with a key that verifies"},
		"a shared secret": {body(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}]}`), "the answer is no JWK Set with a key that verifies"},
		"too many keys":   {body(`{"keys":[` + strings.TrimSuffix(strings.Repeat("{},", MaxKeys+1), ",") + `]}`), "the answer is no JWK Set with a key that verifies"},
		"an error page":   {body("<!DOCTYPE html><title>Sign in</title>"), "the answer is no JWK Set with a key that verifies"},
		"half a set":      {body(`{"keys":[{"kty":"EC","crv":"P-256","x":"MKBCTNIcK`), "the answer is no JWK Set with a key that verifies"},
		"1 GiB": {func(w http.ResponseWriter, _ *http.Request) {
			chunk := []byte(strings.Repeat(" ", 1<<20))
			for sent := range 1 << 10 {
				if _, err := w.Write(chunk); err != nil {
					return
				}
				if sent > 4 {
					t.Errorf("%d MiB were taken", sent)
					return
				}
			}
		}, "the answer has more than 262144 bytes"},
		"less than was promised": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte(`{"keys":[`))
		}, "the server can't be reached"},
		"a connection that breaks": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "the server can't be reached"},
		"a redirect": {
			func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, testURI, http.StatusFound) },
			"the key set is redirected (status 302), and redirects are not followed",
		},
		"a bad gateway": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "the server answers 502 for the key set"},
		"a bomb of gzip": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write([]byte(strings.Repeat(" ", 4<<20)))
			_ = z.Close()
		}, "the answer is compressed without being asked for"},
		"never": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "the server does not answer within 10s"},
		"a drop at a time": {func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				_ = http.NewResponseController(w).Flush()
				pass(time.Second)
			}
		}, "the server does not answer within 10s"},
	}
	for name, c := range cases {
		t.Run("Q20 "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newProvider(t, "a")
				s := start(t, p, p.direct())
				p.handle(c.answer)
				pass(RefreshDefault + FetchTimeout + 2*time.Second)
				got := s.State()
				if got.Problem != c.want || got.Keys != 1 {
					t.Errorf("state %+v, want 1 key and the problem %q", got, c.want)
				}
				wantKey(t, s, "a", nil)
			})
		})
	}
}

func TestKeyThatCannotBeReadTakesNoOtherWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t)
		p.keys = []string{`{"kty":"quantum","kid":"q"}`, `{"kty":"EC","crv":"P-256","kid":"broken","x":"!","y":"!"}`, newJWK(t, "good")}
		s := start(t, p, p.direct())
		wantKey(t, s, "good", nil)
		if got := s.State(); got.Keys != 1 || got.Problem != "" {
			t.Errorf("state %+v", got)
		}
		pass(CoolDown)
		wantKey(t, s, "broken", ErrKeyUnknown)
	})
}

func TestDiscovery(t *testing.T) {
	t.Run("metadata of another issuer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider(t, "a")
			p.issuer = "https://example.com/other"
			s := start(t, p, p.discovered())
			wantKey(t, s, "a", ErrUnavailable)
			if got := s.State().Problem; got != "the issuer's metadata is for another issuer" {
				t.Errorf("problem %q", got)
			}
			if p.fetches.Load() != 0 {
				t.Error("the set was fetched all the same")
			}
		})
	})
	t.Run("metadata is not asked for with every set", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider(t, "a")
			start(t, p, p.discovered())
			pass(MetadataTTL - time.Minute)
			if m, f := p.metadata.Load(), p.fetches.Load(); m != 1 || f < 5 {
				t.Errorf("%d fetches of the metadata, %d of the set", m, f)
			}
			pass(RefreshDefault + time.Minute)
			if m := p.metadata.Load(); m != 2 {
				t.Errorf("%d fetches of the metadata, want 2", m)
			}
		})
	})
	t.Run("metadata of OAuth 2.0 alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider(t, "a")
			mux := http.NewServeMux()
			mux.HandleFunc("/.well-known/oauth-authorization-server/tenant", func(w http.ResponseWriter, _ *http.Request) {
				_, _ = w.Write([]byte(`{"issuer":"` + testIssuer + `","jwks_uri":"` + testURI + `"}`))
			})
			mux.HandleFunc("/keys", p.serveKeys)
			p.server.Handler = mux
			wantKey(t, start(t, p, p.discovered()), "a", nil)
		})
	})
}
