package keyring

import (
	"testing"
)

func TestFields(t *testing.T) {
	const acme = "X-Consumer-Username: acme\r\nX-Consumer-Namespace: shop\r\nX-Consumer-ID: 7a1c\r\nX-Consumer-Custom-ID: crm-1\r\nX-Consumer-Groups: a,b\r\n"
	made := NewConsumer(Consumer{Key: key("acme"), Username: "acme", UID: "7a1c", CustomID: "crm-1", Groups: []string{"a", "b"}})
	literal := &Consumer{Key: key("acme"), Username: "acme", UID: "7a1c", CustomID: "crm-1", Groups: []string{"a", "b"}}
	changed := *made
	changed.Groups = []string{"c"}
	for name, tc := range map[string]struct {
		consumer *Consumer
		want     string
	}{
		"made":               {made, acme},
		"a literal":          {literal, acme},
		"of little":          {NewConsumer(Consumer{Username: "acme"}), "X-Consumer-Username: acme\r\n"},
		"copied and changed": {&changed, "X-Consumer-Username: acme\r\nX-Consumer-Namespace: shop\r\nX-Consumer-ID: 7a1c\r\nX-Consumer-Custom-ID: crm-1\r\nX-Consumer-Groups: c\r\n"},
	} {
		if got, err := tc.consumer.Fields(); err != nil || got.Text() != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got.Text(), err, tc.want)
		}
	}

	ring := New()
	entry := &Entry{Key: key("one"), KeyID: "one", Consumer: made}
	ring.Set(entry)
	renamed, moved := *entry, *entry
	renamed.KeyID = "two"
	moved.Consumer = &changed
	for name, tc := range map[string]struct {
		entry *Entry
		want  string
	}{
		"in a keyring":        {entry, acme + "X-Credential-ID: one\r\n"},
		"a literal":           {&Entry{KeyID: "one", Consumer: made}, acme + "X-Credential-ID: one\r\n"},
		"copied and renamed":  {&renamed, acme + "X-Credential-ID: two\r\n"},
		"of another Consumer": {&moved, "X-Consumer-Username: acme\r\nX-Consumer-Namespace: shop\r\nX-Consumer-ID: 7a1c\r\nX-Consumer-Custom-ID: crm-1\r\nX-Consumer-Groups: c\r\nX-Credential-ID: one\r\n"},
	} {
		if got, err := tc.entry.Fields(); err != nil || got.Text() != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got.Text(), err, tc.want)
		}
	}
	if allocs := testing.AllocsPerRun(100, func() { _, _ = made.Fields(); _, _ = entry.Fields() }); allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// TestFieldsThatCantBe: whoever breaks a line off could say who calls.
func TestFieldsThatCantBe(t *testing.T) {
	bad := NewConsumer(Consumer{Username: "acme\r\nX-Consumer-ID: root"})
	entry := &Entry{Key: key("bad"), Consumer: bad}
	New().Set(entry)
	named := &Entry{Key: key("named"), KeyID: "a\nb", Consumer: NewConsumer(Consumer{Username: "acme"})}
	New().Set(named)
	if b, err := bad.Fields(); err == nil || b.Text() != "" {
		t.Errorf("a Consumer: %q", b.Text())
	}
	if b, err := (&Consumer{UID: "7a1c\n"}).Fields(); err == nil || b.Text() != "" {
		t.Errorf("a literal Consumer: %q", b.Text())
	}
	for name, e := range map[string]*Entry{"of such a Consumer": entry, "with such a keyID": named, "of nobody": {}, "a literal": {KeyID: "a\nb", Consumer: &Consumer{Username: "acme"}}} {
		if b, err := e.Fields(); err == nil || b.Text() != "" {
			t.Errorf("%s: %q", name, b.Text())
		}
	}
}
