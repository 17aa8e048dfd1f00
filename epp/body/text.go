package body

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// backslashes marks, in the top bit of each byte, the backslashes of eight bytes. Only the lowest mark is exact.
func backslashes(w uint64) uint64 {
	e := w ^ '\\'*ones
	return (e - ones) &^ e & topBits
}

// shortEscaped is what a byte after a backslash stands for; 0: it is no escape of two bytes.
var shortEscaped = [256]byte{'n': '\n', '"': '"', '\\': '\\', '/': '/', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f'}

// decode writes the text of a string to dst[n:], from byte i of its raw form on, until dst has at least upTo bytes or the text
// ends. It gives how long dst and how far i have become. dst has room for slack bytes after upTo. An escape that is not whole
// is not decoded, and neither is half a surrogate pair when the other half may have been cut off: i stays before it.
func decode(dst []byte, n, upTo int, raw []byte, i int, cut bool) (int, int) {
	for n < upTo && i < len(raw) {
		if i+8 <= len(raw) {
			w := binary.LittleEndian.Uint64(raw[i:])
			binary.LittleEndian.PutUint64(dst[n:], w)
			m := backslashes(w)
			if m == 0 {
				n += 8
				i += 8
				continue
			}
			k := bits.TrailingZeros64(m) >> 3
			n += k
			i += k
		} else if raw[i] != '\\' {
			dst[n] = raw[i]
			n++
			i++
			continue
		}
		if i+1 < len(raw) {
			if c := shortEscaped[raw[i+1]]; c != 0 {
				dst[n] = c
				n++
				i += 2
				continue
			}
		}
		r, size := codePoint(raw[i:], cut)
		if size == 0 {
			break
		}
		n += utf8.EncodeRune(dst[n:n+utf8.UTFMax], r)
		i += size
	}
	return n, i
}

// codePoint reads an escape of the form \uXXXX, or two that are a surrogate pair; half a pair becomes U+FFFD, as it does for
// encoding/json. The size is 0 when it is not whole.
func codePoint(raw []byte, cut bool) (r rune, size int) {
	const escape = len(`\uXXXX`)
	if len(raw) < escape {
		return 0, 0
	}
	r = hexRune(raw[2:])
	if !utf16.IsSurrogate(r) {
		return r, escape
	}
	rest := raw[escape:]
	if len(rest) >= escape && rest[0] == '\\' && rest[1] == 'u' {
		if pair := utf16.DecodeRune(r, hexRune(rest[2:])); pair != utf8.RuneError {
			return pair, 2 * escape
		}
		return utf8.RuneError, escape
	}
	if cut && len(rest) < escape && startsWith([]byte(`\u`), string(rest[:min(len(rest), 2)])) {
		return 0, 0
	}
	return utf8.RuneError, escape
}

// text adds a string that has escapes, of which marks has the places.
func (h *hasher) text(raw []byte, p *part, marks []uint32) {
	if h.stopped {
		h.bytes += len(raw)
		return
	}
	h.room(len(raw))
	i, all := h.marked(raw, p, marks)
	switch {
	case h.stopped:
		h.bytes += len(raw) - i
	case all:
		h.raw(raw[i:])
	default:
		h.searched(raw, i, p.cut)
	}
}

// marked adds a string up to and with the last escape that there is a mark of, and tells whether what is left has none. Of
// an escape that is cut nothing is left.
func (h *hasher) marked(raw []byte, p *part, marks []uint32) (i int, all bool) {
	all = len(marks) < maxMarks
	batch, n, wrote := h.batch, h.fill, 0
	for _, mark := range marks[p.mark:] {
		at := int(mark - p.start)
		if at >= len(raw) {
			all = true // it is of a later string
			break
		}
		if at < i {
			continue // the other half of a surrogate pair
		}
		from := i
		for ; at-i > step && !h.stopped; i += step {
			copyStep(batch[n:], raw[i:])
			if n += step; n >= h.full {
				n = h.spill(n)
			}
		}
		if h.stopped {
			wrote += i - from
			break
		}
		if i+step <= len(raw) {
			copyStep(batch[n:], raw[i:]) // it may be too much, and is overwritten then
		} else {
			copy(batch[n:], raw[i:at])
		}
		n += at - i
		i = at
		size, length := 2, 1
		if at+1 < len(raw) && shortEscaped[raw[at+1]] != 0 {
			batch[n] = shortEscaped[raw[at+1]]
		} else {
			var r rune
			if r, size = codePoint(raw[at:], p.cut); size == 0 {
				wrote += at - from
				i = len(raw)
				break
			}
			length = utf8.EncodeRune(batch[n:n+utf8.UTFMax], r)
		}
		n, i, wrote = n+length, i+size, wrote+at-from+length
		if n >= h.full {
			n = h.spill(n)
		}
	}
	h.fill = n
	h.bytes += wrote
	return i, all
}

// copyStep copies step bytes without a call.
func copyStep(dst, src []byte) {
	d, s := (*[step]byte)(dst), (*[step]byte)(src)
	binary.NativeEndian.PutUint64(d[:], binary.NativeEndian.Uint64(s[:]))
	binary.NativeEndian.PutUint64(d[8:], binary.NativeEndian.Uint64(s[8:]))
	binary.NativeEndian.PutUint64(d[16:], binary.NativeEndian.Uint64(s[16:]))
	binary.NativeEndian.PutUint64(d[24:], binary.NativeEndian.Uint64(s[24:]))
}

// searched adds a string from byte i on.
func (h *hasher) searched(raw []byte, i int, cut bool) {
	for {
		h.room(len(raw) - i)
		n, next := decode(h.batch, h.fill, min(h.full, len(h.batch)-slack), raw, i, cut)
		h.bytes += n - h.fill
		h.fill = n
		if n >= h.full {
			h.spill(n)
		}
		switch {
		case h.stopped:
			h.bytes += len(raw) - next
			return
		case next == len(raw), next == i:
			return
		}
		i = next
	}
}

// sumText hashes the text of a string.
func sumText(raw []byte, escaped bool) uint64 {
	if !escaped {
		return xxhash.Sum64(raw)
	}
	var digest xxhash.Digest
	digest.Reset()
	var piece [1024]byte
	for i := 0; ; {
		n, next := decode(piece[:], 0, len(piece)-slack, raw, i, false)
		_, _ = digest.Write(piece[:n])
		if next == len(raw) || next == i {
			return digest.Sum64()
		}
		i = next
	}
}

// copyText writes the beginning of the text of a string.
func copyText(dst, raw []byte) int {
	n, _ := decode(dst, 0, len(dst)-slack, raw, 0, false)
	return n
}
