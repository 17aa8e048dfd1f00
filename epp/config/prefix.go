package config

import (
	"fmt"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// minBlockTokens is the least block of the prefix match: smaller ones cost more and match no better.
const minBlockTokens = 64

// bytesPerToken is the estimate by which text becomes tokens.
const bytesPerToken = 4

// defaultBlocksPerServer is the capacity of the prefix index for a server that does not tell its own.
const defaultBlocksPerServer = 31250

// maxHashedBytes bounds the prompt that is hashed when the file asks for no limit.
const maxHashedBytes = 64 << 20

// Prefix is how prompts are matched against what servers hold.
type Prefix struct {
	// AutoTune takes block size and capacity from what the engines report, where they do.
	AutoTune bool
	// BlockTokens is the block size in tokens, at least 64.
	BlockTokens int
	// MaxTokens and MaxBlocks bound the part of a prompt that is matched; MaxTokens wins when above 0.
	MaxTokens, MaxBlocks int
	// BlocksPerServer is the capacity of the index for one server.
	BlocksPerServer int
}

// Block is the block size in tokens for engines that report engineBlock (0: not told).
func (p Prefix) Block(engineBlock int) int {
	if p.AutoTune && engineBlock > 0 {
		return max(engineBlock, minBlockTokens)
	}
	return max(p.BlockTokens, minBlockTokens)
}

// Limits bounds the scan of a body for blocks of blockTokens.
func (p Prefix) Limits(blockTokens int) body.Limits {
	limits := body.Limits{BlockBytes: blockTokens * bytesPerToken}
	switch {
	case p.MaxTokens > 0:
		limits.MaxPromptBytes = p.MaxTokens / blockTokens * limits.BlockBytes
	case p.MaxBlocks > 0:
		limits.MaxPromptBytes = p.MaxBlocks * limits.BlockBytes
	default:
		limits.MaxPromptBytes = maxHashedBytes
	}
	limits.MaxPromptBytes = min(limits.MaxPromptBytes, maxHashedBytes)
	return limits
}

func defaultPrefix() Prefix {
	return Prefix{
		AutoTune:        true,
		BlockTokens:     minBlockTokens,
		MaxTokens:       131072,
		MaxBlocks:       2048,
		BlocksPerServer: defaultBlocksPerServer,
	}
}

// newPrefix reads the parameters of the approximate prefix producer.
func newPrefix(parameters []byte) (Prefix, error) {
	given := struct {
		AutoTune        bool `json:"autoTune"`
		BlockSizeTokens int  `json:"blockSizeTokens"`
		BlockSize       int  `json:"blockSize"`
		MaxBlocks       int  `json:"maxPrefixBlocksToMatch"`
		MaxTokens       int  `json:"maxPrefixTokensToMatch"`
		LRUCapacity     int  `json:"lruCapacityPerServer"`
	}{AutoTune: true, MaxBlocks: 2048, MaxTokens: 131072, LRUCapacity: defaultBlocksPerServer}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return Prefix{}, err
	}
	for _, field := range []struct {
		name  string
		value int
	}{
		{"blockSizeTokens", given.BlockSizeTokens},
		{"blockSize", given.BlockSize},
		{"maxPrefixBlocksToMatch", given.MaxBlocks},
		{"maxPrefixTokensToMatch", given.MaxTokens},
	} {
		if field.value < 0 {
			return Prefix{}, fmt.Errorf("parameters: %s: %d is below 0", field.name, field.value)
		}
	}
	if given.LRUCapacity < 1 {
		return Prefix{}, fmt.Errorf("parameters: lruCapacityPerServer: %d is below 1", given.LRUCapacity)
	}
	// blockSize is the older field, in bytes of text.
	tokens := given.BlockSizeTokens
	if tokens == 0 {
		tokens = given.BlockSize / bytesPerToken
	}
	return Prefix{
		AutoTune:        given.AutoTune,
		BlockTokens:     max(tokens, minBlockTokens),
		MaxTokens:       given.MaxTokens,
		MaxBlocks:       given.MaxBlocks,
		BlocksPerServer: given.LRUCapacity,
	}, nil
}
