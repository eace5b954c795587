package routing_test

import (
	"net/netip"
	"testing"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestClassifyAddress(t *testing.T) {
	for address, want := range map[string]routing.AddressClass{
		"10.0.0.7":               routing.AddressOrdinary,
		"203.0.113.7":            routing.AddressOrdinary,
		"fd00::7":                routing.AddressOrdinary,
		"2001:db8::7f00:1":       routing.AddressOrdinary,
		"2003:7f00:1::":          routing.AddressOrdinary,
		"::ffff:10.0.0.7":        routing.AddressOrdinary,
		"127.0.0.1":              routing.AddressLoopback,
		"127.9.9.9":              routing.AddressLoopback,
		"::1":                    routing.AddressLoopback,
		"::ffff:127.0.0.1":       routing.AddressLoopback,
		"0.0.0.0":                routing.AddressNoServer,
		"0.1.2.3":                routing.AddressNoServer,
		"::":                     routing.AddressNoServer,
		"::ffff:0.0.0.0":         routing.AddressNoServer,
		"255.255.255.255":        routing.AddressNoServer,
		"224.0.0.1":              routing.AddressNoServer,
		"ff02::1":                routing.AddressNoServer,
		"169.254.169.254":        routing.AddressLinkLocal,
		"fe80::1":                routing.AddressLinkLocal,
		"fe80::1%eth0":           routing.AddressLinkLocal,
		"fd00:ec2::254":          routing.AddressMetadata,
		"fd00:ec2::254%eth0":     routing.AddressMetadata,
		"fd20:ce::254":           routing.AddressMetadata,
		"100.100.100.200":        routing.AddressMetadata,
		"168.63.129.16":          routing.AddressMetadata,
		"192.0.0.192":            routing.AddressMetadata,
		"::ffff:100.100.100.200": routing.AddressMetadata,

		// NAT64 with the well-known prefix.
		"64:ff9b::10.0.0.7":        routing.AddressOrdinary,
		"64:ff9b::127.0.0.1":       routing.AddressLoopback,
		"64:ff9b::169.254.169.254": routing.AddressLinkLocal,
		"64:ff9b::100.100.100.200": routing.AddressMetadata,
		"64:ff9b::0.0.0.0":         routing.AddressNoServer,
		// NAT64 with the local-use prefix, of 96, 64, 56 and 48 bits.
		"64:ff9b:1::10.0.0.7":             routing.AddressOrdinary,
		"64:ff9b:1::127.0.0.1":            routing.AddressLoopback,
		"64:ff9b:1:fffe::169.254.169.254": routing.AddressLinkLocal,
		"64:ff9b:1:ab:a9:fea9:fe00:0":     routing.AddressLinkLocal,
		"64:ff9b:1:abcd:7f:0:100:0":       routing.AddressLoopback,
		"64:ff9b:1:aba9:fe:a9fe::":        routing.AddressLinkLocal,
		"64:ff9b:1:ab7f:0:1::":            routing.AddressLoopback,
		"64:ff9b:1:0:a:0:e600:0":          routing.AddressOrdinary, // 10.0.0.230 behind 64 bits
		"64:ff9b:1::":                     routing.AddressNoServer,
		"64:ff9b:1:a9fe:a9:fe00::":        routing.AddressLinkLocal,
		"64:ff9b:1:7f00:0:100::":          routing.AddressLoopback,
		"64:ff9b:1:a00:0:700::":           routing.AddressOrdinary,
		"64:ff9b:2::127.0.0.1":            routing.AddressOrdinary,
		// IPv4-compatible and IPv4-translated.
		"::127.0.0.1":              routing.AddressLoopback,
		"::169.254.169.254":        routing.AddressLinkLocal,
		"::10.0.0.7":               routing.AddressOrdinary,
		"::ffff:0:127.0.0.1":       routing.AddressLoopback,
		"::ffff:0:169.254.169.254": routing.AddressLinkLocal,
		// 6to4.
		"2002:7f00:1::":     routing.AddressLoopback,
		"2002:a9fe:a9fe::1": routing.AddressLinkLocal,
		"2002:6464:64c8::1": routing.AddressMetadata,
		"2002:a00:7::1":     routing.AddressOrdinary,
		// Teredo: the server's address, and the client's with every bit turned.
		"2001:0:cb00:7107::f5ff:fff8":    routing.AddressOrdinary,
		"2001:0:cb00:7107::80ff:fffe":    routing.AddressLoopback,
		"2001:0:cb00:7107:0:0:5601:5601": routing.AddressLinkLocal,
		"2001:0:a9fe:a9fe::f5ff:fff8":    routing.AddressLinkLocal,
		"2001:0:7f00:1::f5ff:fff8":       routing.AddressLoopback,
		"2001:1:7f00:1::80ff:fffe":       routing.AddressOrdinary,
	} {
		if got := routing.ClassifyAddress(netip.MustParseAddr(address)); got != want {
			t.Errorf("ClassifyAddress(%s) = %d, want %d; embedded: %v", address, got, want,
				routing.EmbeddedAddresses(netip.MustParseAddr(address)))
		}
	}
	if got := routing.ClassifyAddress(netip.Addr{}); got != routing.AddressNoServer {
		t.Errorf("no address at all has class %d", got)
	}
}
