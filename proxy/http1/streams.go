package http1

// Streams is told when a response's body begins whose length nobody knows, so that it may go on for long, and when it has
// ended, in whatever way. Meanwhile Conn.Interrupt and Exchange.Interrupt may be called to end it.
type Streams interface {
	StreamBegins(up *Conn)
	StreamEnds()
}

func (l *Relay) streamBegins(kind BodyKind) {
	if l.opts.Streams != nil && endless(kind) {
		l.opts.Streams.StreamBegins(l.up)
	}
}

func (l *Relay) streamEnds(kind BodyKind) {
	if l.opts.Streams != nil && endless(kind) {
		l.opts.Streams.StreamEnds()
	}
}

// endless reports whether nobody knows how long such a body is.
func endless(kind BodyKind) bool { return kind == ChunkedBody || kind == UntilClose }
