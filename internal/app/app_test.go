package app

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/internal/mint"
)

const patience = 20 * time.Second

// TestMain defines -update, so that it is no package variable.
func TestMain(m *testing.M) {
	flag.Bool("update", false, "write the golden files anew")
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// screen is where a command under test prints; it may be read meanwhile.
type screen struct {
	mu     sync.Mutex
	text   bytes.Buffer
	change chan struct{}
}

func newScreen() *screen { return &screen{change: make(chan struct{}, 1)} }

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		select {
		case s.change <- struct{}{}:
		default:
		}
	}()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// find waits until the screen shows a match and returns its first group.
func (s *screen) find(t *testing.T, pattern string) string {
	t.Helper()
	expression := regexp.MustCompile(pattern)
	deadline := time.After(patience)
	for {
		if match := expression.FindStringSubmatch(s.String()); match != nil {
			return match[len(match)-1]
		}
		select {
		case <-s.change:
		case <-deadline:
			t.Fatalf("the screen never shows %s; it shows:\n%s", pattern, s)
		}
	}
}

// command is a running command.
type command struct {
	screen *screen
	stop   context.CancelFunc
	code   chan int
}

func startCommand(t *testing.T, args ...string) *command {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c := &command{screen: newScreen(), stop: stop, code: make(chan int, 1)}
	go func() { c.code <- run(ctx, args, streams{in: strings.NewReader(""), out: c.screen, err: c.screen}) }()
	t.Cleanup(func() { c.end(t) })
	return c
}

// end asks the command to end and waits; it must have done well. It may be called twice.
func (c *command) end(t *testing.T) {
	t.Helper()
	c.stop()
	select {
	case code, ok := <-c.code:
		if ok && code != exitOK {
			t.Errorf("the command ended with %d and printed:\n%s", code, c.screen)
		}
		if ok {
			close(c.code)
		}
	case <-time.After(patience):
		t.Fatalf("the command doesn't end; it printed:\n%s", c.screen)
	}
}

func output(t *testing.T, args ...string) (string, int) {
	t.Helper()
	s := newScreen()
	code := run(t.Context(), args, streams{in: strings.NewReader(""), out: s, err: s})
	return s.String(), code
}

func get(t *testing.T, url, token string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

func wantStatus(t *testing.T, url, token string, want int) {
	t.Helper()
	deadline := time.After(patience)
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		status, body := get(t, url, token)
		if status == want {
			return
		}
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("%s answers %d %s, want %d", url, status, body, want)
		}
	}
}

// listenAnywhere are the flags of a data plane on free loopback ports.
func listenAnywhere() []string {
	return []string{"--http-address=127.0.0.1:0", "--https-address=", "--admin-address=127.0.0.1:0", "--debug-address=127.0.0.1:0", "--drain-delay=0s"}
}

