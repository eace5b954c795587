package keyring

import "testing"

func TestGroupList(t *testing.T) {
	made := NewConsumer(Consumer{Groups: []string{"a", "b"}})
	changed := *made
	changed.Groups = []string{"c", "d"}
	shorter := *made
	shorter.Groups = made.Groups[:1]
	none := *made
	none.Groups = nil
	for name, tc := range map[string]struct {
		consumer *Consumer
		want     string
	}{
		"made":                 {made, "a,b"},
		"made without groups":  {NewConsumer(Consumer{}), ""},
		"a literal":            {&Consumer{Groups: []string{"a", "b"}}, "a,b"},
		"copied and changed":   {&changed, "c,d"},
		"copied and shortened": {&shorter, "a"},
		"copied and emptied":   {&none, ""},
	} {
		if got := tc.consumer.GroupList(); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _ = made.GroupList() }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}
