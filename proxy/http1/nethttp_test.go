package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// message is a request with its body, as one of the parsers has it.
type message struct {
	Method, Target string
	Minor          int
	Host           string
	Length         int64
	Chunked, Close bool
	Fields         http.Header
	Body           string
	Trailers       http.Header
	Rest           string // what belongs to no request yet
}

// ours reads a request with this package.
func ours(b []byte) (message, error) {
	var r Request
	n, err := r.Parse(b)
	if err != nil {
		return message{}, err
	}
	m := message{
		Method: r.Method, Target: r.Target, Minor: r.Minor, Host: r.Host, Length: r.ContentLength,
		Chunked: r.Chunked, Close: r.Close, Fields: header(r.Fields),
	}
	b = b[n:]
	switch {
	case r.Chunked:
		var c ChunkReader
		data, n, err := c.Next(bytes.Clone(b))
		if err == nil && !c.Done() {
			err = ErrIncomplete
		}
		if err != nil {
			return message{}, err
		}
		m.Body, m.Trailers, b = string(data), header(c.Trailers()), b[n:]
	case r.ContentLength > int64(len(b)):
		return message{}, ErrIncomplete
	case r.ContentLength > 0:
		m.Body, b = string(b[:r.ContentLength]), b[r.ContentLength:]
	}
	m.Rest = string(b)
	return m, nil
}

func header(fields []Field) http.Header {
	h := http.Header{}
	for _, f := range fields {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		h[name] = append(h[name], f.Value)
	}
	return h
}

// theirs reads a request with net/http.
func theirs(b []byte) (message, error) {
	reader := bufio.NewReaderSize(bytes.NewReader(b), 1<<20)
	r, err := http.ReadRequest(reader)
	if err != nil {
		return message{}, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return message{}, err
	}
	rest, err := io.ReadAll(reader)
	if err != nil {
		return message{}, err
	}
	return message{
		Method: r.Method, Target: r.RequestURI, Minor: r.ProtoMinor, Host: r.Host, Length: r.ContentLength,
		Chunked: slices.Equal(r.TransferEncoding, []string{"chunked"}), Close: r.Close, Fields: r.Header,
		Body: string(body), Trailers: trailersOf(r.Trailer), Rest: string(rest),
	}, nil
}

// trailersOf are the trailers of those that are announced or came.
func trailersOf(h http.Header) http.Header {
	came := http.Header{}
	for name, values := range h {
		if values != nil {
			came[name] = values
		}
	}
	return came
}

// stricter are the reasons for which we refuse what net/http's parser takes, and why it matters. Some of them net/http
// refuses as well, but in its server.
func stricter() map[error]string {
	const (
		lenient   = "RFC 9112 lets a recipient tolerate it, so that not all do"
		semantics = "net/http's server judges it behind its parser"
		limit     = "the limits are ours"
	)
	return map[error]string{
		errBareLF:    lenient + " (section 2.2)",
		errFolded:    lenient + " (section 5.2)",
		errNameSpace: semantics + ", since its parser takes the white space for a part of the name (section 5.1)",
		errExtension: "net/http drops chunk extensions unread (section 7.1.1)",

		errMethodLong:  limit,
		errTarget:      "net/http takes fragments and bytes above 127, which no URI has (RFC 3986 section 2)",
		errUnsupported: semantics + "; what another version means is not known",

		errHost:            semantics + ", in a wider grammar",
		errNoHost:          semantics,
		errLength:          "net/http takes any number of leading zeros",
		errLengthTwice:     "net/http takes equal ones",
		errLengthAndCoding: "net/http takes Transfer-Encoding alone, and hides that there was Content-Length (section 6.3)",
		errCoding:          "net/http takes an empty one that is continued in a folded line, and ignores any in HTTP/1.0",
		errCodingUnknown:   "net/http ignores it in HTTP/1.0",
		errCodingTwice:     "net/http ignores them in HTTP/1.0",
		errCodingVersion:   "net/http ignores it, which others do not (section 6.1)",
		errAlias:           "servers behind us may take it for what it resembles",
		errConnection:      "net/http looks for the tokens that it knows",
		errExpect:          "handlers are to judge it",

		errTooManyFields:  limit,
		errOptions:        limit,
		ErrHeadTooLarge:   limit,
		ErrTargetTooLarge: limit,
		errExtensionLong:  limit,
		errTrailersLong:   limit,
	}
}

// judgedElsewhere says why it is no matter of this parser that net/http's refuses a request, or nothing where it is.
func judgedElsewhere(m message) string {
	target := m.Target
	if m.Method == http.MethodConnect && !strings.HasPrefix(target, "/") {
		target = "http://" + target
	}
	if _, err := url.ParseRequestURI(target); err != nil {
		return "the forms of a target and its escapes are judged where it is taken apart"
	}
	return forbiddenTrailer(m)
}