func TestQuickstartPrintsRequestsThatWork(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "samples")
	c := startCommand(t, append(listenAnywhere(), "--upstream-address=127.0.0.1:0", "--directory="+directory, "quickstart")...)
	c.screen.find(t, `(Ctrl-C ends it)`)
	url := c.screen.find(t, `curl -i (http://\S+/orders/7) -H`)
	token := c.screen.find(t, `Authorization: Bearer ([^']+)'`)
	if status, body := get(t, url, token); status != http.StatusOK || !strings.Contains(body, `"X-Consumer-Username"`) || strings.Contains(body, token) {
		t.Errorf("with the token: got %d %s, want 200 of the sample upstream, with the consumer and without the token", status, body)
	}
	if status, _ := get(t, url, ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: got %d, want 401", status)
	}
	if status, _ := get(t, strings.Replace(url, "/orders/7", "/public", 1), ""); status != http.StatusOK {
		t.Errorf("the public path: got %d, want 200", status)
	}

	// The commands that it prints change the key; the old one is retained.
	key := filepath.Join(directory, "acme.key")
	secret, code := output(t, "keygen", "--secret=acme-jwt", "--private-key="+key)
	if code != exitOK {
		t.Fatalf("keygen ends with %d: %s", code, secret)
	}
	write(t, filepath.Join(directory, "secret.yaml"), secret)
	fresh, code := output(t, "mint", "--private-key="+key, "--claim=sub=acme", "--claim=aud=orders-api")
	if code != exitOK {
		t.Fatalf("mint ends with %d: %s", code, fresh)
	}
	wantStatus(t, url, strings.TrimSpace(fresh), http.StatusOK)
	if status, _ := get(t, url, token); status != http.StatusOK {
		t.Errorf("a token of the replaced key: got %d, want 200", status)
	}
	c.end(t)

	// A second start keeps the files, and says how to reach what is served.
	again := startCommand(t, append(listenAnywhere(), "--upstream-address=127.0.0.1:0", "--directory="+directory, "quickstart")...)
	wantStatus(t, again.screen.find(t, `curl -i (http://\S+/orders/7) -H`), "", http.StatusUnauthorized)
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// manifests is a protected and a public route to an upstream.
func manifests(t *testing.T, upstreamURL string, key mint.Key) map[string]string {
	t.Helper()
	secret, err := secretManifest("", "acme-jwt", "key", key.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"secret.yaml": string(secret),
		"consumer.yaml": `
apiVersion: ostiary.dev/v1alpha1
kind: Consumer
metadata: {name: acme}
---
apiVersion: ostiary.dev/v1alpha1
kind: JWTCredential
metadata: {name: acme}
spec:
  consumerRef: {name: acme}
  algorithms: [ES256]
  keys: [{name: current, secretKeyRef: {name: acme-jwt, key: key}}]
`,
		"pipeline.yaml": fmt.Sprintf(`
apiVersion: ostiary.dev/v1alpha1
kind: ServiceEndpoint
metadata: {name: api}
spec: {urls: [%q]}
---
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: api}
spec:
  apiEndpoints: [{name: all, paths: [{type: PathPrefix, value: /api}]}]
  policies:
  - {name: auth, type: JWT, jwt: {audienceMatchPolicy: Ignore}}
  - {name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: api}}}
`, upstreamURL),
	}
}

func newDirectory(t *testing.T, files map[string]string) string {
	t.Helper()
	directory := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(directory, name), content)
	}
	return directory
}

func newKeyAndToken(t *testing.T) (mint.Key, string) {
	t.Helper()
	key, err := mint.NewKey("ES256")
	if err != nil {
		t.Fatal(err)
	}
	token, err := mintToken("ES256", key.Private, "", []string{"sub=acme"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return key, token
}

func TestServeFollowsItsFiles(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "upstream") }))
	defer upstream.Close()
	key, token := newKeyAndToken(t)
	files := manifests(t, upstream.URL, key)
	directory := newDirectory(t, files)
	c := startCommand(t, append(listenAnywhere(), "serve", "--manifests="+directory)...)
	url := "http://" + c.screen.find(t, `ready: http +(\S+)`) + "/api"
	if status, body := get(t, url, token); status != http.StatusOK || body != "upstream" {
		t.Fatalf("with a token: got %d %s, want 200 of the upstream", status, body)
	}
	admin := "http://" + c.screen.find(t, `ready: admin +(\S+)`)
	if _, body := get(t, admin+"/metrics", ""); !strings.Contains(body, "ostiary_requests_total") {
		t.Errorf("/metrics doesn't count requests:\n%s", body)
	}
	wantStatus(t, admin+"/readyz", "", http.StatusOK)
	debug := "http://" + c.screen.find(t, `ready: debug +(\S+)`)
	if status, body := get(t, debug+"/debug/status", ""); status != http.StatusOK || strings.Contains(body, string(key.Verifier)) {
		t.Errorf("/debug/status: got %d %s", status, body)
	}
	if _, body := get(t, debug+"/debug/keys", ""); !strings.Contains(body, `"lastUsed"`) || strings.Contains(body, string(key.Verifier)) {
		t.Errorf("/debug/keys doesn't say when the key was used:\n%s", body)
	}

	nextKey, nextToken := newKeyAndToken(t)
	write(t, filepath.Join(directory, "secret.yaml"), manifests(t, upstream.URL, nextKey)["secret.yaml"])
	wantStatus(t, url, nextToken, http.StatusOK)
	if status, _ := get(t, url, token); status != http.StatusOK {
		t.Errorf("a token of the replaced key: got %d, want 200", status)
	}

	if err := os.Remove(filepath.Join(directory, "secret.yaml")); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, url, nextToken, http.StatusUnauthorized)
	c.screen.find(t, `(SecretNotFound)`)

	// What the API server would refuse leaves the last valid version serving.
	write(t, filepath.Join(directory, "pipeline.yaml"), strings.Replace(files["pipeline.yaml"], "type: Proxy", "type: Prxy", 1))
	c.screen.find(t, `(supported values: "JWT")`)
	wantStatus(t, url, "", http.StatusUnauthorized)
}

