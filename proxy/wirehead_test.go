package proxy

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/head"
	"github.com/ostiary/ostiary/proxy/http1"
)

// TestHandedOverFieldsAreCopies: net/http's transports may look at a request when it is over, and its connection's buffer
// has another one in it.
func TestHandedOverFieldsAreCopies(t *testing.T) {
	buffer := []byte("GET / HTTP/1.1\r\nHost: app.test\r\nAccept: a/b\r\nX-Own: 1\r\nx-lower: 2\r\n\r\n")
	x := &http1.Exchange{}
	if _, err := x.Request.Parse(buffer); err != nil {
		t.Fatal(err)
	}
	h := &wireHead{x: x}
	h.readFields()
	h.Set("X-Consumer-Id", "7")
	header := h.header()
	clear(buffer)
	want := http.Header{"Accept": {"a/b"}, "X-Own": {"1"}, "X-Lower": {"2"}, "X-Consumer-Id": {"7"}}
	if diff := cmp.Diff(want, header); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestAnnouncementIsBounded: a line for each name would be many times what the client has sent.
func TestAnnouncementIsBounded(t *testing.T) {
	e := &wireExchange{x: &http1.Exchange{}}
	text := "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: " + strings.Repeat("x,", 10000) + "x\r\n\r\n"
	if _, err := e.x.Request.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(e.appendAnnouncement(nil)), "\r\n"); lines != http1.MaxFields {
		t.Errorf("%d lines", lines)
	}
}

