package body

import (
	"encoding/binary"
	"math/bits"

	"github.com/zeebo/xxh3"
)

// tokenBytes is what a token counts in PromptBytes and in Limits.
const tokenBytes = 4

// separator is the byte that ends a token id.
type separator uint8

const (
	commas     separator = iota // of a JSON array; the last id has none
	varintEnds                  // of packed protobuf numbers: the top bit is clear
)

// in gives the top bits of those of eight bytes that are separators.
func (s separator) in(w uint64) uint64 {
	if s == varintEnds {
		return ^w & topBits
	}
	const ones, low = 0x0101010101010101, 0x7f7f7f7f7f7f7f7f
	x := w ^ ','*ones
	return ^(x&low + low | x | low)
}

// eight is the beginning of b as a word; what b lacks is no separator of either kind.
func eight(b []byte) uint64 {
	if len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)
	}
	w := uint64(topBits)
	for i, c := range b {
		w = w&^(0xff<<(8*i)) | uint64(c)<<(8*i)
	}
	return w
}

// isTokenList tells whether a raw value is an array that begins with a number, or an array of such arrays.
func isTokenList(raw []byte) bool {
	if len(raw) == 0 || raw[0] != '[' {
		return false
	}
	for _, c := range raw {
		switch c {
		case '[', ' ', '\n', '\t', '\r':
		default:
			return c >= '0' && c <= '9'
		}
	}
	return false
}

// tokensIn counts the ids of a list of token ids.
func tokensIn(raw []byte) int { return separators(raw, commas) + 1 }

func separators(b []byte, sep separator) (n int) {
	for len(b) > 0 {
		n += bits.OnesCount64(sep.in(eight(b)))
		b = b[min(8, len(b)):]
	}
	return n
}

// afterNth is the number of bytes up to and with the nth separator, or all of them and false.
func afterNth(b []byte, n int, sep separator) (int, bool) {
	for i := 0; i < len(b); i += 8 {
		m := sep.in(eight(b[i:]))
		if c := bits.OnesCount64(m); c < n {
			n -= c
			continue
		}
		for ; n > 1; n-- {
			m &= m - 1
		}
		return i + bits.TrailingZeros64(m)>>3 + 1, true
	}
	return len(b), false
}

// addTokens hashes a list of token ids, as many to a block as a block has tokens, in the form in which they stand there.
func (h *hasher) addTokens(f field, list []byte, sep separator, whole bool) {
	if h.size < tokenBytes || h.left <= 0 {
		return
	}
	last, perBlock := chain(h.last, fieldSeeds[f]), h.size/tokenBytes
	for h.left >= h.size {
		n, full := afterNth(list, perBlock, sep)
		if !full {
			break
		}
		last = chain(last, xxh3.Hash(list[:n]))
		h.blocks = append(h.blocks, last)
		h.left -= h.size
		list = list[n:]
	}
	rest := separators(list, sep) * tokenBytes
	if sep == commas {
		rest += tokenBytes
	}
	if len(list) > 0 && whole && rest <= h.left {
		last = chain(last, xxh3.Hash(list))
		h.blocks = append(h.blocks, last)
	}
	h.left -= min(rest, h.left)
	h.last = last
}

// addMedia hashes a part that is no text as n bytes of placeholder; of one that is not whole nothing can be said, nor of what
// comes after it.
func (h *hasher) addMedia(sum uint64, n int, whole bool) {
	if h.size <= 0 || h.left <= 0 {
		return
	}
	if !whole {
		h.left = 0
		return
	}
	if n > h.left {
		n, whole = h.left, false
	}
	h.left -= n
	for ; n >= h.size; n -= h.size {
		h.last = chain(h.last, sum)
		h.blocks = append(h.blocks, h.last)
	}
	if n > 0 && whole {
		h.last = chain(h.last, sum+uint64(n))
		h.blocks = append(h.blocks, h.last)
	}
}
