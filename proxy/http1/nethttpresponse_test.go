package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ostiary/ostiary/proxy/internal/ows"
)

// ourResponse reads a response to a request with that method with this package. Of its line the code and the reason are
// Method and Target.
func ourResponse(b []byte, method string) (message, error) {
	var r Response
	n, err := r.Parse(b)
	if err != nil {
		return message{}, err
	}
	m := message{
		Method: strconv.Itoa(r.Status), Target: r.Reason, Minor: r.Minor, Chunked: r.Chunked, Close: r.Close, Fields: header(r.Fields),
	}
	b = b[n:]
	switch r.Body(method) {
	case NoBody:
	case Length:
		if r.ContentLength > int64(len(b)) {
			return message{}, ErrIncomplete
		}
		m.Body, b = string(b[:r.ContentLength]), b[r.ContentLength:]
	case ChunkedBody:
		var c ChunkReader
		data, n, err := c.Next(bytes.Clone(b))
		if err == nil && !c.Done() {
			err = ErrIncomplete
		}
		if err != nil {
			return message{}, err
		}
		m.Body, m.Trailers, b = string(data), header(c.Trailers()), b[n:]
	case UntilClose:
		m.Body, b, m.Close = string(b), nil, true
	}
	m.Rest = string(b)
	return m, nil
}

func theirResponse(b []byte, method string) (message, error) {
	reader := bufio.NewReaderSize(bytes.NewReader(b), 1<<20)
	r, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		return message{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return message{}, err
	}
	rest, err := io.ReadAll(reader)
	if err != nil {
		return message{}, err
	}
	_, reason, _ := strings.Cut(r.Status, " ")
	return message{
		Method: strconv.Itoa(r.StatusCode), Target: ows.Trim(reason), Minor: r.ProtoMinor, Close: r.Close, Fields: r.Header,
		Chunked: slices.Equal(r.TransferEncoding, []string{"chunked"}), Body: string(body), Trailers: trailersOf(r.Trailer), Rest: string(rest),
	}, nil
}

// stricterResponses are the reasons for which we refuse what net/http's client takes from an upstream. A response that
// two parsers could read in two ways must not be passed on.
func stricterResponses() map[error]string {
	reasons := map[error]string{
		errUnsupported: "net/http takes any two digits",
		errStatus:      "net/http takes codes below 100, and several spaces in front of one",
		errStatusLine:  "net/http takes a reason phrase of any length",
		errValue:       "net/http takes anything for a reason phrase",
		errBareCR:      "net/http takes anything for a reason phrase",
	}
	for err, why := range stricter() {
		if reasons[err] == "" {
			reasons[err] = why
		}
	}
	return reasons
}

func responsesAgainstNetHTTP(t *testing.T, b []byte, method string) {
	t.Helper()
	our, ourErr := ourResponse(b, method)
	their, theirErr := theirResponse(b, method)
	switch {
	case ourErr != nil && theirErr != nil:
	case ourErr != nil:
		if stricterResponses()[ourErr] == "" {
			t.Errorf("%q: only we refuse it: %v", b, ourErr)
		}
	case theirErr != nil:
		if why := forbiddenTrailer(our); why == "" {
			t.Errorf("%q: only net/http refuses it: %v", b, theirErr)
		}
	default:
		delete(our.Fields, "Transfer-Encoding")
		if our.Chunked {
			delete(our.Fields, "Trailer")
		}
		if our.Close {
			delete(our.Fields, "Connection") // net/http drops it
			delete(their.Fields, "Connection")
		}
		addCacheControl(our.Fields)
		if diff := cmp.Diff(their, our, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q (-net/http +ours):\n%s", b, diff)
		}
	}
}

// TestResponsesStricterThanNetHTTP has an example of the differences that concern responses alone.
func TestResponsesStricterThanNetHTTP(t *testing.T) {
	for want, text := range map[error]string{
		errUnsupported: "HTTP/1.2 200 OK\r\n\r\n",
		errStatus:      "HTTP/1.1 099 OK\r\n\r\n",
		errStatusLine:  "HTTP/1.1 200 " + strings.Repeat("a", maxLineBytes) + "\r\n\r\n",
		errValue:       "HTTP/1.1 200 \x01\r\n\r\n",
		errBareCR:      "HTTP/1.1 200 a\rb\r\n\r\n",
	} {
		if _, err := theirResponse([]byte(text), http.MethodGet); err != nil {
			t.Errorf("%q: net/http refuses it: %v", text, err)
		}
		if _, err := ourResponse([]byte(text), http.MethodGet); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", text, err, want)
		}
	}
}

func FuzzResponseAgainstNetHTTP(f *testing.F) {
	for _, seed := range seedResponses() {
		f.Add([]byte(seed), http.MethodGet)
		f.Add([]byte(seed), http.MethodHead)
	}
	f.Fuzz(responsesAgainstNetHTTP)
}
