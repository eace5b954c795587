package proxy

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/ostiary/ostiary/proxy/refusal"
)

// connection is a response's body that can be written to.
type connection struct{ bytes.Buffer }

func (*connection) Close() error { return nil }

// TestEachAnswerToAHandshake: one thing wrong with it, and there is no tunnel. What net/http's client does not hand over
// today is refused as well.
func TestEachAnswerToAHandshake(t *testing.T) {
	t.Parallel()
	const key = "dGhlIHNhbXBsZSBub25jZQ=="
	for name, tc := range map[string]struct {
		change func(*exchange, *http.Response)
		want   refusal.Reason
	}{
		// A recorder has no connection to take over.
		"as it must be":         {func(*exchange, *http.Response) {}, refusal.Internal},
		"to no handshake":       {func(x *exchange, _ *http.Response) { x.head.upgrade = false }, refusal.UpstreamProtocol},
		"without a connection":  {func(_ *exchange, r *http.Response) { r.Body = io.NopCloser(&bytes.Buffer{}) }, refusal.UpstreamProtocol},
		"to no protocol":        {func(_ *exchange, r *http.Response) { delete(r.Header, "Upgrade") }, refusal.UpstreamProtocol},
		"to another protocol":   {func(_ *exchange, r *http.Response) { r.Header["Upgrade"] = []string{"h2c"} }, refusal.UpstreamProtocol},
		"to two protocols":      {func(_ *exchange, r *http.Response) { r.Header["Upgrade"] = []string{"websocket", "h2c"} }, refusal.UpstreamProtocol},
		"that does not upgrade": {func(_ *exchange, r *http.Response) { r.Header["Connection"] = []string{"close"} }, refusal.UpstreamProtocol},
		"without proof":         {func(_ *exchange, r *http.Response) { delete(r.Header, "Sec-Websocket-Accept") }, refusal.UpstreamProtocol},
		"with another key's":    {func(x *exchange, _ *http.Response) { x.head.key = "another key" }, refusal.UpstreamProtocol},
		"when all is shut down": {func(x *exchange, _ *http.Response) { x.h.tunnels.refuseNew() }, refusal.Overloaded},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			x := &exchange{outcome: outcome{h: NewHandler(Options{Live: &Live{}})}, w: w, r: requestAs(nil)}
			x.head.upgrade, x.head.key = true, key
			resp := &http.Response{
				StatusCode: http.StatusSwitchingProtocols, Body: &connection{},
				Header: http.Header{"Connection": {"Upgrade"}, "Upgrade": {"WebSocket"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}},
			}
			tc.change(x, resp)
			x.switchProtocols(resp)
			if !x.refused || x.reason != tc.want || w.Code != tc.want.Status() {
				t.Errorf("status %d, refused %t as %s, want %s", w.Code, x.refused, x.reason, tc.want)
			}
		})
	}
}
