package body

import (
	"math/bits"

	"github.com/zeebo/xxh3"
)

// fieldSeeds keep equal bytes of different fields apart. They are hashes of the field names, so that every replica,
// old or new, has the same.
var fieldSeeds = func() (seeds [fieldCount]uint64) {
	for f, name := range map[field]string{
		fieldMessages: "messages", fieldPrompt: "prompt", fieldInput: "input", fieldItems: "items",
		fieldTokenIDs: "token_ids", fieldInputIDs: "input_ids", fieldText: "text", fieldTools: "tools",
		fieldSystem: "system", fieldInstructions: "instructions",
	} {
		seeds[f] = xxh3.HashString(name)
	}
	return seeds
}()

// chain mixes the hash of a block with that of everything before it.
func chain(before, block uint64) uint64 {
	h := bits.RotateLeft64(before, 29)*0x9e3779b97f4a7c15 + block
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>29
}

// hasher makes the block hashes of a prompt whose parts are given one after the other.
type hasher struct {
	blocks []uint64
	last   uint64
	size   int // bytes per block
	left   int // bytes that may still be hashed
}

// add hashes one part. A part begins a block of its own; its last block may be shorter, unless the part is not whole
// (cut by the proxy or by the limit): a block that ends where a cut happened to fall would match nothing.
func (h *hasher) add(f field, part []byte, whole bool) {
	if h.size <= 0 || h.left <= 0 {
		return
	}
	if len(part) > h.left {
		part, whole = part[:h.left], false
	}
	h.left -= len(part)
	last, size := chain(h.last, fieldSeeds[f]), h.size
	for len(part) >= size {
		last = chain(last, xxh3.Hash(part[:size]))
		h.blocks = append(h.blocks, last)
		part = part[size:]
	}
	if len(part) > 0 && whole {
		last = chain(last, xxh3.Hash(part))
		h.blocks = append(h.blocks, last)
	}
	h.last = last
}
