package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ostiary/ostiary/proxy/http1"
	"github.com/ostiary/ostiary/proxy/routing"
)

const (
	// maxResponseHeadBytes bounds a response head; a larger one is answered 502 upstream_protocol.
	maxResponseHeadBytes = http1.MaxHeadBytes
	// defaultConnectTimeout and defaultIdleTimeout are for a Config that sets none.
	defaultConnectTimeout = 5 * time.Second
	defaultIdleTimeout    = 60 * time.Second
	// pingAfter and pingTimeout find dead HTTP/2 connections.
	pingAfter   = 30 * time.Second
	pingTimeout = 15 * time.Second

	schemeHTTP  = "http"
	schemeHTTPS = "https"
)

// transportID is everything that decides whether two connections may be used for the same requests. Weights are not in
// it, so that shifting traffic from one backend to another drops no connection.
type transportID struct {
	upstream   routing.ObjectKey
	service    routing.ObjectKey
	port       int32
	url        string
	protocol   routing.UpstreamProtocol
	serverName string
	rootCAs    string
	connect    time.Duration
	response   time.Duration
	idle       time.Duration
}

func newTransportID(cfg *routing.Upstream, protocol routing.UpstreamProtocol, serverName string) transportID {
	id := transportID{
		upstream: cfg.Key,
		protocol: protocol,
		connect:  cfg.ConnectTimeout,
		response: cfg.RequestTimeout,
		idle:     cfg.IdleTimeout,
	}
	if id.connect <= 0 {
		id.connect = defaultConnectTimeout
	}
	if id.idle <= 0 {
		id.idle = defaultIdleTimeout
	}
	if protocol == routing.UpstreamHTTPS {
		id.serverName = serverName
		if cfg.TLS != nil {
			id.rootCAs = cfg.TLS.RootCAs
		}
	}
	return id
}

// transport is a connection pool.
type transport struct {
	protocol routing.UpstreamProtocol
	dialer   *dialer
	// upgrades dials for requests that ask for another protocol (RFC 9110 section 7.8), which HTTP/2 does not have.
	upgrades *dialer
	// http2 speaks HTTP/2 where the backend does, nil where none can.
	http2 *http.Transport
	// external is the one endpoint of a URL, nil for a Service's backends.
	external *pool
	// broken, when not nil, is why the transport can't be used safely.
	broken error
	// response bounds the wait for the head of a response, 0 does not; body that for each piece of its body; idle how long
	// an unused connection is kept.
	response, body, idle time.Duration

	conns    *connections
	inflight atomic.Int64
	retired  atomic.Bool

	mu    sync.Mutex
	links map[*link]*endpoint
}

var (
	errRootCAs    = errors.New("the CA certificates can't be parsed")
	errServerName = errors.New("no name to verify the backend's certificate by")
)

func newTransport(id transportID, policy dialPolicy, conns *connections, body time.Duration) *transport {
	t := &transport{
		protocol: id.protocol,
		response: id.response,
		body:     body,
		idle:     id.idle,
		conns:    conns,
		links:    map[*link]*endpoint{},
	}
	if id.url != "" {
		t.external = &pool{}
		t.external.endpoints.Store(&[]*endpoint{{host: id.url}})
	}
	d := &dialer{policy: policy, timeout: id.connect}
	if id.protocol == routing.UpstreamHTTPS {
		d.tls, t.broken = tlsConfig(id)
	}
	t.upgrades, t.dialer = d, d
	if id.protocol != routing.UpstreamHTTP {
		t.dialer = d.withHTTP2(id.protocol)
		t.http2 = t.dialer.transport(id)
	}
	return t
}

// tlsConfig verifies the backend. What can't be parsed closes the backend; it never widens to the system's roots.
func tlsConfig(id transportID) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		ServerName:         id.serverName,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}
	if id.rootCAs != "" {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(id.rootCAs)) {
			return cfg, errRootCAs
		}
	}
	if id.serverName == "" {
		return cfg, errServerName
	}
	return cfg, nil
}

// transport speaks HTTP/2 alone; HTTP/1.1 is spoken by this package.
func (d *dialer) transport(id transportID) *http.Transport {
	protocols := &http.Protocols{}
	protocols.SetHTTP2(d.http2 == routing.UpstreamHTTPS)
	protocols.SetUnencryptedHTTP2(d.http2 == routing.UpstreamH2C)
	return &http.Transport{
		Proxy:                  nil, // never from the environment
		DialContext:            d.dial,
		DialTLSContext:         d.dialHTTP2,
		DisableCompression:     true,
		IdleConnTimeout:        id.idle,
		ResponseHeaderTimeout:  id.response,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxResponseHeadBytes,
		Protocols:              protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// acquire and release count the requests, so that a retired transport knows when its last one is through.
func (t *transport) acquire() { t.inflight.Add(1) }

func (t *transport) release() {
	if t.inflight.Add(-1) == 0 && t.retired.Load() {
		t.closeIdle()
	}
}

// retire closes the connections that are idle; the others are closed when the request on them is through.
func (t *transport) retire() {
	t.retired.Store(true)
	t.mu.Lock()
	links := t.links
	t.links = nil
	t.mu.Unlock()
	for l, e := range links {
		e.forget(l)
		l.close()
	}
	t.closeIdle()
}

func (t *transport) closeIdle() {
	if t.http2 != nil {
		t.http2.CloseIdleConnections()
	}
}

// link returns what is kept of that endpoint.
func (t *transport) link(e *endpoint) *link {
	if l := e.link(t); l != nil {
		return l
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l := e.link(t); l != nil {
		return l
	}
	l := newLink(t)
	if t.retired.Load() || !e.keep(l) {
		return closedLink(t)
	}
	t.links[l] = e
	return l
}

// forget drops a link whose endpoint is no more.
func (t *transport) forget(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.links, l)
}

// each appends the links there are.
func (t *transport) each(links []*link) []*link {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.links {
		links = append(links, l)
	}
	return links
}

func schemeOf(protocol routing.UpstreamProtocol) string {
	if protocol == routing.UpstreamHTTPS {
		return schemeHTTPS
	}
	return schemeHTTP
}

// urlProtocol is what a URL's backend speaks: the scheme decides about TLS, whatever the upstream's protocol says.
func urlProtocol(protocol routing.UpstreamProtocol, scheme string) routing.UpstreamProtocol {
	switch {
	case scheme != schemeHTTP:
		return routing.UpstreamHTTPS
	case protocol == routing.UpstreamH2C:
		return routing.UpstreamH2C
	default:
		return routing.UpstreamHTTP
	}
}

// serverName is the name that a URL's backend is verified by: its host, where nothing else is said.
func serverName(url *routing.UpstreamURL) string {
	if url.ServerName != "" {
		return url.ServerName
	}
	host, _, err := net.SplitHostPort(url.Host)
	if err != nil {
		return url.Host
	}
	return host
}

// backendHost is the Host that a Service's backend sees where the Pipeline does not preserve the client's.
func backendHost(b *routing.Backend, protocol routing.UpstreamProtocol) string {
	host := b.Service.Name + "." + b.Service.Namespace + ".svc"
	if protocol == routing.UpstreamHTTPS && b.ServerName != "" {
		host = b.ServerName
	}
	return withPort(host, b.Port, protocol)
}

func withPort(host string, port int32, protocol routing.UpstreamProtocol) string {
	if protocol == routing.UpstreamHTTPS && port == 443 || protocol != routing.UpstreamHTTPS && port == 80 {
		return host
	}
	return net.JoinHostPort(host, itoa(port))
}
