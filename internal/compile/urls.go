package compile

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/ostiary/ostiary/proxy/routing"
)

// urlProtocol is what the backends of spec.urls speak: the scheme decides, and appProtocol must agree with it.
func (d *endpointDraft) urlProtocol(stated routing.UpstreamProtocol) routing.UpstreamProtocol {
	var secure, plain bool
	for _, raw := range d.object.Spec.URLs {
		secure = secure || strings.HasPrefix(strings.ToLower(raw), "https:")
		plain = plain || strings.HasPrefix(strings.ToLower(raw), "http:")
	}
	if secure && plain {
		d.invalid.invalid("spec.urls: the schemes differ; write one ServiceEndpoint for http and another for https")
	}
	if d.object.Spec.AppProtocol == "" {
		stated = routing.UpstreamHTTP
		if secure {
			stated = routing.UpstreamHTTPS
		}
	} else if secure != (stated == routing.UpstreamHTTPS) {
		d.invalid.invalid("spec.appProtocol: %s does not agree with the scheme of urls; leave it out, or write https for https URLs",
			quote(d.object.Spec.AppProtocol))
	}
	return stated
}

// urls compiles spec.urls.
func (d *endpointDraft) urls(loopback LoopbackPolicy) {
	for i, raw := range d.object.Spec.URLs {
		backend, complaint := newURL(raw, loopback)
		if complaint != "" {
			d.invalid.invalid("spec.urls[%d]: %s", i, complaint)
			continue
		}
		if backend.Scheme == schemeHTTPS {
			if hostname := d.hostname(); hostname != "" {
				backend.ServerName = hostname
			}
		} else {
			backend.ServerName = ""
		}
		d.upstream.URLs = append(d.upstream.URLs, backend)
	}
}

const (
	schemeHTTP  = "http"
	schemeHTTPS = "https"
)

// newURL takes a URL apart. Complaints never quote it: it may hold a password.
func newURL(raw string, loopback LoopbackPolicy) (backend routing.UpstreamURL, complaint string) {
	parsed, err := url.Parse(raw)
	if err != nil {
		return backend, "is not a URL; write one such as https://legacy.example.com/base"
	}
	ports := map[string]string{schemeHTTP: "80", schemeHTTPS: "443"}
	port, known := ports[parsed.Scheme]
	switch {
	case !known:
		return backend, fmt.Sprintf("the scheme %s is not supported; write http or https", quote(parsed.Scheme))
	case parsed.User != nil:
		return backend, "holds user information, which is not sent; leave it out"
	case parsed.RawQuery != "" || parsed.ForceQuery || parsed.Fragment != "" || strings.HasSuffix(raw, "#"):
		return backend, "has a query or fragment; leave it out, the request's own query is forwarded"
	case parsed.Opaque != "":
		return backend, "has no host; write one after //"
	}
	if stated := parsed.Port(); stated != "" {
		port = stated
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return backend, fmt.Sprintf("the port %s does not exist; write 1 to 65535", quote(port))
	}
	host, complaint := urlHost(parsed.Hostname(), loopback)
	if complaint != "" {
		return backend, complaint
	}
	base := "/"
	if parsed.Path != "" {
		base = parsed.EscapedPath()
	}
	canonical, err := routing.ParsePath(base)
	if err != nil || canonical.Forward != base {
		return backend, "the path is not in canonical form; write it without dot segments, empty segments and needless escapes"
	}
	return routing.UpstreamURL{
		Scheme:     parsed.Scheme,
		Host:       net.JoinHostPort(host, port),
		Path:       strings.TrimSuffix(base, "/"),
		ServerName: host,
	}, ""
}

// urlHost is the host of a URL without brackets, unless it is one that is never a backend. Names are resolved only when
// they are dialled, and the addresses judged again then.
func urlHost(host string, loopback LoopbackPolicy) (canonical, complaint string) {
	if address, err := netip.ParseAddr(host); err == nil {
		if address.Zone() != "" {
			return "", "the host is an address with a zone; write a name"
		}
		return address.Unmap().String(), checkAddress(address, loopback)
	}
	name, err := routing.CanonicalHost(host)
	if err != nil {
		return "", fmt.Sprintf("%s is not a host; write a DNS name or an IP address", quote(host))
	}
	if (name == "localhost" || strings.HasSuffix(name, ".localhost")) && loopback != LoopbackAllowed {
		return "", fmt.Sprintf("%s is this machine, which is never a backend; write the server's own name", quote(name))
	}
	return name, ""
}

// checkAddress says why an address is never a backend.
func checkAddress(address netip.Addr, loopback LoopbackPolicy) string {
	switch routing.ClassifyAddress(address) {
	case routing.AddressLoopback:
		if loopback != LoopbackAllowed {
			return fmt.Sprintf("%s is a loopback address, which is never a backend; write the server's own address", address)
		}
	case routing.AddressNoServer:
		return fmt.Sprintf("%s is not the address of a server; write the server's own", address)
	case routing.AddressLinkLocal:
		return fmt.Sprintf("%s is a link-local address (where clouds serve metadata), which is never a backend; write the server's own address", address)
	case routing.AddressMetadata:
		return fmt.Sprintf("%s is a cloud's metadata service, which is never a backend; write the server's own address", address)
	case routing.AddressOrdinary:
	}
	return ""
}
