package proxy_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/http/httpguts"

	"github.com/ostiary/ostiary/proxy/internal/jwtcases"
	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

// answer is what a client got.
type answer struct {
	status    int
	challenge string
	text      string // the whole head and body
}

// caseBed serves a Pipeline for each case of a file.
type caseBed struct {
	*bed
	upstream *backend
	now      atomic.Int64
	answers  strings.Builder // what all clients got
}

func newCaseBed(t *testing.T, file *jwtcases.File) *caseBed {
	t.Helper()
	cb := &caseBed{}
	cb.bed = newBedAt(t, func() time.Time { return time.Unix(cb.now.Load(), 0) })
	cb.upstream = newBackend(t, nil)
	cb.endpoints(cb.upstream.addr)
	cfg := routing.Config{Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}}
	for i := range file.Cases {
		c := &file.Cases[i]
		namespace := "case-" + strings.ToLower(c.ID)
		if err := file.Enrol(cb.ring, namespace, c); err != nil {
			t.Fatal(err)
		}
		policy, err := c.Policy(namespace)
		if err != nil {
			t.Fatal(err)
		}
		policy.Realm = c.ID
		cfg.Pipelines = append(cfg.Pipelines, route(namespace, "", "/"+c.ID, func(p *routing.Pipeline) { p.JWT = &policy }))
	}
	cfg.Certificates = []routing.Certificate{cb.certificate(t, cfg.Pipelines[0].Key.Name, "cases.test")}
	cb.serve(t, cfg)
	return cb
}

// TestJWTCasesOnListeners runs the catalogue's tokens, and those of the file that OSTIARY_JWT_CASES names, through the
// listeners: what the client is told, and what an upstream sees, is that of the verifier's decision.
func TestJWTCasesOnListeners(t *testing.T) {
	for _, path := range jwtcases.Paths(filepath.Join("jwt", "testdata", "jwt-cases.json")) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			file, err := jwtcases.Load(path)
			if err != nil {
				t.Fatal(err)
			}
			cb := newCaseBed(t, &file)
			for protocol, send := range map[string]func(*testing.T, *jwtcases.Case) answer{"http1": cb.sendHTTP1, "h2": cb.sendHTTP2(t)} {
				for i := range file.Cases {
					c := &file.Cases[i]
					t.Run(protocol+"/"+c.ID, func(t *testing.T) {
						if protocol == "h2" && !sendable(c) {
							t.Skip("no HTTP/2 client sends such a field value")
						}
						cb.now.Store(c.Now)
						a := send(t, c)
						cb.answers.WriteString(a.text)
						cb.check(t, c, a)
					})
				}
			}
			cb.leaks(t, &file)
		})
	}
}

func sendable(c *jwtcases.Case) bool {
	return !slices.ContainsFunc(c.Headers(), func(h [2]string) bool {
		return !httpguts.ValidHeaderFieldValue(h[1]) || len(h[1]) > 1<<18 // above it the connection breaks under the client
	})
}

func (cb *caseBed) check(t *testing.T, c *jwtcases.Case, a answer) {
	t.Helper()
	seen := cb.upstream.requests()
	accepted := len(seen) > 0
	switch c.Expect.Decision {
	case "accept":
		if a.status != http.StatusOK || len(seen) != 1 {
			t.Fatalf("%s: status %d, upstream saw %d requests\n%s", c.Title, a.status, len(seen), a.text)
		}
	case "reject":
		cb.checkRefused(t, c, a)
		if accepted {
			t.Fatalf("%s: the request reached the upstream", c.Title)
		}
	}
	if !accepted {
		return
	}
	r := seen[0]
	if got := r.Header.Values("X-Consumer-Username"); c.Expect.Consumer != "" && !slices.Equal(got, []string{c.Expect.Consumer}) {
		t.Errorf("%s: consumer %q, want %q", c.Title, got, c.Expect.Consumer)
	}
	head := fmt.Sprint(r.RequestURI, r.Header)
	for _, segment := range segmentsOf(c) {
		if strings.Contains(head, segment) {
			t.Errorf("%s: the upstream sees %q", c.Title, segment)
		}
	}
	for _, h := range c.Headers() {
		if strings.Contains(strings.ToLower(h[0]), "consumer") && strings.Contains(head, h[1]) {
			t.Errorf("%s: the upstream sees %q of the client", c.Title, h[0])
		}
	}
}

var challengeError = regexp.MustCompile(`^Bearer realm="[^"]*", error="([a-z_]+)"`)

func (*caseBed) checkRefused(t *testing.T, c *jwtcases.Case, a answer) {
	t.Helper()
	var code string
	if m := challengeError.FindStringSubmatch(a.challenge); m != nil {
		code = m[1]
	}
	if !sendable(c) {
		if a.status != 400 && a.status != 431 {
			t.Errorf("%s: status %d, want that of a malformed request", c.Title, a.status)
		}
		return
	}
	long := slices.ContainsFunc(c.Headers(), func(h [2]string) bool { return len(h[1]) > 16<<10 })
	reason := refusal.TokenMissing
	if long {
		reason = refusal.TokenTooLarge
	}
	if !slices.Contains(c.Statuses(reason), a.status) {
		t.Errorf("%s: status %d, want %d\n%s", c.Title, a.status, c.Expect.Status, a.text)
	}
	if a.challenge == "" && a.status == http.StatusUnauthorized {
		t.Errorf("%s: no challenge (RFC 9110 section 11.6.1)", c.Title)
	}
	if want := c.Expect.WWWAuthenticateError; want != "" && code != want && !long {
		t.Errorf("%s: challenge %q, want the error %q", c.Title, a.challenge, want)
	}
}

