package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"unicode/utf8"

	kjson "sigs.k8s.io/json"
)

// chunk is the text of one document and where it starts.
type chunk struct {
	text []byte
	line int // 1-based line of the first byte of text
}

// isJSON tells whether a file is read as JSON.
func isJSON(name string) bool { return strings.EqualFold(filepath.Ext(name), ".json") }

// splitDocuments cuts a file into documents. Those that hold nothing but comments are left out, so the n-th
// chunk is the n-th document that says something. The last chunk may be broken JSON.
func splitDocuments(name string, data []byte) []chunk {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if isJSON(name) {
		return splitJSON(data)
	}
	return splitYAML(data)
}

// splitYAML cuts at lines that start with "---" or "...". Such a line cannot be inside a document: YAML
// ends every scalar there.
func splitYAML(data []byte) []chunk {
	var out []chunk
	start, startLine, line := 0, 1, 1
	flush := func(end int) {
		if c, ok := trimComments(chunk{text: data[start:end], line: startLine}); ok {
			out = append(out, c)
		}
	}
	for pos := 0; pos < len(data); line++ {
		end := len(data)
		if i := bytes.IndexByte(data[pos:], '\n'); i >= 0 {
			end = pos + i + 1
		}
		switch rest, marker := cutMarker(data[pos:end]); {
		case !marker:
		case len(bytes.TrimSpace(rest)) == 0:
			flush(pos)
			start, startLine = end, line+1
		default: // content on the marker's line: the text after the three characters opens the document
			flush(pos)
			start, startLine = pos+3, line
		}
		pos = end
	}
	flush(len(data))
	return out
}

func cutMarker(line []byte) (rest []byte, ok bool) {
	if !bytes.HasPrefix(line, []byte("---")) && !bytes.HasPrefix(line, []byte("...")) {
		return nil, false
	}
	rest = line[3:]
	if len(rest) > 0 && !bytes.ContainsRune([]byte(" \t\r\n"), rune(rest[0])) {
		return nil, false
	}
	return rest, true
}

// trimComments drops leading blank lines, comments and directives; ok is false when nothing is left.
func trimComments(c chunk) (chunk, bool) {
	for len(c.text) > 0 {
		line, rest, _ := bytes.Cut(c.text, []byte("\n"))
		trimmed := bytes.TrimSpace(line)
		directive := len(line) > 0 && line[0] == '%'
		if len(trimmed) > 0 && trimmed[0] != '#' && !directive {
			return c, true
		}
		c.text, c.line = rest, c.line+1
	}
	return c, false
}

// splitJSON cuts a sequence of JSON values. Text that is not JSON becomes the last chunk.
func splitJSON(data []byte) []chunk {
	var out []chunk
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		start := skipSpace(data, int(dec.InputOffset()))
		var value json.RawMessage
		err := dec.Decode(&value)
		if errors.Is(err, io.EOF) {
			return out
		}
		line := 1 + bytes.Count(data[:start], []byte("\n"))
		if err != nil {
			return append(out, chunk{text: data[start:], line: line})
		}
		out = append(out, chunk{text: data[start:int(dec.InputOffset())], line: line})
	}
}

func skipSpace(data []byte, i int) int {
	for i < len(data) && strings.IndexByte(" \t\r\n", data[i]) >= 0 {
		i++
	}
	return i
}

// syntaxError says where a document stops being readable.
type syntaxError struct {
	line    int // 1-based in the chunk, 0 when unknown
	message string
}

func (e *syntaxError) Error() string { return e.message }

// parseChunk decodes one document into plain JSON values. Duplicate keys come back beside the value,
// because the object's name can still be read.
func parseChunk(c chunk, asJSON bool) (value any, duplicates []*syntaxError, err error) {
	if !utf8.Valid(c.text) {
		return nil, nil, &syntaxError{line: lineOfInvalidUTF8(c.text), message: "the text is not UTF-8"}
	}
	if asJSON {
		return parseJSON(c.text)
	}
	if c.text[0] == '{' { // JSON in a YAML file; tabs in it would stop the YAML parser
		if value, duplicates, err := parseJSON(c.text); err == nil {
			return value, duplicates, nil
		}
	}
	return parseYAML(c.text)
}

func lineOfInvalidUTF8(text []byte) int {
	line := 1
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			return line
		}
		if r == '\n' {
			line++
		}
		text = text[size:]
	}
	return line
}

func lineAt(text []byte, offset int64) int {
	offset = min(max(offset, 0), int64(len(text)))
	return 1 + bytes.Count(text[:offset], []byte("\n"))
}

func describeJSONError(text []byte, err error) *syntaxError {
	e := &syntaxError{message: "not JSON: " + err.Error()}
	if ok, offset := kjson.SyntaxErrorOffset(err); ok {
		e.line = lineAt(text, offset)
	}
	return e
}
