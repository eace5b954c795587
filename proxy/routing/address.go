package routing

import (
	"net/netip"
	"slices"
)

// AddressClass says why requests may not be sent to an address, from the mildest reason to the gravest.
type AddressClass uint8

const (
	// AddressOrdinary is every address without such a reason.
	AddressOrdinary AddressClass = iota
	// AddressLoopback is one of this host alone.
	AddressLoopback
	// AddressNoServer is unspecified, multicast, broadcast or of "this network" (RFC 1122 section 3.2.1.3).
	AddressNoServer
	// AddressLinkLocal is one of the link, where clouds serve metadata.
	AddressLinkLocal
	// AddressMetadata is that of a cloud's metadata service elsewhere.
	AddressMetadata
)

// ClassifyAddress returns the gravest class of an address and of those that are embedded in it.
func ClassifyAddress(ip netip.Addr) AddressClass {
	class := classify(ip.Unmap().WithZone(""))
	for _, inner := range EmbeddedAddresses(ip) {
		class = max(class, classify(inner))
	}
	return class
}

func classify(ip netip.Addr) AddressClass {
	switch {
	case ip.IsLoopback():
		return AddressLoopback
	case !ip.IsValid(), ip.IsUnspecified(), ip.IsMulticast(), ip.Is4() && (ip.As4()[0] == 0 || ip.As4()[0] == 255):
		return AddressNoServer
	case ip.IsLinkLocalUnicast():
		return AddressLinkLocal
	}
	switch ip.String() {
	// AWS and Google over IPv6, Alibaba, Azure's host channel and Oracle.
	case "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192":
		return AddressMetadata
	}
	return AddressOrdinary
}

// EmbeddedAddresses returns the IPv4 addresses that packets to an IPv6 address may be translated or tunnelled to: NAT64
// with the well-known and the local-use prefix (RFC 6052, RFC 8215), IPv4-compatible (RFC 4291 section 2.5.5.1),
// IPv4-translated (RFC 2765 section 2.1), 6to4 (RFC 3056) and Teredo (RFC 4380 section 4). IPv4-mapped addresses are IPv4
// addresses, and embed none.
func EmbeddedAddresses(ip netip.Addr) []netip.Addr {
	ip = ip.Unmap().WithZone("")
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	at := func(i, j, k, l int) netip.Addr { return netip.AddrFrom4([4]byte{b[i], b[j], b[k], b[l]}) }
	last := at(12, 13, 14, 15)
	switch {
	case within(b, 96, 0, 0x64, 0xff, 0x9b), within(b, 96, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff):
		return []netip.Addr{last}
	case within(b, 96) && !ip.IsLoopback() && !ip.IsUnspecified():
		return []netip.Addr{last}
	case within(b, 48, 0, 0x64, 0xff, 0x9b, 0, 1):
		// Whoever runs the translator chooses the length of its prefix, which says where the address is. What no server
		// has is what a wrong guess at the length reads.
		guesses := []netip.Addr{at(6, 7, 9, 10), at(7, 9, 10, 11), at(9, 10, 11, 12), last}
		guesses = slices.DeleteFunc(guesses, func(guess netip.Addr) bool { return classify(guess) == AddressNoServer })
		if len(guesses) == 0 {
			return []netip.Addr{last}
		}
		return guesses
	case within(b, 16, 0x20, 0x02):
		return []netip.Addr{at(2, 3, 4, 5)}
	case within(b, 32, 0x20, 0x01):
		client := netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})
		return []netip.Addr{at(4, 5, 6, 7), client}
	}
	return nil
}

// within reports whether an address begins with these bytes and zeros, for as many bits, a multiple of 8.
func within(address [16]byte, bits int, prefix ...byte) bool {
	var whole [16]byte
	copy(whole[:], prefix)
	return [16]byte(append(address[:bits/8:bits/8], make([]byte, 16-bits/8)...)) == whole
}
