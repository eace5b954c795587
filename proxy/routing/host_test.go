package routing

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestCanonicalHost(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	tests := map[string]struct {
		authority, want string
	}{
		"a name":                         {"api.example.com", "api.example.com"},
		"upper case":                     {"API.Example.COM", "api.example.com"},
		"a port":                         {"api.example.com:8443", "api.example.com"},
		"an empty port":                  {"api.example.com:", "api.example.com"},
		"the largest port":               {"api.example.com:65535", "api.example.com"},
		"a dot at the end":               {"api.example.com.", "api.example.com"},
		"a dot at the end and a port":    {"api.example.com.:80", "api.example.com"},
		"one label":                      {"localhost", "localhost"},
		"an underscore":                  {"my_app.internal", "my_app.internal"},
		"an international name, encoded": {"xn--bcher-kva.example", "xn--bcher-kva.example"},
		"a long label":                   {label63 + ".example", label63 + ".example"},
		"a number that is not last":      {"1.example", "1.example"},
		"an IPv4 address":                {"127.0.0.1", "127.0.0.1"},
		"an IPv4 address with port":      {"127.0.0.1:80", "127.0.0.1"},
		"an IPv6 address":                {"[::1]", "[::1]"},
		"an IPv6 address with port":      {"[::1]:443", "[::1]"},
		"an IPv6 address in upper case":  {"[2001:DB8::A]", "[2001:db8::a]"},
		"an IPv6 address with zeros":     {"[2001:db8:0:0:0:0:0:1]", "[2001:db8::1]"},
		"an IPv4 address as an IPv6 one": {"[::ffff:10.0.0.1]", "[::ffff:10.0.0.1]"},
		"an IPv6 address, an empty port": {"[::1]:", "[::1]"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := CanonicalHost(tc.authority)
			if err != nil || got != tc.want {
				t.Errorf("CanonicalHost(%q) = %q, %v; want %q", tc.authority, got, err, tc.want)
			}
		})
	}
}

func TestCanonicalHostRefuses(t *testing.T) {
	tests := map[string]string{
		"nothing":                       "",
		"a port alone":                  ":80",
		"a dot alone":                   ".",
		"two dots at the end":           "a.example..",
		"an empty label":                "a..example",
		"a dot first":                   ".example",
		"user information":              "user@a.example",
		"user information and password": "user:pass@a.example",
		"a path":                        "a.example/x",
		"a query":                       "a.example?x",
		"a space":                       "a example",
		"a space at the end":            "a.example ",
		"a tab":                         "a.example\t",
		"NUL":                           "a.example\x00",
		"a backslash":                   `a.example\x`,
		"a byte above ASCII":            "b\xc3\xbccher.example",
		"an escape":                     "%61.example",
		"a wildcard":                    "*.example",
		"a list":                        "a.example,b.example",
		"a scheme":                      "http://a.example",
		"a port that is no number":      "a.example:http",
		"a port with a sign":            "a.example:+80",
		"port 0":                        "a.example:0",
		"a port too large":              "a.example:65536",
		"a port too long":               "a.example:000080",
		"two ports":                     "a.example:80:80",
		"an IPv6 address, bare":         "::1",
		"an open bracket":               "[::1",
		"a closed bracket":              "::1]",
		"text after the bracket":        "[::1]x",
		"a bad port after the bracket":  "[::1]:x",
		"IPv4 in brackets":              "[127.0.0.1]",
		"a zone":                        "[fe80::1%eth0]",
		"an escaped zone":               "[fe80::1%25eth0]",
		"empty brackets":                "[]",
		"IPvFuture":                     "[v1.x]",
		"an IPv4 address out of range":  "1.2.3.256",
		"a short IPv4 address":          "127.1",
		"an octal IPv4 address":         "127.0.0.01",
		"an IPv4 address with slashes":  "127/0/0/1",
		"an integer as an address":      "2130706433",
		"a label too long":              strings.Repeat("a", 64) + ".example",
		"a name too long":               strings.Repeat("a.", 126) + "aa",
	}
	for name, authority := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := CanonicalHost(authority); !errors.Is(err, ErrHostMalformed) || got != "" {
				t.Errorf("CanonicalHost(%q) = %q, %v; want %v", authority, got, err, ErrHostMalformed)
			}
		})
	}
}

func FuzzCanonicalHost(f *testing.F) {
	for _, seed := range []string{"A.example.:80", "[2001:DB8::1]:443", "1.2.3.4", "a_b", "*.x", "[::ffff:1.2.3.4]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, authority string) {
		got, err := CanonicalHost(authority)
		if err != nil {
			return
		}
		if again, err := CanonicalHost(got); err != nil || again != got {
			t.Errorf("%q becomes %q, then %q, %v", authority, got, again, err)
		}
		if got != strings.ToLower(got) || strings.HasSuffix(got, ".") || strings.ContainsAny(got, "*/@ ") {
			t.Errorf("%q becomes %q", authority, got)
		}
		if strings.Contains(got, ":") != strings.HasPrefix(got, "[") {
			t.Errorf("%q becomes %q, with a port", authority, got)
		}
	})
}

// FuzzIPv4: an address is what the standard library takes for one.
func FuzzIPv4(f *testing.F) {
	for _, seed := range []string{"1.2.3.4", "0.0.0.0", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1..2.3", ".1.2.3.4", "1.2.3.", "a.2.3.4", "1.2.3.1000", "00.0.0.0", "1-2-3-4", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		addr, err := netip.ParseAddr(host)
		if want := err == nil && addr.Is4(); isIPv4(host) != want {
			t.Errorf("isIPv4(%q) = %t, want %t", host, !want, want)
		}
	})
}
