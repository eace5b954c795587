package proxy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ostiary/ostiary/proxy/routing"
	"github.com/ostiary/ostiary/proxy/server"
)

// engineDifferences are the cases in which net/http hides from its handlers what the catalogue wants refused. None lets
// a second request through: framing is net/http's own decision, and what is forwarded is framed anew. Package http1 has
// none.
func engineDifferences() map[string]string {
	if engine == server.EngineHTTP1 {
		return nil
	}
	return map[string]string{
		"P025": "net/http drops Content-Length where there is Transfer-Encoding, before a handler can see it",
		"P050": "net/http ignores Transfer-Encoding in HTTP/1.0, and drops it",
	}
}

type rawCase struct {
	ID     string `json:"id"`
	Title  string `json:"title"`
	Raw    string `json:"raw"`
	Expect string `json:"expect"`
}

func readCases[T any](t *testing.T, file, env, format string) []T {
	t.Helper()
	var cases []T
	for _, name := range []string{path.Join("testdata", file), os.Getenv(env)} {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var content struct {
			Format string `json:"format"`
			Cases  []T    `json:"cases"`
		}
		if err := json.Unmarshal(data, &content); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if content.Format != format || len(content.Cases) == 0 {
			t.Fatalf("%s: format %q with %d cases", name, content.Format, len(content.Cases))
		}
		cases = append(cases, content.Cases...)
	}
	return cases
}

// bytesOf turns text whose characters are bytes (latin-1) into these bytes.
func bytesOf(text string) string {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r))
	}
	return string(b)
}

// arrival is a request as it arrived at an upstream.
type arrival struct {
	*http.Request
	complete bool
}

// arrivals is an upstream that notes what arrives.
type arrivals struct {
	mu   sync.Mutex
	seen []arrival
}

func (a *arrivals) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	_, err := io.Copy(io.Discard, r.Body)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen = append(a.seen, arrival{r, err == nil})
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (a *arrivals) list() []arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.seen)
}

// answers are the status codes of what came back on a connection, and whether it was closed behind them.
type answers struct {
	codes  []int
	closed bool
}