func TestServeFinishesWhatIsInFlight(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = io.WriteString(w, "finished")
	}))
	defer upstream.Close()
	key, token := newKeyAndToken(t)
	c := startCommand(t, append(listenAnywhere(), "serve", "--drain-delay=300ms", "--manifests="+newDirectory(t, manifests(t, upstream.URL, key)))...)
	url := "http://" + c.screen.find(t, `ready: http +(\S+)`) + "/api"
	admin := "http://" + c.screen.find(t, `ready: admin +(\S+)`)
	answer := make(chan string, 1)
	go func() {
		status, body := get(t, url, token)
		answer <- fmt.Sprint(status, " ", body)
	}()
	<-arrived
	c.stop()
	wantStatus(t, admin+"/readyz", "", http.StatusServiceUnavailable)
	if status, _ := get(t, admin+"/healthz", ""); status != http.StatusOK {
		t.Errorf("/healthz while draining: got %d, want 200", status)
	}
	close(release)
	if got := <-answer; got != "200 finished" {
		t.Errorf("the request in flight got %q, want 200 finished", got)
	}
	c.end(t)
}

// TestServeStartsWithWholeManifestsOnly: where a protected Pipeline is refused and there is no version of before, a
// broader one that is public would take its requests.
func TestServeStartsWithWholeManifestsOnly(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "upstream") }))
	defer upstream.Close()
	key, token := newKeyAndToken(t)
	files := manifests(t, upstream.URL, key)
	good := files["pipeline.yaml"]
	files["pipeline.yaml"] = strings.Replace(good, "type: JWT", "type: JWTT", 1)
	files["public.yaml"] = `
apiVersion: ostiary.dev/v1alpha1
kind: Pipeline
metadata: {name: public}
spec:
  apiEndpoints: [{name: all, paths: [{type: PathPrefix, value: /}]}]
  policies: [{name: backend, type: Proxy, proxy: {serviceEndpointRef: {name: api}}}]
`
	directory := newDirectory(t, files)
	c := startCommand(t, append(listenAnywhere(), "serve", "--log-format=json", "--manifests="+directory)...)
	c.screen.find(t, `(supported values: "JWT")`)
	c.screen.find(t, `(nothing is served until no Pipeline)`)

	write(t, filepath.Join(directory, "pipeline.yaml"), good)
	url := "http://" + c.screen.find(t, `ready: http +(\S+)`) + "/api"
	wantStatus(t, url, token, http.StatusOK)
	wantStatus(t, url, "", http.StatusUnauthorized)
}

// TestServeStartsWithoutWhatOnlyLetsIn: a refused Consumer lets nobody in, so the rest may start.
func TestServeStartsWithoutWhatOnlyLetsIn(t *testing.T) {
	key, token := newKeyAndToken(t)
	files := manifests(t, "http://127.0.0.1:1", key)
	files["consumer.yaml"] = strings.Replace(files["consumer.yaml"], "algorithms: [ES256]", "algorithms: [none]", 1)
	c := startCommand(t, append(listenAnywhere(), "serve", "--manifests="+newDirectory(t, files))...)
	wantStatus(t, "http://"+c.screen.find(t, `ready: http +(\S+)`)+"/api", token, http.StatusUnauthorized)
}

