package server_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ostiary/ostiary/proxy"
	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
)

// engine serves HTTP/1.1 in the tests of this package.
var engine server.Engine

// TestMain runs the tests on one engine after the other.
func TestMain(m *testing.M) {
	code := 0
	for _, engine = range []server.Engine{server.EngineHTTP1, server.EngineNetHTTP} {
		fmt.Fprintln(os.Stdout, "engine", engine)
		code = max(code, m.Run())
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// handler is a server.Handler made of functions.
type handler struct {
	http.HandlerFunc
	shutdown func(ctx context.Context) error
}

// ServeHTTP1 serves the other engine by the same function.
func (h handler) ServeHTTP1(x *http1.Exchange) { h.ServeHTTP(x.ResponseWriter(), x.HTTPRequest()) }

func (h handler) RefuseHTTP1(x *http1.Exchange, err *http1.SyntaxError) {
	_ = x.Respond(err.Status, nil, "") // the connection ends either way
}

func (h handler) Shutdown(ctx context.Context) error {
	if h.shutdown == nil {
		return nil
	}
	return h.shutdown(ctx)
}

type running struct {
	*server.Server
	addresses map[string]string
	cancel    context.CancelFunc
	done      chan error
	stop      func() error
}

// run starts a server on loopback; it ends with the test, if it was not ended before.
func run(t *testing.T, opts server.Options) *running {
	t.Helper()
	r := &running{addresses: map[string]string{}, done: make(chan error, 1)}
	listening := make(chan [2]string, 2)
	opts.OnListen = func(name, address string) { listening <- [2]string{name, address} }
	opts.HTTPAddress, opts.Engine = "127.0.0.1:0", engine
	wanted := 1
	if opts.Live != nil {
		opts.HTTPSAddress = "127.0.0.1:0"
		wanted++
	}
	s, err := server.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	r.Server = s
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.done <- s.Run(ctx) }()
	for range wanted {
		l := <-listening
		r.addresses[l[0]] = l[1]
	}
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-r.done
	})
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Errorf("run: %v", err)
		}
	})
	return r
}

// dial connects for clear text with a deadline for everything.
func (r *running) dial(t *testing.T) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", r.addresses["http"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func readResponse(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

const hello = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n"

func TestNewRefusesWhatCanNotWork(t *testing.T) {
	for name, opts := range map[string]server.Options{
		"no address":               {Handler: handler{}},
		"no handler":               {HTTPAddress: ":0"},
		"TLS without certificates": {HTTPSAddress: ":0", Handler: handler{}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := server.New(opts); err == nil {
				t.Error("no error")
			}
		})
	}
}

// TestAddressInUse: a listener that can't be opened ends Run, and closes those that were opened.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	var first string
	s, err := server.New(server.Options{
		HTTPAddress: "127.0.0.1:0", HTTPSAddress: taken.Addr().String(), Handler: handler{}, Live: &proxy.Live{},
		OnListen: func(_, address string) { first = address },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "listen for https") {
		t.Errorf("error %v, want one about the https listener", err)
	}
	if conn, err := net.Dial("tcp", first); err == nil {
		_ = conn.Close()
		t.Error("the http listener stayed open")
	}
}

