package proxy_test

import (
	"bytes"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/ostiary/ostiary/proxy/routing"
)

// stream sends one HTTP/2 request of exactly these fields, and returns the status of the response, empty where the
// stream or the connection was ended instead.
func stream(t *testing.T, address string, fields [][2]string) string {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range fields {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := conn.Write([]byte(http2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return ""
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return ""
		}
	}
}

// TestHTTP2Fields is what HTTP/2 forbids, and what could be read in two ways where it becomes HTTP/1.1 (F15 to F28).
func TestHTTP2Fields(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{Pipelines: []routing.Pipeline{route("public", "", "/", nil)}, Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)}})
	pseudo := func(method, path, authority string, more ...[2]string) [][2]string {
		return append([][2]string{{":method", method}, {":scheme", "http"}, {":path", path}, {":authority", authority}}, more...)
	}
	get := func(more ...[2]string) [][2]string { return pseudo("GET", "/", "app.test", more...) }
	const refused = "refused"
	for name, c := range map[string]struct {
		fields [][2]string
		want   string
	}{
		"plain":                       {get(), "200"},
		"host equal to :authority":    {get([2]string{"host", "app.test"}), "200"},
		"host alone":                  {[][2]string{{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "app.test"}}, "200"},
		"te: trailers":                {get([2]string{"te", "trailers"}), "200"},
		"host of another (F22)":       {get([2]string{"host", "evil.test"}), refused},
		"connection (F16)":            {get([2]string{"connection", "close"}), refused},
		"keep-alive (F16)":            {get([2]string{"keep-alive", "timeout=5"}), refused},
		"proxy-connection (F16)":      {get([2]string{"proxy-connection", "close"}), refused},
		"upgrade (F16)":               {get([2]string{"upgrade", "websocket"}), refused},
		"transfer-encoding (F15)":     {get([2]string{"transfer-encoding", "chunked"}), refused},
		"te: gzip (F16)":              {get([2]string{"te", "gzip"}), refused},
		"value with CR and LF (F17)":  {get([2]string{"x", "a\r\nhost: evil.test"}), refused},
		"name in upper case (F18)":    {get([2]string{"X-A", "1"}), refused},
		"name with a colon (F18)":     {get([2]string{"x:a", "1"}), refused},
		"content-length twice":        {get([2]string{"content-length", "0"}, [2]string{"content-length", "0"}), refused},
		"no path (F19)":               {pseudo("GET", "", "app.test"), refused},
		"path without a slash (F19)":  {pseudo("GET", "a", "app.test"), refused},
		"path with a space (F19)":     {pseudo("GET", "/a HTTP/1.1", "app.test"), refused},
		"path with CR and LF (F19)":   {pseudo("GET", "/a\r\nx: 1", "app.test"), refused},
		"path in absolute form":       {pseudo("GET", "http://evil.test/", "app.test"), refused},
		"query with a space":          {pseudo("GET", "/?a b", "app.test"), refused},
		"user information (F23)":      {pseudo("GET", "/", "a@app.test"), refused},
		"a path in :authority (F23)":  {pseudo("GET", "/", "app.test/x"), refused},
		"a comma in :authority (F23)": {pseudo("GET", "/", "app.test,evil.test"), refused},
		"CONNECT (F28)":               {[][2]string{{":method", "CONNECT"}, {":authority", "evil.test:443"}}, refused},
		"extended CONNECT (F28)":      {pseudo("CONNECT", "/", "app.test", [2]string{":protocol", "websocket"}), refused},
		"TRACE":                       {pseudo("TRACE", "/", "app.test"), refused},
		"unknown expectation":         {get([2]string{"expect", "miracle"}), refused},
	} {
		t.Run(name, func(t *testing.T) {
			got := stream(t, b.http, c.fields)
			if got == "" || got[0] == '4' {
				got = refused
			}
			seen := up.requests()
			if got != c.want || (got == refused) != (len(seen) == 0) {
				t.Errorf("%s, upstream saw %d requests; want %s", got, len(seen), c.want)
			}
			for _, r := range seen {
				if r.Host != "app.test" || r.URL.Path != "/" || r.ProtoMajor != 1 || len(r.Header.Values("Te")) > 1 {
					t.Errorf("upstream saw host %q, path %q, header %v", r.Host, r.URL.Path, r.Header)
				}
			}
		})
	}
	if resp, _ := do(t, b.client(t, "h2c"), request(t, http.MethodGet, "http://app.test/", nil)); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}
