package compile

import (
	"strings"
	"testing"

	"github.com/ostiary/ostiary/proxy/routing"
)

func TestMessagesAreBounded(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	tests := map[string]struct {
		items []string
		want  string
	}{
		"nothing":                       {nil, ""},
		"one":                           {[]string{"a"}, "a"},
		"two":                           {[]string{"a", "b"}, "a. b"},
		"as many as fit":                {strings.Split("12345678", ""), "1. 2. 3. 4. 5. 6. 7. 8"},
		"one too many":                  {strings.Split("123456789", ""), "1. 2. 3. 4. 5. 6. 7. 8. And 1 more"},
		"the second is too long":        {[]string{"a", long, "b"}, "a. And 2 more"},
		"the first alone is too long":   {[]string{long}, strings.Repeat("ä", 512) + "..."},
		"the first of many is too long": {[]string{long, "b"}, strings.Repeat("ä", 512) + "..."},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := message(tc.items...); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestQuotedTextCannotPoseAsTheMessage(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"plain":          {"a", `"a"`},
		"a quote":        {`a". All is well`, `"a\". All is well"`},
		"a line feed":    {"a\nb", `"a\nb"`},
		"an escape":      {"\x1b[31m", `"\x1b[31m"`},
		"too long":       {strings.Repeat("x", 200), `"` + strings.Repeat("x", 128) + `..."`},
		"not UTF-8":      {"\xff", `"\xff"`},
		"bidi overrides": {"\u202e", `"\u202e"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := quote(tc.in); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}

func TestWhatIsCertainOfABrokenPath(t *testing.T) {
	tests := map[string]struct{ in, want string }{
		"an open bracket":             {"/orders/[a-z", "/orders/"},
		"an anchor":                   {"^/orders/(", "/orders/"},
		"alternatives anywhere":       {"/a/b|/c(", ""},
		"what may be absent":          {"/ordersx?(", "/orders"},
		"what is there at least once": {"/ordersx+(", "/ordersx"},
		"a repeated slash":            {"/orders/*", "/orders"},
		"a dot that means anything":   {"/v1.2/(", "/v1"},
		"a dot that means a dot":      {`/v1\.2/(`, "/v1.2/"},
		"a dot that may be absent":    {`/v1\.?(`, "/v1"},
		"a class with a backslash":    {`/\d(`, "/"},
		"a backslash at the end":      {`/a\`, "/a"},
		"flags":                       {"(?i)/orders", ""},
		"an encoded slash":            {"/files/a%2fb", "/files/a"},
		"nothing":                     {"", ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := certainPrefix(tc.in); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if err := routing.ValidateExpression(standInPath(tc.in).Value); err != nil {
				t.Errorf("what stands in can't be used either: %v", err)
			}
		})
	}
}

func TestHowExpressionsGoOn(t *testing.T) {
	tests := map[string]struct {
		in          string
		wantLiteral string
		want        restKind
	}{
		"a literal":                 {"/health", "/health", restNothing},
		"an anchored literal":       {"^/health$", "/health", restNothing},
		"anything":                  {"/orders.*", "/orders", restAnything},
		"everything":                {".*", "", restAnything},
		"anything, line feeds too":  {"/orders(?s:.*)", "/orders", restAnything},
		"something":                 {"/orders.+", "/orders", restVaries},
		"a class":                   {"/orders/[a-z]+", "/orders/", restVaries},
		"a group with a class":      {"/orders/([a-z]x)", "/orders/", restVaries},
		"a group with a literal":    {"/orders/(x)", "/orders/", restSomething},
		"an optional group":         {"/orders(/x)?", "/orders", restVaries},
		"a literal in another case": {"(?i)/orders", "", restSomething},
		"an anchor in the middle":   {"/a$.*", "/a", restSomething},
		"not an expression":         {"(", "", restSomething},
		"alternatives":              {"/a/(?:bx|cy)", "/a/", restVaries},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			literal, got := splitExpression(tc.in)
			if literal != tc.wantLiteral || got != tc.want {
				t.Errorf("got %q and %d, want %q and %d", literal, got, tc.wantLiteral, tc.want)
			}
		})
	}
}