// TestHeadTooLarge: a head without end is not read to its end (P145).
func TestHeadTooLarge(t *testing.T) {
	r := run(t, server.Options{Handler: handler{HandlerFunc: func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") }}})
	conn, reader := r.dial(t)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: app.test\r\nX: "+strings.Repeat("a", 70_000)+"\r\n\r\n")
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge || !resp.Close {
		t.Errorf("status %d, close %t; want 431 and the end", resp.StatusCode, resp.Close)
	}
}

// TestMaxConnections: one more waits until another has gone, and does not keep the server from ending.
func TestMaxConnections(t *testing.T) {
	r := run(t, server.Options{MaxConnections: 1, Handler: handler{HandlerFunc: func(http.ResponseWriter, *http.Request) {}}})
	first, firstReader := r.dial(t)
	_, _ = io.WriteString(first, hello)
	readResponse(t, firstReader)
	second, secondReader := r.dial(t)
	_, _ = io.WriteString(second, hello)
	if err := second.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := secondReader.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the second connection was served beside the first: %v", err)
	}
	if err := second.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_ = first.Close()
	readResponse(t, bufio.NewReader(second))
	r.dial(t) // waits for the second one to go
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// TestDrain: requests in flight end well, and their connections with them; then Run returns.
func TestDrain(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	r := run(t, server.Options{Handler: handler{HandlerFunc: func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-leave
		_, _ = io.WriteString(w, "whole")
	}}})
	conn, reader := r.dial(t)
	_, _ = io.WriteString(conn, hello)
	<-entered
	r.cancel()
	waitRefused(t, r.addresses["http"])
	select {
	case err := <-r.done:
		t.Fatalf("Run returned %v with a request in flight", err)
	default:
	}
	close(leave)
	if resp, body := readResponse(t, reader); body != "whole" || !resp.Close {
		t.Errorf("body %q, close %t", body, resp.Close)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
}

// waitRefused waits until nobody listens there any more.
func waitRefused(t *testing.T, address string) {
	t.Helper()
	for range 10_000 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return
		}
		_ = conn.Close()
	}
	t.Fatal("the listener stays open")
}

// TestDrainAsksToLeave: before the listeners close, responses ask for the connection to end, but tunnels' do not.
func TestDrainAsksToLeave(t *testing.T) {
	r := run(t, server.Options{Handler: handler{HandlerFunc: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}}})
	conn, reader := r.dial(t)
	_, _ = io.WriteString(conn, hello)
	if resp, _ := readResponse(t, reader); resp.StatusCode != http.StatusEarlyHints || resp.Close {
		t.Fatalf("status %d, close %t", resp.StatusCode, resp.Close)
	}
	if resp, _ := readResponse(t, reader); resp.Close {
		t.Fatal("asked to leave before the drain")
	}
	r.Drain()
	_, _ = io.WriteString(conn, hello)
	if resp, _ := readResponse(t, reader); resp.StatusCode != http.StatusEarlyHints || resp.Close {
		t.Fatalf("status %d, close %t", resp.StatusCode, resp.Close)
	}
	if resp, _ := readResponse(t, reader); resp.StatusCode != http.StatusNoContent || !resp.Close {
		t.Errorf("status %d, close %t; want to be asked to leave", resp.StatusCode, resp.Close)
	}
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the end", err)
	}
	// The listener is open still.
	next, nextReader := r.dial(t)
	_, _ = io.WriteString(next, hello)
	readResponse(t, nextReader)
}

// TestDrainDeadline: what does not end is cut.
func TestDrainDeadline(t *testing.T) {
	entered := make(chan struct{})
	tunnels := make(chan struct{})
	r := run(t, server.Options{
		ShutdownTimeout: 50 * time.Millisecond,
		Handler: handler{
			HandlerFunc: func(_ http.ResponseWriter, r *http.Request) {
				close(entered)
				<-r.Context().Done()
			},
			shutdown: func(ctx context.Context) error {
				<-ctx.Done()
				close(tunnels)
				return ctx.Err()
			},
		},
	})
	conn, reader := r.dial(t)
	_, _ = io.WriteString(conn, hello)
	<-entered
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	<-tunnels
	if _, err := http.ReadResponse(reader, nil); err == nil {
		t.Error("a cut request got a response")
	}
}

func certificate(t *testing.T, name string, hosts ...string) routing.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return routing.Certificate{
		Pipeline: routing.ObjectKey{Namespace: "shop", Name: name},
		Secret:   routing.ObjectKey{Namespace: "shop", Name: name},
		Hosts:    hosts,
		Chain:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:      pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	}
}

func publish(live *proxy.Live, certificates ...routing.Certificate) {
	program, _ := proxy.NewProgram(routing.Config{Certificates: certificates}, proxy.Deps{Previous: live.Load()})
	live.Store(program)
}

// ok answers every request.
func ok() handler {
	return handler{HandlerFunc: func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }}
}

