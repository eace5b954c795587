package http1

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// bytesOf turns text whose characters are bytes (latin-1) into these bytes.
func bytesOf(text string) []byte {
	b := make([]byte, 0, len(text))
	for _, r := range text {
		b = append(b, byte(r))
	}
	return b
}

func readJSON(t testing.TB, path string, content any) {
	t.Helper()
	data, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, content); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// outcome is what becomes of bytes that a client sends on one connection, as far as the parsers know.
type outcome struct {
	requests []string // "method target body", of those that are complete
	err      error    // what ended it; ErrIncomplete where the bytes ran out within a request
}

// readAll reads requests until the bytes end or one is refused. Bodies are read by the framing that was parsed.
func readAll(raw []byte) outcome {
	var o outcome
	var r Request
	for len(raw) > 0 {
		n, err := r.Parse(raw)
		if err != nil {
			o.err = err
			return o
		}
		raw = raw[n:]
		var body []byte
		switch {
		case r.Chunked:
			var c ChunkReader
			data, n, err := c.Next(slices.Clone(raw))
			if err == nil && !c.Done() {
				err = ErrIncomplete
			}
			if err != nil {
				o.err = err
				return o
			}
			body, raw = data, raw[n:]
		case r.ContentLength > int64(len(raw)):
			o.err = ErrIncomplete
			return o
		case r.ContentLength > 0:
			body, raw = raw[:r.ContentLength], raw[r.ContentLength:]
		}
		o.requests = append(o.requests, fmt.Sprintf("%s %s %q", r.Method, r.Target, body))
	}
	return o
}

// beyondParser are the catalogue's cases to be refused that are no matter of grammar or framing: whoever routes the
// request judges them.
func beyondParser() map[string]string {
	return map[string]string{
		"P093": "an escape in the path is judged with the path",
		"P095": "which form of target a method may have is judged with the target",
		"P096": "which form of target a method may have is judged with the target",
		"P098": "CONNECT is a matter of policy",
		"P103": "the authority of an absolute-form target is judged with the target",
	}
}

// TestCatalogue reads the catalogue's bytes, whose legend is in the file: a case to be refused is refused here, one that
// must be forwarded is parsed, and where both will do nothing of a body is taken for a request.
func TestCatalogue(t *testing.T) {
	var catalogue struct {
		Cases []struct{ ID, Title, Raw, Expect string }
	}
	readJSON(t, "../testdata/http1-raw.json", &catalogue)
	if len(catalogue.Cases) != 120 {
		t.Errorf("%d cases, want 120", len(catalogue.Cases))
	}
	for _, c := range catalogue.Cases {
		t.Run(c.ID, func(t *testing.T) {
			got := readAll(bytesOf(c.Raw))
			refused := got.err != nil && len(got.requests) == 0
			expect, _, _ := strings.Cut(c.Expect, " ")
			why, beyond := beyondParser()[c.ID]
			var want string
			switch {
			case beyond:
				if len(got.requests) != 1 {
					want = "one request: " + why
				}
			case expect == "R", expect == "RC", expect == "R1":
				if !refused {
					want = "to be refused"
				}
			case expect == "F1", expect == "D", expect == "A":
				if len(got.requests) != 1 || got.err != nil {
					want = "one request"
				}
			case expect == "F2":
				if len(got.requests) != 2 || got.err != nil {
					want = "two requests"
				}
			case expect == "S", expect == "RS", expect == "RS1":
				if !refused && len(got.requests) != 1 {
					want = "to be refused, or one request"
				}
			default:
				t.Fatalf("unknown expectation %q", c.Expect)
			}
			if want != "" {
				t.Errorf("%s: requests %q, error %v; want %s", c.Title, got.requests, got.err, want)
			}
		})
	}
}

// onlyWords are the mutations that have the words in a value alone, where they mean nothing.
func onlyWords() []string {
	return []string{
		"default:xprespace-09", // X: X and white space, then the words
		"default:xprespace-20",
		"default:xprespace-a0",
		"default:xprespace-ff",
		"exhaustive:contentEnc", // Content-Encoding: chunked
	}
}

