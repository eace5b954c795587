package http1_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
)

func tlsConfig(t testing.TB, protocols ...string) *tls.Config {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app.test"}, DNSNames: []string{"app.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, NextProtos: protocols, MinVersion: tls.VersionTLS12,
	}
}

func (b *bed) dialTLS(t testing.TB, protocols ...string) *client {
	t.Helper()
	conn, err := tls.Dial("tcp", b.address, &tls.Config{ServerName: "app.test", InsecureSkipVerify: true, NextProtos: protocols})
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func TestTLS(t *testing.T) {
	b := serve(t, http1.ServerOptions{TLS: tlsConfig(t, "http/1.1")}, handler{serve: func(x *http1.Exchange) {
		body, err := io.ReadAll(bodyOf(x))
		if err != nil {
			t.Errorf("read: %v", err)
		}
		state := x.TLS()
		if _, ok := x.Conn().TCP(); ok || state != x.TLS() {
			t.Error("bare TCP, or a copy of the state each time")
		}
		_ = x.Respond(200, nil, x.TLS().ServerName+" "+x.RemoteAddr().String()+" "+string(body))
	}})
	c := b.dialTLS(t, "http/1.1")
	who := "app.test " + c.LocalAddr().String() + " "
	c.silent()
	for range 3 {
		c.send(hello)
		c.expect(ok(who))
		c.send(counted + "5\r\n\r\nhello" + hello)
		c.expect(ok(who+"hello") + ok(who))
	}
	for _, one := range hello {
		c.send(string(one))
	}
	c.expect(ok(who))
	long := strings.Repeat("long", 50_000)
	go c.send(counted + "200000\r\nX: " + strings.Repeat("x", 40_000) + "\r\n\r\n" + long)
	c.expect(ok(who + long))
	c.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
	c.expect(ok(who, closes))
	c.end()
}

// TestTLSEnds: answers before the body, time-outs, cuts and shutdown are with TLS as without.
func TestTLSEnds(t *testing.T) {
	cause := make(chan error, 1)
	b := serve(t, http1.ServerOptions{TLS: tlsConfig(t), ReadHeaderTimeout: 200 * time.Millisecond, IdleTimeout: time.Hour}, handler{serve: func(x *http1.Exchange) {
		switch x.Request.Target {
		case "/wait":
			<-x.Context().Done()
			cause <- context.Cause(x.Context())
			return
		case "/abort":
			_ = x.Write([]byte("HTTP/1.0 200 OK\r\n\r\nhalf"))
			x.Abort()
			return
		}
		_ = x.Respond(200, nil, "")
	}})
	gone := b.dialTLS(t)
	gone.send(strings.Replace(hello, "/", "/wait", 1))
	_ = gone.Close()
	if err := <-cause; !errors.Is(err, http1.ErrClientGone) {
		t.Errorf("cause %v", err)
	}

	early := b.dialTLS(t)
	early.send(counted + "100000\r\n\r\n")
	early.expect(ok("", closes))
	early.send(strings.Repeat("x", 100_000))
	early.end()

	silent := b.dialTLS(t)
	silent.end()

	aborted := b.dialTLS(t)
	aborted.send(strings.Replace(hello, "/", "/abort", 1))
	aborted.expect("HTTP/1.0 200 OK\r\n\r\nhalf")
	if _, err := aborted.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("read %v; half an answer looks whole", err)
	}

	idle := b.dialTLS(t)
	idle.send(hello)
	idle.expect(ok(""))
	shutdown(t, b)
	idle.end()
}

func TestHandshakeFailures(t *testing.T) {
	b := serve(t, http1.ServerOptions{TLS: tlsConfig(t), HandshakeTimeout: 200 * time.Millisecond}, echo())
	dial := func() *client {
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			t.Fatal(err)
		}
		return newClient(t, conn)
	}
	silent := dial()
	silent.end()
	bare := dial()
	bare.send(hello)
	bare.expect("HTTP/1.0 400 Bad Request\r\n")
	_ = bare.Close()
	garbage := dial()
	garbage.send("garbage that is no TLS record")
	if text, _ := io.ReadAll(garbage.r); strings.Contains(string(text), "HTTP") {
		t.Errorf("received %q", text)
	}
	waits := dial()
	shutdown(t, b)
	if text, err := io.ReadAll(waits.r); len(text) > 0 {
		t.Errorf("received %q, %v", text, err)
	}
}