func target(c *jwtcases.Case) string {
	if c.Query() == "" {
		return "/" + c.ID
	}
	return "/" + c.ID + "?" + c.Query()
}

// sendHTTP1 writes the case's bytes as they are.
func (cb *caseBed) sendHTTP1(t *testing.T, c *jwtcases.Case) answer {
	t.Helper()
	conn, err := net.Dial("tcp", cb.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: cases.test\r\n", target(c))
	for _, h := range c.Headers() {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	done := make(chan struct{})
	go func() {
		defer close(done)
		// An endless field is answered before all of it was written.
		_, _ = io.WriteString(conn, b.String())
	}()
	resp, body, _ := exchange(t, conn, "GET")
	conn.Close()
	<-done
	return answerOf(resp, body)
}

// sendHTTP2 returns what sends a case over TLS and HTTP/2.
func (cb *caseBed) sendHTTP2(t *testing.T) func(*testing.T, *jwtcases.Case) answer {
	client := cb.client(t, "h2")
	return func(t *testing.T, c *jwtcases.Case) answer {
		t.Helper()
		r := request(t, http.MethodGet, "https://cases.test"+target(c), nil)
		for _, h := range c.Headers() {
			if !strings.EqualFold(h[0], "Connection") { // no field of HTTP/2
				r.Header[h[0]] = append(r.Header[h[0]], h[1])
			}
		}
		resp, body := do(t, client, r)
		return answerOf(resp, body)
	}
}

func answerOf(resp *http.Response, body string) answer {
	return answer{status: resp.StatusCode, challenge: resp.Header.Get("WWW-Authenticate"), text: fmt.Sprint(resp.Header, body)}
}

// segmentsOf are the parts of the case's tokens that are long enough to be told from other text.
func segmentsOf(c *jwtcases.Case) []string {
	var segments []string
	texts := []string{c.Query()}
	if c.TokenGen == nil {
		for _, h := range c.Headers() {
			texts = append(texts, h[1])
		}
	}
	for _, text := range texts {
		for _, segment := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n.,;=&", r) }) {
			if len(segment) >= 16 {
				segments = append(segments, segment)
			}
		}
	}
	return segments
}

// secretsOf are the segments and the texts and numbers in them.
func secretsOf(c *jwtcases.Case) []string {
	secrets := segmentsOf(c)
	for _, segment := range secrets {
		octets, err := base64.RawURLEncoding.DecodeString(segment)
		if err != nil {
			continue
		}
		var object map[string]any
		if json.Unmarshal(octets, &object) == nil {
			secrets = append(secrets, leaves(object)...)
		}
	}
	return secrets
}

// leaves are the texts and numbers of a JSON value that are no words of our own.
func leaves(value any) []string {
	switch value := value.(type) {
	case map[string]any:
		var all []string
		for _, member := range value {
			all = append(all, leaves(member)...)
		}
		return all
	case []any:
		var all []string
		for _, element := range value {
			all = append(all, leaves(element)...)
		}
		return all
	case string:
		if len(value) > 5 { // "api", "JWT", "RS256" and their like are everywhere
			return []string{value}
		}
	case float64:
		if value > 1e6 {
			return []string{fmt.Sprintf("%.0f", value)}
		}
	}
	return nil
}

// leaks looks for anything of any token in what the proxy told: its logs, at every level, its metrics and its responses.
func (cb *caseBed) leaks(t *testing.T, file *jwtcases.File) {
	t.Helper()
	waitFor(t, "the access log", func() bool { return strings.Count(cb.access.String(), `"msg":"request"`) >= len(file.Cases) })
	cb.stop() // whatever is to be logged has been
	metrics := httptest.NewRecorder()
	promhttp.HandlerFor(cb.metrics, promhttp.HandlerOpts{}).ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if !strings.Contains(metrics.Body.String(), "ostiary_") {
		t.Error("no metrics")
	}
	places := map[string]string{"logs": cb.access.String(), "metrics": metrics.Body.String(), "responses": cb.answers.String()}
	searched := 0
	for i := range file.Cases {
		c := &file.Cases[i]
		for _, secret := range secretsOf(c) {
			searched++
			for place, text := range places {
				if strings.Contains(text, secret) {
					t.Errorf("%s %s: %q is in the %s", c.ID, c.Title, secret, place)
				}
			}
		}
	}
	t.Logf("looked for %d texts in %d bytes of logs, %d of metrics and %d of responses",
		searched, len(places["logs"]), len(places["metrics"]), len(places["responses"]))
	if searched < len(file.Cases) {
		t.Errorf("looked for %d texts only", searched)
	}
}
