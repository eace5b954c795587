package head_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
)

// TestNamesAsLongAsOurs are not ours.
func TestNamesAsLongAsOurs(t *testing.T) {
	for _, name := range []string{
		head.HeaderUsername, head.HeaderNamespace, head.HeaderID, head.HeaderCustomID, head.HeaderGroups, head.HeaderCredential,
		head.HeaderAnonymous, head.HeaderExpressGateway,
	} {
		if other := "z" + name[1:]; !head.IsIdentity(name) || head.IsIdentity(other) {
			t.Errorf("%s is ours: %t, %s: %t", name, head.IsIdentity(name), other, head.IsIdentity(other))
		}
	}
	if head.SameName("x-consumer", "x-consumer-id") || head.SameName("x-consumer-id", "x-consumer") {
		t.Error("a part of a name is the name")
	}
}

// FuzzIsIdentity compares with the plain definition.
func FuzzIsIdentity(f *testing.F) {
	names := []string{
		head.HeaderUsername, head.HeaderNamespace, head.HeaderID, head.HeaderCustomID, head.HeaderGroups, head.HeaderCredential, head.HeaderAnonymous, head.HeaderExpressGateway,
	}
	for _, name := range names {
		f.Add(name)
		f.Add(strings.ReplaceAll(strings.ToUpper(name), "-", "_"))
		f.Add(strings.ReplaceAll(name, "-", "."))
		f.Add(strings.Replace(name, "-", "~", 1))
	}
	f.Add("X-Consumer-Name")
	f.Fuzz(func(t *testing.T, name string) {
		plain := func(s string) string {
			return regexp.MustCompile(`[^0-9a-z]`).ReplaceAllLiteralString(latin1(asciiLower(s)), "-")
		}
		want := slices.ContainsFunc(names, func(n string) bool { return plain(n) == plain(name) })
		if got := head.IsIdentity(name); got != want {
			t.Errorf("IsIdentity(%q) = %t, want %t", name, got, want)
		}
	})
}

func asciiLower(s string) string {
	lower := []byte(s)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return string(lower)
}

// latin1 makes one rune of each byte, so that expressions see bytes.
func latin1(s string) string {
	runes := make([]rune, 0, len(s))
	for i := range len(s) {
		runes = append(runes, rune(s[i]))
	}
	return string(runes)
}
