package prefix

import "github.com/zeebo/xxh3"

// Seed is what the keys of a prompt are mixed with: prompts of different models or cache salts share nothing.
func Seed(model, salt string) uint64 {
	seed := xxh3.HashString(model)
	if salt == "" {
		return seed
	}
	return xxh3.HashStringSeed(salt, seed)
}

// Chain appends to dst the keys of a prompt: each of its chained block hashes mixed with the seed.
func Chain(dst []uint64, seed uint64, blocks []uint64) []uint64 {
	for _, b := range blocks {
		k := (b ^ seed) * 0x9e3779b97f4a7c15
		dst = append(dst, k^k>>32)
	}
	return dst
}
