package routing

import (
	"errors"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParsePathCanonicalises(t *testing.T) {
	tests := map[string]struct {
		raw, wantMatch, wantForward string
	}{
		"the root":                               {"/", "/", "/"},
		"a plain path":                           {"/orders/7", "/orders/7", "/orders/7"},
		"a trailing slash is kept":               {"/orders/", "/orders/", "/orders/"},
		"case is kept":                           {"/Orders", "/Orders", "/Orders"},
		"names that only look like dots":         {"/..a/.b/c../...", "/..a/.b/c../...", "/..a/.b/c../..."},
		"an escaped letter":                      {"/%61dm%69n", "/admin", "/admin"},
		"upper-case and lower-case digits":       {"/%7Ea%7eb", "/~a~b", "/~a~b"},
		"escapes are written in upper case":      {"/%c3%a9", "/%C3%A9", "/%C3%A9"},
		"an escaped space inside a segment":      {"/a%20b", "/a%20b", "/a%20b"},
		"an escaped delimiter":                   {"/%40me/a%2Bb%3d", "/@me/a+b=", "/%40me/a%2Bb%3D"},
		"an escaped question mark stays":         {"/a%3fb%23", "/a%3Fb%23", "/a%3Fb%23"},
		"characters that browsers send raw":      {`/a|b[0]{c}^"<>` + "`", "/a%7Cb%5B0%5D%7Bc%7D%5E%22%3C%3E%60", "/a%7Cb%5B0%5D%7Bc%7D%5E%22%3C%3E%60"},
		"parameters are for the upstream alone":  {"/a;v=1/b;w;x", "/a/b", "/a;v=1/b;w;x"},
		"an escaped semicolon starts parameters": {"/a%3bv/b", "/a/b", "/a%3Bv/b"},
		"parameters of the last, empty segment":  {"/app/;id=1", "/app/", "/app/;id=1"},
		"an empty segment with parameters":       {"/;x/admin", "/admin", "/admin"},
		"slashes are merged":                     {"//a///b//", "/a/b/", "/a/b/"},
		"slashes are merged before dots":         {"/public//../admin", "/admin", "/admin"},
		"a dot":                                  {"/./a/./b/.", "/a/b/", "/a/b/"},
		"two dots":                               {"/a/b/../c", "/a/c", "/a/c"},
		"two dots at the end":                    {"/a/b/..", "/a/", "/a/"},
		"above the root":                         {"/../../a", "/a", "/a"},
		"escaped dots":                           {"/a/%2e%2E/b/.%2e/c/%2e", "/c/", "/c/"},
		"dots of a segment that was decoded":     {"/%61bc/../%64", "/d", "/d"},
		"dots after an escape that stays":        {"/%23/../admin", "/admin", "/admin"},
		"a percent sign":                         {"/100%25", "/100%25", "/100%25"},
		"a percent sign and one digit":           {"/%25a", "/%25a", "/%25a"},
		"a space encoded twice, inside":          {"/a%2520b", "/a%2520b", "/a%2520b"},
		"Latin-1":                                {"/%E9t%E9/%C0x", "/%E9t%E9/%C0x", "/%E9t%E9/%C0x"},
		"digits behind an escape that are none":  {"/%80aC0%80", "/%80aC0%80", "/%80aC0%80"},
		"UTF-8 of three and four bytes":          {"/%E0%A0%80%F0%90%80%80", "/%E0%A0%80%F0%90%80%80", "/%E0%A0%80%F0%90%80%80"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePath(tc.raw)
			if err != nil {
				t.Fatalf("ParsePath(%q): %v", tc.raw, err)
			}
			if diff := cmp.Diff(Path{Match: tc.wantMatch, Forward: tc.wantForward}, got); diff != "" {
				t.Errorf("ParsePath(%q) (-want +got):\n%s", tc.raw, diff)
			}
		})
	}
}

