package dialguard_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/internal/dialguard"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	everywhere := dialguard.Policy{Loopback: dialguard.LoopbackAllow}
	outside := dialguard.Policy{Loopback: dialguard.LoopbackAllow, Private: dialguard.PrivateRefuse}
	listening := func(listeners ...string) dialguard.Policy {
		return dialguard.Policy{Loopback: dialguard.LoopbackAllow, Own: func() []netip.AddrPort {
			var own []netip.AddrPort
			for _, l := range listeners {
				own = append(own, netip.MustParseAddrPort(l))
			}
			return own
		}}
	}
	// says is a part of the error; empty: the address may be dialled.
	for name, tc := range map[string]struct {
		policy  dialguard.Policy
		address string
		says    string
	}{
		"a public address":         {address: "192.0.2.1:443"},
		"a public IPv6 address":    {address: "[2001:db8::1]:443"},
		"loopback":                 {address: "127.0.0.1:80", says: "a loopback address"},
		"another loopback address": {address: "127.1.2.3:80", says: "a loopback address"},
		"loopback of IPv6":         {address: "[::1]:80", says: "a loopback address"},
		"loopback in IPv6":         {address: "[::ffff:127.0.0.1]:80", says: "a loopback address"},
		"loopback behind NAT64":    {address: "[64:ff9b::7f00:1]:80", says: "a loopback address"},
		"loopback where it may be": {policy: everywhere, address: "127.0.0.1:80"},
		"unspecified":              {policy: everywhere, address: "0.0.0.0:80", says: "0.0.0.0:80"},
		"unspecified IPv6":         {policy: everywhere, address: "[::]:80", says: "[::]:80"},
		"multicast":                {policy: everywhere, address: "224.0.0.1:80", says: "224.0.0.1:80"},
		"of the link":              {policy: everywhere, address: "169.254.0.1:80", says: "169.254.0.1:80"},
		"of the link with a zone":  {policy: everywhere, address: "[fe80::1%lo]:80", says: "fe80::1"},
		"a cloud's metadata":       {policy: everywhere, address: "169.254.169.254:80", says: "169.254.169.254:80"},
		"metadata behind NAT64":    {policy: everywhere, address: "[64:ff9b::a9fe:a9fe]:80", says: "64:ff9b"},
		"metadata over IPv6":       {policy: everywhere, address: "[fd00:ec2::254]:80", says: "fd00:ec2::254"},

		"a private address":                {address: "10.0.0.1:443"},
		"a private address that is not to": {policy: outside, address: "10.0.0.1:443", says: "of a private network"},
		"another private address":          {policy: outside, address: "192.168.0.1:443", says: "of a private network"},
		"a unique local address":           {policy: outside, address: "[fd12::1]:443", says: "of a private network"},
		"a private address in IPv6":        {policy: outside, address: "[::ffff:10.0.0.1]:443", says: "of a private network"},
		"a private address behind NAT64":   {policy: outside, address: "[64:ff9b::a00:1]:443", says: "of a private network"},
		"shared address space":             {policy: outside, address: "100.64.0.1:443", says: "of a private network"},
		"the end of shared address space":  {policy: outside, address: "100.127.255.255:443", says: "of a private network"},
		"behind shared address space":      {policy: outside, address: "100.128.0.0:443"},
		"a public address, to be sure":     {policy: outside, address: "192.0.2.1:443"},

		"a listener":                       {policy: listening("192.0.2.1:443"), address: "192.0.2.1:443", says: "a listener of this process"},
		"the second listener":              {policy: listening("192.0.2.1:443", "192.0.2.2:80"), address: "192.0.2.2:80", says: "a listener of this process"},
		"a listener in IPv6":               {policy: listening("192.0.2.1:443"), address: "[::ffff:192.0.2.1]:443", says: "a listener of this process"},
		"a listener that is in IPv6":       {policy: listening("[::ffff:192.0.2.1]:443"), address: "192.0.2.1:443", says: "a listener of this process"},
		"a listener behind NAT64":          {policy: listening("192.0.2.1:443"), address: "[64:ff9b::c000:201]:443", says: "a listener of this process"},
		"another port":                     {policy: listening("192.0.2.1:443"), address: "192.0.2.1:80"},
		"another host":                     {policy: listening("192.0.2.1:443"), address: "192.0.2.2:443"},
		"everywhere, by loopback":          {policy: listening("0.0.0.0:443"), address: "127.0.0.1:443", says: "a listener of this process"},
		"everywhere, by any loopback":      {policy: listening("0.0.0.0:443"), address: "127.9.9.9:443", says: "a listener of this process"},
		"everywhere, by loopback of IPv6":  {policy: listening("[::]:443"), address: "[::1]:443", says: "a listener of this process"},
		"everywhere, by another port":      {policy: listening("[::]:443"), address: "[::1]:80"},
		"everywhere, but on another host":  {policy: listening("0.0.0.0:443"), address: "240.0.0.1:443"},
		"a listener of loopback, not that": {policy: listening("127.0.0.1:443"), address: "127.0.0.2:443"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect := func(how string, err error) {
				t.Helper()
				switch {
				case tc.says == "":
					if err != nil {
						t.Errorf("%s: %v", how, err)
					}
				case !errors.Is(err, dialguard.ErrRefused) || !strings.Contains(err.Error(), tc.says):
					t.Errorf("%s: %v, want an error that says %q", how, err, tc.says)
				}
			}
			expect("Check", tc.policy.Check(netip.MustParseAddrPort(tc.address)))
			expect("Control", tc.policy.Control(context.Background(), "tcp", tc.address, nil))
		})
	}
}

// TestControlTakesAddressesAlone: what is no address with its port is never dialled, a Unix socket say.
func TestControlTakesAddressesAlone(t *testing.T) {
	t.Parallel()
	policy := dialguard.Policy{Loopback: dialguard.LoopbackAllow}
	for _, address := range []string{"", "/run/docker.sock", "example.com:80", "192.0.2.1", "192.0.2.1:http", "192.0.2.1:65536"} {
		err := policy.Control(t.Context(), "tcp", address, nil)
		if !errors.Is(err, dialguard.ErrRefused) || !strings.Contains(err.Error(), `"`+address+`"`) {
			t.Errorf("%q: %v, want ErrRefused that quotes it", address, err)
		}
	}
}

// TestOwnAddressesOfTheHost: a listener on all addresses takes connections to each of this host's.
func TestOwnAddressesOfTheHost(t *testing.T) {
	t.Parallel()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	policy := dialguard.Policy{Loopback: dialguard.LoopbackAllow, Own: func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("[::]:443")}
	}}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLinkLocalUnicast() {
			continue
		}
		err = policy.Check(netip.AddrPortFrom(prefix.Addr(), 443))
		if !errors.Is(err, dialguard.ErrRefused) || !strings.Contains(err.Error(), "a listener of this process") {
			t.Errorf("%s: %v, want ErrRefused", prefix.Addr(), err)
		}
	}
}