// TestCertificates: each name gets its own certificate, and no name gets another's.
func TestCertificates(t *testing.T) {
	live := &proxy.Live{}
	r := run(t, server.Options{Handler: ok(), Live: live})
	broken := certificate(t, "broken", "broken.test")
	broken.Key = []byte("junk")
	other := certificate(t, "mixed", "mixed.test")
	other.Key = certificate(t, "x", "x.test").Key
	publish(live,
		broken,
		certificate(t, "exact", "app.test"),
		routing.Certificate{Hosts: []string{"missing.test"}, Secret: routing.ObjectKey{Namespace: "shop", Name: "missing"}},
		other,
		certificate(t, "wild", "*.shop.test"),
	)
	const unrecognized = "unrecognized name"
	for name, want := range map[string]string{
		"app.test": "exact", "APP.test": "exact", "a.shop.test": "wild",
		"":              unrecognized,
		"a.b.shop.test": unrecognized, "shop.test": unrecognized, "other.test": unrecognized,
		"broken.test": unrecognized, "missing.test": unrecognized, "mixed.test": unrecognized,
	} {
		t.Run("name "+name, func(t *testing.T) {
			conn, err := tls.Dial("tcp", r.addresses["https"], &tls.Config{ServerName: name, InsecureSkipVerify: true})
			if err != nil {
				if want != unrecognized || !strings.Contains(err.Error(), unrecognized) {
					t.Errorf("handshake: %v, want %s", err, want)
				}
				return
			}
			defer conn.Close()
			if got := conn.ConnectionState().PeerCertificates[0].Subject.CommonName; got != want {
				t.Errorf("certificate of %q, want %s", got, want)
			}
		})
	}
	t.Run("nothing below TLS 1.2", func(t *testing.T) {
		if conn, err := tls.Dial("tcp", r.addresses["https"], &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11}); err == nil {
			_ = conn.Close()
			t.Error("TLS 1.1 was spoken")
		}
	})
}

// TestALPN offers HTTP/2 and HTTP/1.1 by TLS.
func TestALPN(t *testing.T) {
	live := &proxy.Live{}
	r := run(t, server.Options{Handler: ok(), Live: live})
	publish(live, certificate(t, "exact", "app.test"))
	for offer, want := range map[string]string{"h2": "h2", "http/1.1": "http/1.1"} {
		conn, err := tls.Dial("tcp", r.addresses["https"], &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, NextProtos: []string{offer}})
		if err != nil {
			t.Fatal(err)
		}
		if got := conn.ConnectionState().NegotiatedProtocol; got != want {
			t.Errorf("negotiated %q, want %q", got, want)
		}
		_ = conn.Close()
	}
}

// TestSessionsEndWithTheirCertificate: a session is resumed as long as its certificate is there, and neither for another
// name nor once it was replaced or taken away.
func TestSessionsEndWithTheirCertificate(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			live := &proxy.Live{}
			r := run(t, server.Options{Handler: ok(), Live: live})
			app, other := certificate(t, "app", "app.test"), certificate(t, "other", "other.test")
			publish(live, app, other)
			cache := &oneSession{}
			connect := func(name string) (resumed bool, err error) {
				conn, err := tls.Dial("tcp", r.addresses["https"], &tls.Config{ServerName: name, InsecureSkipVerify: true, MaxVersion: version, ClientSessionCache: cache})
				if err != nil {
					return false, err
				}
				defer conn.Close()
				// The ticket of TLS 1.3 comes behind the handshake, so wait for a response.
				fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", name)
				if _, err := io.ReadAll(conn); err != nil {
					return false, err
				}
				return conn.ConnectionState().DidResume, nil
			}
			steps := []struct {
				what    string
				change  func()
				name    string
				resumed bool
				fails   bool
			}{
				{"first", func() {}, "app.test", false, false},
				{"again", func() {}, "app.test", true, false},
				{"after a swap that changes nothing", func() { publish(live, app, other) }, "app.test", true, false},
				{"for another name", func() {}, "other.test", false, false},
				{"first again", func() {}, "app.test", false, false},
				{"for a name without a certificate", func() {}, "nobody.test", false, true},
				{"after the certificate was replaced", func() { publish(live, certificate(t, "app", "app.test"), other) }, "app.test", false, false},
				{"after the certificate was taken away", func() { publish(live, other) }, "app.test", false, true},
			}
			for _, s := range steps {
				s.change()
				resumed, err := connect(s.name)
				if resumed != s.resumed || (err != nil) != s.fails {
					t.Errorf("%s: resumed %t, error %v; want %t, fails %t", s.what, resumed, err, s.resumed, s.fails)
				}
			}
		})
	}
}

// oneSession offers the last session whatever the name is, as an attacker's client would.
type oneSession struct{ state *tls.ClientSessionState }

func (c *oneSession) Get(string) (*tls.ClientSessionState, bool) { return c.state, c.state != nil }
func (c *oneSession) Put(_ string, state *tls.ClientSessionState) {
	if state != nil {
		c.state = state
	}
}