func TestParsePathRefuses(t *testing.T) {
	tests := map[string]struct {
		raw  string
		want error
	}{
		"nothing":                           {"", ErrPathMalformed},
		"the asterisk of OPTIONS":           {"*", ErrPathMalformed},
		"an authority":                      {"example.com:443", ErrPathMalformed},
		"the absolute form":                 {"http://example.com/", ErrPathMalformed},
		"a backslash in place of the slash": {`\admin`, ErrPathMalformed},
		"a query":                           {"/a?b", ErrPathMalformed},
		"a fragment":                        {"/a#b", ErrPathMalformed},
		"a space":                           {"/a b", ErrPathMalformed},
		"a control character":               {"/a\x01", ErrPathMalformed},
		"DEL":                               {"/a\x7f", ErrPathMalformed},
		"a byte above ASCII":                {"/a\xef\xbc\x8f", ErrPathMalformed},
		"an escape without digits":          {"/a%", ErrPathMalformed},
		"an escape with one digit":          {"/a%4", ErrPathMalformed},
		"an escape with a wrong digit":      {"/a%4g", ErrPathMalformed},
		"a Unicode escape":                  {"/%u002e", ErrPathMalformed},

		"a backslash":                             {`/a\b`, ErrPathAmbiguous},
		"an escaped slash":                        {"/a%2fb", ErrPathAmbiguous},
		"an escaped slash in upper case":          {"/a%2Fb", ErrPathAmbiguous},
		"an escaped backslash":                    {"/a%5cb", ErrPathAmbiguous},
		"an escaped NUL":                          {"/a%00", ErrPathAmbiguous},
		"an escaped line break":                   {"/a%0d%0ab", ErrPathAmbiguous},
		"an escaped DEL":                          {"/a%7F", ErrPathAmbiguous},
		"an escaped space at the end":             {"/admin%20", ErrPathAmbiguous},
		"an escaped space before a slash":         {"/admin%20/x", ErrPathAmbiguous},
		"an escaped space before parameters":      {"/admin%20;x", ErrPathAmbiguous},
		"an escaped space after parameters":       {"/admin;x%20", ErrPathAmbiguous},
		"an escaped space twice encoded":          {"/admin%2520", ErrPathAmbiguous},
		"one twice encoded before parameters":     {"/admin%2520;x", ErrPathAmbiguous},
		"one twice encoded after parameters":      {"/admin;x%2520", ErrPathAmbiguous},
		"dots with parameters":                    {"/public/..;/admin", ErrPathAmbiguous},
		"a dot with parameters":                   {"/.;x/admin", ErrPathAmbiguous},
		"dots with escaped parameters":            {"/public/..%3b/admin", ErrPathAmbiguous},
		"escaped dots with parameters":            {"/public/%2e%2e;/admin", ErrPathAmbiguous},
		"parameters elsewhere and dots":           {"/public;/../admin", ErrPathAmbiguous},
		"a slash encoded twice":                   {"/a%252fb", ErrPathAmbiguous},
		"a backslash encoded twice":               {"/a%255Cb", ErrPathAmbiguous},
		"NUL encoded twice":                       {"/a%2500", ErrPathAmbiguous},
		"dots encoded twice":                      {"/public/%252e%252e/admin", ErrPathAmbiguous},
		"a letter encoded twice":                  {"/%2561dmin", ErrPathAmbiguous},
		"a semicolon encoded twice":               {"/admin%253bx", ErrPathAmbiguous},
		"a letter encoded twice, digit by digit":  {"/%25%36%31dmin", ErrPathAmbiguous},
		"overlong UTF-8 of two bytes":             {"/%c0%ae%c0%ae/admin", ErrPathAmbiguous},
		"overlong UTF-8 of three bytes":           {"/%e0%80%ae", ErrPathAmbiguous},
		"overlong UTF-8 of four bytes":            {"/%f0%80%80%ae", ErrPathAmbiguous},
		"an escaped slash beside a valid segment": {"/orders/7/%2F", ErrPathAmbiguous},

		"one byte too many": {"/" + strings.Repeat("a", MaxTargetBytes), ErrTargetTooLarge},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePath(tc.raw)
			if !errors.Is(err, tc.want) {
				t.Errorf("ParsePath(%q) = %+v, %v; want %v", tc.raw, got, err, tc.want)
			}
			if got != (Path{}) {
				t.Errorf("ParsePath(%q) returns %+v beside its error", tc.raw, got)
			}
		})
	}
}

