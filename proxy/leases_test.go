package proxy_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
)

// movingClock starts where clock is and goes on when it is told to.
type movingClock struct{ passed atomic.Int64 }

func (c *movingClock) now() time.Time        { return clock().Add(time.Duration(c.passed.Load())) }
func (c *movingClock) pass(by time.Duration) { c.passed.Add(int64(by)) }
func newTunnelBed(t *testing.T) (*bed, *movingClock) {
	t.Helper()
	c := &movingClock{}
	b := newBedAt(t, c.now)
	b.credential(t)
	b.endpoints(rawUpstream(t, echoTunnel("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "+accept(webSocketKey)+"\r\n")))
	return b, c
}

// tunnelTo opens a WebSocket with that token, empty for none, on a host.
func (b *bed) tunnelTo(t *testing.T, host, token string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	more := ""
	if token != "" {
		more = "Authorization: Bearer " + token + "\r\n"
	}
	fmt.Fprint(conn, strings.Replace(handshake(more), "Host: app.test", "Host: "+host, 1))
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("no tunnel: %+v, %v", resp, err)
	}
	echoes(t, conn, r)
	return conn, r
}

func echoes(t *testing.T, conn net.Conn, r *bufio.Reader) {
	t.Helper()
	fmt.Fprint(conn, "ping")
	if _, err := io.ReadFull(r, make([]byte, 4)); err != nil {
		t.Fatalf("the tunnel does not echo: %v", err)
	}
}

// endsWithin5s waits for the end of what is read.
func endsWithin5s(t *testing.T, since time.Time, r io.Reader) {
	t.Helper()
	if _, err := io.Copy(io.Discard, r); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("it is still open")
	}
	if took := time.Since(since); took > 5*time.Second {
		t.Errorf("it ended after %s, want within 5 s", took)
	}
}

// entryOf is the one consumer's credential, changed.
func (b *bed) change(edit func(*keyring.Entry)) {
	entry := *b.ring.Namespace("shop").ByKeyID("acme-orders")
	consumer := *entry.Consumer
	entry.Consumer = &consumer
	edit(&entry)
	b.ring.Set(&entry)
}

// TestTunnelsEndWithWhatOpenedThem is row W09: within 5 seconds after the token, its credential, its consumer or its key
// is good no more, a tunnel is closed, and the access log says why.
func TestTunnelsEndWithWhatOpenedThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		event func(b *bed, c *movingClock)
		want  string
	}{
		"W09 the token expires":       {func(_ *bed, c *movingClock) { c.pass(time.Minute) }, "token_expired"},
		"the credential goes":         {func(b *bed, _ *movingClock) { b.ring.Delete(key2("acme-orders")) }, "credential_unknown"},
		"the credential is suspended": {func(b *bed, _ *movingClock) { b.change(func(e *keyring.Entry) { e.State = keyring.StateSuspended }) }, "credential_suspended"},
		"the credential ends": {func(b *bed, c *movingClock) {
			b.change(func(e *keyring.Entry) { e.NotAfter = c.now().Add(time.Second) })
			c.pass(time.Second)
		}, "credential_suspended"},
		"its labels are others": {func(b *bed, _ *movingClock) {
			b.change(func(e *keyring.Entry) { e.Labels = map[string]string{"tier": "out"} })
		}, "credential_unknown"},
		"the consumer goes": {func(b *bed, _ *movingClock) { b.change(func(e *keyring.Entry) { e.Consumer = nil }) }, "consumer_unknown"},
		"the consumer is suspended": {func(b *bed, _ *movingClock) {
			b.change(func(e *keyring.Entry) { e.Consumer.State = keyring.StateSuspended })
		}, "consumer_suspended"},
		"the key is cut": {func(b *bed, _ *movingClock) { b.change(func(e *keyring.Entry) { e.Keys = nil }) }, "key_unknown"},
		"the key's time is over": {func(b *bed, c *movingClock) {
			b.change(func(e *keyring.Entry) {
				e.Keys = []keyring.Key{{Key: e.Keys[0].Key, NotAfter: c.now().Add(time.Second)}}
			})
			c.pass(time.Second)
		}, "key_unknown"},
		"the token is revoked": {func(b *bed, _ *movingClock) {
			b.change(func(e *keyring.Entry) { e.Revocation.TokenIDs = keyring.NewNames("t-1") })
		}, "token_revoked"},
		"tokens as old are revoked": {func(b *bed, _ *movingClock) {
			b.change(func(e *keyring.Entry) { e.Revocation.IssuedBefore = clock() })
		}, "token_revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, c := newTunnelBed(t)
			b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", func(p *routing.Pipeline) {
				protected(p)
				p.JWT.Selector = []routing.LabelRequirement{{Key: "tier", Operator: routing.LabelNotIn, Values: []string{"out"}}}
			})}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
			conn, r := b.tunnelTo(t, "app.test", token(t, claims{"jti": "t-1", "iat": clock().Add(-time.Second).Unix()}))
			before := b.access.String()
			echoes(t, conn, r)
			began := time.Now()
			tc.event(b, c)
			endsWithin5s(t, began, r)
			if record := b.record(t, before); record["reason"] != tc.want || record["status"] != float64(101) || record["tunnel"] != true {
				t.Errorf("record %v, want reason %s", record, tc.want)
			}
		})
	}
}

