package head

import (
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Field is a header field with one value.
type Field struct{ Name, Value string }

// Block is header fields that follow from the configuration alone. It is made once, and put into the heads of many
// requests. It is immutable; the zero Block has no fields.
type Block struct{ text string }

var errField = errors.New("no header field")

// NewBlock returns a Block of the fields that have a value. It fails where a name has other characters than letters, digits
// and hyphens, or a value has control characters, which none may have (RFC 9110 section 5.5).
func NewBlock(fields ...Field) (Block, error) {
	var text strings.Builder
	for _, f := range fields {
		switch {
		case f.Value == "":
			continue
		case !isPlain(f.Name), !isValue(f.Value):
			return Block{}, fmt.Errorf("%w: %q", errField, f.Name)
		}
		text.WriteString(f.Name + nameEnd + f.Value + lineEnd)
	}
	return Block{text.String()}, nil
}

const (
	nameEnd = ": "
	lineEnd = "\r\n"
)

// Text is the field lines as HTTP/1.1 has them, each with its line end.
func (b Block) Text() string { return b.text }

// Fields are the names and values in order.
func (b Block) Fields() iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for rest := b.text; rest != ""; {
			var line string
			line, rest, _ = strings.Cut(rest, lineEnd)
			if name, value, _ := strings.Cut(line, nameEnd); !yield(name, value) {
				return
			}
		}
	}
}

func isValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < 0x20 || c == 0x7f {
			return false
		}
	}
	return true
}
