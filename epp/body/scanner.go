package body

import (
	"encoding/binary"
	"math/bits"
)

// maxNumberBytes bounds a number: model servers cannot read longer ones.
const maxNumberBytes = 1024

// maxDepth bounds how deep arrays and objects may nest, the body's own object included.
const maxDepth = 512

// Reasons for which a scan stops.
const (
	endOfBody  = "unexpected end of JSON input"
	tooDeep    = "nested deeper than 512 levels"
	notObject  = "body is not a JSON object"
	afterTop   = "more data after the JSON object"
	badLiteral = "invalid literal"
	badNumber  = "invalid number"
	badEscape  = "invalid escape in string"
	badControl = "control character in string"
	badUTF8    = "invalid UTF-8 in string"
	longNumber = "number longer than 1024 bytes"
	compressed = "body is gzip, not JSON"
	wantKey    = "expected a field name in quotes"
	wantColon  = "expected ':' after the field name"
	wantValue  = "expected a value"
	wantComma  = "expected ',' or the closing bracket"
)

// scanner walks over JSON in place. Its methods leave i after what they walked over, or give false and a reason;
// the reason is endOfBody when more bytes could have mended it.
type scanner struct {
	b       []byte
	i       int
	reason  string
	escaped bool // the string walked over last has escapes in it
	watch   watch

	noted    *noted
	marking  bool // the string is one of a part
	overflow bool // there are more parts than there is room for
}

func (s *scanner) fail(reason string) bool {
	s.reason = reason
	return false
}

// peek skips white space and gives the byte it stands on, 0 at the end of the body (and for a zero byte, which
// no caller accepts).
func (s *scanner) peek() byte {
	b, i := s.b, s.i
	for uint(i) < uint(len(b)) {
		c := b[i]
		if c > ' ' || (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
			s.i = i
			return c
		}
		i++
	}
	s.i = i
	return 0
}

// unexpected is what to say of the byte the scanner stands on.
func (s *scanner) unexpected(reason string) bool {
	if s.i >= len(s.b) {
		return s.fail(endOfBody)
	}
	return s.fail(reason)
}

// skipNumber walks over a number. At the end of the body it may go on, so it is cut there.
func (s *scanner) skipNumber() bool {
	start := s.i
	if s.b[s.i] == '-' {
		s.i++
	}
	if s.i < len(s.b) && s.b[s.i] == '0' {
		s.i++
	} else if !s.skipDigits() {
		return false
	}
	if s.i < len(s.b) && s.b[s.i] == '.' {
		s.i++
		if !s.skipDigits() {
			return false
		}
	}
	if s.i < len(s.b) && s.b[s.i]|0x20 == 'e' {
		s.i++
		if s.i < len(s.b) && (s.b[s.i] == '+' || s.b[s.i] == '-') {
			s.i++
		}
		if !s.skipDigits() {
			return false
		}
	}
	if s.i-start > maxNumberBytes {
		return s.fail(longNumber)
	}
	if s.i >= len(s.b) {
		return s.fail(endOfBody)
	}
	return true
}

// skipDigits walks over at least one digit.
func (s *scanner) skipDigits() bool {
	b, i := s.b, s.i
	for uint(i) < uint(len(b)) && b[i]-'0' <= 9 {
		i++
	}
	if i == s.i {
		return s.unexpected(badNumber)
	}
	s.i = i
	return true
}

// skipLiteral walks over one of true, false and null.
func (s *scanner) skipLiteral(word string) bool {
	for k := range len(word) {
		if s.i >= len(s.b) {
			return s.fail(endOfBody)
		}
		if s.b[s.i] != word[k] {
			return s.fail(badLiteral)
		}
		s.i++
	}
	return true
}

// skipIntegers walks over the plain integers of an array, each with the comma after it, as far as they are up to seven
// digits long: token ids. It may stand where it stood, and always stands where a value is to follow.
func (s *scanner) skipIntegers() {
	b, i := s.b, s.i
	for i+8 <= len(b) && b[i]-'1' <= 8 {
		w := binary.LittleEndian.Uint64(b[i:]) ^ '0'*ones
		noDigit := (w&(0x7f*ones) + 0x76*ones | w) & (0x80 * ones)
		n := bits.TrailingZeros64(noDigit) >> 3
		if n == 8 || b[i+n] != ',' {
			break
		}
		i += n + 1
		if i < len(b) && b[i] == ' ' {
			i++
		}
	}
	s.i = i
}

// skipScalar walks over a value that is neither array nor object and begins with c.
func (s *scanner) skipScalar(c byte) bool {
	switch c {
	case '"':
		s.i++
		return s.skipString()
	case 't':
		return s.skipLiteral("true")
	case 'f':
		return s.skipLiteral("false")
	case 'n':
		return s.skipLiteral("null")
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return s.skipNumber()
	}
	return s.unexpected(wantValue)
}

// skipKey walks over a field name and its colon and gives the name as it stands between its quotes.
func (s *scanner) skipKey() (raw []byte, ok bool) {
	if s.peek() != '"' {
		return nil, s.unexpected(wantKey)
	}
	s.i++
	start := s.i
	if !s.skipString() {
		return nil, false
	}
	raw = s.b[start : s.i-1]
	if s.peek() != ':' {
		return nil, s.unexpected(wantColon)
	}
	s.i++
	return raw, true
}
