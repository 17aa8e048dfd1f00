package prefix

import (
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Seed is what the keys of a prompt begin with, XXH64 of the model's name and the cache salt: prompts of different models or
// salts share nothing. The model is the one that the model server is asked for.
func Seed(model, salt string) uint64 {
	var digest xxhash.Digest
	digest.Reset()
	_, _ = digest.WriteString(model)
	_, _ = digest.WriteString(salt)
	return digest.Sum64()
}

// Chain appends to dst the keys of prompts, given the hashes of their blocks: each key is XXH64 of the block's hash and of the
// key before it, eight bytes each, little endian. Every prompt begins with the seed; see Prompt for ends.
func Chain(dst []uint64, seed uint64, blocks []uint64, ends ...int) []uint64 {
	var pair [16]byte
	for from := 0; from < len(blocks); {
		to := Prompt(from, len(blocks), ends)
		key := seed
		for _, block := range blocks[from:to] {
			binary.LittleEndian.PutUint64(pair[:8], block)
			binary.LittleEndian.PutUint64(pair[8:], key)
			key = xxhash.Sum64(pair[:])
			dst = append(dst, key)
		}
		from = to
	}
	return dst
}

// Prompt tells where the prompt ends that begins at from, of n blocks of several prompts that stand one after the other. ends has
// where each of them ends, in rising order; none: there is one.
func Prompt(from, n int, ends []int) int {
	if i, _ := slices.BinarySearch(ends, from+1); i < len(ends) {
		return min(ends[i], n)
	}
	return n
}
