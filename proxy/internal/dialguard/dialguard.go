// Package dialguard says which addresses this process never connects to on behalf of its configuration.
//
// It is asked about the very address that is connected to, after names are resolved, so that no name can resolve to
// something else in between.
package dialguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"github.com/ostiary/ostiary/proxy/routing"
)

// ErrRefused is wrapped by errors about an address that is never dialled.
var ErrRefused = errors.New("address is not allowed")

// Policy says which addresses may be dialled. Addresses of the link, of a cloud's metadata service, unspecified and
// multicast ones, and this process's own listeners never are. The zero value allows private addresses and refuses
// loopback ones.
type Policy struct {
	// Loopback says whether addresses of this host alone may be dialled.
	Loopback Loopback
	// Private says whether addresses of private networks may be dialled.
	Private Private
	// Own are the addresses that this process listens on. A listener on the unspecified address stands for its port on
	// every address of this host. Called at each dial; nil means none.
	Own func() []netip.AddrPort
}

// Loopback says what becomes of loopback addresses.
type Loopback uint8

const (
	// LoopbackRefuse never dials them.
	LoopbackRefuse Loopback = iota
	// LoopbackAllow dials them: for file mode and tests.
	LoopbackAllow
)

// Private says what becomes of addresses of private networks: RFC 1918, RFC 4193 and RFC 6598.
type Private uint8

const (
	// PrivateAllow dials them: a cluster's own services have them.
	PrivateAllow Private = iota
	// PrivateRefuse never dials them.
	PrivateRefuse
)

// Control is net.Dialer.ControlContext.
func (p Policy) Control(_ context.Context, _, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q", ErrRefused, address)
	}
	return p.Check(addr)
}

// Check returns an error that wraps ErrRefused for an address that must not be dialled.
func (p Policy) Check(addr netip.AddrPort) error {
	switch routing.ClassifyAddress(addr.Addr()) {
	case routing.AddressOrdinary:
	case routing.AddressLoopback:
		if p.Loopback != LoopbackAllow {
			return fmt.Errorf("%w: %s is a loopback address", ErrRefused, addr)
		}
	case routing.AddressNoServer, routing.AddressLinkLocal, routing.AddressMetadata:
		return fmt.Errorf("%w: %s", ErrRefused, addr)
	}
	var own []netip.AddrPort
	if p.Own != nil {
		own = p.Own()
	}
	for _, ip := range append(routing.EmbeddedAddresses(addr.Addr()), addr.Addr().Unmap().WithZone("")) {
		switch {
		case p.Private != PrivateAllow && isPrivate(ip):
			return fmt.Errorf("%w: %s is an address of a private network", ErrRefused, addr)
		case isOwn(netip.AddrPortFrom(ip, addr.Port()), own):
			return fmt.Errorf("%w: %s is a listener of this process", ErrRefused, addr)
		}
	}
	return nil
}

// isPrivate reports whether an address belongs to a private network, shared address space (RFC 6598) among them.
func isPrivate(ip netip.Addr) bool {
	return ip.IsPrivate() || netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10).Contains(ip)
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
