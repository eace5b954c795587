package routing

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What can't be used breaks its Pipeline, which keeps the requests that it may be about.
func TestBuildFailsClosed(t *testing.T) {
	public := pipeline("public", Match{Path: prefix("/")}, Match{Path: prefix("/a")}, Match{Path: prefix("/orders/open")})
	tests := map[string]struct {
		match Match
		// wantProblem is a part of the message; empty means that only the host can't be used.
		wantProblem string
		headers     map[string]string
		want        map[string]string
	}{
		"an expression that is none": {
			match:       Match{Path: matches("/orders/[0-9")},
			wantProblem: "parse regular expression",
			want: map[string]string{
				"GET a.test /orders/":        "broken",
				"GET a.test /orders/open":    "broken",
				"GET a.test /orders":         "public",
				"GET a.test /exact":          "fine",
				"GET a.test /something/else": "public",
			},
		},
		"an expression that is none, with a character that may be absent": {
			match:       Match{Path: matches("/orders?/[0-9")},
			wantProblem: "parse regular expression",
			want:        map[string]string{"GET a.test /order/7": "broken", "GET a.test /a": "public"},
		},
		"an expression that is none, with alternatives": {
			match:       Match{Path: matches("/orders|(/a")},
			wantProblem: "parse regular expression",
			want:        map[string]string{"GET a.test /a": "broken", "GET a.test /x": "broken", "GET a.test /exact": "fine"},
		},
		"an expression that only closes": {
			match:       Match{Path: matches("^/a)")},
			wantProblem: "parse regular expression",
			want:        map[string]string{"GET a.test /a": "broken", "GET a.test /b": "public"},
		},
		"an expression that is too large": {
			match:       Match{Path: matches("/orders/[a-z]{500}[0-9]{600}")},
			wantProblem: "too large",
			want:        map[string]string{"GET a.test /orders/x": "broken", "GET a.test /x": "public"},
		},
		"a path that is refused": {
			match:       Match{Path: exact("/orders/a%2fb/c")},
			wantProblem: "ambiguous path",
			want: map[string]string{
				"GET a.test /orders/":     "broken",
				"GET a.test /orders/open": "broken",
				"GET a.test /x":           "public",
			},
		},
		"a path that is none": {
			match:       Match{Path: prefix("orders")},
			wantProblem: "malformed path",
			want:        map[string]string{"GET a.test /x": "broken", "GET a.test /exact": "fine"},
		},
		"an unknown type of path": {
			match:       Match{Path: PathMatch{Type: 9, Value: "/orders/x"}},
			wantProblem: "unknown type of path match",
			want:        map[string]string{"GET a.test /orders/x": "broken", "GET a.test /x": "public"},
		},
		"a header expression that is none": {
			match: Match{Path: prefix("/a"), Headers: []HeaderMatch{
				{Name: "x-a", Type: HeaderRegularExpression, Value: "["}, header("x-b", "2"),
			}},
			wantProblem: `header "x-a": parse regular expression`,
			headers:     map[string]string{"x-a": "anything", "x-b": "2"},
			want:        map[string]string{"GET a.test /a": "broken", "GET a.test /b": "public"},
		},
		"a header expression that is none, and no such header": {
			match:       Match{Path: prefix("/a"), Headers: []HeaderMatch{{Name: "x-a", Type: HeaderRegularExpression, Value: "["}}},
			wantProblem: `header "x-a"`,
			want:        map[string]string{"GET a.test /a": "public"},
		},
		"an unknown type of header": {
			match:       Match{Path: prefix("/a"), Headers: []HeaderMatch{{Name: "x-a", Type: 9}}},
			wantProblem: "unknown type of header match",
			headers:     map[string]string{"x-a": "anything"},
			want:        map[string]string{"GET a.test /a": "broken"},
		},
		"a host that no request can have": {
			match:       Match{Host: "a..test", Path: prefix("/a")},
			wantProblem: "malformed host",
			want:        map[string]string{"GET a.test /a": "public"},
		},
		"a host with a port": {
			match:       Match{Host: "a.test:80", Path: prefix("/a")},
			wantProblem: "malformed host",
			want:        map[string]string{"GET a.test /a": "public"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Pipelines: []Pipeline{
				public,
				pipeline("broken", tc.match, Match{Path: exact("/other")}),
				pipeline("fine", Match{Path: exact("/exact")}),
			}}
			table, problems := Build(cfg)
			if len(problems) != 1 || problems[0].Pipeline.Name != "broken" ||
				!strings.Contains(problems[0].Message, tc.wantProblem) ||
				!strings.HasPrefix(problems[0].Message, `match 0 (endpoint "broken"): `) {
				t.Errorf("problems: %+v", problems)
			}
			if table.Pipeline(1).Broken == "" {
				t.Error("the pipeline is not broken")
			}
			if table.Pipeline(0).Broken+table.Pipeline(2).Broken != "" {
				t.Error("another pipeline is broken")
			}
			if cfg.Pipelines[1].Broken != "" {
				t.Error("the config was changed")
			}
			got := map[string]string{}
			tc.want["GET a.test /other"] = "broken" // by a match that is as it should be
			for line := range tc.want {
				got[line] = describe(table.Match(request(t, line, tc.headers)))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("matches (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBuildTellsEveryProblemAndKeepsAnEarlierReason(t *testing.T) {
	p := pipeline("p", Match{Path: matches("[")}, Match{Path: matches("["), Headers: []HeaderMatch{{Name: "x", Type: 9}}})
	p.Broken = "no keys"
	table, problems := Build(Config{Pipelines: []Pipeline{p}})
	if len(problems) != 2 || !strings.Contains(problems[1].Message, "unknown type of header") {
		t.Errorf("problems: %+v", problems)
	}
	if got := table.Pipelines()[0].Broken; got != "no keys" {
		t.Errorf("broken: %q", got)
	}
}

// Values that are not canonical are brought into canonical form, so that nothing is left unprotected.
func TestBuildCanonicalises(t *testing.T) {
	table, problems := Build(Config{Pipelines: []Pipeline{
		pipeline("exact", Match{Host: "A.Test.", Path: exact("//x/../%61")}),
		pipeline("prefix", Match{Host: "*.Shop.Test", Path: prefix("/a//b/./")}),
		pipeline("address", Match{Host: "[2001:DB8::1]", Path: prefix("/")}),
	}})
	if len(problems) > 0 {
		t.Fatalf("%+v", problems)
	}
	for line, want := range map[string]string{
		"GET a.test /a":        "exact",
		"GET x.shop.test /a/b": "prefix",
		"GET [2001:db8::1] /":  "address",
	} {
		if got := describe(table.Match(request(t, line, nil))); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}

func TestBuildIsDeterministic(t *testing.T) {
	var pipelines []Pipeline
	for i := range 20 {
		pipelines = append(pipelines, pipeline(fmt.Sprint("p", i),
			Match{Path: matches(fmt.Sprintf("/a/[a-%c]+", 'b'+i))}, Match{Path: matches("/b/(")}, Match{Path: prefix("/c")}))
	}
	for range 20 {
		table, problems := Build(Config{Pipelines: pipelines})
		if len(problems) != 20 || problems[7].Pipeline.Name != "p7" {
			t.Fatalf("problems: %+v", problems)
		}
		for _, line := range []string{"GET a.test /a/b", "GET a.test /b/x", "GET a.test /c"} {
			if got := describe(table.Match(request(t, line, nil))); got != "p0" {
				t.Fatalf("%s: %s, want the oldest", line, got)
			}
		}
	}
}

func TestValidateExpression(t *testing.T) {
	for name, tc := range map[string]struct {
		expression string
		want       string
	}{
		"a plain one":                  {"/a/[0-9]+", ""},
		"a label of a name":            {"/[a-z]([-a-z0-9]{0,61}[a-z0-9])?", ""},
		"unbalanced parentheses":       {"a)|(b", "parse"},
		"a backreference":              {`(a)\1`, "parse"},
		"a look-ahead":                 {"(?=a)", "parse"},
		"a repetition beyond counting": {"a{1001}", "parse"},
		"repetitions of repetitions":   {"[a-z]{500}[0-9]{600}", "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			err := ValidateExpression(tc.expression)
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("ValidateExpression(%q) = %v, want %q", tc.expression, err, tc.want)
			}
		})
	}
}

func TestLiteralPrefix(t *testing.T) {
	for expression, want := range map[string]string{
		"/a/b":           "/a/b",
		"^/a/b$":         "/a/b",
		`\A/a.*`:         "/a",
		"(/a)(/b)x*":     "/a/b",
		"(?:/a)+b":       "/a",
		"(/ab){2,3}c":    "/ab",
		"(/ab){0,3}c":    "",
		"/a?b":           "/",
		"/ab|/ac":        "/a",
		"/ab|x":          "",
		"(?i)/a":         "",
		`/a\.b[0]c`:      "/a.b0c",
		"(?:)/x":         "/x",
		"[/]":            "/",
		`/orders/\d+/ab`: "/orders/",
	} {
		if _, got, err := compileExpression(expression); err != nil || got != want {
			t.Errorf("literal prefix of %q: %q, %v; want %q", expression, got, err, want)
		}
	}
}

func TestPrivateKeysAreNeverPrinted(t *testing.T) {
	const secret = "secret-bytes"
	c := Certificate{Key: PrivateKeyPEM(secret)}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", c.Key, "certificate", c)
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.Key.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	table, _ := Build(Config{Certificates: []Certificate{c}})
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "table", table)
	printed := []string{log.String(), string(encoded), string(text), c.Key.String(), c.Key.GoString()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		printed = append(printed, fmt.Sprintf(verb, c), fmt.Sprintf(verb, &c), fmt.Sprintf(verb, c.Key), fmt.Sprintf(verb, table))
	}
	for _, p := range printed {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), "115 101 99", "c2VjcmV0"} {
			if strings.Contains(p, form) {
				t.Errorf("%q holds the key", p)
			}
		}
	}
}
