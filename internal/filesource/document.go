package filesource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// document is one of the documents of a file.
type document struct {
	// line that its content starts in, from 1.
	line int
	data []byte
	json bool
}

// splitDocuments takes a file apart: YAML documents between "---" lines, or JSON values one after the other. Documents
// without content are left out.
func splitDocuments(data []byte) []document {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var documents []document
	for _, d := range splitYAML(data) {
		if d.data[0] != '{' {
			documents = append(documents, d)
			continue
		}
		if values, ok := splitJSON(d); ok {
			documents = append(documents, values...)
		} else {
			documents = append(documents, d) // a flow mapping of YAML
		}
	}
	return documents
}

func splitYAML(data []byte) []document {
	var documents []document
	var current []byte // from the first line with content on
	start := 0
	finish := func() {
		if len(current) > 0 {
			documents = append(documents, document{line: start, data: current})
		}
		current = nil
	}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		content := line
		if mark, ok := separator(line); ok {
			finish()
			content = mark
		}
		if len(current) == 0 {
			trimmed := bytes.TrimSpace(content)
			if len(trimmed) == 0 || trimmed[0] == '#' {
				continue
			}
			start = number
		}
		current = append(current, content...)
	}
	finish()
	return documents
}

// separator reports whether a line separates documents, and returns what stands behind the mark: a document may begin
// there. The line "..." ends a document.
func separator(line []byte) (rest []byte, ok bool) {
	for _, mark := range []string{"---", "..."} {
		rest, found := bytes.CutPrefix(line, []byte(mark))
		if found && (len(rest) == 0 || strings.IndexByte(" \t\r\n", rest[0]) >= 0) {
			return rest, true
		}
	}
	return nil, false
}

// splitJSON takes a sequence of JSON values apart; ok is false where it is none.
func splitJSON(d document) (values []document, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(d.data))
	for {
		before := decoder.InputOffset()
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return values, errors.Is(err, io.EOF)
		}
		skipped := d.data[before : decoder.InputOffset()-int64(len(value))]
		line := d.line + bytes.Count(d.data[:before], []byte("\n")) + bytes.Count(skipped, []byte("\n"))
		values = append(values, document{line: line, data: value, json: true})
	}
}

// decode returns the document as JSON's types: map, slice, string, int64, float64, bool and nil. A key given twice is an
// error. Errors name lines of the file and never quote values.
func (d document) decode() (any, error) {
	encoded := d.data
	if !d.json {
		var err error
		if encoded, err = yaml.YAMLToJSONStrict(d.data); err != nil {
			return nil, errors.New(d.fileLines(err.Error()))
		}
	}
	var value any
	strict, err := kjson.UnmarshalStrict(encoded, &value)
	if err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return value, errors.Join(strict...)
}

// fileLines adds to the line numbers of a YAML parser's message where the document starts, and takes away the values
// that it quotes: a password without quotation marks that starts with an asterisk, for instance, is an alias to YAML.
func (d document) fileLines(message string) string {
	message = strings.TrimPrefix(message, "error converting YAML to JSON: ")
	message = strings.Join(strings.Fields(message), " ")
	message = regexp.MustCompile("`.*` |( anchor) '.*'|(invalid map key): .*").ReplaceAllString(message, "$1$2")
	return regexp.MustCompile(`line (\d+)`).ReplaceAllStringFunc(message, func(match string) string {
		number, err := strconv.Atoi(strings.TrimPrefix(match, "line "))
		if err != nil {
			return match
		}
		return fmt.Sprintf("line %d", number+d.line-1)
	})
}
