package http1

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

// seedRequests are requests of all sorts, whole and broken.
func seedRequests(t testing.TB) [][]byte {
	seeds := [][]byte{
		browserRequest(), shortRequest(),
		[]byte("POST /p HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\nGET / HTTP/1.1\r\n"),
		[]byte("POST /p HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello"),
		[]byte("GET http://other.test/p?q HTTP/1.1\r\nHost: [::1]:8080\r\nConnection: close, x-a,,\r\nPragma: no-cache\r\n\r\n"),
		[]byte("OPTIONS * HTTP/1.0\r\nConnection: Keep-Alive\r\nX_y: caf\xc3\xa9\r\nX.y: \t\r\n\r\n"),
		[]byte("GET / HTTP/1.1\nHost: a\n\n"),
		[]byte("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n"),
	}
	var catalogue struct{ Cases []struct{ Raw string } }
	readJSON(t, "../testdata/http1-raw.json", &catalogue)
	for _, c := range catalogue.Cases {
		seeds = append(seeds, bytesOf(c.Raw))
	}
	var cases []desyncCase
	readJSON(t, "testdata/desync/cases.json", &cases)
	for i := range cases {
		seeds = append(seeds, cases[i].raw())
	}
	return seeds
}

// cuts returns lengths of pieces, which seed decides on: mostly short ones.
func cuts(seed uint64) func() int {
	random := rand.New(rand.NewPCG(seed, 0))
	return func() int { return 1 + random.IntN(1<<random.IntN(9)) }
}

// checkHead judges what every head that was accepted has in common, and returns it written anew.
func checkHead(t *testing.T, b []byte, n int, head []byte, fields []Field, chunked bool, length int64) string {
	t.Helper()
	if n > len(b) || n > MaxHeadBytes || !bytes.Equal(head, b[:n]) || !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		t.Fatalf("%d bytes of %q, head %q", n, b, head)
	}
	line, _, _ := bytes.Cut(head, []byte("\r\n"))
	at := len(line) + 2
	lengths, codings := 0, 0
	var again strings.Builder
	for i := range fields {
		f := &fields[i]
		start, end := f.Extent()
		if start != at || end <= start {
			t.Fatalf("%q: field %d is at %d, want %d", head, i, start, at)
		}
		at = end
		text := string(head[start:end])
		if !isToken(f.Name) || ows.Trim(f.Value) != f.Value || strings.ContainsFunc(f.Value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			t.Fatalf("field %+v of %q", f, text)
		}
		if text != f.Name+":"+text[len(f.Name)+1:] || ows.Trim(strings.TrimSuffix(text[len(f.Name)+1:], "\r\n")) != f.Value {
			t.Fatalf("field %+v of %q", f, text)
		}
		if f.Kind() != referenceKind(f.Name) {
			t.Fatalf("field %+v is of kind %d", f, f.Kind())
		}
		switch {
		case strings.EqualFold(f.Name, "Content-Length"):
			lengths++
			if strings.TrimLeft(f.Value, "0") != strings.TrimLeft(strconv.FormatInt(length, 10), "0") || f.Kind() != KindContentLength {
				t.Fatalf("length %d of %+v", length, f)
			}
		case strings.EqualFold(f.Name, "Transfer-Encoding"):
			codings++
			if !strings.EqualFold(f.Value, "chunked") || f.Kind() != KindTransferEncoding {
				t.Fatalf("coding %+v", f)
			}
		}
		again.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	if at != n-2 {
		t.Fatalf("%q: the fields end at %d, want %d", head, at, n-2)
	}
	if lengths+codings > 1 || chunked != (codings == 1) || (length >= 0) != (lengths == 1) {
		t.Fatalf("%q: %d lengths, %d codings, chunked %t, length %d", head, lengths, codings, chunked, length)
	}
	return again.String() + "\r\n"
}

