package upstream

import (
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/ostiary/ostiary/proxy/refusal"
	"github.com/ostiary/ostiary/proxy/routing"
)

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// TestDialPolicy is T05 and D23.
func TestDialPolicy(t *testing.T) {
	own := func() []netip.AddrPort {
		return []netip.AddrPort{netip.MustParseAddrPort("[::]:8080"), netip.MustParseAddrPort("10.1.2.3:8443")}
	}
	refused, allowed := ErrAddressRefused, error(nil)
	cases := map[string]struct {
		address string
		policy  LoopbackPolicy
		want    error
	}{
		"a pod":                          {"10.0.0.7:8080", LoopbackRefuse, allowed},
		"a pod, IPv6":                    {"[fd00::7]:8080", LoopbackRefuse, allowed},
		"a public address":               {"203.0.113.7:443", LoopbackRefuse, allowed},
		"loopback":                       {"127.0.0.1:80", LoopbackRefuse, refused},
		"all of loopback":                {"127.9.9.9:80", LoopbackRefuse, refused},
		"loopback, IPv6":                 {"[::1]:80", LoopbackRefuse, refused},
		"loopback, mapped":               {"[::ffff:127.0.0.1]:80", LoopbackRefuse, refused},
		"loopback, mapped, in hex":       {"[::ffff:7f00:1]:80", LoopbackRefuse, refused},
		"loopback, compatible":           {"[::127.0.0.1]:80", LoopbackRefuse, refused},
		"loopback by NAT64":              {"[64:ff9b::7f00:1]:80", LoopbackRefuse, refused},
		"loopback by 6to4":               {"[2002:7f00:1::]:80", LoopbackRefuse, refused},
		"loopback by NAT64, local use":   {"[64:ff9b:1::7f00:1]:80", LoopbackRefuse, refused},
		"loopback by Teredo":             {"[2001:0:cb00:7107::80ff:fffe]:80", LoopbackRefuse, refused},
		"loopback, translated":           {"[::ffff:0:7f00:1]:80", LoopbackRefuse, refused},
		"metadata by NAT64, local use":   {"[64:ff9b:1:a9fe:a9:fe00::]:80", LoopbackAllow, refused},
		"metadata by 6to4":               {"[2002:a9fe:a9fe::]:80", LoopbackAllow, refused},
		"metadata by Teredo":             {"[2001:0:cb00:7107::5601:5601]:80", LoopbackAllow, refused},
		"own listener by Teredo":         {"[2001:0:cb00:7107::f5fe:fdfc]:8443", LoopbackRefuse, refused},
		"own listener by NAT64":          {"[64:ff9b::a01:203]:8443", LoopbackRefuse, refused},
		"a pod by NAT64":                 {"[64:ff9b:1::a00:7]:8080", LoopbackRefuse, allowed},
		"loopback, allowed":              {"127.0.0.1:80", LoopbackAllow, allowed},
		"loopback, IPv6, allowed":        {"[::1]:80", LoopbackAllow, allowed},
		"metadata":                       {"169.254.169.254:80", LoopbackAllow, refused},
		"metadata, mapped":               {"[::ffff:169.254.169.254]:80", LoopbackAllow, refused},
		"metadata by NAT64":              {"[64:ff9b::a9fe:a9fe]:80", LoopbackAllow, refused},
		"metadata of AWS, IPv6":          {"[fd00:ec2::254]:80", LoopbackAllow, refused},
		"metadata of Google, IPv6":       {"[fd20:ce::254]:80", LoopbackAllow, refused},
		"metadata of Alibaba":            {"100.100.100.200:80", LoopbackAllow, refused},
		"host channel of Azure":          {"168.63.129.16:80", LoopbackAllow, refused},
		"link-local, IPv6":               {"[fe80::1%eth0]:80", LoopbackAllow, refused},
		"unspecified":                    {"0.0.0.0:80", LoopbackAllow, refused},
		"this network":                   {"0.1.2.3:80", LoopbackAllow, refused},
		"unspecified, IPv6":              {"[::]:80", LoopbackAllow, refused},
		"broadcast":                      {"255.255.255.255:80", LoopbackAllow, refused},
		"multicast":                      {"224.0.0.1:80", LoopbackAllow, refused},
		"multicast, IPv6":                {"[ff02::1]:80", LoopbackAllow, refused},
		"own listener by loopback":       {"127.0.0.1:8080", LoopbackAllow, refused},
		"own listener by loopback, IPv6": {"[::1]:8080", LoopbackAllow, refused},
		"own listener by its address":    {"10.1.2.3:8443", LoopbackRefuse, refused},
		"another address, the same port": {"10.1.2.4:8443", LoopbackRefuse, allowed},
		"not an address":                 {"localhost:80", LoopbackAllow, refused},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := dialPolicy{loopback: c.policy, own: own}.control(t.Context(), "tcp", c.address, nil)
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.address, err, c.want)
			}
		})
	}
}

// TestOwnAddresses: a listener on the unspecified address is reached by every address of this host.
func TestOwnAddresses(t *testing.T) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	listeners := []netip.AddrPort{netip.MustParseAddrPort("[::]:8080")}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			t.Fatal(err)
		}
		address := netip.AddrPortFrom(prefix.Addr().Unmap(), 8080).String()
		policy := dialPolicy{loopback: LoopbackAllow, own: func() []netip.AddrPort { return listeners }}
		if err := policy.control(t.Context(), "tcp", address, nil); !errors.Is(err, ErrAddressRefused) {
			t.Errorf("%s is this host's: %v", address, err)
		}
	}
}

// TestNameOfALoopbackAddress: a name is judged by what it resolves to, when it is dialled.
func TestNameOfALoopbackAddress(t *testing.T) {
	s, _ := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the request arrived") })
	_, port, err := net.SplitHostPort(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	r := NewRegistry(Options{})
	t.Cleanup(r.Close)
	r.Apply([]routing.Upstream{{Key: key("orders"), URLs: []routing.UpstreamURL{{Scheme: "http", Host: "localhost:" + port}}}})
	_, _, err = lookup(t, r).RoundTrip(get(t, "/"))
	wantReason(t, err, refusal.UpstreamConnect)
	if !errors.Is(err, ErrAddressRefused) {
		t.Errorf("error %v, want ErrAddressRefused", err)
	}
}
