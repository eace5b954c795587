package jwks

import (
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestSetsOutliveWhatRefersToThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		r := NewRegistry(Options{Dial: p.dial})
		t.Cleanup(r.Close)
		source, acme := p.direct(), routing.ObjectKey{Namespace: "shop", Name: "acme"}
		r.Apply([]routing.RemoteKeys{source})
		first, _ := r.Lookup(source)
		synctest.Wait()

		r.Apply([]routing.RemoteKeys{p.discovered(), source})
		if again, _ := r.Lookup(source); again != first {
			t.Error("a swap made the set anew")
		}
		if held := r.Hold(acme, source); held != first {
			t.Error("a credential got another set than the table")
		}
		if diff := cmp.Diff([]routing.ObjectKey{acme}, r.Holders(source)); diff != "" {
			t.Errorf("holders (-want +got):\n%s", diff)
		}
		r.Apply(nil)
		if _, ok := r.Lookup(p.discovered()); ok {
			t.Error("a set that nothing uses is kept")
		}
		if again, _ := r.Lookup(source); again != first {
			t.Error("a set that a credential holds is gone")
		}
		before := p.fetches.Load()
		r.Hold(acme, p.discovered())
		if _, ok := r.Lookup(source); ok {
			t.Error("a set that nothing holds any more is kept")
		}
		r.Release(acme)
		r.Release(acme)
		if _, ok := r.Lookup(p.discovered()); ok {
			t.Error("a released set is kept")
		}
		synctest.Wait()
		after := p.fetches.Load()
		pass(3 * RefreshMax)
		if got := p.fetches.Load(); got != after {
			t.Errorf("%d fetches of sets that nothing uses (%d before)", got-after, before)
		}
		wantKey(t, first, "a", nil) // an older table's requests still end well
		wantKey(t, first, "b", ErrKeyUnknown)
	})
}

func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		told := make(chan routing.RemoteKeys, 10)
		r := NewRegistry(Options{Dial: p.dial, Changed: func(source routing.RemoteKeys) { told <- source }})
		t.Cleanup(r.Close)
		r.Apply([]routing.RemoteKeys{p.direct()})
		synctest.Wait()
		if len(told) != 1 || <-told != p.direct() {
			t.Fatal("nobody was told of the first fetch")
		}
		pass(2 * RefreshDefault)
		if len(told) != 0 {
			t.Error("a refresh was told as a change")
		}
		p.rotate(t, "a", "b")
		pass(2 * RefreshDefault)
		if len(told) != 1 {
			t.Errorf("other keys were told %d times, want once", len(told))
		} else {
			<-told
		}
		if set, _ := r.Lookup(p.direct()); !set.Has("b") || set.Has("c") || p.fetches.Load() > 10 {
			t.Errorf("the set has b: %t, c: %t, after %d fetches", set.Has("b"), set.Has("c"), p.fetches.Load())
		}
		p.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
		pass(3 * RefreshDefault)
		if len(told) != 1 {
			t.Errorf("an outage was told %d times, want once", len(told))
		}
		p.handle(nil)
		pass(RefreshDefault)
		if len(told) != 2 {
			t.Errorf("an outage and its end were told %d times, want 2", len(told))
		}
	})
}

func TestStateOfWhatACredentialHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		r := NewRegistry(Options{Dial: p.dial})
		t.Cleanup(r.Close)
		told := 0
		r.Observe(func(routing.RemoteKeys) { told++ })
		acme := routing.ObjectKey{Namespace: "shop", Name: "acme"}
		if _, _, ok := r.Held(acme); ok {
			t.Error("a credential that holds nothing has a state")
		}
		r.Hold(acme, p.direct())
		synctest.Wait()
		source, state, ok := r.Held(acme)
		if !ok || source != p.direct() || state.Keys != 1 || told != 1 || len(r.Problems()) != 0 {
			t.Errorf("state %+v of %v, %t; told %d times; problems %v", state, source, ok, told, r.Problems())
		}
		p.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
		pass(2 * RefreshDefault)
		want := map[routing.RemoteKeys]string{p.direct(): "the server answers 404 for the key set"}
		if diff := cmp.Diff(want, r.Problems()); diff != "" || told != 2 {
			t.Errorf("told %d times, want 2; problems (-want +got):\n%s", told, diff)
		}
		pass(MaxStale)
		if _, state, _ := r.Held(acme); state.Keys != 0 || told != 3 {
			t.Errorf("past its limit: state %+v, told %d times, want 3", state, told)
		}
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a", "b")
		metrics := prometheus.NewPedanticRegistry()
		r := NewRegistry(Options{Dial: p.dial, Metrics: metrics})
		t.Cleanup(r.Close)
		r.Apply([]routing.RemoteKeys{p.direct()})
		synctest.Wait()
		ca := authority(p.rootCAs)
		want := `# HELP ostiary_jwks_fetches_total Fetches of a remote key set.
# TYPE ostiary_jwks_fetches_total counter
ostiary_jwks_fetches_total{ca="` + ca + `",result="failure",source="` + testURI + `"} 0
ostiary_jwks_fetches_total{ca="` + ca + `",result="success",source="` + testURI + `"} 1
# HELP ostiary_jwks_keys Keys of a remote key set that verify tokens.
# TYPE ostiary_jwks_keys gauge
ostiary_jwks_keys{ca="` + ca + `",source="` + testURI + `"} 2
`
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "ostiary_jwks_fetches_total", "ostiary_jwks_keys"); err != nil {
			t.Error(err)
		}
		if got, err := testutil.GatherAndCount(metrics, "ostiary_jwks_last_success_timestamp_seconds"); got != 1 || err != nil {
			t.Errorf("%d series of the last success, error %v", got, err)
		}
	})
}

