package body

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unescape appends the text of a string whose raw form, known to be well formed, stands between its quotes. What is not
// UTF-8, and half a surrogate pair, become U+FFFD.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '\\' && raw[i+1] == 'u':
			r := hexRune(raw[i+2:])
			i += 6
			if utf16.IsSurrogate(r) {
				pair := rune(utf8.RuneError)
				if i+6 <= len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
					pair = utf16.DecodeRune(r, hexRune(raw[i+2:]))
				}
				if pair != utf8.RuneError {
					i += 6
				}
				r = pair
			}
			dst = utf8.AppendRune(dst, r)
		case c == '\\':
			dst = append(dst, unescaped(raw[i+1]))
			i += 2
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

func hexRune(b []byte) rune {
	return hexValue(b[0])<<12 | hexValue(b[1])<<8 | hexValue(b[2])<<4 | hexValue(b[3])
}

func unescaped(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 't':
		return '\t'
	case 'r':
		return '\r'
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	}
	return c
}

// isPlain tells whether a raw string is its own text.
func isPlain(raw []byte) bool {
	for _, c := range raw {
		if c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// text gives the text of a string value as a string. known is returned instead of a copy where it is the same.
func text(raw []byte, known string) string {
	raw = raw[1 : len(raw)-1]
	if !isPlain(raw) {
		raw = unescape(nil, raw)
	}
	if string(raw) == known {
		return known
	}
	return string(raw)
}

// tokenLimit reads a number as a limit of tokens: whole, above zero, capped; anything else is no limit.
func tokenLimit(raw []byte) int64 {
	if n, ok := smallInt(raw); ok {
		return n
	}
	if raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return 0
	}
	f, err := strconv.ParseFloat(string(raw), 64) // of at most maxNumberBytes, if it is a number
	switch {
	case err != nil && f != math.Inf(1), f < 1, f != math.Trunc(f):
		return 0
	case f >= math.MaxInt64:
		return math.MaxInt64
	}
	return int64(f)
}

// smallInt reads up to 18 digits and nothing else.
func smallInt(raw []byte) (n int64, ok bool) {
	if len(raw) > 18 {
		return 0, false
	}
	for _, c := range raw {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