// TestOwnListenersAreNoBackends: metrics, debug pages and profiles can't be reached through a route.
func TestOwnListenersAreNoBackends(t *testing.T) {
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "upstream") }))
	defer upstream.Close()
	key, token := newKeyAndToken(t)
	directory := newDirectory(t, manifests(t, upstream.URL, key))
	c := startCommand(t, append(listenAnywhere(), "serve", "--manifests="+directory)...)
	url := "http://" + c.screen.find(t, `ready: http +(\S+)`) + "/api"
	for _, listener := range []string{"http", "admin", "debug"} {
		own := "http://" + c.screen.find(t, `ready: `+listener+` +(\S+)`)
		write(t, filepath.Join(directory, "pipeline.yaml"), manifests(t, own, key)["pipeline.yaml"])
		wantStatus(t, url, token, http.StatusBadGateway)
		write(t, filepath.Join(directory, "pipeline.yaml"), manifests(t, upstream.URL, key)["pipeline.yaml"])
		wantStatus(t, url, token, http.StatusOK)
	}
}

func TestServeFailsWhereItCannotListen(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	address := taken.Listener.Addr().String()
	directory := t.TempDir()
	for _, listener := range []string{"--http-address", "--admin-address", "--debug-address"} {
		said, code := output(t, append(listenAnywhere(), "serve", "--manifests="+directory, listener+"="+address)...)
		if code != exitFailed || !strings.Contains(said, "address already in use") {
			t.Errorf("%s on a taken port: exit code %d and %s, want 1 and the reason", listener, code, said)
		}
	}
}

func TestCheck(t *testing.T) {
	key, _ := newKeyAndToken(t)
	good := manifests(t, "http://127.0.0.1:1", key)
	changed := func(file, old, replacement string) map[string]string {
		files := maps.Clone(good)
		files[file] = strings.Replace(files[file], old, replacement, 1)
		return files
	}
	for name, tc := range map[string]struct {
		files    map[string]string
		wantCode int
		want     string
	}{
		"nothing to say":      {good, exitOK, "nothing refused"},
		"unknown field":       {changed("pipeline.yaml", "apiEndpoints", "apiEndpoint"), exitFindings, "did you mean"},
		"unknown value":       {changed("pipeline.yaml", "PathPrefix", "Prefix"), exitFindings, `supported values: "Exact", "PathPrefix", "RegularExpression"`},
		"broken protection":   {changed("pipeline.yaml", "audienceMatchPolicy: Ignore", "credentials: {selector: {matchExpressions: [{key: a, operator: In}]}}"), exitFindings, "503"},
		"a missing Secret":    {changed("secret.yaml", "acme-jwt", "other"), exitOK, "SecretNotFound"},
		"no YAML":             {changed("secret.yaml", "kind:", "\tkind:"), exitFindings, "secret.yaml"},
		"a duplicate of keys": {changed("secret.yaml", "kind: Secret", "kind: Secret\nkind: Secret"), exitFindings, "secret.yaml"},
	} {
		t.Run(name, func(t *testing.T) {
			said, code := output(t, "check", newDirectory(t, tc.files))
			if code != tc.wantCode || !strings.Contains(said, tc.want) {
				t.Errorf("got exit code %d and\n%s\nwant %d and %q", code, said, tc.wantCode, tc.want)
			}
			if strings.Contains(said, string(key.Verifier)) {
				t.Error("it prints a key")
			}
		})
	}
}