// TestAddresses goes over a real network: what is never connected to, and whom is trusted.
func TestAddresses(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"keys":[` + newJWK(t, "a") + `]}`))
	}))
	t.Cleanup(server.Close)
	trusted := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	cases := map[string]struct {
		source routing.RemoteKeys
		opts   Options
		want   string
	}{
		"loopback, allowed": {
			source: routing.RemoteKeys{URI: server.URL, RootCAs: trusted}, opts: Options{Loopback: AddressesAllow},
		},
		"loopback": {
			source: routing.RemoteKeys{URI: server.URL, RootCAs: trusted},
			want:   "the server has an address that is never connected to",
		},
		"metadata service": {
			source: routing.RemoteKeys{URI: "https://169.254.169.254/keys"}, opts: Options{Loopback: AddressesAllow},
			want: "the server has an address that is never connected to",
		},
		"private, refused": {
			source: routing.RemoteKeys{URI: "https://10.0.0.1/keys"}, opts: Options{Private: AddressesRefuse},
			want: "the server has an address that is never connected to",
		},
		"shared address space, refused": {
			source: routing.RemoteKeys{URI: "https://100.64.0.1/keys"}, opts: Options{Private: AddressesRefuse},
			want: "the server has an address that is never connected to",
		},
		"a certificate of nobody": {
			source: routing.RemoteKeys{URI: server.URL}, opts: Options{Loopback: AddressesAllow},
			want: "the server's certificate is not trusted",
		},
		"clear text": {
			source: routing.RemoteKeys{URI: "http" + strings.TrimPrefix(server.URL, "https")}, opts: Options{Loopback: AddressesAllow},
			want: "the address is no https URL without user and fragment",
		},
		"a password in the URL": {
			source: routing.RemoteKeys{URI: "https://user:secret@example.com/"},
			want:   "the address is no https URL without user and fragment",
		},
		"an issuer with a query": {
			source: routing.RemoteKeys{Issuer: "https://example.com/?a=b"},
			want:   "the issuer is no https URL without user, query and fragment",
		},
		"no certificate in the CA": {
			source: routing.RemoteKeys{URI: server.URL, RootCAs: "nothing"}, want: "the CA certificates can't be read",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			changed := make(chan struct{}, 1)
			c.opts.Changed = func(routing.RemoteKeys) { changed <- struct{}{} }
			r := NewRegistry(c.opts)
			defer r.Close()
			r.Apply([]routing.RemoteKeys{c.source})
			set, _ := r.Lookup(c.source)
			<-changed
			if got := set.State(); got.Problem != c.want || (c.want == "") != (got.Keys == 1) {
				t.Errorf("state %+v, want the problem %q", got, c.want)
			}
			if strings.Contains(set.State().Problem, "secret") {
				t.Error("the problem tells a password")
			}
			if _, err := set.Key(t.Context(), "a"); (c.want == "") != (err == nil) || err != nil && !errors.Is(err, ErrUnavailable) {
				t.Errorf("key: %v", err)
			}
		})
	}
}

func TestClosedRegistryFetchesNothing(t *testing.T) {
	r := NewRegistry(Options{})
	r.Close()
	source := routing.RemoteKeys{URI: testURI}
	r.Apply([]routing.RemoteKeys{source})
	if _, ok := r.Lookup(source); ok {
		t.Error("a closed registry took a set")
	}
	if _, err := r.Hold(routing.ObjectKey{Name: "a"}, source).Key(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("key of a closed registry's set: %v", err)
	}
}
