package body

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"

	"google.golang.org/protobuf/encoding/protowire"
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
	const low = 0x7f7f7f7f7f7f7f7f
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

func separators(b []byte, sep separator) (n int) {
	for len(b) > 0 {
		n += bits.OnesCount64(sep.in(eight(b)))
		b = b[min(8, len(b)):]
	}
	return n
}

// tokenList adds a JSON list of token ids, or each of a list of such lists as a prompt of its own. What is no token id ends
// what is hashed, and so does an id that may have been cut.
func (h *hasher) tokenList(raw []byte) {
	i := 0
	for i < len(raw) && !h.stopped {
		switch c := raw[i]; c {
		case '[', ',', ' ', '\n', '\t', '\r':
			i++
		case ']':
			i++
			h.end()
		default:
			if next := h.tokens(raw, i); next > i {
				i = next
			} else {
				h.stop()
			}
		}
	}
	if rest := bytes.Trim(raw[i:], "[], \n\t\r"); len(rest) > 0 {
		h.bytes += tokenBytes * (separators(rest, commas) + 1)
	}
}

// tokens adds the ids of a list from byte i on, one after the other as long as nothing but a comma, and a space, is between
// them, and gives where it stopped.
func (h *hasher) tokens(raw []byte, i int) int {
	h.room(tokenBytes + 2*len(raw[i:])) // an id has a digit and a separator at least
	n, count := h.fill, 0
	for i < len(raw) && !h.stopped {
		id, digits := tokenID(raw[i:])
		if digits == 0 {
			break
		}
		binary.LittleEndian.PutUint32(h.batch[n:], id)
		count++
		if n += tokenBytes; n >= h.full {
			n = h.spill(n)
		}
		i += digits
		if raw[i] != ',' {
			break
		}
		i++
		if i < len(raw) && raw[i] == ' ' {
			i++
		}
	}
	h.fill = n
	h.bytes += count * tokenBytes
	return i
}

// tokenID reads the number at the beginning of b; n is 0 if it is no token id, or if b ends before it is sure to end.
func tokenID(b []byte) (id uint32, n int) {
	if len(b) >= 8 {
		w := binary.LittleEndian.Uint64(b) ^ '0'*ones
		noDigit := (w&(0x7f*ones) + 0x76*ones | w) & topBits
		n = bits.TrailingZeros64(noDigit) >> 3
		if n > 0 && n < 8 && endsNumber[b[n]] {
			// The digits go to the top, zeros before them; then neighbours are joined: ones and tens, hundreds, ten thousands.
			w <<= 64 - 8*n
			w = w*10 + w>>8
			w = w&0x00ff00ff00ff00ff*100 + w>>16&0x00ff00ff00ff00ff
			w = w&0x0000ffff0000ffff*10_000 + w>>32&0x0000ffff
			return uint32(w), n
		}
	}
	return longTokenID(b)
}

// endsNumber has the bytes that may stand after a number of a list.
var endsNumber = [256]bool{',': true, ']': true, ' ': true, '\n': true, '\t': true, '\r': true}

func longTokenID(b []byte) (id uint32, n int) {
	total := uint64(0)
	for n < len(b) && b[n]-'0' <= 9 && total <= math.MaxUint32 {
		total = total*10 + uint64(b[n]-'0')
		n++
	}
	if n == len(b) || !endsNumber[b[n]] || total > math.MaxUint32 {
		return 0, 0
	}
	return uint32(total), n
}

// packed adds token ids as protobuf packs them.
func (h *hasher) packed(ids []byte) {
	for len(ids) > 0 && !h.stopped {
		id, n := protowire.ConsumeVarint(ids)
		if n < 0 {
			h.stop()
			break
		}
		ids = ids[n:]
		h.bytes += tokenBytes
		h.token(uint32(id))
	}
	h.bytes += tokenBytes * separators(ids, varintEnds)
}
