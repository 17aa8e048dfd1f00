package body

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// topBits has the top bit of each of eight bytes.
const topBits = 0x8080808080808080

// ones has the lowest bit of each of eight bytes.
const ones = 0x0101010101010101

// special marks, in the top bit of each byte, quotes, backslashes and control characters of eight bytes. Only the
// lowest mark is exact: a borrow may set marks above a true one. The other bits say nothing.
func special(w uint64) uint64 {
	q := w ^ 0x02*ones // the quote becomes 0x20, control characters stay below, all else is above
	e := w ^ '\\'*ones
	return (q-0x21*ones)&^q | (e-ones)&^e
}

// wide is how many bytes plain looks at in one step.
const wide = 32

// plain walks over text, from byte i of b on, up to something special, or until b has less than wide bytes left (special is false
// then). seen has all bits of the bytes seen.
func plain(b []byte, i int) (at int, seen uint64, found bool) {
	for ; i+wide <= len(b); i += wide {
		c := (*[wide]byte)(b[i:])
		w0, w1 := binary.LittleEndian.Uint64(c[:]), binary.LittleEndian.Uint64(c[8:])
		w2, w3 := binary.LittleEndian.Uint64(c[16:]), binary.LittleEndian.Uint64(c[24:])
		seen |= w0 | w1 | w2 | w3
		m0, m1, m2, m3 := special(w0), special(w1), special(w2), special(w3)
		if (m0|m1|m2|m3)&topBits == 0 {
			continue
		}
		// One bit for each byte: where the lowest is cannot be guessed, so there is no branch for each word.
		marks := narrow(m0) | narrow(m1)<<8 | narrow(m2)<<16 | narrow(m3)<<24
		return i + bits.TrailingZeros32(marks), seen, true
	}
	return i, seen, false
}

// narrow gathers the top bits of eight bytes.
func narrow(m uint64) uint32 { return uint32(m & topBits >> 7 * 0x0102040810204080 >> 56) }

// skipString walks over a string; the scanner stands after its opening quote.
func (s *scanner) skipString() bool {
	b, i := s.b, s.i
	start, bits8 := i, uint64(0) // all bits of the bytes seen, and of some beyond
	s.escaped = false
	for {
		for i+16 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			bits8 |= w
			m := special(w) & topBits
			if m == 0 {
				i += 8
				w = binary.LittleEndian.Uint64(b[i:])
				bits8 |= w
				m = special(w) & topBits
			}
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
			} else {
				at, seen, found := plain(b, i+8)
				bits8 |= seen
				i = at
				if !found {
					continue
				}
			}
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
