package jwks

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestAddressesThatAreNotFetched(t *testing.T) {
	for _, address := range []string{
		"https://example.com/keys", "https://example.com:8443/keys?tenant=a", "https://[2001:db8::1]/",
	} {
		if err := checkURL(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	for name, address := range map[string]string{
		"no URL":             "https://example.com/%zz",
		"clear text":         "http://example.com/keys",
		"no scheme":          "example.com/keys",
		"no host":            "https:///keys",
		"a port alone":       "https://:8443/keys",
		"a user":             "https://user@example.com/keys",
		"a password":         "https://user:secret@example.com/keys",
		"a fragment":         "https://example.com/keys#a",
		"no hierarchy":       "https:example.com",
		"a very long one":    "https://example.com/" + strings.Repeat("a", maxURL),
		"a line break in it": "https://example.com/\nkeys",
	} {
		if err := checkURL(address); !errors.Is(err, errNotHTTPS) {
			t.Errorf("%s: %v", name, err)
		}
		if addresses, err := metadataAddresses(address); err == nil {
			t.Errorf("%s: metadata at %q", name, addresses)
		}
	}
	for _, issuer := range []string{"https://example.com/?a=b", "https://example.com/?"} {
		if addresses, err := metadataAddresses(issuer); !errors.Is(err, errNotHTTPS) {
			t.Errorf("%s: metadata at %q", issuer, addresses)
		}
	}
}

func TestMetadataThatIsRefused(t *testing.T) {
	for name, tc := range map[string]struct{ body, problem string }{
		"no object":           {`[]`, "not one JSON object"},
		"the issuer twice":    {`{"issuer":"https://a.example","issuer":"https://a.example","jwks_uri":"https://a.example/k"}`, "not one JSON object"},
		"no issuer":           {`{"jwks_uri":"https://a.example/k"}`, "another issuer"},
		"another issuer":      {`{"issuer":"https://b.example","jwks_uri":"https://a.example/k"}`, "another issuer"},
		"a slash more":        {`{"issuer":"https://a.example/","jwks_uri":"https://a.example/k"}`, "another issuer"},
		"no address":          {`{"issuer":"https://a.example"}`, "names no jwks_uri"},
		"an address in a set": {`{"issuer":"https://a.example","jwks_uri":["https://a.example/k"]}`, "names no jwks_uri"},
		"clear text":          {`{"issuer":"https://a.example","jwks_uri":"http://a.example/k"}`, "no https URL"},
	} {
		uri, err := parseMetadata([]byte(tc.body), "https://a.example")
		if err == nil || uri != "" || !strings.Contains(problemOf(err), tc.problem) {
			t.Errorf("%s: %q, %v, want %q", name, uri, err, tc.problem)
		}
	}
	// An issuer that is empty is that of no metadata, not that of metadata without one.
	if uri, err := parseMetadata([]byte(`{"jwks_uri":"https://a.example/k"}`), ""); err == nil {
		t.Errorf("metadata without an issuer leads to %q", uri)
	}
}

// roundTrip is a server.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestDiscoveryThatFails(t *testing.T) {
	broken := errors.New("broken")
	for name, tc := range map[string]struct {
		status  int
		err     error
		problem string
		fetches int
	}{
		"no metadata":   {404, nil, "the server answers 404 for the issuer's metadata", 2},
		"a fault":       {500, nil, "the server answers 500 for the issuer's metadata", 1},
		"a redirect":    {302, nil, "the issuer's metadata is redirected", 1},
		"no connection": {0, broken, "the server can't be reached", 1},
	} {
		f := newFetcher(routing.RemoteKeys{Issuer: testIssuer}, &Options{Now: time.Now})
		fetches := 0
		f.client.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			fetches++
			if tc.err != nil {
				return nil, tc.err
			}
			return &http.Response{StatusCode: tc.status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})
		uri, err := f.discover(t.Context())
		if err == nil || uri != "" || !strings.Contains(problemOf(err), tc.problem) || fetches != tc.fetches {
			t.Errorf("%s: %q, %v after %d fetches; want %q after %d", name, uri, err, fetches, tc.problem, tc.fetches)
		}
		if tc.err != nil && !errors.Is(err, tc.err) {
			t.Errorf("%s: %v does not wrap its cause", name, err)
		}
	}
}

// TestKIDsThatCauseNoFetch: no name at all, and one that is longer than any key's.
func TestKIDsThatCauseNoFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(t, "a")
		s := start(t, p, p.direct())
		pass(CoolDown)
		before := p.fetches.Load()
		wantKey(t, s, "", ErrKeyUnknown)
		wantKey(t, s, strings.Repeat("k", maxKID+1), ErrKeyUnknown)
		if got := p.fetches.Load(); got != before {
			t.Errorf("%d fetches", got-before)
		}
	})
}

// TestSetThatIsTooOldWhenItLands: what was waited for is judged by the time then.
func TestSetThatIsTooOldWhenItLands(t *testing.T) {
	fetched := time.Unix(1_800_000_000, 0)
	s := newSet(routing.RemoteKeys{}, &Options{Now: func() time.Time { return fetched.Add(MaxStale) }}, nil)
	s.current.Store(&keys{fetched: fetched})
	s.flight = &flight{done: make(chan struct{})}
	close(s.flight.done)
	if all, err := s.Keys(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%d keys, %v", len(all), err)
	}
	if key, err := s.Key(t.Context(), "a"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, %v", key, err)
	}
}
