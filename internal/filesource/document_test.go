package filesource

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSplitDocuments(t *testing.T) {
	type part struct {
		Line int
		Data string
		JSON bool
	}
	tests := map[string]struct {
		data string
		want []part
	}{
		"nothing":                       {"", nil},
		"comments alone":                {"# a\n\n---\n# b\n---\n", nil},
		"one document":                  {"a: 1\n", []part{{1, "a: 1\n", false}}},
		"a comment first":               {"# why\n\na: 1\n", []part{{3, "a: 1\n", false}}},
		"two documents":                 {"a: 1\n---\nb: 2\n", []part{{1, "a: 1\n", false}, {3, "b: 2\n", false}}},
		"a mark first":                  {"---\na: 1", []part{{2, "a: 1", false}}},
		"a mark with a comment":         {"a: 1\n--- # second\nb: 2\n", []part{{1, "a: 1\n", false}, {3, "b: 2\n", false}}},
		"a mark with content behind":    {"--- {a: 1}\n", []part{{1, " {a: 1}\n", false}}},
		"an end mark":                   {"a: 1\n...\n---\nb: 2\n", []part{{1, "a: 1\n", false}, {4, "b: 2\n", false}}},
		"line ends of Windows":          {"a: 1\r\n---\r\nb: 2\r\n", []part{{1, "a: 1\r\n", false}, {3, "b: 2\r\n", false}}},
		"a byte order mark":             {"\xef\xbb\xbfa: 1\n", []part{{1, "a: 1\n", false}}},
		"dashes that are no mark":       {"a: |\n  ---\n---x: 1\n", []part{{1, "a: |\n  ---\n---x: 1\n", false}}},
		"JSON":                          {"{\"a\": 1}\n", []part{{1, `{"a": 1}`, true}}},
		"several JSON values":           {"{\"a\": 1}\n\n{\n\"b\": 2\n} {}", []part{{1, `{"a": 1}`, true}, {3, "{\n\"b\": 2\n}", true}, {5, "{}", true}}},
		"JSON between YAML":             {"a: 1\n---\n{\"b\":\t2}\n---\nc: 3\n", []part{{1, "a: 1\n", false}, {3, "{\"b\":\t2}", true}, {5, "c: 3\n", false}}},
		"a flow mapping is YAML":        {"{a: 1}\n", []part{{1, "{a: 1}\n", false}}},
		"broken JSON is judged as YAML": {"{\"a\": 1}}\n", []part{{1, "{\"a\": 1}}\n", false}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []part
			for _, d := range splitDocuments([]byte(tc.data)) {
				got = append(got, part{d.line, string(d.data), d.json})
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("documents (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	for name, data := range map[string]string{
		"YAML": "a: 1\nb: 1.5\nc: [x, null, true]\n",
		"JSON": "{\"a\": 1,\n\t\"b\": 1.5, \"c\": [\"x\", null, true]}",
	} {
		t.Run(name, func(t *testing.T) {
			documents := splitDocuments([]byte(data))
			got, err := documents[0].decode()
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{"a": int64(1), "b": 1.5, "c": []any{"x", nil, true}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("value (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct {
		data, want string
	}{
		"a key given twice in YAML": {"a: 1\n---\nb:\n  c: secret-1\n  c: secret-2\n", `line 5: key "c" already set in map`},
		"a key given twice in JSON": {`{"b": {"c": "secret-1", "c": "secret-2"}}`, `duplicate field "b.c"`},
		"a tab in YAML":             {"# first\na: 1\n\tb: 2\n", "line 3: found a tab character"},
		"a mapping within a scalar": {"a: 1\n---\n\n\nb: 2\nc: d: e\n", "line 6: mapping values are not allowed in this context"},
		"JSON that ends too early":  {`{"a": `, "line 1: did not find expected node content"},
		"an alias to nothing":       {"a: *secret-1\n", "unknown anchor"},
		"a tag of another type":     {"a: !!int secret-1\n", "cannot decode !!str"},
		"a template":                {"a: {{ secret-1 }}\n", "invalid map key"},
		"a merge of a text":         {"a: {<<: secret-1}\n", "map merge requires map"},
		"a key that is a list":      {"? [secret-1]\n: 1\n", "invalid map key"},
		"a control character":       {"a: secret-1\x01\n", "control characters are not allowed"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			documents := splitDocuments([]byte(tc.data))
			_, err := documents[len(documents)-1].decode()
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error %v, want %q", err, tc.want)
			}
			if strings.Contains(err.Error(), "secret-") || strings.Contains(err.Error(), "\n") {
				t.Errorf("the error quotes a value, or has several lines: %q", err)
			}
		})
	}
}

func FuzzDocuments(f *testing.F) {
	for _, seed := range []string{"a: 1\n---\nb: 2\n...\n", `{"a": 1} {"b": [2]}`, "--- |\n x\n", "\xef\xbb\xbf# c\r\n---\r\n", "{a: &x [1], b: *x}"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data string) {
		last := 0
		for _, d := range splitDocuments([]byte(data)) {
			if d.line < last || d.line > strings.Count(data, "\n")+1 {
				t.Errorf("line %d after %d, of %d", d.line, last, strings.Count(data, "\n")+1)
			}
			last = d.line
			if strings.TrimSpace(string(d.data)) == "" {
				t.Errorf("an empty document in line %d", d.line)
			}
			if _, err := d.decode(); err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("an error of several lines: %q", err)
			}
		}
	})
}
