package usage

import (
	"math"
	"strconv"
)

// counts are the numbers of a usage object, -1 where there is none.
type counts [4]int64

const (
	input = iota
	output
	cached  // OpenAI's cached_tokens, Anthropic's cache_read_input_tokens
	created // Anthropic's cache_creation_input_tokens
)

var noCounts = counts{-1, -1, -1, -1}

// set notes the number of a field.
func (c *counts) set(k key, number int64) {
	switch k {
	case keyInput:
		c[input] = number
	case keyOutput:
		c[output] = number
	case keyCached, keyCacheRead:
		c[cached] = number
	case keyCacheCreation:
		c[created] = number
	}
}

// take completes the counts with those of a later object. Counts of one prompt only grow: a zero that a server sends for what
// it has told before is not believed. add sums them, for answers to several prompts at once.
func (c *counts) take(later counts, add bool) {
	for i, number := range later {
		switch {
		case number < 0:
		case add && c[i] >= 0:
			c[i] = min(c[i]+number, maxTokens)
		default:
			c[i] = max(c[i], number)
		}
	}
}

func (c *counts) tokens(l layout) Tokens {
	found := Tokens{Input: c[input], Output: c[output], Cached: c[cached]}
	if l == anthropic && found.Input >= 0 {
		found.Input += max(c[cached], 0) + max(c[created], 0)
	}
	return found
}

// key is a name that means something somewhere in an answer.
type key uint8

const (
	otherKey key = iota
	keyUsage
	keyMetaInfo
	keyResponse
	keyMessage
	keyDetails
	keyInput
	keyOutput
	keyCached
	keyCacheRead
	keyCacheCreation
)

func keyOf(name []byte) key {
	switch string(name) {
	case "usage":
		return keyUsage
	case "meta_info":
		return keyMetaInfo
	case "response":
		return keyResponse
	case "message":
		return keyMessage
	case "prompt_tokens_details", "input_tokens_details":
		return keyDetails
	case "prompt_tokens", "input_tokens":
		return keyInput
	case "completion_tokens", "output_tokens":
		return keyOutput
	case "cached_tokens":
		return keyCached
	case "cache_read_input_tokens":
		return keyCacheRead
	case "cache_creation_input_tokens":
		return keyCacheCreation
	}
	return otherKey
}

// shortText collects a name or number; one that is too long is none.
type shortText struct {
	buf  [32]byte
	n    uint8
	over bool
}

func (t *shortText) reset() { t.n, t.over = 0, false }

func (t *shortText) add(c byte) {
	if int(t.n) == len(t.buf) {
		t.over = true
		return
	}
	t.buf[t.n] = c
	t.n++
}

func (t *shortText) bytes() []byte {
	if t.over {
		return nil
	}
	return t.buf[:t.n]
}

// number reads what was collected as a count, -1 when it is none. Some servers write 12.0.
func (t *shortText) number() int64 {
	digits := t.bytes()
	if len(digits) == 0 {
		return -1
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return fraction(string(digits))
		}
		if n = n*10 + uint64(c-'0'); n > maxTokens {
			return -1
		}
	}
	return int64(n)
}

func fraction(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f < 0 || f > maxTokens || f != math.Trunc(f) {
		return -1
	}
	return int64(f)
}