// TestTransferEncodingMutations has nobody hide a transfer coding from us: beside a Content-Length every mutation is
// refused, and without one what is accepted is exactly chunked.
func TestTransferEncodingMutations(t *testing.T) {
	var mutations struct {
		Cases []struct{ Name, Lines string }
	}
	readJSON(t, "testdata/te/te-mutations.json", &mutations)
	if len(mutations.Cases) != 1703 {
		t.Errorf("%d mutations, want 1703", len(mutations.Cases))
	}
	const start = "POST / HTTP/1.1\r\nHost: app.test\r\n"
	var words []string
	chunked := 0
	for _, m := range mutations.Cases {
		lines := bytesOf(m.Lines)
		var r Request
		head := slices.Concat([]byte(start+"Content-Length: 5\r\n"), lines, []byte("\r\n"))
		if _, err := r.Parse(head); err == nil {
			words = append(words, m.Name)
			if r.Chunked || r.ContentLength != 5 || r.Has(KindTransferEncoding) {
				t.Errorf("%s: %q beside a Content-Length was accepted as %+v", m.Name, m.Lines, r)
			}
			continue
		}
		head = slices.Concat([]byte(start), lines, []byte("\r\n"))
		if _, err := r.Parse(head); err != nil {
			continue
		}
		chunked++
		for i := range r.Fields {
			if f := &r.Fields[i]; f.Kind() == KindTransferEncoding && !strings.EqualFold(f.Value, "chunked") {
				t.Errorf("%s: %q was accepted as %q", m.Name, m.Lines, f.Value)
			}
		}
		if !r.Chunked {
			t.Errorf("%s: %q was accepted, but not as chunked", m.Name, m.Lines)
		}
	}
	slices.Sort(words)
	if diff := cmp.Diff(onlyWords(), words); diff != "" {
		t.Errorf("mutations that are accepted beside a Content-Length (-want +got):\n%s", diff)
	}
	t.Logf("%d mutations are exactly chunked", chunked)
}

type desyncCase struct {
	File, Title, Method, URI, Version, Tier, Reason string

	Headers []struct{ Name, Value string }
}

// raw is the request as it is sent. The corpus is not about Host, which is added where it is missing.
func (c *desyncCase) raw() []byte {
	var b strings.Builder
	b.WriteString(c.Method + " " + c.URI)
	if c.Version != "" {
		b.WriteString(" " + c.Version)
	}
	b.WriteString("\r\n")
	if !slices.ContainsFunc(c.Headers, func(h struct{ Name, Value string }) bool { return strings.EqualFold(h.Name, "host") }) {
		b.WriteString("Host: app.test\r\n")
	}
	for _, h := range c.Headers {
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return bytesOf(b.String())
}

// desyncDifferences are the cases whose verdict is not ours, by their titles.
func desyncDifferences() map[string]string {
	const (
		content = "content in GET and HEAD is legal, if of no meaning (RFC 9110 section 9.3.1), and its end is plain"
		codings = "transfer codings other than chunked are not implemented (RFC 9112 section 6.1)"
	)
	return map[string]string{
		"Get with a body and Content-Length":     content,
		"Get with a body and Transfer-Encoding":  content,
		"Head with a body and Content-Length":    content,
		"Head with a body and Transfer-Encoding": content,
		"Has a CL in GET":                        content,
		"Has a TE in GET":                        content,

		"Correct TE OK": codings,
		"Transfer-Encoding: identity and chunked OK":                codings,
		"Multiple transfer encoding headers in a single request OK": codings,
		"TE with custom parameters OK":                              codings,
		"Different Transfer-Encoding headers":                       codings,
		"Different Transfer-Encoding headers combined":              codings,
		"Transfer-Encoding with a param: chunked;custom_param":      codings,

		"Compliant URL":        "a target has no fragment (RFC 9112 section 3.2)",
		"International in URI": "a URI is of ASCII (RFC 3986 section 2)",
		"Empty URI":            "a target is not empty (RFC 9112 section 3.2.1)",
	}
}

// TestDesyncCorpus refuses what HTTP Desync Guardian finds ambiguous or severe, and accepts what it finds compliant.
func TestDesyncCorpus(t *testing.T) {
	var cases []desyncCase
	readJSON(t, "testdata/desync/cases.json", &cases)
	if len(cases) != 159 {
		t.Errorf("%d cases, want 159", len(cases))
	}
	used := map[string]bool{}
	for _, c := range cases {
		var r Request
		n, err := r.Parse(c.raw())
		accepted := err == nil && n == len(c.raw())
		want := c.Tier == "Compliant"
		if c.Tier == "Acceptable" {
			want = accepted
		}
		if desyncDifferences()[c.Title] != "" {
			used[c.Title] = true
			want = !want
		}
		if accepted != want {
			t.Errorf("%s: %s (%s, %s): error %v, head of %d bytes", c.File, c.Title, c.Tier, c.Reason, err, n)
		}
		if err == nil && r.Has(KindContentLength) && r.Has(KindTransferEncoding) {
			t.Errorf("%s: %s: two framings", c.File, c.Title)
		}
	}
	for title := range desyncDifferences() {
		if !used[title] {
			t.Errorf("no case is called %q", title)
		}
	}
}