// referenceKind is the kind of a field with that name, found without any of the shortcuts of kindOf.
func referenceKind(name string) Kind {
	for i := range len(name) {
		if !isNameWord(name[i]) {
			return KindIrregular
		}
	}
	return referenceKinds[strings.ToLower(name)] // KindOther where it is none of them
}

var referenceKinds = map[string]Kind{
	"host": KindHost, "content-length": KindContentLength, "transfer-encoding": KindTransferEncoding,
	"connection": KindConnection, "keep-alive": KindKeepAlive, "proxy-connection": KindProxyConnection,
	"proxy-authenticate": KindProxyAuthenticate, "proxy-authorization": KindProxyAuthorization, "expect": KindExpect,
	"upgrade": KindUpgrade, "http2-settings": KindHTTP2Settings, "te": KindTE, "trailer": KindTrailer, "date": KindDate,
	"authorization": KindAuthorization,
}

// checkError judges errors, of which none may quote.
func checkError(t *testing.T, err error) {
	t.Helper()
	var refused *SyntaxError
	switch {
	case errors.Is(err, ErrIncomplete):
	case !errors.As(err, &refused):
		t.Fatalf("error %T", err)
	case !slices.Contains([]int{400, 414, 431, 501, 505}, refused.Status):
		t.Fatalf("%v: status %d", err, refused.Status)
	}
}

// sameInPieces compares a head that came in pieces with the same at once. Pieces may hide for a while that a line is
// malformed, but never change what it is in the end.
func sameInPieces(t *testing.T, b []byte, next func() int, n int, err error, parse func([]byte) (int, error)) {
	t.Helper()
	for end := 0; ; {
		end = min(len(b), end+next())
		m, pieceErr := parse(b[:end])
		if errors.Is(pieceErr, ErrIncomplete) {
			if end < len(b) {
				continue
			}
			if err != nil && !bytes.HasSuffix(b, []byte("\n")) {
				return
			}
		}
		if m != n || !errors.Is(pieceErr, err) {
			t.Fatalf("%q: in pieces %d, %v; at once %d, %v", b, m, pieceErr, n, err)
		}
		return
	}
}