// handOver is a listener of connections that are handed over.
type handOver struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newHandOver() *handOver {
	h := &handOver{conns: make(chan net.Conn), done: make(chan struct{})}
	h.close = sync.OnceFunc(func() { close(h.done) })
	return h
}

func (h *handOver) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.done:
		return nil, net.ErrClosed
	}
}

func (h *handOver) Close() error {
	h.close()
	return nil
}

func (h *handOver) Addr() net.Addr { return &net.TCPAddr{} }

func (h *handOver) take(conn net.Conn) {
	select {
	case h.conns <- conn:
	case <-h.done:
		_ = conn.Close()
	}
}

// TestHTTP2: connections that speak HTTP/2 are handed over to who knows it, by ALPN and by prior knowledge.
func TestHTTP2(t *testing.T) {
	for name, config := range map[string]*tls.Config{"clear text": nil, "TLS": tlsConfig(t, "h2", "http/1.1")} {
		t.Run(name, func(t *testing.T) {
			over := newHandOver()
			protocols := &http.Protocols{}
			protocols.SetHTTP2(true)
			protocols.SetUnencryptedHTTP2(true)
			h2 := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				_, _ = io.WriteString(w, r.Proto+" "+string(body))
			})}
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = h2.Serve(over)
			}()
			t.Cleanup(func() {
				_ = h2.Close()
				<-done
			})
			b := serve(t, http1.ServerOptions{TLS: config, HTTP2: over.take, ReadHeaderTimeout: 200 * time.Millisecond}, echo())
			transport := &http.Transport{Protocols: protocols, TLSClientConfig: &tls.Config{ServerName: "app.test", InsecureSkipVerify: true}}
			defer transport.CloseIdleConnections()
			client := &http.Client{Transport: transport, Timeout: patience}
			scheme := "http"
			if config != nil {
				scheme = "https"
			}
			for range 2 {
				resp, err := client.Post(scheme+"://"+b.address+"/", "text/plain", strings.NewReader("hello"))
				if err != nil {
					t.Fatal(err)
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if err != nil || string(body) != "HTTP/2.0 hello" {
					t.Errorf("%q, %v", body, err)
				}
				<-time.After(500 * time.Millisecond) // no time-out of this engine is left behind
			}
			if config == nil {
				c := b.dial(t)
				c.send(hello)
				c.expect(ok("GET /"))
				return
			}
			c := b.dialTLS(t, "http/1.1")
			c.send(hello)
			c.expect(ok("GET /"))
		})
	}
}

// TestPreface: what only begins like HTTP/2, or comes where it must not, is HTTP/1.1 or nothing.
func TestPreface(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	over := make(chan string, 1)
	opts := http1.ServerOptions{HTTP2: func(conn net.Conn) {
		defer conn.Close()
		text, _ := io.ReadAll(bufio.NewReaderSize(conn, 16))
		over <- string(text)
	}, ReadHeaderTimeout: 300 * time.Millisecond}
	b := serve(t, opts, echo())
	without := serve(t, http1.ServerOptions{}, echo())
	const unsupported = "HTTP/1.1 505 HTTP Version Not Supported\r\n" + date + "Content-Length: 0\r\n" + closes + "\r\n"
	t.Run("byte by byte, with more behind it", func(t *testing.T) {
		c := b.dial(t)
		for _, one := range preface {
			c.send(string(one))
		}
		c.send("frames")
		if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := <-over; got != preface+"frames" {
			t.Errorf("handed over %q", got)
		}
	})
	for name, tt := range map[string]struct {
		b          *bed
		send, want string
	}{
		"nobody to take it":        {without, preface, unsupported},
		"another end":              {b, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", unsupported},
		"another method with P":    {b, "PUT / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n", ok("PUT /", closes)},
		"behind a request":         {b, hello + preface, ok("GET /") + unsupported},
		"half of it, then nothing": {b, preface[:20], "HTTP/1.1 408 Request Timeout\r\n" + date + "Content-Length: 0\r\n" + closes + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			c := tt.b.dial(t)
			c.send(tt.send)
			c.expect(tt.want)
			c.end()
		})
	}
}