// TestTunnelsStay: what the policy keeps open, and what is no matter of it, outlasts one that ends in the same review.
func TestTunnelsStay(t *testing.T) {
	t.Parallel()
	b, c := newTunnelBed(t)
	policy := func(name, host string, edit func(*routing.JWT)) routing.Pipeline {
		return route(name, host, "/", func(p *routing.Pipeline) {
			protected(p)
			edit(p.JWT)
		})
	}
	cfg := routing.Config{Pipelines: []routing.Pipeline{
		policy("close", "close.test", func(*routing.JWT) {}),
		policy("keep", "keep.test", func(j *routing.JWT) { j.Tunnels.OnExpiry = routing.ExpiryKeep }),
		policy("skew", "skew.test", func(j *routing.JWT) { j.ClockSkew = 5 * time.Minute }),
		policy("forever", "forever.test", func(j *routing.JWT) { j.Expiration = routing.ExpirationOptional }),
		policy("dry", "dry.test", func(j *routing.JWT) { j.Enforcement = routing.EnforcementDryRun }),
		policy("optional", "optional.test", func(j *routing.JWT) { j.Mode = routing.ModeOptional }),
		policy("leaving", "leaving.test", func(*routing.JWT) {}),
		route("public", "public.test", "/", nil),
	}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}}
	b.serve(t, cfg)
	type open struct {
		conn net.Conn
		r    *bufio.Reader
	}
	stay := map[string]open{}
	for host, with := range map[string]string{
		"keep.test": token(t, nil), "skew.test": token(t, nil), "forever.test": token(t, claims{"exp": nil}), "dry.test": token(t, nil),
		"optional.test": "", "leaving.test": token(t, nil), "public.test": "",
	} {
		conn, r := b.tunnelTo(t, host, with)
		stay[host] = open{conn, r}
	}
	_, closes := b.tunnelTo(t, "close.test", token(t, nil))
	// A Pipeline that is gone ends nothing either: its routes are no longer taken, what goes on goes on.
	cfg.Pipelines = append(cfg.Pipelines[:6:6], cfg.Pipelines[7])
	b.serve(t, cfg)
	began := time.Now()
	c.pass(time.Minute)
	endsWithin5s(t, began, closes)
	for host, o := range stay {
		t.Log(host)
		echoes(t, o.conn, o.r)
	}

	// Kept beyond exp is not kept from a revocation, nor from the end of the credential's key.
	b.ring.Delete(key2("acme-orders"))
	began = time.Now()
	endsWithin5s(t, began, stay["keep.test"].r)
	endsWithin5s(t, began, stay["forever.test"].r)
	echoes(t, stay["public.test"].conn, stay["public.test"].r)
}

// TestTunnelsOfBrokenPipelines: what makes new requests fail can't keep a tunnel from being judged. Keys of an issuer that are
// deleted with their Secret are such a case: without them the policy can't be built.
func TestTunnelsOfBrokenPipelines(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*routing.Config)
		revoke bool
		want   string
	}{
		"no policy can be built":               {func(cfg *routing.Config) { cfg.Pipelines[0] = broken(cfg.Pipelines[0]) }, false, "pipeline_not_ready"},
		"a policy that is invalid":             {func(cfg *routing.Config) { cfg.Pipelines[0].JWT.Namespace = "" }, false, "pipeline_not_ready"},
		"no upstream, and the credential goes": {func(cfg *routing.Config) { cfg.Upstreams = nil }, true, "credential_unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := newTunnelBed(t)
			config := func() routing.Config {
				return routing.Config{
					Pipelines: []routing.Pipeline{route("chat", "", "/", protected)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
				}
			}
			b.serve(t, config())
			_, r := b.tunnelTo(t, "app.test", token(t, nil))
			before := b.access.String()
			began := time.Now()
			changed := config()
			tc.change(&changed)
			b.publish(t, changed)
			if tc.revoke {
				b.ring.Delete(key2("acme-orders"))
			}
			endsWithin5s(t, began, r)
			if record := b.record(t, before); record["reason"] != tc.want {
				t.Errorf("record %v, want reason %s", record, tc.want)
			}
		})
	}
}

