package body

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// topBits has the top bit of each of eight bytes.
const topBits = 0x8080808080808080

// special marks, in the top bit of each byte, quotes, backslashes and control characters of eight bytes. Only the
// lowest mark is exact: a borrow may set marks above a true one.
func special(w uint64) uint64 {
	const ones = 0x0101010101010101
	q := w ^ 0x02*ones // the quote becomes 0x20, control characters stay below, all else is above
	e := w ^ '\\'*ones
	return ((q-0x21*ones)&^q | (e-ones)&^e) & (0x80 * ones)
}

// skipString walks over a string; the scanner stands after its opening quote.
func (s *scanner) skipString() bool {
	b, i := s.b, s.i
	start, bits8 := i, uint64(0) // all bits of the bytes seen, and of some beyond
	s.escaped = false
	for {
		for i+16 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			bits8 |= w
			m := special(w)
			if m == 0 {
				w = binary.LittleEndian.Uint64(b[i+8:])
				bits8 |= w
				if m = special(w); m == 0 {
					i += 16
					continue
				}
				i += 8
			}
			i += bits.TrailingZeros64(m) >> 3
			if b[i] != '\\' || i+1 >= len(b) || !shortEscape[b[i+1]] {
				break
			}
			s.escaped = true
			if s.marking {
				s.mark(i)
			}
			i += 2
		}
		for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
			bits8 |= uint64(b[i])
			i++
		}
		s.i = i
		if i >= len(b) {
			return s.fail(endOfBody)
		}
		switch b[i] {
		case '"':
			if bits8&topBits != 0 && !utf8.Valid(b[start:i]) {
				s.i = start + firstInvalid(b[start:i])
				return s.fail(badUTF8)
			}
			s.i++
			return true
		case '\\':
			s.escaped = true
			if s.marking {
				s.mark(i)
			}
			if !s.skipEscape() {
				return false
			}
			i = s.i
		default:
			return s.fail(badControl)
		}
	}
}

// firstInvalid is where text stops being UTF-8.
func firstInvalid(text []byte) int {
	i := 0
	for i < len(text) {
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && n == 1 {
			break
		}
		i += n
	}
	return i
}

// shortEscape has what may follow a backslash, but for the u of a code point.
var shortEscape = [256]bool{'n': true, '"': true, '\\': true, '/': true, 't': true, 'r': true, 'b': true, 'f': true}

// skipEscape walks over a backslash and what it escapes.
func (s *scanner) skipEscape() bool {
	s.i++
	if s.i >= len(s.b) {
		return s.fail(endOfBody)
	}
	c := s.b[s.i]
	if shortEscape[c] {
		s.i++
		return true
	}
	if c != 'u' {
		return s.fail(badEscape)
	}
	s.i++
	for range 4 {
		if s.i >= len(s.b) {
			return s.fail(endOfBody)
		}
		if hexValue(s.b[s.i]) < 0 {
			return s.fail(badEscape)
		}
		s.i++
	}
	return true
}

func hexValue(c byte) rune {
	switch {
	case c >= '0' && c <= '9':
		return rune(c - '0')
	case c >= 'a' && c <= 'f':
		return rune(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return rune(c-'A') + 10
	}
	return -1
}
