package http1

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decoded is what becomes of bytes in the chunked coding.
type decoded struct {
	Body     string
	Trailers []string
	Rest     string // behind the end
	Done     bool
	Err      error
}

func equalErrors() cmp.Option {
	return cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) && errors.Is(b, a) })
}

// decode decodes b in the pieces whose lengths next returns.
func decode(c *ChunkReader, b []byte, next func() int) decoded {
	var d decoded
	var body bytes.Buffer
	for len(b) > 0 && !c.Done() {
		piece := slices.Clone(b[:min(len(b), next())])
		data, n, err := c.Next(piece)
		body.Write(data)
		b = b[n:]
		if d.Err = err; err != nil {
			break
		}
	}
	d.Body, d.Rest, d.Done = body.String(), string(b), c.Done()
	for _, f := range c.Trailers() {
		d.Trailers = append(d.Trailers, f.Name+"="+f.Value)
	}
	return d
}

func always(n int) func() int { return func() int { return n } }

// decodeCut decodes text at once, in pieces of one size and in every two pieces, and checks that it comes to the same.
func decodeCut(t *testing.T, text string) decoded {
	t.Helper()
	var c ChunkReader
	want := decode(&c, []byte(text), always(1<<20))
	check := func(how string, at int, got decoded) {
		t.Helper()
		if diff := cmp.Diff(want, got, equalErrors()); diff != "" {
			t.Fatalf("%q %s %d (-at once +got):\n%s", text, how, at, diff)
		}
	}
	for size := 1; size < 8; size++ {
		c.Reset()
		check("in pieces of", size, decode(&c, []byte(text), always(size)))
	}
	for at := 1; at < min(len(text), 300); at++ {
		c.Reset()
		sizes := []int{at, 1 << 20}
		check("cut at", at, decode(&c, []byte(text), func() int {
			n := sizes[0]
			sizes = sizes[1:]
			return n
		}))
	}
	return want
}

func TestChunkReaderAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want decoded
	}{
		"one chunk":           {"5\r\nhello\r\n0\r\n\r\n", decoded{Body: "hello"}},
		"nothing":             {"0\r\n\r\n", decoded{}},
		"more behind it":      {"1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n", decoded{Body: "a", Rest: "GET / HTTP/1.1\r\n"}},
		"several chunks":      {"5\r\nhello\r\n1\r\n \r\nb\r\nwonderful w\r\n4\r\norld\r\n0\r\n\r\n", decoded{Body: "hello wonderful world"}},
		"upper and lower":     {"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", decoded{Body: "01234567890123456789"}},
		"leading zeros":       {"0000000000000005\r\nhello\r\n0000\r\n\r\n", decoded{Body: "hello"}},
		"data of line ends":   {"6\r\n\r\n\r\n0\n\r\n0\r\n\r\n", decoded{Body: "\r\n\r\n0\n"}},
		"extension":           {"5;a\r\nhello\r\n0;b\r\n\r\n", decoded{Body: "hello"}},
		"extension of value":  {"5;a=b\r\nhello\r\n0;b=c\r\n\r\n", decoded{Body: "hello"}},
		"white space":         {"5 \t; a =\tb ;c\r\nhello\r\n0\r\n\r\n", decoded{Body: "hello"}},
		"quoted value":        {"5;a=\"b;\\\" \xc3\\\xa9\t\";c=\"\" ;d\r\nhello\r\n0\r\n\r\n", decoded{Body: "hello"}},
		"trailer":             {"5\r\nhello\r\n0\r\nX-Sum: \t1 \r\n\r\n", decoded{Body: "hello", Trailers: []string{"X-Sum=1"}}},
		"trailers":            {"0\r\na: 1\r\nb:2\r\nContent-Length: x\r\nHost:\r\n\r\nrest", decoded{Trailers: []string{"a=1", "b=2", "Content-Length=x", "Host="}, Rest: "rest"}},
		"longest extension":   {"1;" + strings.Repeat("a", maxExtensionBytes-2) + "\r\nx\r\n0\r\n\r\n", decoded{Body: "x"}},
		"largest trailers":    {"0\r\nA:" + strings.Repeat("b", maxTrailerBytes-6) + "\r\n\r\n", decoded{Trailers: []string{"A=" + strings.Repeat("b", maxTrailerBytes-6)}}},
		"most trailers":       {"0\r\n" + strings.Repeat("A:b\r\n", MaxFields) + "\r\n", decoded{Trailers: slices.Repeat([]string{"A=b"}, MaxFields)}},
		"many small chunks":   {strings.Repeat("1\r\nx\r\n", 300) + "0\r\n\r\n", decoded{Body: strings.Repeat("x", 300)}},
		"reasonable overhead": {strings.Repeat("20;a=0123456789012345678901234567890123456789\r\n"+strings.Repeat("x", 32)+"\r\n", 40) + "0\r\n\r\n", decoded{Body: strings.Repeat("x", 32*40)}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.Done = true
			if diff := cmp.Diff(c.want, decodeCut(t, c.text), equalErrors()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestChunkReaderRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		body string
		want *SyntaxError
	}{
		"empty line":                {"\r\n", "", errChunkSize},
		"no digit":                  {"x\r\n", "", errChunkSize},
		"prefix 0x":                 {"0x5\r\nhello\r\n", "", errChunkLine},
		"plus":                      {"+5\r\nhello\r\n", "", errChunkSize},
		"minus":                     {"-1\r\n", "", errChunkSize},
		"space before the size":     {" 5\r\nhello\r\n", "", errChunkSize},
		"underscore":                {"1_0\r\n", "", errChunkLine},
		"17 digits":                 {"00000000000000005\r\nhello\r\n", "", errChunkSize},
		"2^63":                      {"8000000000000000\r\n", "", errChunkSize},
		"2^64":                      {"10000000000000000\r\n", "", errChunkSize},
		"LF ends the size":          {"5\nhello\r\n", "", errBareLF},
		"CR ends the size":          {"5\rhello\r\n", "", errBareCR},
		"two CR":                    {"5\r\r\nhello\r\n", "", errBareCR},
		"space behind the size":     {"5 \r\nhello\r\n", "", errExtension},
		"comma behind the size":     {"5,a\r\nhello\r\n", "", errChunkLine},
		"NUL behind the size":       {"5\x00\r\nhello\r\n", "", errChunkLine},
		"LF in an extension":        {"5;a\nhello\r\n", "", errBareLF},
		"LF in a quoted value":      {"5;a=\"\n\"\r\nhello\r\n", "", errBareLF},
		"LF behind a backslash":     {"5;a=\"\\\n\"\r\nhello\r\n", "", errBareLF},
		"CR in an extension":        {"5;a\rb\r\nhello\r\n", "", errBareCR},
		"CR in a quoted value":      {"5;a=\"\r\n\"\r\nhello\r\n", "", errExtension},
		"control in an extension":   {"5;a\x01\r\nhello\r\n", "", errExtension},
		"no name":                   {"5;\r\nhello\r\n", "", errExtension},
		"no value":                  {"5;a=\r\nhello\r\n", "", errExtension},
		"no semicolon":              {"5 a\r\nhello\r\n", "", errExtension},
		"space at the end":          {"5;a \r\nhello\r\n", "", errExtension},
		"space at the end of value": {"5;a=b \r\nhello\r\n", "", errExtension},
		"two names":                 {"5;a b\r\nhello\r\n", "", errExtension},
		"quoted name":               {"5;\"a\"\r\nhello\r\n", "", errExtension},
		"text behind a quotation":   {"5;a=\"b\"c\r\nhello\r\n", "", errExtension},
		"open quotation":            {"5;a=\"b\r\nhello\r\n", "", errExtension},
		"8-bit in a name":           {"5;\xc3\xa9\r\nhello\r\n", "", errExtension},
		"long extension":            {"1;" + strings.Repeat("a", maxExtensionBytes) + "\r\nx\r\n", "", errExtensionLong},
		"much of extensions":        {strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 40), strings.Repeat("x", 16), errExtensionLong},
		"data too long":             {"5\r\nhello!\r\n0\r\n\r\n", "hello", errChunkData},
		"data too short":            {"5\r\nhell\r\n0\r\n\r\n", "hell\r", errChunkData},
		"LF behind the data":        {"5\r\nhello\n0\r\n\r\n", "hello", errChunkData},
		"CR behind the data":        {"5\r\nhello\r0\r\n\r\n", "hello", errChunkData},
		"no line end behind it":     {"5\r\nhello0\r\n\r\n", "hello", errChunkData},
		"text behind the end":       {"0\r\nX", "", nil},
		"text line behind the end":  {"0\r\nX\r\n", "", errNoColon},
		"LF ends the trailers":      {"0\r\n\n", "", errBareLF},
		"CR ends the trailers":      {"0\r\n\rX\n", "", errBareCR},
		"LF ends a trailer":         {"0\r\nA: b\n\r\n", "", errBareLF},
		"bare CR in a trailer":      {"0\r\nA: b\rc\r\n\r\n", "", errBareCR},
		"folded trailer":            {"0\r\nA: b\r\n c\r\n\r\n", "", errFolded},
		"space before a colon":      {"0\r\nA : b\r\n\r\n", "", errNameSpace},
		"control in a trailer":      {"0\r\nA: \x01\r\n\r\n", "", errValue},
		"too many trailers":         {"0\r\n" + strings.Repeat("A:b\r\n", MaxFields+1) + "\r\n", "", errTooManyFields},
		"trailers too large":        {"0\r\nA:" + strings.Repeat("b", maxTrailerBytes) + "\r\n\r\n", "", errTrailersLong},
		"endless trailer":           {"0\r\nA:" + strings.Repeat("b", maxTrailerBytes), "", errTrailersLong},
		"endless size":              {strings.Repeat("0", 100), "", errChunkSize},
	} {
		t.Run(name, func(t *testing.T) {
			got := decodeOnce(t, c.text)
			want := decoded{Body: c.body}
			if c.want != nil {
				want.Err = c.want
			}
			got.Rest = ""
			if diff := cmp.Diff(want, got, equalErrors()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// decodeOnce is decodeCut for what is refused: how much was looked at before differs.
func decodeOnce(t *testing.T, text string) decoded {
	t.Helper()
	var whole ChunkReader
	got := decode(&whole, []byte(text), always(1<<20))
	for size := 1; size < 8; size++ {
		var c ChunkReader
		pieces := decode(&c, []byte(text), always(size))
		if pieces.Body != got.Body || pieces.Done != got.Done || !errors.Is(pieces.Err, got.Err) {
			t.Fatalf("in pieces of %d: %+v, at once %+v", size, pieces, got)
		}
	}
	if got.Err != nil {
		if data, n, err := whole.Next([]byte("0\r\n\r\n")); len(data) != 0 || n != 0 || !errors.Is(err, got.Err) {
			t.Errorf("after the error: %q, %d, %v", data, n, err)
		}
	}
	return got
}

// TestChunkReaderInPlace has the data moved together within the bytes that were consumed, and nothing changed behind.
func TestChunkReaderInPlace(t *testing.T) {
	const rest = "GET / HTTP/1.1\r\n"
	b := []byte("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n" + rest)
	var c ChunkReader
	data, n, err := c.Next(b)
	if err != nil || string(data) != "abcdefg" || string(b[n:]) != rest || !c.Done() {
		t.Fatalf("%q, %d, %v, behind it %q", data, n, err, b[n:])
	}
	if &data[0] != &b[3] || cap(data) != len(data) {
		t.Errorf("data are not where the first chunk was, or may be appended to: %d of %d bytes", len(data), cap(data))
	}
	if data, n, err := c.Next(b[n:]); len(data) != 0 || n != 0 || err != nil {
		t.Errorf("behind the end: %q, %d, %v", data, n, err)
	}
}

// TestChunkReaderReused has nothing of one body in the next.
func TestChunkReaderReused(t *testing.T) {
	for name, before := range map[string]string{
		"ended":             "1;a\r\nx\r\n0\r\nA: b\r\n\r\n",
		"within data":       "5\r\nab",
		"within a trailer":  "0\r\nA: b\r\nC:",
		"failed":            "x",
		"within extensions": "1;" + strings.Repeat("a", 100),
	} {
		t.Run(name, func(t *testing.T) {
			var c ChunkReader
			_, _, _ = c.Next([]byte(before))
			c.Reset()
			if c.Done() || c.Trailers() != nil {
				t.Error("Reset left something")
			}
			got := decode(&c, []byte("2\r\nok\r\n0\r\nD: e\r\n\r\n"), always(3))
			if diff := cmp.Diff(decoded{Body: "ok", Trailers: []string{"D=e"}, Done: true}, got, equalErrors()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestTrailersAreCopied has trailers outlive the buffer they were read from.
func TestTrailersAreCopied(t *testing.T) {
	b := []byte("0\r\nX-Sum: abc\r\n\r\n")
	var c ChunkReader
	if _, _, err := c.Next(b); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = 0xff
	}
	if got := c.Trailers(); len(got) != 1 || got[0].Name != "X-Sum" || got[0].Value != "abc" {
		t.Errorf("%+v", got)
	}
}

func TestAppendChunkHeader(t *testing.T) {
	for size, want := range map[int]string{0: "x0\r\n", 9: "x9\r\n", 255: "xff\r\n", 1 << 20: "x100000\r\n"} {
		if got := string(AppendChunkHeader([]byte("x"), size)); got != want {
			t.Errorf("%d: %q, want %q", size, got, want)
		}
	}
}