// talk sends bytes and collects what comes back: until the connection is closed where that is expected, else until
// nothing more comes.
func talk(t *testing.T, address, raw string, halfClose, wantClosed bool) answers {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, raw); err != nil && !isReset(err) {
		t.Fatal(err)
	}
	if halfClose {
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil && !isReset(err) {
			t.Fatal(err)
		}
	}
	var a answers
	reader := bufio.NewReader(conn)
	for {
		window := 10 * time.Second
		if len(a.codes) > 0 && !wantClosed {
			window = 150 * time.Millisecond // in which a second answer would come
		}
		if err := conn.SetReadDeadline(time.Now().Add(window)); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(reader, nil)
		if err != nil {
			a.closed = !errors.Is(err, os.ErrDeadlineExceeded)
			return a
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		if resp.StatusCode >= 200 {
			a.codes = append(a.codes, resp.StatusCode)
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// TestHTTP1Cases sends the catalogue's bytes, and those of the file that OSTIARY_HTTP1_CASES names.
func TestHTTP1Cases(t *testing.T) {
	b := newBed(t)
	for _, c := range readCases[rawCase](t, "http1-raw.json", "OSTIARY_HTTP1_CASES", "ostiary-http1-raw/1") {
		t.Run(c.ID, func(t *testing.T) {
			if why := engineDifferences()[c.ID]; why != "" {
				t.Skip(why)
			}
			seen := &arrivals{}
			up := newBackend(t, seen.ServeHTTP)
			b.endpoints(up.addr)
			b.serve(t, routing.Config{
				Pipelines: []routing.Pipeline{
					route("open", "", "/", nil),
					route("denied", "", "/denied", protected),
				},
				Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
			})
			// P072 ends within the body. P080 is shorter than what net/http waits for to tell HTTP/2 apart.
			got := talk(t, b.http, bytesOf(c.Raw), c.ID == "P072" || c.ID == "P080", strings.HasPrefix(c.Expect, "R") && !strings.HasPrefix(c.Expect, "RS"))
			up.Close() // waits for what is still arriving
			if complaint := judge(c, got, seen.list()); complaint != "" {
				t.Errorf("%s (%s): %s; answers %+v, upstream saw %s", c.Title, c.Expect, complaint, got, describe(seen.list()))
			}
		})
	}
}

func describe(seen []arrival) string {
	var b strings.Builder
	for _, a := range seen {
		b.WriteString(a.Method + " " + a.RequestURI + " host " + a.Host + " complete " + strconv.FormatBool(a.complete) + "; ")
	}
	return b.String()
}

// judge compares with the legend of http1-raw.json.
func judge(c rawCase, got answers, seen []arrival) string {
	for _, a := range seen {
		for name := range a.Header {
			switch {
			case strings.Contains(name, "_"):
				return "a name with an underscore went through: " + name
			case slices.Contains([]string{"Upgrade", "Http2-Settings", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy-Authenticate", "X-Drop", "X-Consumer-Id"}, name):
				return "a field that must not arrive did: " + name
			}
		}
		if a.Header.Get("Forwarded") != "" || a.Header.Get("X-Forwarded-For") != "127.0.0.1" || strings.Contains(a.RequestURI, "#") {
			return "forwarding fields or a fragment of the client's went through"
		}
	}
	rejected := len(got.codes) > 0 && got.codes[0] >= 400 && len(got.codes) == 1 || len(got.codes) == 0
	refused := ""
	switch {
	case len(seen) > 0:
		refused = "the upstream saw it"
	case !rejected:
		refused = "it was not refused"
	case !got.closed:
		refused = "the connection was not closed"
	}
	once := ""
	if len(seen) != 1 || len(got.codes) == 0 || got.codes[0] != http.StatusOK || !seen[0].complete {
		once = "it was not forwarded exactly once"
	}
	switch c.Expect {
	case "R":
		return refused
	case "RC":
		if refused != "" && (once != "" || !got.closed) {
			return refused
		}
	case "R1":
		if slices.ContainsFunc(seen, func(a arrival) bool { return a.complete }) {
			return "the upstream saw a complete request"
		}
		if len(got.codes) > 0 && got.codes[0] < 400 || !got.closed {
			return "it was not refused, or the connection not closed"
		}
	case "F1":
		return once
	case "F2":
		if len(seen) != 2 || !slices.Equal(got.codes, []int{200, 200}) {
			return "both requests must go through"
		}
	case "S", "RS", "RS1":
		if len(seen) == 0 && !rejected {
			return "it was not refused"
		}
		// In P044 and P045 the second request is one: net/http reads the odd lines as Transfer-Encoding, and so frames it.
		if len(seen) > 0 && c.ID != "P044" && c.ID != "P045" && slices.ContainsFunc(seen, func(a arrival) bool { return a.RequestURI == "/smuggled" }) {
			return "a smuggled request went through"
		}
		if len(seen) > 0 && got.codes[0] != http.StatusOK {
			return "forwarded, but not answered"
		}
	case "A":
		if refused != "" && (once != "" || seen[0].Host != "other.test") {
			return "the upstream must see the target's authority"
		}
	case "D":
		if len(seen) > 0 || len(got.codes) != 1 || got.codes[0] != http.StatusUnauthorized {
			return "one 401 and nothing else"
		}
	default:
		return "the legend has no such word"
	}
	return ""
}

type pathCase struct {
	ID     string `json:"id"`
	Target string `json:"target"`
	Expect string `json:"expect"`
}

// TestPaths asks for an open and a protected path in every spelling of the catalogue, and of the file that
// OSTIARY_PATH_CASES names. No token is sent: whatever is answered with 200 must be open for every reader behind us.
func TestPaths(t *testing.T) {
	b := newBed(t)
	up := newBackend(t, nil)
	b.endpoints(up.addr)
	b.serve(t, routing.Config{
		Pipelines: []routing.Pipeline{route("public", "", "/public", nil), route("admin", "", "/admin", protected)},
		Upstreams: []routing.Upstream{to(routing.UpstreamHTTP)},
	})
	for _, c := range readCases[pathCase](t, "paths.json", "OSTIARY_PATH_CASES", "ostiary-paths/1") {
		t.Run(c.ID, func(t *testing.T) {
			a := talk(t, b.http, "GET "+bytesOf(c.Target)+" HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n", false, true)
			if len(a.codes) != 1 {
				t.Fatalf("answers %v, want one", a.codes)
			}
			word := strconv.Itoa(a.codes[0])
			if a.codes[0] == http.StatusOK {
				word = "open"
			}
			seen := up.requests()
			if !slices.Contains(strings.Split(strings.ReplaceAll(c.Expect, "open-none", "404"), "|"), word) {
				t.Errorf("%q: %s, want %s", c.Target, word, c.Expect)
			}
			if (word == "open") != (len(seen) == 1) {
				t.Fatalf("%q: %s, but the upstream saw %d requests", c.Target, word, len(seen))
			}
			for _, r := range seen {
				for _, read := range backendReadings(r.URL.EscapedPath()) {
					if strings.HasPrefix(read, "/admin") {
						t.Errorf("%q was forwarded as %q, which a backend may read as %q", c.Target, r.RequestURI, read)
					}
				}
			}
		})
	}
}

// backendReadings are what servers are known to make of a path.
func backendReadings(forwarded string) []string {
	var readings []string
	for _, decode := range []int{0, 1, 2} {
		p := forwarded
		for range decode {
			p = lenientUnescape(p)
		}
		for _, q := range []string{p, strings.ReplaceAll(p, `\`, "/")} {
			var kept []string
			for segment := range strings.SplitSeq(q, "/") {
				segment, _, _ = strings.Cut(segment, ";")
				kept = append(kept, segment)
			}
			readings = append(readings, path.Clean("/"+q), path.Clean("/"+strings.Join(kept, "/")))
		}
	}
	return readings
}

func lenientUnescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
