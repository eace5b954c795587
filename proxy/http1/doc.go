// Package http1 is Ostiary's own engine for HTTP/1.1 (RFC 9110, RFC 9112).
//
// Its parsers read the head of a [Request] and of a [Response] and the chunked coding ([ChunkReader]) without a single
// allocation: every string of theirs aliases the buffer that was parsed, and is valid for as long as that buffer is left
// as it is. They make one decision about where a message ends, and refuse whatever two parsers could read in two ways:
// line ends other than CRLF, folded lines, space before a colon, control characters, more than one Content-Length,
// Content-Length together with Transfer-Encoding, any transfer coding but one "chunked", and so on. What is refused is
// told by a [SyntaxError], whose text never quotes the message.
package http1
