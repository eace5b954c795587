package proxy_test

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	jwtlib "github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/jose"
	"github.com/ostiary/ostiary/proxy/jwks"
	"github.com/ostiary/ostiary/proxy/jwt"
	"github.com/ostiary/ostiary/proxy/keyring"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
	"github.com/ostiary/ostiary/proxy/upstream"
)

// engine serves HTTP/1.1 in the beds of this package.
var engine server.Engine

// engines are those that every test is run on.
func engines() map[string]server.Engine {
	return map[string]server.Engine{"http1": server.EngineHTTP1, "nethttp": server.EngineNetHTTP}
}

// TestMain runs the tests on one engine after the other: what they expect is the same of both, but for what
// engineDifferences names. OSTIARY_TEST_ENGINE chooses one.
func TestMain(m *testing.M) {
	only := os.Getenv("OSTIARY_TEST_ENGINE")
	flag.Parse()
	if flag.Lookup("test.fuzz").Value.String() != "" || flag.Lookup("test.bench").Value.String() != "" {
		only = cmp.Or(only, "http1")
	}
	if _, known := engines()[only]; only != "" && !known { // else nothing would be run, and all would be well
		fmt.Fprintf(os.Stderr, "OSTIARY_TEST_ENGINE: no engine %q\n", only)
		os.Exit(2)
	}
	code := 0
	for _, name := range slices.Sorted(maps.Keys(engines())) {
		if only != "" && only != name {
			continue
		}
		fmt.Fprintln(os.Stdout, "engine", name)
		engine = engines()[name]
		code = max(code, m.Run())
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

const (
	secret   = "correct-horse-battery-staple-and-more-0123456789"
	audience = "orders-api"
)

// clock is what the bed's handler takes for now.
func clock() time.Time { return time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC) }

// bed is the whole data plane on loopback.
type bed struct {
	live      *proxy.Live
	ring      *keyring.Keyring
	cache     *jwt.Cache
	upstreams *upstream.Registry
	keySets   *jwks.Registry // nil, unless a test gives one
	metrics   *prometheus.Registry
	handler   *proxy.Handler
	server    *server.Server
	access    *lines
	http      string
	https     string
	roots     *x509.CertPool
	tls       routing.Certificate
	leaving   atomic.Bool
	stop      func()
}

// lines collects what a logger writes.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func newBed(t testing.TB) *bed {
	t.Helper()
	return newBedAt(t, clock)
}

