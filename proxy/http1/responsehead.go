package http1

import (
	"net/http"
	"strconv"
)

// appendHead writes the status line and the fields that are passed on, of which those that stay together are copied
// together.
func (l *Relay) appendHead(dst []byte) []byte {
	resp := &l.resp
	if l.x.Request.Minor == 0 {
		dst = append(dst, "HTTP/1.0 "...)
	} else {
		dst = append(dst, "HTTP/1.1 "...)
	}
	dst = strconv.AppendInt(dst, int64(resp.Status), 10)
	dst = append(dst, ' ')
	dst = append(dst, resp.Reason...)
	dst = append(dst, '\r', '\n')
	run, end := int32(0), int32(0)
	l.dated = false
	for i := range resp.Fields {
		f := &resp.Fields[i]
		l.dated = l.dated || f.kind == KindDate
		if !l.keeps(f) {
			continue
		}
		if f.start != end {
			dst = append(dst, resp.Head[run:end]...)
			run = f.start
		}
		end = f.end
	}
	return append(dst, resp.Head[run:end]...)
}

func (l *Relay) keeps(f *Field) bool {
	switch f.kind {
	case KindOther, KindIrregular, KindDate, KindHost, KindAuthorization:
		return l.opts.Filter.KeepResponseField(f.Name) && !(l.resp.ConnectionTokens && l.resp.Listed(f.Name))
	default:
		return false
	}
}

// appendFinal writes the head of the final response.
func (l *Relay) appendFinal(dst []byte, kind BodyKind, as framing) []byte {
	x, resp := l.x, &l.resp
	dst = l.appendHead(dst)
	if !l.dated {
		dst = appendField(dst, "Date", x.date())
	}
	switch {
	case as == chunks:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		dst = l.appendAnnouncement(dst)
	case kind == Length, kind == NoBody && resp.ContentLength >= 0 && resp.Status != http.StatusNoContent:
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, resp.ContentLength, 10)
		dst = append(dst, '\r', '\n')
	}
	dst = x.appendConnection(dst)
	return append(dst, '\r', '\n')
}

// appendAnnouncement tells which trailer fields may come (RFC 9110 section 6.6.2), as far as the upstream does.
func (l *Relay) appendAnnouncement(dst []byte) []byte {
	announced := 0
	for i := range l.resp.Fields {
		f := &l.resp.Fields[i]
		if f.kind != KindTrailer {
			continue
		}
		for name := range options(f.Value) {
			if announced < MaxFields && isToken(name) && l.opts.Filter.KeepResponseTrailer(name) {
				announced++
				dst = appendField(dst, "Trailer", name)
			}
		}
	}
	return dst
}

func appendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}
