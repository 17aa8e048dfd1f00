// Package rename gives an answer the model name back that the client asked for: what the model server calls "model":"<from>"
// leaves as "model":"<to>".
//
// It must not keep the answer, wait for the end of an event, or touch text that a model wrote: what a string contains never
// matches, and no more is held back than the beginning of a value that may be the name.
//
//	answer in pieces, cut anywhere -> Writer.Next -> pieces for the client
package rename

import (
	"bytes"
	"encoding/json"
)

// Writer replaces the name in one answer: plain JSON or server-sent events, whatever the size of the pieces. It belongs to
// one goroutine.
type Writer struct {
	from string
	to   []byte // as JSON, with its quotes
	most int    // bytes of the longest value that may be the name, without its closing quote

	place   place
	escaped bool   // the next byte of a string or value is escaped
	matched int    // bytes of memberName that the string has begun with; -1: it is another one
	length  int    // bytes of the value so far, its opening quote included
	escapes bool   // the value has escapes
	held    []byte // the beginning of a value that may be the name, from earlier pieces
	out     []byte
}

// place is where the next byte stands.
type place uint8

const (
	outside place = iota
	inString
	afterName  // after a string that may be the member's name
	afterColon // after its colon
	inValue    // in its value, which may be the name
)

const memberName = "model"

// keptBytes bounds the buffer that is kept for the next piece.
const keptBytes = 64 << 10

// New is a writer that replaces the model name from by to. When they are equal, or from is empty, nothing changes.
func New(from, to string) *Writer {
	if from == to {
		from = ""
	}
	// The longest way to write a byte is \u0000.
	return &Writer{from: from, to: quote(to), most: len(`"`) + len(`\u0000`)*len(from)}
}

// quote is a name as a JSON string.
func quote(name string) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(name) // a string never fails
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Next takes the next piece of the answer, the last one with last, and gives what may go out now: the piece itself, or its
// beginning, when nothing in it changes. What it gives is valid until the next call.
func (w *Writer) Next(piece []byte, last bool) []byte {
	if w.from == "" {
		return piece
	}
	out, done, start := w.out[:0], 0, 0
	for i := 0; i < len(piece); i++ {
		if i += w.passed(piece[i:]); i == len(piece) {
			break
		}
		before := w.place
		w.step(piece[i])
		switch {
		case w.place == inValue && before != inValue:
			start = i
		case before == inValue && w.place == outside && w.isName(piece[start:i+1]):
			out = append(append(out, piece[done:start]...), w.to...)
			done, w.held = i+1, w.held[:0]
		case before == inValue && w.place != inValue:
			out, w.held = append(out, w.held...), w.held[:0]
		}
	}
	end := len(piece)
	if w.place == inValue && !last {
		end = start
	} else {
		out, w.held = append(out, w.held...), w.held[:0]
	}
	rest := piece[done:end]
	if len(out) > 0 {
		rest = append(out, rest...)
		if out = rest; cap(out) > keptBytes {
			out = nil
		}
	}
	w.out = out
	w.held = append(w.held, piece[end:]...)
	return rest
}

// isName tells whether the value whose last bytes are tail is the name.
func (w *Writer) isName(tail []byte) bool {
	if !w.escapes {
		return tail[len(tail)-1] == '"' && w.length == len(w.from)+len(`""`)
	}
	var name string
	whole := append(bytes.Clone(w.held), tail...)
	return json.Unmarshal(whole, &name) == nil && name == w.from
}

// passed is how many bytes do not matter where the writer stands.
func (w *Writer) passed(piece []byte) int {
	n := 0
	switch {
	case w.place == outside:
		if n = bytes.IndexByte(piece, '"'); n < 0 {
			return len(piece)
		}
	case w.place == inString && w.matched < 0 && !w.escaped:
		for n < len(piece) && piece[n] != '"' && piece[n] != '\\' && piece[n] != '\n' {
			n++
		}
	}
	return n
}

// step takes one byte.
func (w *Writer) step(c byte) {
	switch w.place {
	case outside:
		w.begin(c)
	case inString:
		w.stepString(c)
	case inValue:
		w.stepValue(c)
	case afterName, afterColon:
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == ':' && w.place == afterName:
			w.place = afterColon
		case c == '"' && w.place == afterColon:
			w.place, w.length, w.escapes, w.escaped = inValue, 1, false, false
		default:
			w.place = outside
			w.begin(c)
		}
	}
}

// begin takes a byte outside of strings.
func (w *Writer) begin(c byte) {
	if c == '"' {
		w.place, w.matched, w.escaped = inString, 0, false
	}
}

// stepString takes a byte of a string. A line break ends it: no JSON has one there, and the next event begins anew.
func (w *Writer) stepString(c byte) {
	switch {
	case c == '\n':
		w.place = outside
	case w.escaped:
		w.escaped = false
	case c == '\\':
		w.escaped, w.matched = true, -1
	case c == '"':
		w.place = outside
		if w.matched == len(memberName) {
			w.place = afterName
		}
	case w.matched >= 0 && w.matched < len(memberName) && c == memberName[w.matched]:
		w.matched++
	default:
		w.matched = -1
	}
}

// stepValue takes a byte of a value that may be the name, and leaves it when it cannot be.
func (w *Writer) stepValue(c byte) {
	at := w.length - 1
	w.length++
	switch {
	case c == '\n':
		w.place = outside
	case w.escaped:
		w.escaped = false
	case c == '\\':
		w.escaped, w.escapes = true, true
	case c == '"':
		w.place = outside
	case !w.escapes && (at >= len(w.from) || c != w.from[at]):
		w.place, w.matched = inString, -1
	}
	if w.place == inValue && w.length > w.most {
		w.place, w.matched = inString, -1
	}
}