// A private key is for its owner alone, whoever could read the file that it replaces.
func TestKeysAreForTheirOwnerAlone(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "acme.pem")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	reader, err := os.Open(path) // someone who opened the old file must not see the new key
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if text, code := output(t, "keygen", "--secret", "acme-jwt", "--private-key", path); code != exitOK {
		t.Fatalf("keygen ended with %d: %s", code, text)
	}
	if old, err := io.ReadAll(reader); err != nil || string(old) != "old" {
		t.Errorf("who opened the file before reads something else, %v", err)
	}
	wantPrivate(t, path)
	if err := os.WriteFile(filepath.Join(directory, "secret.yaml"), []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := writeQuickstart(directory, quickstartUpstream); err != nil {
		t.Fatal(err)
	}
	wantPrivate(t, filepath.Join(directory, "secret.yaml"))
	wantPrivate(t, filepath.Join(directory, "acme.key"))
	left, err := filepath.Glob(filepath.Join(directory, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %q, %v", left, err)
	}
	for name, path := range map[string]string{
		"a directory that is absent": filepath.Join(directory, "absent", "a.pem"),
		"a directory":                directory,
		"a device":                   os.DevNull,
	} {
		if _, code := output(t, "keygen", "--secret", "acme-jwt", "--private-key", path); code == exitOK {
			t.Errorf("a private key was written to %s", name)
		}
	}
}

func wantPrivate(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != 0o600 {
		t.Errorf("%s has mode %o, want 600", filepath.Base(path), mode)
	}
}

func TestMistakesOfCommands(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	if said, code := output(t, "keygen", "--secret=a", "--private-key="+keyFile); code != exitOK {
		t.Fatalf("keygen: %d %s", code, said)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no listener":              {[]string{"serve", "--manifests=.", "--http-address=", "--https-address="}, "set one of them"},
		"debug for everybody":      {[]string{"serve", "--manifests=.", "--debug-address=:9091"}, "not a loopback address"},
		"log level":                {[]string{"serve", "--manifests=.", "--log-level=loud"}, "write debug, info, warn or error"},
		"log format":               {[]string{"serve", "--manifests=.", "--log-format=xml"}, "write text or json"},
		"access log":               {[]string{"serve", "--manifests=.", "--access-log=some"}, "write off or all"},
		"redirect port":            {[]string{"serve", "--manifests=.", "--redirect-port=0"}, "write a port"},
		"token cache":              {[]string{"serve", "--manifests=.", "--token-cache=much"}, "write a number of bytes"},
		"negative token cache":     {[]string{"serve", "--manifests=.", "--token-cache=-1"}, "or 0 for no cache"},
		"negative drain":           {[]string{"serve", "--manifests=.", "--drain-delay=-1s"}, "can't be negative"},
		"manifests are required":   {[]string{"serve"}, `"manifests"`},
		"no such directory":        {append(listenAnywhere(), "serve", "--manifests=/no/such/directory"), "/no/such/directory"},
		"check needs a path":       {[]string{"check"}, "requires at least 1 arg"},
		"claim without value":      {[]string{"mint", "--private-key=" + keyFile, "--claim=sub"}, "write NAME=VALUE"},
		"key of another kind":      {[]string{"mint", "--private-key=" + keyFile, "--algorithm=RS256"}, "give a key made for that algorithm"},
		"unknown algorithm":        {[]string{"keygen", "--secret=a", "--private-key=" + keyFile + "2", "--algorithm=none"}, "use one of"},
		"unknown command":          {[]string{"srve"}, "unknown command"},
		"no cluster":               {[]string{"controller", "--kubeconfig=/no/such/file", "--pod-name=a", "--pod-namespace=b"}, "find the cluster"},
		"election without a place": {[]string{"controller", "--pod-name=a", "--pod-namespace="}, "--leader-election=Disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			said, code := output(t, tc.args...)
			if code != exitFailed || !strings.Contains(said, tc.want) {
				t.Errorf("got exit code %d and %s, want %d and %q", code, said, exitFailed, tc.want)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	if said, code := output(t, "version"); code != exitOK || !strings.HasPrefix(said, "ostiary ") {
		t.Errorf("got %d %s", code, said)
	}
}