// newBedAt is a bed with a clock of its own.
func newBedAt(t testing.TB, now func() time.Time) *bed {
	t.Helper()
	b := &bed{
		live:    &proxy.Live{},
		ring:    keyring.New(),
		cache:   jwt.NewCache(jwt.CacheOptions{Bytes: 1 << 20}),
		metrics: prometheus.NewRegistry(),
		access:  &lines{},
		roots:   x509.NewCertPool(),
	}
	b.upstreams = upstream.NewRegistry(upstream.Options{Loopback: upstream.LoopbackAllow, Metrics: b.metrics})
	faults := slog.New(slog.NewTextHandler(b.access, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.handler = proxy.NewHandler(proxy.Options{
		Live:      b.live,
		Log:       faults,
		AccessLog: slog.New(slog.NewJSONHandler(b.access, nil)),
		Metrics:   b.metrics,
		Now:       now,
	})
	listening := make(chan [2]string, 2)
	var err error
	b.server, err = server.New(server.Options{
		HTTPAddress:     "127.0.0.1:0",
		HTTPSAddress:    "127.0.0.1:0",
		Handler:         b.handler,
		Engine:          engine,
		Live:            b.live,
		Log:             faults,
		ShutdownTimeout: 5 * time.Second,
		OnListen:        func(name, address string) { listening <- [2]string{name, address} },
	})
	if err != nil {
		t.Fatalf("new server: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.server.Run(ctx) }()
	for range 2 {
		switch l := <-listening; l[0] {
		case "http":
			b.http = l[1]
		case "https":
			b.https = l[1]
		}
	}
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		b.upstreams.Close()
	})
	t.Cleanup(b.stop)
	return b
}

// publish makes a configuration live, as the controllers do.
func (b *bed) publish(t testing.TB, cfg routing.Config) []routing.Problem {
	t.Helper()
	b.upstreams.Apply(cfg.Upstreams)
	program, problems := proxy.NewProgram(cfg, proxy.Deps{
		Keyring: b.ring, Upstreams: b.upstreams, KeySets: b.keySets, TokenCache: b.cache, Previous: b.live.Load(),
	})
	b.live.Store(program)
	return problems
}

// serve makes a configuration live that must have no problem.
func (b *bed) serve(t testing.TB, cfg routing.Config) {
	t.Helper()
	if problems := b.publish(t, cfg); len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
}

// certificate makes a server certificate for these hosts, which clients of the bed trust.
func (b *bed) certificate(t testing.TB, pipeline string, hosts ...string) routing.Certificate {
	t.Helper()
	chain, key := newCertificate(t, hosts...)
	b.roots.AppendCertsFromPEM(chain)
	slices.Sort(hosts)
	return routing.Certificate{
		Pipeline: key2(pipeline),
		Secret:   key2(pipeline + "-tls"),
		Hosts:    hosts,
		Chain:    chain,
		Key:      key,
	}
}

func newCertificate(t testing.TB, hosts ...string) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: hosts[0]},
		DNSNames:              hosts,
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

func key2(name string) routing.ObjectKey { return routing.ObjectKey{Namespace: "shop", Name: name} }

// credential puts the one consumer's credential into the keyring.
func (b *bed) credential(t testing.TB) {
	t.Helper()
	keys, problems, _ := jose.Parse([]byte(secret), jose.Options{Format: jose.FormatOctets, Algorithms: []jose.Algorithm{jose.HS256}})
	if len(problems) > 0 || len(keys) != 1 {
		t.Fatalf("parse the secret: %v", problems)
	}
	b.ring.Set(&keyring.Entry{
		Key:   key2("acme-orders"),
		KeyID: "acme-orders",
		State: keyring.StateActive,
		Consumer: keyring.NewConsumer(keyring.Consumer{
			Key: key2("acme"), UID: "7a1c", Username: "acme", CustomID: "crm-4711",
			Groups: []string{"partners", "gold"}, State: keyring.StateActive,
		}),
		Keys: keyring.Keys(keys...),
	})
}

type claims map[string]any

// token signs claims over a good set: an empty value takes a claim away.
func token(t testing.TB, with claims) string {
	t.Helper()
	all := jwtlib.MapClaims{"sub": "acme-orders", "aud": audience, "exp": clock().Add(time.Minute).Unix()}
	for name, value := range with {
		all[name] = value
		if value == nil {
			delete(all, name)
		}
	}
	signed, err := jwtlib.NewWithClaims(jwtlib.SigningMethodHS256, all).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// backend is an upstream that remembers what it saw.
type backend struct {
	*httptest.Server
	addr netip.AddrPort

	mu   sync.Mutex
	seen []*http.Request
}

// newBackend starts an upstream; a nil handler echoes.
func newBackend(t testing.TB, handler http.HandlerFunc) *backend {
	t.Helper()
	b := &backend{}
	if handler == nil {
		handler = func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return
			}
			w.Header().Set("X-Backend", "echo")
			_, _ = w.Write(body)
		}
	}
	b.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, r.Clone(context.Background()))
		b.mu.Unlock()
		handler(w, r)
	}))
	b.Config.Protocols = &http.Protocols{}
	b.Config.Protocols.SetHTTP1(true)
	b.Config.Protocols.SetUnencryptedHTTP2(true)
	b.Config.DisableGeneralOptionsHandler = true
	b.Start()
	t.Cleanup(b.Close)
	b.addr = netip.MustParseAddrPort(b.Listener.Addr().String())
	return b
}

// requests returns what the upstream saw since the last call.
func (b *backend) requests() []*http.Request {
	b.mu.Lock()
	defer b.mu.Unlock()
	seen := b.seen
	b.seen = nil
	return seen
}