func FuzzRequest(f *testing.F) {
	for i, seed := range seedRequests(f) {
		f.Add(seed, uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		before := bytes.Clone(b)
		var r, pieces, again Request
		n, err := r.Parse(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		sameInPieces(t, b, cuts(seed), n, err, pieces.Parse)
		if err != nil {
			checkError(t, err)
			return
		}
		if diff := cmp.Diff(requestFacts(&r), requestFacts(&pieces)); diff != "" {
			t.Fatalf("%q (-at once +in pieces):\n%s", b, diff)
		}
		fields := checkHead(t, b, n, r.Head, r.Fields, r.Chunked, r.ContentLength)
		if r.Host == "" && r.Minor > 0 || r.ExpectContinue && !r.Chunked && r.ContentLength <= 0 {
			t.Fatalf("%+v", r)
		}
		line := fmt.Sprintf("%s %s HTTP/1.%d\r\n", r.Method, r.Target, r.Minor)
		if !bytes.HasPrefix(b, []byte(line)) {
			t.Fatalf("%q is not the line of %q", line, b)
		}
		// "A:b" written anew is a byte longer, which may be more than a head may have.
		if m, err := again.Parse([]byte(line + fields)); err != nil && len(line+fields) <= MaxHeadBytes || err == nil && m != len(line+fields) {
			t.Fatalf("%q: written anew it is %d, %v", line+fields, m, err)
		} else if diff := cmp.Diff(requestFacts(&r), requestFacts(&again)); err == nil && diff != "" {
			t.Fatalf("%q (-at first +written anew):\n%s", b, diff)
		}
	})
}

// seedResponses are responses of all sorts, whole and broken.
func seedResponses() []string {
	return []string{
		string(usualResponse()),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n0\r\n\r\n",
		"HTTP/1.0 404 Not Found\r\nConnection: keep-alive, x\r\nContent-Length: 007\r\n\r\nabcdefg",
		"HTTP/1.1 204\r\n\r\n",
		"HTTP/1.1 100 \r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\nA: b\n\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
		"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
		"HTTP/2.0 200\r\n\r\n",
	}
}

func FuzzResponse(f *testing.F) {
	for i, seed := range seedResponses() {
		f.Add([]byte(seed), uint64(i), http.MethodGet)
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64, method string) {
		before := bytes.Clone(b)
		var r, pieces, again Response
		n, err := r.Parse(b)
		if !bytes.Equal(b, before) {
			t.Fatal("the bytes were changed")
		}
		sameInPieces(t, b, cuts(seed), n, err, pieces.Parse)
		if err != nil {
			checkError(t, err)
			return
		}
		if diff := cmp.Diff(responseFacts(&r), responseFacts(&pieces)); diff != "" {
			t.Fatalf("%q (-at once +in pieces):\n%s", b, diff)
		}
		fields := checkHead(t, b, n, r.Head, r.Fields, r.Chunked, r.ContentLength)
		if kind := r.Body(method); kind == Length && r.ContentLength < 0 || kind == ChunkedBody && !r.Chunked ||
			kind != NoBody && (method == http.MethodHead || r.Status < 200 || r.Status == 204 || r.Status == 304) {
			t.Fatalf("body %d of %+v", kind, r)
		}
		line := fmt.Sprintf("HTTP/1.%d %d %s\r\n", r.Minor, r.Status, r.Reason)
		if m, err := again.Parse([]byte(line + fields)); err != nil && len(line+fields) <= MaxHeadBytes || err == nil && m != len(line+fields) {
			t.Fatalf("%q: written anew it is %d, %v", line+fields, m, err)
		} else if diff := cmp.Diff(responseFacts(&r), responseFacts(&again)); err == nil && diff != "" {
			t.Fatalf("%q (-at first +written anew):\n%s", b, diff)
		}
	})
}

// referenceLine is RFC 9112 section 7.1.1 as a regular expression.
var referenceLine = regexp.MustCompile("^([0-9A-Fa-f]{1,16})((?:[ \t]*;[ \t]*" + referenceToken +
	"(?:[ \t]*=[ \t]*(?:" + referenceToken + `|"(?:[^\x00-\x08\x0a-\x1f\x7f"\\]|\\[^\x00-\x08\x0a-\x1f\x7f])*"))?)*)$`)

const referenceToken = "[-!#$%&'*+.^_`|~0-9A-Za-z]+"

// reference decodes the chunked coding by a program that shares nothing with ours. ok is false where the body is
// malformed, too large or incomplete; body is what came before.
func reference(b []byte) (body []byte, rest []byte, ok bool) {
	excess := 0
	for {
		line, after, found := bytes.Cut(b, []byte("\r\n"))
		if !found {
			return body, b, false
		}
		// Latin-1 as UTF-8, since regular expressions are about characters.
		match := referenceLine.FindStringSubmatch(latin1(line))
		if match == nil {
			return body, b, false
		}
		size, err := strconv.ParseInt(match[1], 16, 64)
		extension := len(line) - len(match[1])
		if extension > 0 {
			extension++ // its CR
		}
		excess = max(0, excess+len(match[1])+extension+2-16-2*int(min(size, 1<<20)))
		if err != nil || extension > maxExtensionBytes || excess > maxExtensionExcess {
			return body, b, false
		}
		if size == 0 {
			return body, after, true
		}
		have := min(size, int64(len(after)))
		body = append(body, after[:have]...)
		if !bytes.HasPrefix(after[have:], []byte("\r\n")) {
			return body, b, false
		}
		b = after[have+2:]
	}
}

func latin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}

