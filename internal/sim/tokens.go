package sim

import (
	"math/rand/v2"

	"github.com/zeebo/xxh3"
)

// tokenBytes is the size of a simulated token. A prompt is a byte string of whole tokens: each piece of text is
// cut into four bytes per token, the last of them padded, which is close to what tokenizers make of English.
const tokenBytes = 4

// appendText adds the tokens of one piece of text.
func appendText(tokens []byte, text string) []byte {
	tokens = append(tokens, text...)
	for len(tokens)%tokenBytes != 0 {
		tokens = append(tokens, 0)
	}
	return tokens
}

// appendMessage adds a chat message as a chat template would: its role, then its content. The two are cut
// apart, so that an answer has the same tokens when it comes back as part of the next turn's prompt.
func appendMessage(tokens []byte, role, content string) []byte {
	return appendText(appendText(tokens, "<|"+role+"|>"), content)
}

// chain is the state of block hashing along a sequence: a block's hash covers every token up to its end, so
// equal hashes mean equal prefixes.
type chain struct {
	parent uint64
	tail   []byte // tokens after the last full block
}

// newChain starts a sequence. Prompts of different adapters or salts share nothing.
func newChain(adapter, salt string) chain {
	return chain{parent: xxh3.HashStringSeed(salt, xxh3.HashString(adapter))}
}

// hashBlocks hashes the full blocks of a prompt and leaves the rest in the chain's tail.
func (c *chain) hashBlocks(tokens []byte, blockBytes int) []uint64 {
	hashes := make([]uint64, 0, len(tokens)/blockBytes)
	for len(tokens) >= blockBytes {
		c.parent = xxh3.HashSeed(tokens[:blockBytes], c.parent)
		hashes = append(hashes, c.parent)
		tokens = tokens[blockBytes:]
	}
	c.tail = append(make([]byte, 0, blockBytes), tokens...)
	return hashes
}

// sum is a hash of the whole sequence so far.
func (c *chain) sum() uint64 { return xxh3.HashSeed(c.tail, c.parent) }

// vocabulary is what the model knows: 64 words of one token each, none of which JSON has to escape.
const vocabulary = " the and for are but not you all any can had her was one our out day get has him" +
	" his how man new now old see two way who boy did its let put say she too use sea" +
	" sky sun ice oak fox owl bee elm fig gem hat ink jar key lip map net orb pen rug" +
	" tea urn van wax"

const vocabularySize = len(vocabulary) / tokenBytes

// author writes an answer, token by token.
type author struct{ random *rand.Rand }

func newAuthor(seed, prompt uint64) author {
	return author{rand.New(rand.NewPCG(seed, prompt))}
}

// next gives one token of tokenBytes bytes.
func (a author) next() string {
	i := a.random.IntN(vocabularySize) * tokenBytes
	return vocabulary[i : i+tokenBytes]
}
