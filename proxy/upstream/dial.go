package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
)

// ErrAddressRefused is wrapped by errors about an address that is never dialled.
var ErrAddressRefused = errors.New("address is not allowed for backends")

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
		c.tls.NextProtos = []string{"h2", "http/1.1"}
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

func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
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

// dialPolicy says which addresses may be dialled. It is asked about the very address that is connected to, after names
// are resolved, so that no name can resolve to something else in between.
type dialPolicy struct {
	loopback LoopbackPolicy
	own      func() []netip.AddrPort
}

func (p dialPolicy) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrAddressRefused, address)
	}
	return p.check(addr)
}

// check returns ErrAddressRefused for an address that no backend has: one of this host alone, of the link, of a cloud's
// metadata service, or of our own listeners.
func (p dialPolicy) check(addr netip.AddrPort) error {
	switch routing.ClassifyAddress(addr.Addr()) {
	case routing.AddressOrdinary:
	case routing.AddressLoopback:
		if p.loopback != LoopbackAllow {
			return fmt.Errorf("%w: %s is a loopback address", ErrAddressRefused, addr)
		}
	case routing.AddressNoServer, routing.AddressLinkLocal, routing.AddressMetadata:
		return fmt.Errorf("%w: %s", ErrAddressRefused, addr)
	}
	if p.own == nil {
		return nil
	}
	own := p.own()
	for _, ip := range append(routing.EmbeddedAddresses(addr.Addr()), addr.Addr().Unmap().WithZone("")) {
		if isOwn(netip.AddrPortFrom(ip, addr.Port()), own) {
			return fmt.Errorf("%w: %s is a listener of this process", ErrAddressRefused, addr)
		}
	}
	return nil
}

// isOwn reports whether one of the listeners takes connections to that address.
func isOwn(addr netip.AddrPort, listeners []netip.AddrPort) bool {
	for _, l := range listeners {
		if l.Port() != addr.Port() {
			continue
		}
		if l.Addr().Unmap() == addr.Addr() || l.Addr().IsUnspecified() && isLocal(addr.Addr()) {
			return true
		}
	}
	return false
}

// isLocal reports whether the address is one of this host's. Where the host can't say, it is taken to be.
func isLocal(ip netip.Addr) bool {
	if ip.IsLoopback() {
		return true
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return true
	}
	return slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr().Unmap() == ip
	})
}

func itoa(port int32) string { return strconv.FormatInt(int64(port), 10) }
