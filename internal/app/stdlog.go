package app

import (
	"bytes"
	"io"
)

// libraryLog is the output of the standard logger, which net/http writes to where it has no other. It quotes what
// backends send there, which may be a token that they got: from the first quotation mark on, a message is left out.
type libraryLog struct{ w io.Writer }

// Write writes one message.
func (l libraryLog) Write(message []byte) (int, error) {
	text := message
	if i := bytes.IndexAny(text, "\"`"); i >= 0 {
		text = append(bytes.Clone(text[:i]), "(left out)\n"...)
	}
	if _, err := l.w.Write(text); err != nil {
		return 0, err
	}
	return len(message), nil
}
