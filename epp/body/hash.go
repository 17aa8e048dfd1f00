package body

import (
	"cmp"
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// step is how many bytes of text are copied at a time.
const step = 32

// slack is room in the memory for blocks, so that text may be written a step at a time.
const slack = 2 * step

// batchBlocks is how many blocks of text are gathered before they are hashed: a processor hashes several at once when nothing is
// done between them. Large blocks are not gathered.
const (
	batchBlocks   = 8
	maxBatchBytes = 8192
)

// hasher cuts prompts into blocks and hashes each by itself. Text becomes tokens of four bytes, the last one filled up with
// zeros, so a block of tokens is a block of bytes.
type hasher struct {
	blocks  []uint64
	ends    []int  // in blocks, of each prompt that has any
	batch   []byte // the first fill bytes are of blocks that are not hashed yet; there is always room for slack
	fill    int
	size    int // of a block, in bytes, a multiple of four
	full    int // of a batch, a multiple of size
	left    int // bytes that may still be hashed
	bytes   int // of prompts seen, hashed or not
	stopped bool

	videoTokens int // what a video counts as
}

// begin takes the memory of the request.
func (h *hasher) begin(r *Request, lim Limits) {
	h.blocks, h.ends, h.batch = r.Blocks, r.Prompts, r.batch
	h.size, h.left = lim.BlockBytes&^(tokenBytes-1), lim.MaxPromptBytes
	h.videoTokens = cmp.Or(lim.VideoTokens, defaultVideoTokens)
	h.full = h.size
	if h.size <= maxBatchBytes/batchBlocks {
		h.full *= batchBlocks
	}
	h.stopped = h.size <= 0 || h.left < h.size
}

// finish gives the request what was hashed. One prompt needs no end.
func (h *hasher) finish(r *Request) {
	r.Blocks, r.Prompts, r.batch, r.PromptBytes = h.blocks, h.ends, h.batch, h.bytes
	if len(r.Prompts) == 1 {
		r.Prompts = r.Prompts[:0]
	}
}

// stop says that nothing more is certain: the block that is not full yet is not hashed.
func (h *hasher) stop() {
	if !h.stopped {
		h.spill(h.fill)
	}
	h.stopped, h.fill = true, 0
}

// room sees to the memory for n more bytes, as far as they fit in a batch. It is made when it is needed, for a block may be
// longer than any prompt.
func (h *hasher) room(n int) {
	if need := min(h.fill+n, h.full) + slack; need > len(h.batch) {
		grown := make([]byte, min(2*need, h.full+slack))
		copy(grown, h.batch[:h.fill])
		h.batch = grown
	}
}

// emit hashes a block.
func (h *hasher) emit(block []byte) {
	h.blocks = append(h.blocks, xxhash.Sum64(block))
	h.left -= h.size
	h.stopped = h.left < h.size
}

// spill hashes the blocks of the first n bytes of the batch that are whole, and gives how many bytes are left over.
func (h *hasher) spill(n int) int {
	from := 0
	for ; n-from >= h.size && !h.stopped; from += h.size {
		h.emit(h.batch[from : from+h.size])
	}
	if h.stopped {
		h.fill = 0
	} else {
		h.fill = copy(h.batch, h.batch[from:n])
	}
	return h.fill
}

// raw adds bytes as they are.
func (h *hasher) raw(b []byte) {
	h.bytes += len(b)
	if h.stopped {
		return
	}
	if h.fill+len(b) >= h.full {
		if b = h.direct(b); h.stopped {
			return
		}
	}
	h.room(len(b))
	h.fill += copy(h.batch[h.fill:], b)
}

// direct hashes blocks where they lie, as many as there are whole ones, and gives the rest.
func (h *hasher) direct(b []byte) []byte {
	if h.spill(h.fill) > 0 {
		h.room(len(b))
		n := copy(h.batch[h.fill:min(h.size, len(h.batch))], b)
		b = b[n:]
		if h.spill(h.fill+n) > 0 {
			return b
		}
	}
	for len(b) >= h.size && !h.stopped {
		h.emit(b[:h.size])
		b = b[h.size:]
	}
	return b
}

// literal adds a few bytes as they are.
func (h *hasher) literal(s string) {
	h.bytes += len(s)
	if h.stopped {
		return
	}
	h.room(len(s))
	for len(s) > 0 && !h.stopped {
		n := copy(h.batch[h.fill:], s)
		s = s[n:]
		if h.fill += n; h.fill >= h.full {
			h.spill(h.fill)
		}
	}
}

// align fills the last token up.
func (h *hasher) align() {
	if over := h.bytes % tokenBytes; over > 0 {
		h.literal("\x00\x00\x00"[:tokenBytes-over])
	}
}

// end ends a prompt. Its last block may be shorter, unless the prompt was cut: a block that ends where a cut happened to
// fall would match nothing.
func (h *hasher) end() {
	h.align()
	if h.spill(h.fill) > 0 {
		h.emit(h.batch[:h.fill])
	}
	h.fill = 0
	last := 0
	if len(h.ends) > 0 {
		last = h.ends[len(h.ends)-1]
	}
	if len(h.blocks) > last {
		h.ends = append(h.ends, len(h.blocks))
	}
}

// token adds a token.
func (h *hasher) token(id uint32) {
	h.room(tokenBytes)
	binary.LittleEndian.PutUint32(h.batch[h.fill:], id)
	if h.fill += tokenBytes; h.fill >= h.full {
		h.spill(h.fill)
	}
}

// placeholder adds n tokens that stand for a part that is no text, all of them made of a hash of it.
func (h *hasher) placeholder(payload []byte, escaped bool, n int) {
	h.align()
	h.bytes += n * tokenBytes
	if h.stopped {
		return
	}
	id := uint32(sumText(payload, escaped))
	for ; n > 0 && !h.stopped; n-- {
		h.token(id)
	}
}
