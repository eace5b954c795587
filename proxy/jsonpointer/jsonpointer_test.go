package jsonpointer

import (
	"errors"
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/internal/strictjson"
)

func parse(t testing.TB, text string) strictjson.Object {
	t.Helper()
	o, err := strictjson.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

const nothing = "nothing"

// TestFind holds RFC 6901 section 5's examples, but for the whole document, and what a token may be.
func TestFind(t *testing.T) {
	rfc := `{"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8}`
	token := `{"realm_access":{"roles":["trader",{"x":true}]},"https://example.com/roles":["a"],"null":null,"text":"abc","twice":{"a":1,"A":2},"deep":{"a":{"b":{"c":1}}},"~1":9,"01":[1,2]}`
	for pointer, tc := range map[string]struct{ in, want string }{
		"/foo":                          {rfc, `["bar", "baz"]`},
		"/foo/0":                        {rfc, `"bar"`},
		"/":                             {rfc, `0`},
		"/a~1b":                         {rfc, `1`},
		"/c%d":                          {rfc, `2`},
		"/e^f":                          {rfc, `3`},
		"/g|h":                          {rfc, `4`},
		`/i\j`:                          {rfc, `5`},
		`/k"l`:                          {rfc, `6`},
		"/" + " ":                       {rfc, `7`},
		"/m~0n":                         {rfc, `8`},
		"/foo/1":                        {rfc, `"baz"`},
		"/foo/2":                        {rfc, nothing},
		"/foo/-":                        {rfc, nothing},
		"/foo/-1":                       {rfc, nothing},
		"/foo/00":                       {rfc, nothing},
		"/foo/":                         {rfc, nothing},
		"/foo/1x":                       {rfc, nothing},
		"/foo/99999999999999999999":     {rfc, nothing},
		"/FOO":                          {rfc, nothing},
		"/realm_access/roles/1/x":       {token, `true`},
		"/realm_access/roles/0/x":       {token, nothing},
		"/https:~1~1example.com~1roles": {token, `["a"]`},
		"/null":                         {token, `null`},
		"/null/a":                       {token, nothing},
		"/text/0":                       {token, nothing},
		"/deep/a/b/c":                   {token, `1`},
		"/deep/a/x/c":                   {token, nothing},
		"/~01":                          {token, `9`},
		"/01/1":                         {token, `2`},
		"/twice":                        {token, `{"a":1,"A":2}`},
		"/twice/a":                      {token, ErrAmbiguous.Error()},
		"/twice/b":                      {token, ErrAmbiguous.Error()},
	} {
		t.Run(pointer, func(t *testing.T) {
			p, err := Parse(pointer)
			if err != nil {
				t.Fatal(err)
			}
			if p.String() != pointer {
				t.Errorf("String is %q", p)
			}
			v, found, err := p.Find(parse(t, tc.in))
			got := v.Raw()
			switch {
			case err != nil:
				got = err.Error()
				if found || !errors.Is(err, ErrAmbiguous) {
					t.Errorf("found %t, error %v", found, err)
				}
			case !found:
				got = nothing
			}
			if got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
		})
	}
	if _, found, err := (Pointer{}).Find(parse(t, `{"":1}`)); found || err != nil {
		t.Error("the zero Pointer leads somewhere")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                                  "empty",
		"roles":                             `write "/roles"`,
		"/a~":                               "~0",
		"/a~2":                              "~0",
		"/~~0":                              "~0",
		strings.Repeat("/a", MaxTokens+1):   "steps",
		"/" + strings.Repeat("a", MaxBytes): "longer",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that says %q", text, err, want)
		}
	}
	if _, err := Parse(strings.Repeat("/a", MaxTokens)); err != nil {
		t.Error(err)
	}
}

func FuzzFind(f *testing.F) {
	f.Add("/a/0/b", `{"a":[{"b":1}]}`)
	f.Add("/~01/~1", `{"~1":{"/":null}}`)
	f.Add("/a/b", `{"a":{"b":1,"B":2}}`)
	f.Fuzz(func(t *testing.T, pointer, text string) {
		p, err := Parse(pointer)
		if err != nil {
			return
		}
		o, err := strictjson.Parse([]byte(text))
		if err != nil {
			return
		}
		v, found, err := p.Find(o)
		if found != (len(v.Raw()) > 0) || err != nil && found {
			t.Fatalf("value %q, found %t, error %v", v.Raw(), found, err)
		}
		if found && !strings.Contains(text, v.Raw()) {
			t.Fatalf("%q is not in %q", v.Raw(), text)
		}
	})
}
