package http1

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func responseFacts(r *Response) facts {
	f := facts{Line: strconv.Itoa(r.Status) + " " + r.Reason, Minor: r.Minor, Length: r.ContentLength, Chunked: r.Chunked, Close: r.Close, Names: r.ConnectionTokens}
	for _, field := range r.Fields {
		f.Fields = append(f.Fields, field.Name+"="+field.Value)
	}
	return f
}

// parseResponse parses a head, and checks that it comes to the same however it is cut.
func parseResponse(t *testing.T, head string) (*Response, int, error) {
	t.Helper()
	var r, again Response
	n, err := r.Parse([]byte(head))
	b := []byte(head)
	for i := range len(b) + 1 {
		m, pieceErr := again.Parse(b[:i:i])
		if errors.Is(pieceErr, ErrIncomplete) && (i < len(b) || !strings.HasSuffix(head, "\n")) {
			continue
		}
		if pieceErr == nil && m != n || !errors.Is(pieceErr, err) {
			t.Fatalf("%q: %d bytes are %d, %v; the whole is %d, %v", head, i, m, pieceErr, n, err)
		}
		if err == nil {
			if diff := cmp.Diff(responseFacts(&r), responseFacts(&again)); diff != "" {
				t.Fatalf("%q (-at once +byte by byte):\n%s", head, diff)
			}
		}
		break
	}
	return &r, n, err
}

func TestResponseAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		head string
		want facts
	}{
		"plain":                   {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", facts{Line: "200 OK", Minor: 1, Length: 5, Fields: []string{"Content-Length=5"}}},
		"no fields":               {"HTTP/1.1 200 OK\r\n\r\n", facts{Line: "200 OK", Minor: 1, Length: -1}},
		"empty reason":            {"HTTP/1.1 204 \r\n\r\n", facts{Line: "204 ", Minor: 1, Length: -1}},
		"no space for the reason": {"HTTP/1.1 204\r\n\r\n", facts{Line: "204 ", Minor: 1, Length: -1}},
		"reason of words":         {"HTTP/1.1 404 \t Not  Found \r\n\r\n", facts{Line: "404 Not  Found", Minor: 1, Length: -1}},
		"reason in UTF-8":         {"HTTP/1.1 404 Nicht geh\xc3\xb6rt\r\n\r\n", facts{Line: "404 Nicht geh\xc3\xb6rt", Minor: 1, Length: -1}},
		"lowest status":           {"HTTP/1.1 100 Continue\r\n\r\n", facts{Line: "100 Continue", Minor: 1, Length: -1}},
		"highest status":          {"HTTP/1.1 999 No\r\n\r\n", facts{Line: "999 No", Minor: 1, Length: -1}},
		"HTTP/1.0":                {"HTTP/1.0 200 OK\r\n\r\n", facts{Line: "200 OK", Length: -1, Close: true}},
		"HTTP/1.0 kept alive":     {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", facts{Line: "200 OK", Length: -1, Fields: []string{"Connection=keep-alive"}}},
		"closed":                  {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", facts{Line: "200 OK", Minor: 1, Length: -1, Close: true, Fields: []string{"Connection=close"}}},
		"chunked":                 {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", facts{Line: "200 OK", Minor: 1, Length: -1, Chunked: true, Fields: []string{"Transfer-Encoding=chunked"}}},
		"fields of requests":      {"HTTP/1.1 200 OK\r\nHost: a b\r\nHost:\r\nExpect: x\r\nContent_Length: 5\r\n\r\n", facts{Line: "200 OK", Minor: 1, Length: -1, Fields: []string{"Host=a b", "Host=", "Expect=x", "Content_Length=5"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r, n, err := parseResponse(t, c.head)
			if err != nil || n != len(c.head) || string(r.Head) != c.head {
				t.Fatalf("%d, %v, head %q", n, err, r.Head)
			}
			if diff := cmp.Diff(c.want, responseFacts(r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for i := range len(c.head) {
				var beginning Response
				if _, err := beginning.Parse([]byte(c.head[:i])); !errors.Is(err, ErrIncomplete) {
					t.Errorf("the first %d bytes: %v", i, err)
				}
			}
		})
	}
}

func TestResponseRefused(t *testing.T) {
	const line = "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct {
		head string
		want *SyntaxError
	}{
		"empty line before it":       {"\r\n" + line + "\r\n", errVersion},
		"garbage":                    {"\x00\x01\x02\x03\x04\x05\x06\x07\x08", errVersion},
		"SHOUTcast":                  {"ICY 200 OK\r\n\r\n", errVersion},
		"lower-case version":         {"http/1.1 200 OK\r\n\r\n", errVersion},
		"HTTP/2.0":                   {"HTTP/2.0 200 OK\r\n\r\n", errUnsupported},
		"HTTP/1.2":                   {"HTTP/1.2 200 OK\r\n\r\n", errUnsupported},
		"two spaces before the code": {"HTTP/1.1  200 OK\r\n\r\n", errStatus},
		"tab before the code":        {"HTTP/1.1\t200 OK\r\n\r\n", errStatusLine},
		"no code":                    {"HTTP/1.1\r\n\r\n", errStatusLine},
		"code of two digits":         {"HTTP/1.1 20 OK\r\n\r\n", errStatus},
		"code of four digits":        {"HTTP/1.1 2000 OK\r\n\r\n", errStatusLine},
		"code below 100":             {"HTTP/1.1 099 OK\r\n\r\n", errStatus},
		"code with a sign":           {"HTTP/1.1 +20 OK\r\n\r\n", errStatus},
		"code with a dot":            {"HTTP/1.1 200.1 OK\r\n\r\n", errStatusLine},
		"tab behind the code":        {"HTTP/1.1 200\tOK\r\n\r\n", errStatusLine},
		"control in the reason":      {"HTTP/1.1 200 O\x01K\r\n\r\n", errValue},
		"bare CR in the reason":      {"HTTP/1.1 200 O\rK\r\n\r\n", errBareCR},
		"LF ends the line":           {"HTTP/1.1 200 OK\n\r\n", errBareLF},
		"LF ends a short line":       {"HTTP/1.1 200\n\r\n", errStatusLine},
		"bare CR behind the code":    {"HTTP/1.1 200\rOK\r\n\r\n", errBareCR},
		"endless reason":             {"HTTP/1.1 200 " + strings.Repeat("a", maxLineBytes), errStatusLine},
		"space before the colon":     {line + "A : b\r\n\r\n", errNameSpace},
		"folded line":                {line + "A: b\r\n c\r\n\r\n", errFolded},
		"NUL in a value":             {line + "A: b\x00\r\n\r\n", errValue},
		"bare CR in a value":         {line + "A: b\rc\r\n\r\n", errBareCR},
		"LF ends a field line":       {line + "A: b\n\r\n", errBareLF},
		"two lengths":                {line + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", errLengthTwice},
		"list of lengths":            {line + "Content-Length: 5,5\r\n\r\n", errLength},
		"length and coding":          {line + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", errLengthAndCoding},
		"coding in HTTP/1.0":         {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", errCodingVersion},
		"coding gzip and chunked":    {line + "Transfer-Encoding: gzip, chunked\r\n\r\n", errCodingUnknown},
		"coding identity":            {line + "Transfer-Encoding: identity\r\n\r\n", errCoding},
		"two codings":                {line + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", errCodingTwice},
		"Connection lists no token":  {line + "Connection: a b\r\n\r\n", errConnection},
		"too many fields":            {line + strings.Repeat("A: b\r\n", MaxFields+1) + "\r\n", errTooManyFields},
		"endless head":               {line + "A: " + strings.Repeat("b", MaxHeadBytes), ErrHeadTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := parseResponse(t, c.head)
			if n != 0 || !errors.Is(err, c.want) {
				t.Errorf("%d, %v; want %v", n, err, c.want)
			}
		})
	}
}

func TestResponseBody(t *testing.T) {
	const length, chunked = "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"
	for name, c := range map[string]struct {
		method, code, fields string
		want                 BodyKind
	}{
		"length":                {http.MethodGet, "200", length, Length},
		"length of 0":           {http.MethodGet, "200", "Content-Length: 0\r\n", Length},
		"chunked":               {http.MethodGet, "200", chunked, ChunkedBody},
		"neither":               {http.MethodGet, "200", "", UntilClose},
		"error":                 {http.MethodPost, "500", length, Length},
		"HEAD with length":      {http.MethodHead, "200", length, NoBody},
		"HEAD with coding":      {http.MethodHead, "200", chunked, NoBody},
		"HEAD with neither":     {http.MethodHead, "200", "", NoBody},
		"head in lower case":    {"head", "200", "", UntilClose},
		"100":                   {http.MethodGet, "100", length, NoBody},
		"101":                   {http.MethodGet, "101", "", NoBody},
		"103 with coding":       {http.MethodGet, "103", chunked, NoBody},
		"204 with length":       {http.MethodGet, "204", length, NoBody},
		"204 with coding":       {http.MethodGet, "204", chunked, NoBody},
		"205":                   {http.MethodGet, "205", "", UntilClose},
		"304 with length":       {http.MethodGet, "304", length, NoBody},
		"304 with neither":      {http.MethodGet, "304", "", NoBody},
		"status without a name": {http.MethodGet, "999", "", UntilClose},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := parseResponse(t, "HTTP/1.1 "+c.code+" X\r\n"+c.fields+"\r\n")
			if err != nil {
				t.Fatal(err)
			}
			if got := r.Body(c.method); got != c.want {
				t.Errorf("body %d, want %d", got, c.want)
			}
		})
	}
}

// TestResponseReused has nothing of one response in the next.
func TestResponseReused(t *testing.T) {
	var r Response
	const first = "HTTP/1.0 500 Long Reason\r\nConnection: x\r\nContent-Length: 5\r\n"
	if _, err := r.Parse([]byte(first)); !errors.Is(err, ErrIncomplete) {
		t.Fatal(err)
	}
	r.Reset()
	if diff := cmp.Diff(Response{ContentLength: -1}, r, cmpopts.IgnoreUnexported(Response{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("after Reset (-want +got):\n%s", diff)
	}
	if _, err := r.Parse([]byte(first + "\r\n")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Parse([]byte("HTTP/1.1 204\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(facts{Line: "204 ", Minor: 1, Length: -1}, responseFacts(&r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if r.Has(KindConnection) {
		t.Error("Has is about the response before")
	}
}

// TestDigits has lengths sent on in their shortest form.
func TestDigits(t *testing.T) {
	for sent, want := range map[string]string{"0": "0", "000": "0", "7": "7", "007": "7", "0070": "70", "1234567890123456789": "1234567890123456789"} {
		var r Response
		if _, err := r.Parse([]byte("HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: " + sent + " \r\nB: 2\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got := r.digits(); got != want {
			t.Errorf("%s is sent on as %q, want %q", sent, got, want)
		}
	}
}