func TestParsePathTakesTheLongestTarget(t *testing.T) {
	raw := "/" + strings.Repeat("a", MaxTargetBytes-1)
	if got, err := CanonicalPath(raw); err != nil || got != raw {
		t.Errorf("a path of %d bytes: %v", len(raw), err)
	}
}

func FuzzParsePath(f *testing.F) {
	for _, c := range loadPathCases(f, "testdata/paths.json") {
		f.Add(latin1(c.Target))
	}
	f.Add("/a;b/%3Bc/%20x/%25%32e/../%C3%A9/")
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := ParsePath(raw)
		if err != nil {
			if got != (Path{}) {
				t.Errorf("%+v beside the error %v", got, err)
			}
			return
		}
		checkCanonical(t, got.Forward)
		checkCanonical(t, got.Match)
		if strings.ContainsAny(got.Match, ";") || strings.Contains(got.Match, "%3B") {
			t.Errorf("parameters are matched on: %q", got.Match)
		}
		if again, err := ParsePath(got.Forward); err != nil || again != got {
			t.Errorf("what is forwarded, %q, is judged as %+v, %v; its original as %+v", got.Forward, again, err, got)
		}
		if again, err := ParsePath(got.Match); err != nil || again != (Path{Match: got.Match, Forward: got.Match}) {
			t.Errorf("%q becomes %+v, %v", got.Match, again, err)
		}
		decoded, err := url.PathUnescape(got.Match)
		if err != nil {
			t.Fatalf("%q: %v", got.Match, err)
		}
		if want := naivePath(t, raw); decoded != want {
			t.Errorf("ParsePath(%q) matches on %q, which is %q; want %q", raw, got.Match, decoded, want)
		}
	})
}

func checkCanonical(t *testing.T, canonical string) {
	t.Helper()
	if canonical == "" || canonical[0] != '/' {
		t.Fatalf("%q does not start with a slash", canonical)
	}
	segments := strings.Split(canonical[1:], "/")
	for i, segment := range segments {
		if segment == "." || segment == ".." || segment == "" && i < len(segments)-1 {
			t.Errorf("segment %q in %q", segment, canonical)
		}
	}
	for _, forbidden := range []string{"%2f", "%2F", "%5c", "%5C", `\`, "%2e", "%2E", "%00", "?", "#"} {
		if strings.Contains(canonical, forbidden) {
			t.Errorf("%q in %q", forbidden, canonical)
		}
	}
}

// naivePath does to a path what a simple server would do: decode everything, cut the parameters, clean.
func naivePath(t *testing.T, raw string) string {
	t.Helper()
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		t.Fatalf("%q was taken: %v", raw, err)
	}
	segments := strings.Split(decoded, "/")
	for i := range segments {
		segments[i], _, _ = strings.Cut(segments[i], ";")
	}
	cleaned := path.Clean(strings.Join(segments, "/"))
	switch segments[len(segments)-1] {
	case "", ".", "..":
		if cleaned != "/" {
			cleaned += "/"
		}
	}
	return cleaned
}

func BenchmarkParsePath(b *testing.B) {
	for name, raw := range map[string]string{
		"plain":   "/api/v1/resource7/12345/detail",
		"escapes": "/api/v1/%C3%A9t%C3%A9/a%20b/detail",
		"dots":    "/api/v1/../v2/%61bc/detail",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParsePath(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestPlainCharacters(t *testing.T) {
	for i := range 256 {
		c := byte(i)
		if want := classOf(c)&(classUnreserved|classDelimiter) != 0; isPlainChar(c) != want {
			t.Errorf("isPlainChar(%q) = %t, want %t", c, !want, want)
		}
	}
}
