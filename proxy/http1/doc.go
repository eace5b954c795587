// Package http1 is Ostiary's own engine for HTTP/1.1 (RFC 9110, RFC 9112).
//
// Its parsers read the head of a [Request] and of a [Response] and the chunked coding ([ChunkReader]) without a single
// allocation: every string of theirs aliases the buffer that was parsed, and is valid for as long as that buffer is left
// as it is. They make one decision about where a message ends, and refuse whatever two parsers could read in two ways:
// line ends other than CRLF, folded lines, space before a colon, control characters, more than one Content-Length,
// Content-Length together with Transfer-Encoding, any transfer coding but one "chunked", and so on. What is refused is
// told by a [SyntaxError], whose text never quotes the message.
//
// A [Server] serves connections, each with one goroutine:
//
//	wait ── bytes ──> read and parse the head ──> Handler.ServeHTTP1(Exchange) ──> kept? ──> wait
//	  holds nothing      memory from a pool         ReadBody, Write, Respond         │
//	                        │ malformed                                              no
//	                        └──> Handler.RefuseHTTP1 ────────────────────────────────┴──> linger, close
//
// While a connection waits it holds no memory for messages, and all its time-outs are those of a [Sweeper]. An [Exchange]
// is a request with the way to answer it. Its parts are for the hot path; its ResponseWriter and HTTPRequest are for
// handlers that were made for net/http. A [Relay] has an exchange answered by an upstream.
package http1