// forbiddenTrailer says why it is no matter of this parser that Trailer announces a field that can't be a trailer, or
// nothing where it does not.
func forbiddenTrailer(m message) string {
	for _, list := range m.Fields["Trailer"] {
		for name := range options(list) {
			switch textproto.CanonicalMIMEHeaderKey(name) {
			case "Transfer-Encoding", "Trailer", "Content-Length":
				return "which trailers go on is decided by name, whatever is announced"
			}
		}
	}
	return ""
}

// alike takes away what differs by design from two messages.
func alike(ours, theirs message) (message, message) {
	if ours.Target != "*" && !strings.HasPrefix(ours.Target, "/") {
		ours.Host, theirs.Host = "", "" // the target's authority is theirs, where the target has one
	}
	if ours.Length < 0 && !ours.Chunked {
		ours.Length = 0 // there is no body
	}
	for _, name := range []string{"Host", "Transfer-Encoding"} {
		delete(ours.Fields, name) // fields that net/http keeps elsewhere
	}
	if ours.Chunked {
		delete(ours.Fields, "Trailer")
	}
	addCacheControl(ours.Fields)
	return ours, theirs
}

// addCacheControl adds the Cache-Control that net/http adds.
func addCacheControl(h http.Header) {
	if pragma := h["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && h["Cache-Control"] == nil {
		h["Cache-Control"] = []string{"no-cache"}
	}
}

// againstNetHTTP compares what both parsers make of the bytes.
func againstNetHTTP(t *testing.T, b []byte) {
	t.Helper()
	our, ourErr := ours(b)
	their, theirErr := theirs(b)
	switch {
	case ourErr != nil && theirErr != nil:
	case ourErr != nil:
		if stricter()[ourErr] == "" {
			t.Errorf("%q: only we refuse it: %v", b, ourErr)
		}
	case theirErr != nil:
		if judgedElsewhere(our) == "" {
			t.Errorf("%q: only net/http refuses it: %v", b, theirErr)
		}
	default:
		our, their = alike(our, their)
		if diff := cmp.Diff(their, our, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-net/http +ours):\n%s", b, diff)
		}
	}
}

// TestStricterThanNetHTTP has an example of every difference that stricter explains.
func TestStricterThanNetHTTP(t *testing.T) {
	const line, old, host = "GET / HTTP/1.1\r\n", "POST / HTTP/1.0\r\n", "Host: app.test\r\n"
	const chunked = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"
	examples := map[error]string{
		errBareLF:    "GET / HTTP/1.1\n" + host + "\r\n",
		errFolded:    line + host + "A: b\r\n c\r\n\r\n",
		errNameSpace: line + "Host : a\r\n\r\n",
		errExtension: chunked + "1;\r\nx\r\n0\r\n\r\n",

		errMethodLong:  strings.Repeat("A", maxMethodBytes+1) + " / HTTP/1.1\r\n" + host + "\r\n",
		errTarget:      "GET /#a HTTP/1.1\r\n" + host + "\r\n",
		errUnsupported: "GET / HTTP/1.2\r\n" + host + "\r\n",

		errHost:            line + "Host: a/b\r\n\r\n",
		errNoHost:          line + "\r\n",
		errLength:          line + host + "Content-Length: " + strings.Repeat("0", 20) + "\r\n\r\n",
		errLengthTwice:     line + host + "Content-Length: 0\r\nContent-Length: 0\r\n\r\n",
		errLengthAndCoding: line + host + "Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		errCoding:          line + host + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
		errCodingUnknown:   old + "Transfer-Encoding: gzip, chunked\r\n\r\n",
		errCodingTwice:     old + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		errCodingVersion:   old + "Transfer-Encoding: chunked\r\n\r\n",
		errAlias:           line + host + "Content_Length: 9\r\n\r\n",
		errConnection:      line + host + "Connection: a b\r\n\r\n",
		errExpect:          line + host + "Expect: a\r\n\r\n",

		errTooManyFields:  line + strings.Repeat("A"+":\r\n", MaxFields+1) + "\r\n",
		errOptions:        line + host + "Connection: " + strings.Repeat("a,", maxOptions+1) + "a\r\n\r\n",
		ErrHeadTooLarge:   longHead(MaxHeadBytes) + "\r\n\r\n",
		ErrTargetTooLarge: "GET /" + strings.Repeat("a", MaxTargetBytes) + " HTTP/1.1\r\n" + host + "\r\n",
		errExtensionLong:  chunked + "1;" + strings.Repeat("a", maxExtensionBytes) + "\r\nx\r\n0\r\n\r\n",
		errTrailersLong:   chunked + "0\r\nA:" + strings.Repeat("b", maxTrailerBytes) + "\r\n\r\n",
	}
	for err := range stricter() {
		if _, ok := examples[err]; !ok {
			t.Errorf("no example of: %v", err)
		}
	}
	for want, text := range examples {
		if _, err := theirs([]byte(text)); err != nil {
			t.Errorf("%q: net/http refuses it: %v", text, err)
		}
		if _, err := ours([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", text, err, want)
		}
	}
}

func FuzzAgainstNetHTTP(f *testing.F) {
	for _, seed := range seedRequests(f) {
		f.Add(seed)
	}
	f.Fuzz(againstNetHTTP)
}
