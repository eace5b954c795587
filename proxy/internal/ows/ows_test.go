package ows_test

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

func TestTrim(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ": "", "\t \t": "", "a": "a", " a": "a", "a\t": "a", "\t a \tb ": "a \tb",
		"\na\r": "\na\r", "\u00a0a\u00a0": "\u00a0a\u00a0", "\va\f": "\va\f",
	} {
		if got := ows.Trim(text); got != want {
			t.Errorf("Trim(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestIs(t *testing.T) {
	for c := range 256 {
		if got := ows.Is(byte(c)); got != (c == ' ' || c == '\t') {
			t.Errorf("Is(%#02x) = %t", c, got)
		}
	}
}
