package kvindex

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/switchyard/switchyard/epp/tokens"
)

// Algorithms of a Hasher.
const (
	// CBORFNV is FNV-1a, 64 bits, over the canonical CBOR of [parent, tokens, extra].
	CBORFNV = "cbor-fnv"
	// XXH64 is one XXH64 over parent, tokens and extra. It costs about an eighth of CBORFNV.
	XXH64 = "xxh64"
)

// FNV-1a, 64 bits.
const (
	fnvBasis = 0xcbf29ce484222325
	fnvPrime = 0x100000001b3
)

// Hasher makes the keys of blocks. It does not change.
type Hasher struct {
	// BlockTokens is the length of a block.
	BlockTokens int

	seed uint64
	fast bool
}

// NewHasher makes a hasher. Keys of different seeds or algorithms have nothing to do with each other; those of the same are the
// llm-d Router's.
func NewHasher(blockTokens int, seed, algorithm string) (*Hasher, error) {
	h := &Hasher{BlockTokens: blockTokens, seed: fnvText(fnvBasis, seed)}
	switch algorithm {
	case "", CBORFNV:
	case XXH64, "xxhash":
		h.fast, h.seed = true, xxhash.Sum64String(seed)
	default:
		return nil, fmt.Errorf("%q must be %s or %s", algorithm, CBORFNV, XXH64)
	}
	if blockTokens < 1 {
		return nil, fmt.Errorf("a block of %d tokens; at least 1 is needed", blockTokens)
	}
	return h, nil
}

// Root is what stands before the first block of prompts for an adapter, or where blocks are shared for any model; empty: for
// whichever model it is.
func (h *Hasher) Root(model string) uint64 {
	switch {
	case model == "":
		return h.seed
	case h.fast:
		return xxh(h.seed, nil, []string{model})
	}
	sum := cborHead(fnvByte(fnvBasis, 0x83), 0, h.seed)
	sum = cborHead(fnvByte(sum, 0xf6), 3, uint64(len(model)))
	return fnvText(sum, model)
}

// Block is the key of a block: of what stands before it, its tokens, and what else went into its making.
func (h *Hasher) Block(parent uint64, tokens []uint32, extra []string) uint64 {
	if h.fast {
		return xxh(parent, tokens, extra)
	}
	sum := cborHead(fnvByte(fnvBasis, 0x83), 0, parent)
	sum = cborHead(sum, 4, uint64(len(tokens)))
	for _, token := range tokens {
		sum = cborHead(sum, 0, uint64(token))
	}
	if len(extra) == 0 {
		return fnvByte(sum, 0xf6)
	}
	sum = cborHead(sum, 4, uint64(len(extra)))
	for _, text := range extra { // each is a map: {"Hash": text}
		sum = fnvText(fnvByte(sum, 0xa1), "\x64Hash")
		sum = fnvText(cborHead(sum, 3, uint64(len(text))), text)
	}
	return sum
}

// Prompt appends the keys of a prompt to dst, for its whole blocks and at most so many. features are ordered by their offset;
// salt, when not empty, keeps the prompt apart from equal ones.
func (h *Hasher) Prompt(dst []uint64, most int, lora, salt string, ids []uint32, features []tokens.Feature) []uint64 {
	parent := h.Root(lora)
	var with []string
	for i := 0; (i+1)*h.BlockTokens <= len(ids) && i < most; i++ {
		from, to := i*h.BlockTokens, (i+1)*h.BlockTokens
		with = with[:0]
		for _, feature := range features {
			if feature.Offset < to && feature.Offset+feature.Length > from {
				with = append(with, feature.Hash)
			}
		}
		if i == 0 && salt != "" {
			with = append(with, salt)
		}
		parent = h.Block(parent, ids[from:to], with)
		dst = append(dst, parent)
	}
	return dst
}

func xxh(parent uint64, tokens []uint32, extra []string) uint64 {
	var memory [8 + 4*64]byte
	raw := binary.LittleEndian.AppendUint64(memory[:0], parent)
	for _, token := range tokens {
		raw = binary.LittleEndian.AppendUint32(raw, token)
	}
	for _, text := range extra {
		raw = append(binary.LittleEndian.AppendUint64(raw, uint64(len(text))), text...)
	}
	return xxhash.Sum64(raw)
}

func fnvByte(sum uint64, b byte) uint64 { return (sum ^ uint64(b)) * fnvPrime }

func fnvText(sum uint64, text string) uint64 {
	for i := range len(text) {
		sum = fnvByte(sum, text[i])
	}
	return sum
}

// cborHead adds the head of a CBOR item, in its shortest form: 3 bits of major type and a number.
func cborHead(sum uint64, major byte, n uint64) uint64 {
	width := 0
	switch {
	case n < 24:
		return fnvByte(sum, major<<5|byte(n))
	case n <= 0xff:
		sum, width = fnvByte(sum, major<<5|24), 1
	case n <= 0xffff:
		sum, width = fnvByte(sum, major<<5|25), 2
	case n <= 0xffffffff:
		sum, width = fnvByte(sum, major<<5|26), 4
	default:
		sum, width = fnvByte(sum, major<<5|27), 8
	}
	for width--; width >= 0; width-- {
		sum = fnvByte(sum, byte(n>>(8*width)))
	}
	return sum
}
