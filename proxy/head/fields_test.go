package head_test

import (
	"maps"
	"net/textproto"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
)

func TestFateOf(t *testing.T) {
	for name, want := range map[string]head.Fate{
		"Accept":                  head.Kept,
		"Authorization":           head.Kept,
		"Cookie":                  head.Kept,
		"X-Access-Token":          head.Kept,
		"X-Forwarded":             head.Kept,
		"Sec-WebSocket-Key":       head.Kept,
		"transfer-ENCODING":       head.Connection,
		"te":                      head.Connection,
		"HTTP2-Settings":          head.Connection,
		"Expect":                  head.Connection,
		"host":                    head.Replaced,
		"x-request-id":            head.Replaced,
		"X-Request-ID":            head.Replaced,
		"X-FORWARDED-CLIENT-cert": head.Replaced,
		"x-http-METHOD-override":  head.Replaced,
		"x-consumer-id":           head.Identity,
		"EG-Consumer-ID":          head.Identity,
		"x_consumer_id":           head.Misread,
		"X.Forwarded.For":         head.Misread,
		"access_token":            head.Misread,
		"a b":                     head.Misread,
		"":                        head.Misread,
	} {
		if got := head.FateOf(name); got != want {
			t.Errorf("FateOf(%q) = %d, want %d", name, got, want)
		}
	}
}

// TestFields compares the list with what FateOf knows, in both directions.
func TestFields(t *testing.T) {
	listed := map[string]head.Fate{}
	for name, fate := range head.Fields() {
		for _, spelling := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			if got := head.FateOf(strings.ReplaceAll(spelling, "*", "For")); got != fate || fate == head.Kept {
				t.Errorf("%s is listed as %d, but its fate is %d", spelling, fate, got)
			}
		}
		listed[textproto.CanonicalMIMEHeaderKey(name)] = fate
	}
	source, err := os.ReadFile("fields.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, match := range regexp.MustCompile(`"([A-Z][A-Za-z0-9-]*[a-z])"`).FindAllStringSubmatch(string(source), -1) {
		known[match[1]] = true
	}
	for name := range maps.Keys(known) {
		if _, ok := listed[textproto.CanonicalMIMEHeaderKey(name)]; !ok {
			t.Errorf("%s has a fate of its own and is not listed", name)
		}
	}
	if len(known) < 15 {
		t.Errorf("only %d names were found in the source", len(known))
	}
}
