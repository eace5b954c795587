package proxy_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// revocations are the ways in which a credential's tokens can stop being good, as the controllers do them.
func revocations() map[string]func(*bed) {
	changed := func(change func(*keyring.Entry)) func(*bed) {
		return func(b *bed) {
			entry := *b.ring.Namespace("shop").ByKeyID("acme-orders")
			change(&entry)
			b.ring.Set(&entry)
		}
	}
	return map[string]func(*bed){
		"the key is taken away":       changed(func(e *keyring.Entry) { e.Keys = nil }),
		"the credential is deleted":   func(b *bed) { b.ring.Delete(key2("acme-orders")) },
		"the credential is suspended": changed(func(e *keyring.Entry) { e.State = keyring.StateSuspended }),
		"the consumer is suspended": changed(func(e *keyring.Entry) {
			consumer := *e.Consumer
			consumer.State = keyring.StateSuspended
			e.Consumer = &consumer
		}),
		"the consumer is deleted": changed(func(e *keyring.Entry) { e.Consumer = nil }),
		"the token is revoked":    changed(func(e *keyring.Entry) { e.Revocation.TokenIDs = keyring.NewNames("t-1") }),
	}
}

// TestRevocationsAreImmediate: what was just accepted is refused with the next request, on the same connection.
func TestRevocationsAreImmediate(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("orders", "", "/", protected)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	client := b.client(t, "http/1.1")
	good := token(t, claims{"jti": "t-1"})
	ask := func() int {
		resp, _ := do(t, client, request(t, "GET", "http://app.test/", nil, "Authorization", "Bearer "+good))
		return resp.StatusCode
	}
	for name, revoke := range revocations() {
		t.Run("Q07 "+name, func(t *testing.T) {
			for range 2 { // and again once it was given back
				b.credential(t)
				for range 3 {
					if got := ask(); got != http.StatusOK {
						t.Fatalf("status %d, want 200", got)
					}
				}
				revoke(b)
				for range 3 {
					if got := ask(); got != http.StatusUnauthorized {
						t.Errorf("status %d, want 401", got)
					}
				}
			}
		})
	}
}

// TestRequestInFlightWhenItsKeyGoes: an upload that was let in is finished, however long it takes; the next is refused.
func TestRequestInFlightWhenItsKeyGoes(t *testing.T) {
	for front, scheme := range map[string]string{"http/1.1": "http", "h2c": "http", "h2": "https"} {
		for name, revoke := range revocations() {
			t.Run("Q11 "+front+": "+name, func(t *testing.T) { uploadInFlight(t, front, scheme+"://app.test/", revoke) })
		}
	}
}

func uploadInFlight(t *testing.T, front, url string, revoke func(*bed)) {
	b := newBed(t)
	b.credential(t)
	first := make(chan struct{}, 1)
	up := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
		start := make([]byte, len("begin "))
		if _, err := io.ReadFull(r.Body, start); err != nil {
			return
		}
		first <- struct{}{}
		rest, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(w, "%s%s", start, rest)
	})
	b.endpoints(up.addr)
	cfg := routing.Config{Pipelines: []routing.Pipeline{route("orders", "app.test", "/", protected)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}}
	cfg.Certificates = []routing.Certificate{b.certificate(t, "orders", "app.test")}
	b.serve(t, cfg)
	client, good := b.client(t, front), "Bearer "+token(t, claims{"jti": "t-1"})

	body, feed := io.Pipe()
	type outcome struct {
		status int
		text   string
		err    error
	}
	done := make(chan outcome, 1)
	upload := request(t, "POST", url, body, "Authorization", good)
	go func() {
		resp, err := client.Do(upload)
		if err != nil {
			done <- outcome{err: err}
			return
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		done <- outcome{resp.StatusCode, string(text), err}
	}()
	fmt.Fprint(feed, "begin ")
	<-first
	revoke(b)
	next := func(when string) {
		if resp, _ := do(t, client, request(t, "POST", url, nil, "Authorization", good)); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: the next request is answered %d, want 401", when, resp.StatusCode)
		}
	}
	next("during the upload")
	fmt.Fprint(feed, "and end")
	_ = feed.Close()
	if got := <-done; got.err != nil || got.status != http.StatusOK || got.text != "begin and end" {
		t.Errorf("the upload in flight: %+v", got)
	}
	next("after the upload")
	if got := len(up.requests()); got != 1 {
		t.Errorf("the upstream saw %d requests, want the one that was let in", got)
	}
}

// TestKeySetThatIsDown: the tokens of an identity provider whose keys were never fetched are answered 503 and when to come again,
// without anyone waiting for long, while all others are judged as ever; and once it is there, so are they.
func TestKeySetThatIsDown(t *testing.T) {
	t.Run("Q21 a key set that is down at the start", func(t *testing.T) {
		var up atomic.Bool
		provider := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if !up.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			_, _ = io.WriteString(w, `{"keys":[{"kty":"EC","crv":"P-256","kid":"1","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`)
		}))
		t.Cleanup(provider.Close)
		source := routing.RemoteKeys{
			URI: provider.URL, RootCAs: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: provider.Certificate().Raw})),
		}
		b := newBed(t)
		b.credential(t)
		b.endpoints(newBackend(t, nil).addr)
		b.keySets = jwks.NewRegistry(jwks.Options{Loopback: jwks.AddressesAllow})
		t.Cleanup(b.keySets.Close)
		b.keySets.Apply([]routing.RemoteKeys{source})
		b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("orders", "", "/", func(p *routing.Pipeline) {
			protected(p)
			p.JWT.Issuers = []routing.Issuer{{Issuer: "https://idp.test", Algorithms: []string{"ES256"}, Remote: source, Consumer: routing.ConsumerOptional}}
		})}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
		client := b.client(t, "http/1.1")
		ask := func(bearer string) *http.Response {
			resp, _ := do(t, client, request(t, "GET", "http://app.test/", nil, "Authorization", "Bearer "+bearer))
			return resp
		}
		// A signature of nobody: with the keys there it is refused, without them nothing can be said of it.
		stray := "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ." + "eyJpc3MiOiJodHRwczovL2lkcC50ZXN0In0." +
			"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
		began := time.Now()
		resp := ask(stray)
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Errorf("a token of the provider: %s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
		}
		if took := time.Since(began); took > 10*jwks.MaxWait {
			t.Errorf("it took %v", took)
		}
		if resp := ask(token(t, nil)); resp.StatusCode != http.StatusOK {
			t.Errorf("a credential's token: %s", resp.Status)
		}
		up.Store(true)
		waitFor(t, "keys", func() bool { return ask(stray).StatusCode == http.StatusUnauthorized })
	})
}
