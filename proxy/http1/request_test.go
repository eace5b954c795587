package http1

import (
	"errors"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// facts are what is compared of a message, in a form that is easy to write down.
type facts struct {
	Line    string
	Minor   int
	Fields  []string
	Host    string
	Length  int64
	Chunked bool
	Close   bool
	Expect  bool
	Names   bool
}

func requestFacts(r *Request) facts {
	f := facts{r.Method + " " + r.Target, r.Minor, nil, r.Host, r.ContentLength, r.Chunked, r.Close, r.ExpectContinue, r.ConnectionTokens}
	for _, field := range r.Fields {
		f.Fields = append(f.Fields, field.Name+"="+field.Value)
	}
	return f
}

// parseRequest parses a head, and checks that it comes to the same however it is cut.
func parseRequest(t *testing.T, head string) (*Request, int, error) {
	t.Helper()
	var r, again Request
	n, err := r.Parse([]byte(head))
	b := []byte(head)
	for i := range b {
		m, pieceErr := again.Parse(b[:i:i])
		if errors.Is(pieceErr, ErrIncomplete) {
			continue
		}
		if pieceErr == nil && m != n || !errors.Is(pieceErr, err) {
			t.Fatalf("%q: %d bytes are %d, %v; the whole is %d, %v", head, i, m, pieceErr, n, err)
		}
		return &r, n, err
	}
	m, pieceErr := again.Parse(b)
	if errors.Is(pieceErr, ErrIncomplete) && !strings.HasSuffix(head, "\n") {
		return &r, n, err // a line that comes in pieces is judged once it ended
	}
	if m != n || !errors.Is(pieceErr, err) {
		t.Fatalf("%q: byte by byte it is %d, %v; at once %d, %v", head, m, pieceErr, n, err)
	}
	if err == nil {
		if diff := cmp.Diff(requestFacts(&r), requestFacts(&again)); diff != "" {
			t.Fatalf("%q (-at once +byte by byte):\n%s", head, diff)
		}
	}
	return &r, n, err
}

func TestRequestAccepted(t *testing.T) {
	const host = "Host: app.test\r\n"
	hosted := func(f facts, fields ...string) facts {
		f.Fields, f.Host = append([]string{"Host=app.test"}, fields...), "app.test"
		return f
	}
	for name, c := range map[string]struct {
		head string
		want facts
	}{
		"plain":                 {"GET /p HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "GET /p", Minor: 1, Length: -1})},
		"query":                 {"GET /p?a=b&c=%20 HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "GET /p?a=b&c=%20", Minor: 1, Length: -1})},
		"asterisk":              {"OPTIONS * HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "OPTIONS *", Minor: 1, Length: -1})},
		"absolute form":         {"GET http://other.test/ HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "GET http://other.test/", Minor: 1, Length: -1})},
		"authority form":        {"CONNECT other.test:443 HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "CONNECT other.test:443", Minor: 1, Length: -1})},
		"unwise characters":     {"GET /{a}|\"<b>^`\\ HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "GET /{a}|\"<b>^`\\", Minor: 1, Length: -1})},
		"method of all tchar":   {"!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\n" + host + "\r\n", hosted(facts{Line: "!#$%&'*+-.^_`|~09azAZ /", Minor: 1, Length: -1})},
		"HTTP/1.0":              {"GET / HTTP/1.0\r\n\r\n", facts{Line: "GET /", Length: -1, Close: true}},
		"HTTP/1.0 with Host":    {"GET / HTTP/1.0\r\n" + host + "\r\n", hosted(facts{Line: "GET /", Length: -1, Close: true})},
		"HTTP/1.0 kept alive":   {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", facts{Line: "GET /", Length: -1, Fields: []string{"Connection=Keep-Alive"}}},
		"closed":                {"GET / HTTP/1.1\r\n" + host + "Connection: CLOSE\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1, Close: true}, "Connection=CLOSE")},
		"close and keep-alive":  {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", facts{Line: "GET /", Length: -1, Close: true, Fields: []string{"Connection=keep-alive, close"}}},
		"kept alive":            {"GET / HTTP/1.1\r\n" + host + "Connection: keep-alive\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "Connection=keep-alive")},
		"names listed":          {"GET / HTTP/1.1\r\n" + host + "Connection: ,X-A ,, upgrade\t,\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1, Names: true}, "Connection=,X-A ,, upgrade\t,")},
		"upgrade is no name":    {"GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "Connection=Upgrade")},
		"Connection twice":      {"GET / HTTP/1.1\r\n" + host + "Connection: a\r\nConnection: close\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1, Close: true, Names: true}, "Connection=a", "Connection=close")},
		"Content-Length":        {"POST / HTTP/1.1\r\n" + host + "content-length: 5\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: 5}, "content-length=5")},
		"Content-Length of 0":   {"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1}, "Content-Length=0")},
		"leading zeros":         {"POST / HTTP/1.1\r\n" + host + "Content-Length: 007\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: 7}, "Content-Length=007")},
		"largest length":        {"POST / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775807\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: 1<<63 - 1}, "Content-Length=9223372036854775807")},
		"chunked":               {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:\t chUNked \t\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: -1, Chunked: true}, "Transfer-Encoding=chUNked")},
		"expectation":           {"POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: 5, Expect: true}, "Content-Length=5", "Expect=100-Continue")},
		"expectation, chunked":  {"POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1, Length: -1, Chunked: true, Expect: true}, "Transfer-Encoding=chunked", "Expect=100-continue")},
		"expectation, no body":  {"POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\nExpect: 100-continue\r\n\r\n", hosted(facts{Line: "POST /", Minor: 1}, "Content-Length=0", "Expect=100-continue")},
		"expectation, HTTP/1.0": {"POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", facts{Line: "POST /", Length: 5, Close: true, Fields: []string{"Content-Length=5", "Expect=100-continue"}}},
		"white space":           {"GET / HTTP/1.1\r\n" + host + "A: \t b \t c\t \r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "A=b \t c")},
		"no white space":        {"GET / HTTP/1.1\r\n" + host + "A:b\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "A=b")},
		"empty value":           {"GET / HTTP/1.1\r\n" + host + "A:\r\nB: \t\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "A=", "B=")},
		"obs-text":              {"GET / HTTP/1.1\r\n" + host + "A: caf\xc3\xa9\x80\xff\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "A=caf\xc3\xa9\x80\xff")},
		"name of all tchar":     {"GET / HTTP/1.1\r\n" + host + "!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n", hosted(facts{Line: "GET /", Minor: 1, Length: -1}, "!#$%&'*+-.^_`|~09azAZ=b")},
	} {
		t.Run(name, func(t *testing.T) {
			r, n, err := parseRequest(t, c.head)
			if err != nil || n != len(c.head) || string(r.Head) != c.head {
				t.Fatalf("%d, %v, head %q", n, err, r.Head)
			}
			if diff := cmp.Diff(c.want, requestFacts(r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			for i := range len(c.head) {
				var beginning Request
				if _, err := beginning.Parse([]byte(c.head[:i])); !errors.Is(err, ErrIncomplete) {
					t.Errorf("the first %d bytes: %v", i, err)
				}
			}
			for i := range r.Fields {
				f := &r.Fields[i]
				start, end := f.Extent()
				line := c.head[start:end]
				if !strings.HasPrefix(line, f.Name+":") || !strings.HasSuffix(line, "\r\n") || strings.Count(line, "\n") != 1 {
					t.Errorf("the extent of %s is %q", f.Name, line)
				}
			}
		})
	}
}

// longHead has n bytes and no end.
func longHead(n int) string {
	const start = "GET / HTTP/1.1\r\nHost: a\r\nX: "
	return start + strings.Repeat("x", n-len(start))
}

func TestRequestRefused(t *testing.T) {
	const line, host = "GET / HTTP/1.1\r\n", "Host: app.test\r\n"
	const post = "POST / HTTP/1.1\r\n" + host
	for name, c := range map[string]struct {
		head string
		want *SyntaxError
	}{
		"empty line before it":          {"\r\n" + line + host + "\r\n", errEmptyLine},
		"LF before it":                  {"\n" + line + host + "\r\n", errEmptyLine},
		"no method":                     {" / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		"method with a parenthesis":     {"GE(T / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		"method with a byte above 127":  {"G\xc3\x89T / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		"method with NUL":               {"GET\x00 / HTTP/1.1\r\n" + host + "\r\n", errMethod},
		"method of 33 bytes":            {strings.Repeat("A", 33) + " / HTTP/1.1\r\n" + host + "\r\n", errMethodLong},
		"endless method":                {strings.Repeat("A", 100), errMethodLong},
		"TLS":                           {"\x16\x03\x01\x02\x00\x01\x00", errMethod},
		"method alone":                  {"GET\r\n\r\n", errRequestLine},
		"HTTP/0.9":                      {"GET /\r\n", errRequestLine},
		"two spaces before the target":  {"GET  / HTTP/1.1\r\n" + host + "\r\n", errRequestLine},
		"two spaces behind the target":  {"GET /  HTTP/1.1\r\n" + host + "\r\n", errVersion},
		"tab before the target":         {"GET\t/ HTTP/1.1\r\n" + host + "\r\n", errRequestLine},
		"tab behind the target":         {"GET /\tHTTP/1.1\r\n" + host + "\r\n", errRequestLine},
		"space in the target":           {"GET /a b HTTP/1.1\r\n" + host + "\r\n", errVersion},
		"space at the end":              {"GET / HTTP/1.1 \r\n" + host + "\r\n", errRequestLine},
		"fragment":                      {"GET /#a HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"fragment alone":                {"GET # HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"control in the target":         {"GET /\x01 HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"NUL in the target":             {"GET /\x00 HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"DEL in the target":             {"GET /\x7f HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"byte above 127 in the target":  {"GET /caf\xc3\xa9 HTTP/1.1\r\n" + host + "\r\n", errTarget},
		"bare CR in the target":         {"GET /\rHTTP/1.1\r\n" + host + "\r\n", errRequestLine},
		"target of 8193 bytes":          {"GET /" + strings.Repeat("a", MaxTargetBytes) + " HTTP/1.1\r\n" + host + "\r\n", ErrTargetTooLarge},
		"endless target":                {"GET /" + strings.Repeat("a", MaxTargetBytes+100), ErrTargetTooLarge},
		"no version":                    {"GET / \r\n" + host + "\r\n", errVersion},
		"lower-case version":            {"GET / http/1.1\r\n" + host + "\r\n", errVersion},
		"version with a leading zero":   {"GET / HTTP/01.1\r\n" + host + "\r\n", errVersion},
		"version with two digits":       {"GET / HTTP/1.10\r\n" + host + "\r\n", errRequestLine},
		"version without minor":         {"GET / HTTP/1\r\n" + host + "\r\n", errVersion},
		"version with three digits":     {"GET / HTTP/2.00\r\n" + host + "\r\n", errVersion},
		"version with a comma":          {"GET / HTTP/1,1\r\n" + host + "\r\n", errVersion},
		"version of something else":     {"GET / ICAP/1.1\r\n" + host + "\r\n", errVersion},
		"HTTP/1.2":                      {"GET / HTTP/1.2\r\n" + host + "\r\n", errUnsupported},
		"HTTP/2.0":                      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", errUnsupported},
		"HTTP/0.9 spelt out":            {"GET / HTTP/0.9\r\n" + host + "\r\n", errUnsupported},
		"request line ends in LF":       {"GET / HTTP/1.1\n" + host + "\r\n", errBareLF},
		"request line with a bare CR":   {"GET / HTTP/1.1\r" + host + "\r\n", errBareCR},
		"field line begins with space":  {line + " " + host + "\r\n", errFolded},
		"folded line":                   {line + host + "A: b\r\n c\r\n\r\n", errFolded},
		"line folded with a tab":        {line + host + "A: b\r\n\tc\r\n\r\n", errFolded},
		"space before the colon":        {line + "Host : app.test\r\n\r\n", errNameSpace},
		"tab before the colon":          {line + "Host\t: app.test\r\n\r\n", errNameSpace},
		"space in a name":               {line + host + "A b: c\r\n\r\n", errNameSpace},
		"no name":                       {line + host + ": b\r\n\r\n", errNoName},
		"no colon":                      {line + host + "A\r\n\r\n", errNoColon},
		"parenthesis in a name":         {line + host + "A(b: c\r\n\r\n", errName},
		"NUL in a name":                 {line + host + "A\x00: c\r\n\r\n", errName},
		"control before a name":         {line + host + "\x01A: c\r\n\r\n", errName},
		"byte above 127 in a name":      {line + host + "\xc3\xa9: c\r\n\r\n", errName},
		"name ends in LF":               {line + host + "A\n: c\r\n\r\n", errBareLF},
		"name ends in CR":               {line + host + "A\r: c\r\n\r\n", errBareCR},
		"NUL in a value":                {line + host + "A: b\x00c\r\n\r\n", errValue},
		"control in a value":            {line + host + "A: b\x01c\r\n\r\n", errValue},
		"vertical tab before a value":   {line + host + "A:\vb\r\n\r\n", errValue},
		"escape in a long value":        {line + host + "A: 0123456789012345678901234567890\x1b\r\n\r\n", errValue},
		"DEL in a value":                {line + host + "A: b\x7fc\r\n\r\n", errValue},
		"bare CR in a value":            {line + host + "A: b\rc\r\n\r\n", errBareCR},
		"two CR":                        {line + host + "A: b\r\r\n\r\n", errBareCR},
		"value ends in LF":              {line + host + "A: b\nC: d\r\n\r\n", errBareLF},
		"empty line is LF":              {line + host + "\n", errBareLF},
		"empty line is CR":              {line + host + "\rA", errBareCR},
		"only LF":                       {"GET / HTTP/1.1\nHost: app.test\n\n", errBareLF},
		"no Host":                       {line + "\r\n", errNoHost},
		"two Host":                      {line + host + host + "\r\n", errHostTwice},
		"two Host in HTTP/1.0":          {"GET / HTTP/1.0\r\n" + host + host + "\r\n", errHostTwice},
		"empty Host":                    {line + "Host:\r\n\r\n", errHost},
		"Host with a path":              {line + "Host: app.test/a\r\n\r\n", errHost},
		"Host with user information":    {line + "Host: a@app.test\r\n\r\n", errHost},
		"Host with a list":              {line + "Host: app.test, other.test\r\n\r\n", errHost},
		"invalid Host in HTTP/1.0":      {"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", errHost},
		"Content-Length empty":          {post + "Content-Length:\r\n\r\n", errLength},
		"Content-Length with plus":      {post + "Content-Length: +5\r\n\r\n", errLength},
		"Content-Length negative":       {post + "Content-Length: -5\r\n\r\n", errLength},
		"Content-Length list":           {post + "Content-Length: 5, 5\r\n\r\n", errLength},
		"Content-Length hexadecimal":    {post + "Content-Length: 0x5\r\n\r\n", errLength},
		"Content-Length with space":     {post + "Content-Length: 5 5\r\n\r\n", errLength},
		"Content-Length of 2^63":        {post + "Content-Length: 9223372036854775808\r\n\r\n", errLength},
		"Content-Length of 20 digits":   {post + "Content-Length: 18446744073709551621\r\n\r\n", errLength},
		"Content-Length of 20 zeros":    {post + "Content-Length: 00000000000000000000\r\n\r\n", errLength},
		"Content-Length, other digits":  {post + "Content-Length: \xd9\xa5\r\n\r\n", errLength},
		"two Content-Length":            {post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", errLengthTwice},
		"two Content-Length, equal":     {post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", errLengthTwice},
		"Content_Length":                {post + "Content_Length: 5\r\n\r\n", errAlias},
		"-Content-Length":               {post + "-Content-Length: 5\r\n\r\n", errAlias},
		"-Transfer-Encoding":            {post + "-Transfer-Encoding: chunked\r\n\r\n", errAlias},
		"Transfer--Encoding":            {post + "Transfer--Encoding: chunked\r\n\r\n", errAlias},
		"TransferEncoding":              {post + "TransferEncoding: chunked\r\n\r\n", errAlias},
		"_Transfer.Encoding":            {post + "_Transfer.Encoding: chunked\r\n\r\n", errAlias},
		"length and coding":             {post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", errLengthAndCoding},
		"coding and length":             {post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", errLengthAndCoding},
		"coding in HTTP/1.0":            {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", errCodingVersion},
		"two codings":                   {post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", errCodingTwice},
		"coding empty":                  {post + "Transfer-Encoding:\r\n\r\n", errCoding},
		"coding identity":               {post + "Transfer-Encoding: identity\r\n\r\n", errCoding},
		"coding chunked and identity":   {post + "Transfer-Encoding: chunked, identity\r\n\r\n", errCoding},
		"coding identity and chunked":   {post + "Transfer-Encoding: identity, chunked\r\n\r\n", errCoding},
		"coding chunked twice":          {post + "Transfer-Encoding: chunked, chunked\r\n\r\n", errCoding},
		"coding with a comma":           {post + "Transfer-Encoding: chunked,\r\n\r\n", errCoding},
		"coding with a leading comma":   {post + "Transfer-Encoding: ,chunked\r\n\r\n", errCoding},
		"coding with a parameter":       {post + "Transfer-Encoding: chunked;a=b\r\n\r\n", errCoding},
		"coding in quotes":              {post + "Transfer-Encoding: \"chunked\"\r\n\r\n", errCoding},
		"coding gzip":                   {post + "Transfer-Encoding: gzip\r\n\r\n", errCoding},
		"coding gzip and chunked":       {post + "Transfer-Encoding: gzip, chunked\r\n\r\n", errCodingUnknown},
		"Connection lists no token":     {line + host + "Connection: a b\r\n\r\n", errConnection},
		"Connection lists a quotation":  {line + host + "Connection: close, \"a\"\r\n\r\n", errConnection},
		"other expectation":             {post + "Content-Length: 5\r\nExpect: 200-ok\r\n\r\n", errExpect},
		"two expectations in one field": {post + "Content-Length: 5\r\nExpect: 100-continue, a\r\n\r\n", errExpect},
		"too many fields":               {line + host + strings.Repeat("A: b\r\n", MaxFields) + "\r\n", errTooManyFields},
		"head of more than its limit":   {longHead(MaxHeadBytes) + "\r\n\r\n", ErrHeadTooLarge},
		"endless head":                  {longHead(MaxHeadBytes), ErrHeadTooLarge},
		"control in an endless head":    {longHead(MaxHeadBytes-1) + "\x01xx", errValue},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := parseRequest(t, c.head)
			if n != 0 || !errors.Is(err, c.want) {
				t.Errorf("%d, %v; want %v", n, err, c.want)
			}
		})
	}
}

func TestRequestLimits(t *testing.T) {
	for name, head := range map[string]string{
		"longest method": strings.Repeat("A", maxMethodBytes) + " / HTTP/1.1\r\nHost: a\r\n\r\n",
		"longest target": "GET /" + strings.Repeat("a", MaxTargetBytes-1) + " HTTP/1.1\r\nHost: a\r\n\r\n",
		"largest head":   longHead(MaxHeadBytes-4) + "\r\n\r\n",
		"most fields":    "GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("A: b\r\n", MaxFields-1) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			if _, n, err := parseRequest(t, head); n != len(head) || err != nil {
				t.Errorf("%d of %d bytes, %v", n, len(head), err)
			}
		})
	}
}

// TestRequestGrowingBuffer parses a head whose beginning moves, as it does when a buffer grows.
func TestRequestGrowingBuffer(t *testing.T) {
	const head = "POST /p HTTP/1.1\r\nHost: app.test\r\nA: b\r\nContent-Length: 3\r\n\r\n"
	var r Request
	buffers := [][]byte{make([]byte, 0, 20), make([]byte, 0, 40), make([]byte, 0, 100)}
	for i := range len(head) {
		for len(buffers[0]) == cap(buffers[0]) {
			buffers[1] = append(buffers[1], buffers[0]...)
			for j := range buffers[0] {
				buffers[0][j] = 0xff // strings that still alias it would show
			}
			buffers = buffers[1:]
		}
		if _, err := r.Parse(buffers[0]); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d bytes: %v", i, err)
		}
		buffers[0] = append(buffers[0], head[i])
	}
	n, err := r.Parse(append(buffers[0], "abc"...))
	if err != nil || n != len(head) {
		t.Fatalf("%d, %v", n, err)
	}
	want := facts{Line: "POST /p", Minor: 1, Host: "app.test", Length: 3, Fields: []string{"Host=app.test", "A=b", "Content-Length=3"}}
	if diff := cmp.Diff(want, requestFacts(&r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestRequestReused has nothing of one request in the next, whatever became of it.
func TestRequestReused(t *testing.T) {
	const full = "POST /long HTTP/1.0\r\nHost: first.test\r\nConnection: close, x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
	const next = "GET / HTTP/1.1\r\nHost: b\r\n\r\n"
	for name, before := range map[string]struct {
		bytes string
		reset bool
	}{
		"accepted":             {full, false},
		"accepted and reset":   {full, true},
		"refused":              {full[:len(full)-2] + "a b: c\r\n\r\n", false},
		"incomplete and reset": {full[:len(full)-2], true},
		"line and reset":       {"GET /", true},
	} {
		t.Run(name, func(t *testing.T) {
			var r Request
			buffer := append(make([]byte, 0, 4096), before.bytes...)
			_, _ = r.Parse(buffer)
			if before.reset {
				r.Reset()
				if diff := cmp.Diff(Request{ContentLength: -1}, r, cmpopts.IgnoreUnexported(Request{}), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("after Reset (-want +got):\n%s", diff)
				}
			}
			n, err := r.Parse(append(buffer[:0], next...))
			if err != nil || n != len(next) {
				t.Fatalf("%d, %v", n, err)
			}
			want := facts{Line: "GET /", Minor: 1, Fields: []string{"Host=b"}, Host: "b", Length: -1}
			if diff := cmp.Diff(want, requestFacts(&r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if r.Has(KindConnection) || !r.Has(KindHost) {
				t.Error("Has is about the request before")
			}
		})
	}
}

// TestRequestFieldsProvided has the caller give the memory for the fields.
func TestRequestFieldsProvided(t *testing.T) {
	var array [MaxFields]Field
	r := Request{Fields: array[:0]}
	if _, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: b\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if unsafe.SliceData(r.Fields) != &array[0] {
		t.Error("the array was not used")
	}
}

func TestListed(t *testing.T) {
	var r Request
	if _, err := r.Parse([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nConnection: X-One\t, x-two,,\r\nX: x-three\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"Upgrade": true, "x-one": true, "X-TWO": true, "x-three": false, "x": false, "": false, "one": false} {
		if got := r.Listed(name); got != want {
			t.Errorf("Listed(%q) = %t", name, got)
		}
	}
	var p Response
	if _, err := p.Parse([]byte("HTTP/1.1 200 OK\r\nConnection: x-one\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if !p.Listed("X-One") || p.Listed("X-Two") {
		t.Error("the response's Connection was not read")
	}
}
