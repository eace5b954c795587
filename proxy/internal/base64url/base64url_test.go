package base64url

import (
	"encoding/base64"
	"errors"
	"testing"
)

func TestDecode(t *testing.T) {
	tests := map[string]struct {
		in      string
		want    string
		wantErr bool
	}{
		"nothing":                            {in: "", want: ""},
		"one octet":                          {in: "YQ", want: "a"},
		"two octets":                         {in: "YWI", want: "ab"},
		"three octets":                       {in: "YWJj", want: "abc"},
		"both characters of the url variant": {in: "-_8", want: "\xfb\xff"},
		"padding":                            {in: "YQ==", wantErr: true},
		"padding inside":                     {in: "YQ=a", wantErr: true},
		"the standard alphabet":              {in: "+/8", wantErr: true},
		"a line feed inside":                 {in: "YW\nJj", wantErr: true},
		"a carriage return at the end":       {in: "YWJj\r", wantErr: true},
		"a space":                            {in: "YW Jj", wantErr: true},
		"a length that no octets have":       {in: "YWJjY", wantErr: true},
		"bits behind one octet":              {in: "YR", wantErr: true},
		"bits behind two octets":             {in: "YWJ", wantErr: true},
		"a letter outside ASCII":             {in: "YWJj\u00e9", wantErr: true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Decode(tc.in)
			if tc.wantErr {
				if !errors.Is(err, ErrInvalid) {
					t.Fatalf("Decode(%q) = %q, %v, want ErrInvalid", tc.in, got, err)
				}
				return
			}
			if err != nil || string(got) != tc.want {
				t.Fatalf("Decode(%q) = %q, %v, want %q", tc.in, got, err, tc.want)
			}
		})
	}
}

// FuzzDecode holds that what decodes is spelled in the one canonical way, and that every canonical spelling decodes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "YQ", "YR", "YWI", "YWJj", "-_8", "YQ==", "YW\nJj"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		octets, err := Decode(s)
		if err == nil && base64.RawURLEncoding.EncodeToString(octets) != s {
			t.Fatalf("Decode(%q) took a spelling that is not canonical", s)
		}
		canonical := base64.RawURLEncoding.EncodeToString([]byte(s))
		if back, err := Decode(canonical); err != nil || string(back) != s {
			t.Fatalf("Decode(%q) = %q, %v, want %q", canonical, back, err, s)
		}
	})
}