// broken is what becomes of a Pipeline whose protection can't be built.
func broken(p routing.Pipeline) routing.Pipeline {
	return routing.Pipeline{Key: p.Key, Matches: p.Matches, Insecure: p.Insecure, Broken: "a Secret is missing"}
}

// TestTunnelsOfAge: maxAge ends those of anonymous callers too, and is no refusal.
func TestTunnelsOfAge(t *testing.T) {
	t.Parallel()
	b, c := newTunnelBed(t)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("chat", "", "/", func(p *routing.Pipeline) {
		protected(p)
		p.JWT.Mode, p.JWT.Tunnels.MaxAge = routing.ModeOptional, 10*time.Second
	})}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	_, old := b.tunnelTo(t, "app.test", "")
	_, older := b.tunnelTo(t, "app.test", token(t, nil))
	c.pass(5 * time.Second)
	conn, young := b.tunnelTo(t, "app.test", token(t, nil))
	before := b.access.String()
	began := time.Now()
	c.pass(5 * time.Second)
	endsWithin5s(t, began, old)
	endsWithin5s(t, began, older)
	echoes(t, conn, young)
	if record := b.record(t, before); record["reason"] != nil {
		t.Errorf("record %v has a reason", record)
	}
}

// TestStreamsEndWithTheirToken: responses without a length are ended as tunnels are, and never look complete; one that
// ends by itself is not in the way of the connection's next.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	for _, front := range []string{"http/1.1", "h2c"} {
		for name, back := range map[string]routing.UpstreamProtocol{"http/1.1": routing.UpstreamHTTP, "h2c": routing.UpstreamH2C} {
			t.Run("W09 "+front+" to "+name, func(t *testing.T) {
				t.Parallel()
				c := &movingClock{}
				b := newBedAt(t, c.now)
				b.credential(t)
				left := make(chan struct{})
				up := newBackend(t, func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.WriteString(w, "event\n")
					_ = http.NewResponseController(w).Flush()
					if r.URL.Path == "/short" {
						return
					}
					<-r.Context().Done()
					close(left)
				})
				b.endpoints(up.addr)
				b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("events", "", "/", protected)}, Upstreams: []routing.Upstream{to(back)}})
				client := b.client(t, front)
				bearer := "Bearer " + token(t, nil)
				for range 3 {
					if resp, body := do(t, client, request(t, "GET", "http://app.test/short", nil, "Authorization", bearer)); resp.StatusCode != http.StatusOK || body != "event\n" {
						t.Fatalf("a short stream: %d, %q", resp.StatusCode, body)
					}
				}
				resp, err := client.Do(request(t, "GET", "http://app.test/long", nil, "Authorization", bearer))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				event := make([]byte, 6)
				if _, err := io.ReadFull(resp.Body, event); err != nil {
					t.Fatal(err)
				}
				before := b.access.String()
				began := time.Now()
				c.pass(time.Minute)
				if rest, err := io.ReadAll(resp.Body); err == nil || len(rest) > 0 {
					t.Errorf("the stream ended as if it were complete, with %q", rest)
				}
				<-left
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it ended after %s, want within 5 s", took)
				}
				if record := b.record(t, before); record["reason"] != "token_expired" || record["status"] != float64(200) {
					t.Errorf("record %v", record)
				}
			})
		}
	}
}

// TestStreamsThatNobodyReads: a client that doesn't read what it asked for can't keep a stream open.
func TestStreamsThatNobodyReads(t *testing.T) {
	t.Parallel()
	c := &movingClock{}
	b := newBedAt(t, c.now)
	b.credential(t)
	left := make(chan struct{})
	up := newBackend(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(left)
		for piece := make([]byte, 1<<16); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	b.endpoints(up.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("events", "", "/", protected)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nAuthorization: Bearer %s\r\n\r\n", token(t, nil))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.pass(time.Minute)
	<-left
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it ended after %s, want within 5 s", took)
	}
}