// one returns the only request that the upstream saw.
func (b *backend) one(t testing.TB) *http.Request {
	t.Helper()
	seen := b.requests()
	if len(seen) != 1 {
		t.Fatalf("upstream saw %d requests, want 1", len(seen))
	}
	return seen[0]
}

// route is a Pipeline with one match.
func route(name, host, path string, edit func(*routing.Pipeline)) routing.Pipeline {
	p := routing.Pipeline{
		Key:      key2(name),
		Insecure: routing.InsecureServe,
		Matches:  []routing.Match{{Endpoint: "main", Host: host, Path: routing.PathMatch{Type: routing.PathPrefix, Value: path}}},
		Proxy:    &routing.Proxy{Upstream: key2("backend")},
	}
	if edit != nil {
		edit(&p)
	}
	return p
}

// protected gives a Pipeline a token policy.
func protected(p *routing.Pipeline) {
	p.JWT = &routing.JWT{
		Namespace:     "shop",
		Lookup:        routing.Lookup{Type: routing.LookupClaim, Name: "sub"},
		Audiences:     []string{audience},
		TokenSources:  []routing.TokenSource{{Type: routing.SourceAuthorization, Name: "Bearer"}},
		MaxTokenBytes: 8192,
		Realm:         p.Key.Name,
	}
}

// to is the upstream "backend" with one Service behind it.
func to(protocol routing.UpstreamProtocol) routing.Upstream {
	return routing.Upstream{
		Key:            key2("backend"),
		Protocol:       protocol,
		Backends:       []routing.Backend{{Service: key2("svc"), Port: 80, Weight: 1, ServerName: "backend.test"}},
		ConnectTimeout: 2 * time.Second,
		RequestTimeout: 5 * time.Second,
		IdleTimeout:    30 * time.Second,
	}
}

// endpoints gives the upstream "backend" these addresses.
func (b *bed) endpoints(addrs ...netip.AddrPort) {
	b.upstreams.SetEndpoints(key2("svc"), map[int32][]netip.AddrPort{80: addrs})
}

// raw sends bytes on a new connection and returns the response with its body read, and whether the connection was
// closed after it.
func (b *bed) raw(t testing.TB, request string) (resp *http.Response, body string, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", b.http)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return exchange(t, conn, request)
}

func exchange(t testing.TB, conn net.Conn, request string) (resp *http.Response, body string, closed bool) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	reader := bufio.NewReader(conn)
	resp, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("read the response: %v", err)
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return resp, string(data), resp.Close
}

// client speaks one protocol to the bed, whatever the host of the URL.
func (b *bed) client(t testing.TB, protocol string) *http.Client {
	t.Helper()
	protocols := &http.Protocols{}
	switch protocol {
	case "http/1.1":
		protocols.SetHTTP1(true)
	case "h2":
		protocols.SetHTTP2(true)
	case "h2c":
		protocols.SetUnencryptedHTTP2(true)
	default:
		t.Fatalf("no protocol %q", protocol)
	}
	transport := &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{RootCAs: b.roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, err
			}
			to := b.http
			if port == "443" {
				to = b.https
			}
			return (&net.Dialer{}).DialContext(ctx, network, to)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// do sends a request and reads the whole response.
func do(t testing.TB, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("read the body: %v", err)
	}
	return resp, string(body)
}

func request(t testing.TB, method, target string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, target, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// refusingAddress is one that nothing listens on.
func refusingAddress(t testing.TB) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return netip.MustParseAddrPort(l.Addr().String())
}

// record waits for the next record of the access log after before.
func (b *bed) record(t testing.TB, before string) map[string]any {
	t.Helper()
	var record map[string]any
	waitFor(t, "the access log's record", func() bool {
		for line := range strings.Lines(b.access.String()[len(before):]) {
			if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "\n") {
				if err := json.Unmarshal([]byte(line), &record); err != nil {
					t.Fatalf("record %q: %v", line, err)
				}
				return true
			}
		}
		return false
	})
	return record
}

// waitFor waits until the condition holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
