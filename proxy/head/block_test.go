package head_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
)

func TestBlock(t *testing.T) {
	for name, tc := range map[string]struct {
		fields, want []head.Field
		text         string
	}{
		"nothing":              {},
		"a field":              {[]head.Field{{"X-Consumer-ID", "7a1c"}}, []head.Field{{"X-Consumer-ID", "7a1c"}}, "X-Consumer-ID: 7a1c\r\n"},
		"fields without value": {[]head.Field{{"A", ""}, {"B", "1"}, {"C", ""}}, []head.Field{{"B", "1"}}, "B: 1\r\n"},
		"what values may have": {
			[]head.Field{{"A", "b: c, \"d\" é"}, {"E", "f:"}, {"G", ": h"}},
			[]head.Field{{"A", "b: c, \"d\" é"}, {"E", "f:"}, {"G", ": h"}},
			"A: b: c, \"d\" é\r\nE: f:\r\nG: : h\r\n",
		},
	} {
		b, err := head.NewBlock(tc.fields...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []head.Field
		for name, value := range b.Fields() {
			got = append(got, head.Field{Name: name, Value: value})
		}
		if diff := cmp.Diff(tc.want, got) + cmp.Diff(tc.text, b.Text()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestBlockRefuses(t *testing.T) {
	for name, f := range map[string]head.Field{
		"a line end in a value":  {"A", "b\r\nC: d"},
		"a line feed in a value": {"A", "b\nc"},
		"a tab in a value":       {"A", "b\tc"},
		"NUL in a value":         {"A", "b\x00"},
		"DEL in a value":         {"A", "\x7f"},
		"no name":                {"", "a"},
		"an underscore":          {"A_B", "c"},
		"a colon in a name":      {"A:", "b"},
		"a line end in a name":   {"A\r\nB", "c"},
	} {
		if b, err := head.NewBlock(head.Field{Name: "X", Value: "y"}, f); err == nil || b.Text() != "" {
			t.Errorf("%s: %q, %v", name, b.Text(), err)
		}
	}
}