// TestWireHeadEdits: what policies do to the fields of a head is what is left of them, to look at and to forward.
func TestWireHeadEdits(t *testing.T) {
	block := func(fields ...head.Field) head.Block {
		b, err := head.NewBlock(fields...)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	caller := block(head.Field{Name: "X-Consumer-ID", Value: "7a1c"}, head.Field{Name: "X-Consumer-Groups", Value: "a,b"})
	const client = "A: 1\r\nX-Consumer-ID: root\r\nX-LISTED: 1\r\na: 2\r\nx-consumer-groups: admins\r\nX-Roles: 1\r\n"
	for name, tc := range map[string]struct {
		edit    func(h *wireHead)
		forward string
		names   []string
	}{
		"nothing": {
			func(*wireHead) {}, client[:len("A: 1\r\nX-Consumer-ID: root\r\n")] + client[len("A: 1\r\nX-Consumer-ID: root\r\nX-LISTED: 1\r\n"):],
			[]string{"A", "X-Consumer-ID", "X-LISTED", "a", "x-consumer-groups", "X-Roles"},
		},
		"no identity": {
			func(h *wireHead) { h.DeleteIdentity() }, "A: 1\r\na: 2\r\nX-Roles: 1\r\n", []string{"A", "X-LISTED", "a", "X-Roles"},
		},
		"an identity": {
			func(h *wireHead) { h.DeleteIdentity(); h.Put(caller) },
			"A: 1\r\na: 2\r\nX-Roles: 1\r\nX-Consumer-ID: 7a1c\r\nX-Consumer-Groups: a,b\r\n",
			[]string{"A", "X-LISTED", "a", "X-Roles", "X-Consumer-ID", "X-Consumer-Groups"},
		},
		"an identity, taken back": {
			func(h *wireHead) { h.DeleteIdentity(); h.Put(caller); h.Set("B", "1"); h.DeleteIdentity() },
			"A: 1\r\na: 2\r\nX-Roles: 1\r\nB: 1\r\n",
			[]string{"A", "X-LISTED", "a", "X-Roles", "B"},
		},
		"two blocks": {
			func(h *wireHead) {
				h.DeleteIdentity()
				h.Put(caller)
				h.Put(block(head.Field{Name: "B", Value: "1"}))
			},
			"A: 1\r\na: 2\r\nX-Roles: 1\r\nB: 1\r\nX-Consumer-ID: 7a1c\r\nX-Consumer-Groups: a,b\r\n",
			[]string{"A", "X-LISTED", "a", "X-Roles", "X-Consumer-ID", "X-Consumer-Groups", "B"},
		},
		"a field of a block, set": {
			func(h *wireHead) { h.DeleteIdentity(); h.Put(caller); h.Set("x-consumer-id", "1"); h.Set("a", "3") },
			"X-Roles: 1\r\nX-Consumer-Groups: a,b\r\nx-consumer-id: 1\r\na: 3\r\n",
			[]string{"X-LISTED", "X-Roles", "X-Consumer-Groups", "x-consumer-id", "a"},
		},
		"fields deleted": {
			func(h *wireHead) { h.DeleteIdentity(); h.Put(caller); h.Delete("A"); h.Delete("X-CONSUMER-GROUPS") },
			"X-Roles: 1\r\nX-Consumer-ID: 7a1c\r\n",
			[]string{"X-LISTED", "X-Roles", "X-Consumer-ID"},
		},
		"fields deleted by what they are": {
			func(h *wireHead) {
				h.DeleteFunc(func(name string) bool { return strings.HasPrefix(strings.ToLower(name), "x-") })
			},
			"A: 1\r\na: 2\r\n",
			[]string{"A", "a"},
		},
	} {
		x := &http1.Exchange{}
		if _, err := x.Request.Parse([]byte("GET / HTTP/1.1\r\nHost: app.test\r\n" + client + "Connection: x-listed\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		h := &wireHead{x: x}
		h.readFields()
		tc.edit(h)
		forward := h.appendForwarded(nil)
		forward = append(forward, h.block.Text()...)
		for _, f := range h.set {
			forward = http1.AppendField(forward, f.Name, f.Value)
		}
		if diff := cmp.Diff(tc.forward, string(forward)); diff != "" {
			t.Errorf("%s: forwarded (-want +got):\n%s", name, diff)
		}
		values := map[string][]string{}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(forward), "\r\n"), "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			name = http.CanonicalHeaderKey(name)
			values[name] = append(values[name], value)
		}
		if diff := cmp.Diff(values, map[string][]string(h.header())); diff != "" {
			t.Errorf("%s: handed over (-want +got):\n%s", name, diff)
		}
		for name, want := range values {
			if diff := cmp.Diff(want, slices.Clone(h.Values(name))); diff != "" {
				t.Errorf("%s: values of %s (-want +got):\n%s", name, name, diff)
			}
		}
		var names []string
		h.Names(func(name string) bool { names = append(names, name); return true })
		if diff := cmp.Diff(tc.names, names); diff != "" {
			t.Errorf("%s: names (-want +got):\n%s", name, diff)
		}
	}
}

// TestOurRequestIDs are words of the Base32 alphabet, of which every character is drawn.
func TestOurRequestIDs(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	random := rand.NewChaCha8([32]byte{})
	for range 1000 {
		bits := random.Uint64()
		var want, got [8]byte
		for i := range want {
			want[i] = alphabet[bits>>(5*i)&31]
		}
		if binary.LittleEndian.PutUint64(got[:], base32(bits)); got != want {
			t.Fatalf("base32(%#x) = %s, want %s", bits, got, want)
		}
	}
	h := &wireHead{x: &http1.Exchange{}}
	var drawn [requestIDBytes]map[byte]int
	for range 2000 {
		if id := h.identify(random); id != "" {
			t.Fatalf("the client's ID is %q", id)
		}
		for i, c := range h.requestID {
			if drawn[i] == nil {
				drawn[i] = map[byte]int{}
			}
			drawn[i][c]++
		}
	}
	for i, counts := range drawn {
		if len(counts) != len(alphabet) || strings.Trim(string(slices.Collect(maps.Keys(counts))), alphabet) != "" {
			t.Errorf("character %d is one of %q", i, slices.Collect(maps.Keys(counts)))
		}
		for j := range i {
			if maps.Equal(drawn[i], drawn[j]) {
				t.Errorf("characters %d and %d are one", j, i)
			}
		}
	}
}
