package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
