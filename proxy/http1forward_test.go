package proxy

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
)

// TestIdentityInitials has package http1 ask about every name for which head.IsIdentity holds, whatever it begins with.
func TestIdentityInitials(t *testing.T) {
	names := 0
	for name, fate := range head.Fields() {
		if fate != head.Identity {
			continue
		}
		names++
		for c := range 256 {
			spelling := string([]byte{byte(c)}) + name[1:]
			if head.IsIdentity(spelling) && !identityInitials.Has(byte(c)) {
				t.Errorf("%q is kept unseen", spelling)
			}
		}
		if !head.IsIdentity(name) {
			t.Errorf("%s is none", name)
		}
	}
	if names < 8 {
		t.Errorf("only %d names", names)
	}
}

func TestPort(t *testing.T) {
	for authority, want := range map[string]string{
		"app.test": "", "app.test:80": ":80", "app.test:": "", "[::1]": "", "[::1]:80": ":80", "[::1]:": "", "": "", ":80": ":80",
	} {
		if got := port(authority); got != want {
			t.Errorf("port(%q) = %q, want %q", authority, got, want)
		}
	}
}
