package http1

import "net/http"

// appendHead writes the status line and the fields that are passed on, of which those that stay together are copied
// together: mostly all of it.
func (l *Relay) appendHead(dst []byte) []byte {
	const kinds = 1<<KindOther | 1<<KindIrregular | 1<<KindDate | 1<<KindHost | 1<<KindAuthorization
	resp := &l.resp
	run, end := 0, resp.lineEnd()
	if l.x.Request.Minor == 0 || !resp.plainLine(end) {
		run = end
		dst = appendStatus(dst, l.x.Request.Minor, resp.Status, resp.Reason)
	}
	kept := l.opts.Kept
	if resp.ConnectionTokens {
		kept = 0 // any name may be among them
	}
	for i := range resp.Fields {
		f := &resp.Fields[i]
		if kinds>>f.kind&1 == 0 || !kept.Has(f.Name[0]) && !l.keeps(f.Name) {
			continue
		}
		if start := int(f.start); start != end {
			dst = append(dst, resp.Head[run:end]...)
			run = start
		}
		end = int(f.end)
	}
	return append(dst, resp.Head[run:end]...)
}

// lineEnd is where the status line ends.
func (r *Response) lineEnd() int {
	if len(r.Fields) > 0 {
		return int(r.Fields[0].start)
	}
	return len(r.Head) - len("\r\n")
}

// plainLine reports whether the status line, which ends there, is as we write it for HTTP/1.1: without white space around
// the reason phrase, but with the space in front of it.
func (r *Response) plainLine(end int) bool {
	return r.Minor == 1 && end == len("HTTP/1.1 200 \r\n")+len(r.Reason)
}

// digits are those of ContentLength, which is not -1, without leading zeros.
func (r *Response) digits() string {
	digits := r.Fields[r.section.told].Value
	for len(digits) > 1 && digits[0] == '0' {
		digits = digits[1:]
	}
	return digits
}

// keeps reports whether fields of that name, which are not the connection's by their kind, are passed on.
func (l *Relay) keeps(name string) bool {
	return l.opts.Filter.KeepResponseField(name) && !(l.resp.ConnectionTokens && l.resp.Listed(name))
}

// appendFinal writes the head of the final response.
func (l *Relay) appendFinal(dst []byte, kind BodyKind, as framing) []byte {
	x, resp := l.x, &l.resp
	dst = l.appendHead(dst)
	if !resp.Has(KindDate) {
		dst = AppendField(dst, "Date", x.date())
	}
	switch {
	case as == chunks:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
		dst = l.appendAnnouncement(dst)
	case kind == Length, kind == NoBody && resp.ContentLength >= 0 && resp.Status != http.StatusNoContent:
		dst = append(dst, "Content-Length: "...)
		dst = append(dst, resp.digits()...)
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
				dst = AppendField(dst, "Trailer", name)
			}
		}
	}
	return dst
}

// AppendField appends a field line. Neither name nor value may have line ends.
func AppendField(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ':', ' ')
	dst = append(dst, value...)
	return append(dst, '\r', '\n')
}
