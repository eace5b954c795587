package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"github.com/ostiary/ostiary/proxy/http1"
)

var errInformational = errors.New("too many informational responses")

const (
	inboxBytes = 4 << 10
	// maxInformational bounds the 1xx responses to one request, whatever the trace makes of them.
	maxInformational = 64
)

// inboxes lends the memory that responses are read through.
type inboxes struct{ pool sync.Pool }

func (p *inboxes) get() *inbox {
	if in, ok := p.pool.Get().(*inbox); ok {
		return in
	}
	return &inbox{buf: make([]byte, inboxBytes)}
}

func (p *inboxes) put(in *inbox) {
	in.r, in.w, in.searched = 0, 0, 0
	in.head.Reset()
	if len(in.buf) > inboxBytes {
		in.buf = make([]byte, inboxBytes)
	}
	p.pool.Put(in)
}

// inbox is what came from a backend, of which [r:w) was not used yet.
type inbox struct {
	head     http1.Response
	buf      []byte
	r, w     int
	searched int // up to where the end of a head was looked for
}

// left is what was not used yet.
func (in *inbox) left() []byte { return in.buf[in.r:in.w] }

// receive reads the heads up to the final one.
func (x *exchange) receive() (*http.Response, error) {
	boxes := &x.conn.link.owner.conns.in
	in := boxes.get()
	resp, err := x.receiveInto(in)
	if err != nil {
		boxes.put(in)
	}
	return resp, err
}

func (x *exchange) receiveInto(in *inbox) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(x.req.Context())
	for range maxInformational {
		if err := x.readHead(in); err != nil {
			return nil, err
		}
		status := in.head.Status
		if status >= 200 || status == http.StatusSwitchingProtocols {
			x.sender.reply()
			return x.response(in), nil
		}
		if status == http.StatusContinue {
			x.sender.ask()
		}
		if trace != nil && trace.Got1xxResponse != nil {
			if err := trace.Got1xxResponse(status, textproto.MIMEHeader(fieldsOf(&in.head))); err != nil {
				return nil, err
			}
		}
	}
	return nil, errInformational
}

// readHead reads until a head is there and parses it. Its strings are the head's own, and outlive the inbox.
func (x *exchange) readHead(in *inbox) error {
	for {
		unread := in.left()
		if end := bytes.Index(unread[in.searched:], []byte("\r\n\r\n")); end >= 0 {
			head := bytes.Clone(unread[:in.searched+end+len("\r\n\r\n")])
			n, err := in.head.Parse(head)
			in.r += n
			in.searched = 0
			return err
		}
		// What can't become a head need not be waited for.
		if _, err := in.head.Parse(unread); !errors.Is(err, http1.ErrIncomplete) {
			if err == nil {
				err = errMalformed // unless two ways to find the end differ
			}
			return err
		}
		in.searched = max(0, len(unread)-len("\r\n\r"))
		if in.w == len(in.buf) {
			in.grow()
		}
		n, err := x.conn.Read(in.buf[in.w:])
		in.w += n
		switch {
		case n > 0:
			x.heard = true
		case errors.Is(err, io.EOF) && x.heard:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
}

// grow makes room behind what is there. The parser's limit bounds it.
func (in *inbox) grow() {
	buf := in.buf
	if in.w-in.r > len(buf)/2 {
		buf = make([]byte, 2*len(buf))
	}
	in.w = copy(buf, in.left())
	in.r, in.buf = 0, buf
}

// fieldsOf is the header as net/http has it.
func fieldsOf(head *http1.Response) http.Header {
	header := make(http.Header, len(head.Fields))
	values := make([]string, len(head.Fields)) // the first of each name, in one piece of memory
	for i := range head.Fields {
		f := &head.Fields[i]
		if f.Kind() == http1.KindTransferEncoding {
			continue
		}
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if more, ok := header[name]; ok {
			header[name] = append(more, f.Value)
			continue
		}
		values[i] = f.Value
		header[name] = values[i : i+1 : i+1]
	}
	return header
}

// response makes the response whose head was read, and ends the exchange where there is no body.
func (x *exchange) response(in *inbox) *http.Response {
	head := &in.head
	resp := &http.Response{
		Status:        strings.TrimSpace(strconv.Itoa(head.Status) + " " + head.Reason),
		StatusCode:    head.Status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    head.Minor,
		Header:        fieldsOf(head),
		ContentLength: head.ContentLength,
		Close:         head.Close,
		Request:       x.req,
	}
	if head.Minor == 0 {
		resp.Proto = "HTTP/1.0"
	}
	if head.Status == http.StatusSwitchingProtocols {
		resp.Body = x.tunnel(in)
		return resp
	}
	body := &responseBody{x: x, in: in, resp: resp, kind: head.Body(x.req.Method), left: head.ContentLength, timeout: x.conn.BodyTimeout()}
	switch body.kind {
	case http1.Length, http1.UntilClose:
	case http1.ChunkedBody:
		resp.TransferEncoding = []string{"chunked"}
		resp.Trailer = announced(resp.Header)
	case http1.NoBody:
		if x.req.Method != http.MethodHead {
			resp.ContentLength = 0
		}
		body.left = 0
	}
	if body.kind == http1.NoBody || body.kind == http1.Length && body.left == 0 {
		body.finish(keep, io.EOF)
		resp.Body = http.NoBody
		return resp
	}
	resp.Body = body
	return resp
}

// announced takes the names out of the header that are to come as trailer fields.
func announced(header http.Header) http.Header {
	lists := header["Trailer"]
	if lists == nil {
		return nil
	}
	delete(header, "Trailer")
	trailer := http.Header{}
	for _, list := range lists {
		for name := range strings.SplitSeq(list, ",") {
			if name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); trailerName(name) {
				trailer[name] = nil
			}
		}
	}
	return trailer
}
