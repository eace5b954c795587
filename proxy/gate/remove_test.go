package gate

import (
	"testing"

	"github.com/ostiary/ostiary/proxy/head"
)

// TestRemoverForgets: what is used again for the next request holds no name of the last.
func TestRemoverForgets(t *testing.T) {
	f := newFinding(head.IsIdentity)
	for range 3 {
		h := &plainHead{fields: []plainField{{"X-Consumer-ID", "root"}, {"Accept", "*/*"}, {"x_consumer_groups", "admins"}}}
		f.remove(h)
		if len(h.fields) != 1 || h.fields[0].name != "Accept" {
			t.Errorf("left: %v", h.fields)
		}
		if names := f.names[:cap(f.names)]; len(f.names) != 0 || names[0] != "" || names[1] != "" {
			t.Errorf("kept: %q", names)
		}
	}
}
