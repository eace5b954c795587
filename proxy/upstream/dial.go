package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/proxy/internal/dialguard"
	"github.com/ostiary/ostiary/proxy/routing"
)

// nextProtoHTTP2 is HTTP/2's name in ALPN (RFC 9113 section 3.2).
const nextProtoHTTP2 = "h2"

// ErrAddressRefused is wrapped by errors about an address that is never dialled.
var ErrAddressRefused = dialguard.ErrRefused

// connectError says that no connection to a backend could be made: nothing of the request was sent.
type connectError struct{ err error }

func (e *connectError) Error() string { return "connect to the backend: " + e.err.Error() }
func (e *connectError) Unwrap() error { return e.err }

// dialer makes the connections of one transport.
type dialer struct {
	policy  dialPolicy
	timeout time.Duration // of connecting and the TLS handshake together
	tls     *tls.Config
	// http2 says how HTTP/2 is spoken: by ALPN (UpstreamHTTPS), at once (UpstreamH2C), or not (UpstreamHTTP).
	http2 routing.UpstreamProtocol
}

func (d *dialer) withHTTP2(protocol routing.UpstreamProtocol) *dialer {
	c := *d
	c.http2 = protocol
	if protocol == routing.UpstreamHTTPS {
		c.tls = d.tls.Clone()
		c.tls.NextProtos = []string{nextProtoHTTP2, "http/1.1"}
	}
	return &c
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.connect(ctx, network, address)
}

func (d *dialer) connect(ctx context.Context, network, address string) (net.Conn, error) {
	nd := net.Dialer{ControlContext: d.policy.control, KeepAlive: 30 * time.Second}
	conn, err := nd.DialContext(ctx, network, address)
	if err != nil {
		return nil, &connectError{err}
	}
	return conn, nil
}

// dialTLS connects and shakes hands; what is spoken then is in the connection's state.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	conn, err := d.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tlsConn := tls.Client(conn, d.tls)
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		return nil, &connectError{errors.Join(fmt.Errorf("TLS handshake: %w", err), conn.Close())}
	}
	return tlsConn, nil
}

// errNotHTTP2 says that an endpoint does not speak HTTP/2 any more. Nothing of the request was sent.
var errNotHTTP2 = errors.New("the backend does not speak HTTP/2")

// dialHTTP2 is dialTLS for a client that speaks HTTP/2 alone. It returns the connection that the context brings, if there
// is one.
func (d *dialer) dialHTTP2(ctx context.Context, network, address string) (net.Conn, error) {
	if brought, ok := ctx.Value(broughtKey{}).(*brought); ok {
		if conn := brought.take(); conn != nil {
			return conn, nil
		}
	}
	conn, err := d.dialTLS(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if conn.ConnectionState().NegotiatedProtocol != nextProtoHTTP2 {
		return nil, errors.Join(errNotHTTP2, conn.Close())
	}
	return conn, nil
}

// brought is a connection that turned out to speak HTTP/2, on its way to the client that does.
type brought struct{ conn atomic.Pointer[tls.Conn] }

type broughtKey struct{}

func (b *brought) take() *tls.Conn { return b.conn.Swap(nil) }

// dialPolicy says which addresses may be dialled.
type dialPolicy struct {
	loopback LoopbackPolicy
	own      func() []netip.AddrPort
}

func (p dialPolicy) control(ctx context.Context, network, address string, conn syscall.RawConn) error {
	guard := dialguard.Policy{Own: p.own}
	if p.loopback == LoopbackAllow {
		guard.Loopback = dialguard.LoopbackAllow
	}
	return guard.Control(ctx, network, address, conn)
}

func itoa(port int32) string { return strconv.FormatInt(int64(port), 10) }
