package jwks

import (
	"strings"
	"testing"
)

func FuzzMetadata(f *testing.F) {
	for _, seed := range []string{
		`{"issuer":"https://example.com/tenant","jwks_uri":"https://example.com/keys"}`,
		`{"issuer":"https://example.com/tenant/","jwks_uri":"https://example.com/keys"}`,
		`{"issuer":"https://example.com/tenant","jwks_uri":"http://example.com/keys"}`,
		`{"issuer":"https://example.com/tenant","issuer":"https://evil.example","jwks_uri":"https://a"}`,
		`{"issuer":["https://example.com/tenant"],"jwks_uri":"https://a"}`,
		`{"issuer":"https://example.com/tenant","jwks_uri":"https://user@example.com/#a"}`,
		`{`, ``, `[]`, `null`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		uri, err := parseMetadata(body, testIssuer)
		if err != nil {
			if uri != "" || problemOf(err) == "" {
				t.Errorf("refused with %q and %v", uri, err)
			}
			return
		}
		if !strings.HasPrefix(strings.ToLower(uri), "https://") || checkURL(uri) != nil {
			t.Errorf("takes the address %q", uri)
		}
		if !strings.Contains(string(body), "example.com") && !strings.Contains(string(body), `\u`) {
			t.Errorf("takes metadata that is not the issuer's: %q", body)
		}
	})
}

func FuzzSet(f *testing.F) {
	for _, seed := range []string{
		`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`,
		`{"keys":[{"kty":"oct","k":"AAAA"}]}`, `{"keys":[]}`, `{"keys":{}}`, `{}`, ``,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		usable, _, err := parseSet(body)
		if (err == nil) != (len(usable) > 0) || len(usable) > MaxKeys {
			t.Errorf("%d keys, error %v", len(usable), err)
		}
		for _, key := range usable {
			if key.KID() == "" || key.Permits("HS256") || key.Permits("none") {
				t.Errorf("key %v", key)
			}
		}
	})
}

func FuzzIssuerAddress(f *testing.F) {
	f.Add("https://example.com/tenant")
	f.Add("https://example.com/")
	f.Add("https://example.com/a%2fb//")
	f.Add("https://[::1]:8443/x?")
	f.Fuzz(func(t *testing.T, issuer string) {
		addresses, err := metadataAddresses(issuer)
		if err != nil {
			return
		}
		for _, address := range addresses {
			if checkURL(address) != nil && len(address) <= maxURL {
				t.Errorf("issuer %q has its metadata at %q", issuer, address)
			}
		}
	})
}