func FuzzChunkReader(f *testing.F) {
	for i, seed := range []string{
		"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
		"5;a=b ; c = \"d\\\"e\"\r\nhello\r\n0;x\r\nX-Sum: 1\r\nY:\r\n\r\nGET / HTTP/1.1\r\n",
		"000a\r\n0123456789\r\nA\r\n0123456789\r\n00\r\n\r\n",
		"7fffffffffffffff\r\nabc",
		"5\nhello\n0\n\n",
		"1;" + strings.Repeat("a", maxExtensionBytes-2) + "\r\nx\r\n0\r\n\r\n",
		strings.Repeat("1;a\r\nx\r\n", 50) + "0\r\n\r\n",
		"0\r\nA: b\r\n c\r\n\r\n",
		"5 \r\nhello\r\n0\r\n\r\n",
	} {
		f.Add([]byte(seed), uint64(i))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var c, pieces ChunkReader
		atOnce := bytes.Clone(b)
		data, n, err := c.Next(atOnce)
		data = bytes.Clone(data)
		if !bytes.Equal(atOnce[n:], b[n:]) {
			t.Fatal("bytes behind those that were consumed were changed")
		}
		if err == nil && !c.Done() && n != len(b) {
			t.Fatalf("%q: %d bytes of %d", b, n, len(b))
		}
		if err != nil {
			checkError(t, err)
		}
		got := decode(&pieces, b, cuts(seed))
		if got.Body != string(data) || got.Done != c.Done() || !errors.Is(got.Err, err) || c.Done() && got.Rest != string(b[n:]) {
			t.Fatalf("%q: in pieces %+v; at once %q, %d, %v", b, got, data, n, err)
		}
		body, rest, ok := reference(b)
		wellFormed := c.Done()
		switch {
		case wellFormed && !ok:
			t.Fatalf("%q: accepted", b)
		case ok && !wellFormed:
			// The reference stops in front of the trailer section.
			if _, n, trailerErr := tail(rest); err != nil && trailerErr == nil {
				t.Fatalf("%q: refused with %v, %d bytes of trailers", b, err, n)
			}
		}
		if ok && !bytes.Equal(body, data) {
			t.Fatalf("%q: body %q, want %q", b, data, body)
		}
		if !wellFormed {
			return
		}
		trailers, m, trailerErr := tail(rest)
		if trailerErr != nil || len(rest)-m != len(b)-n || !slices.Equal(trailers, got.Trailers) {
			t.Fatalf("%q: trailers %q, want %q, %v", b, got.Trailers, trailers, trailerErr)
		}
		encodedAgain(t, data, c.Trailers(), seed)
	})
}

// tail parses a trailer section at once.
func tail(b []byte) (trailers []string, n int, err error) {
	s := section{of: trailerSection}
	n, err = s.parse(b)
	for _, f := range s.fields {
		trailers = append(trailers, f.Name+"="+f.Value)
	}
	if n > maxTrailerBytes || errors.Is(err, ErrIncomplete) && len(b) > maxTrailerBytes {
		err = errTrailersLong
	}
	return trailers, n, err
}

// encodedAgain encodes a body in chunks of other lengths, and decodes it.
func encodedAgain(t *testing.T, data []byte, trailers []Field, seed uint64) {
	t.Helper()
	next := cuts(seed ^ binary.LittleEndian.Uint64([]byte("encoding")))
	var text []byte
	for rest := data; len(rest) > 0; {
		size := min(len(rest), next())
		text = AppendChunkHeader(text, size)
		text = append(text, rest[:size]...)
		text = append(text, '\r', '\n')
		rest = rest[size:]
	}
	text = AppendChunkHeader(text, 0)
	want := decoded{Body: string(data), Done: true}
	for _, f := range trailers {
		text = append(text, f.Name+":"+f.Value+"\r\n"...)
		want.Trailers = append(want.Trailers, f.Name+"="+f.Value)
	}
	text = append(text, '\r', '\n')
	var c ChunkReader
	if diff := cmp.Diff(want, decode(&c, text, next), equalErrors()); diff != "" {
		t.Fatalf("%q (-decoded +encoded and decoded):\n%s", text, diff)
	}
}
