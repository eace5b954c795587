package jwks

import (
	"errors"
	"net/url"
	"strings"

	"github.com/ostiary/ostiary/proxy/internal/strictjson"
)

var errNotHTTPS = errors.New("not an https URL without user and fragment")

// checkURL refuses what is not fetched.
func checkURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.Hostname() == "" || u.User != nil || u.Fragment != "" ||
		u.Opaque != "" || len(address) > maxURL {
		return errNotHTTPS
	}
	return nil
}

// metadataAddresses are where the metadata of an issuer may be: first as OpenID Connect Discovery 1.0 section 4.1 puts
// it, then as RFC 8414 section 3.1 does.
func metadataAddresses(issuer string) ([]string, error) {
	if err := checkURL(issuer); err != nil {
		return nil, err
	}
	u, err := url.Parse(issuer)
	if err != nil || u.RawQuery != "" || u.ForceQuery {
		return nil, errNotHTTPS
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	origin := "https://" + u.Host
	return []string{
		origin + path + "/.well-known/openid-configuration",
		origin + "/.well-known/oauth-authorization-server" + path,
	}, nil
}

// parseMetadata returns the address of the key set from an issuer's metadata, which must be for exactly that issuer: this
// is what keeps one tenant's metadata from standing for another's (RFC 8414 section 3.3).
func parseMetadata(body []byte, issuer string) (uri string, err error) {
	object, err := strictjson.Parse(body)
	if err != nil {
		return "", failf(nil, "the issuer's metadata is not one JSON object with unique members")
	}
	stated, _ := object.Get("issuer")
	if name, ok := stated.Text(); !ok || name != issuer {
		return "", failf(nil, "the issuer's metadata is for another issuer")
	}
	value, _ := object.Get("jwks_uri")
	uri, ok := value.Text()
	if !ok {
		return "", failf(nil, "the issuer's metadata names no jwks_uri")
	}
	if err := checkURL(uri); err != nil {
		return "", failf(err, "the jwks_uri of the issuer's metadata is no https URL")
	}
	return uri, nil
}
