package kvindex

import (
	"slices"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// Groups are the groups of layers of an engine: which of them decide what can be used of a prompt, and how long the blocks of
// those are. The zero value knows none.
type Groups struct {
	counted, passed uint64 // by bit
	parts           int    // keys per block of those that count; 0: not known
}

// Pass tells whether the blocks that an event stores are of a group that does not look at all of a prompt, and notes it.
func (g *Groups) Pass(e *kvevents.Event) bool {
	switch e.Spec {
	case "", "full_attention", "mla_attention", "sink_full_attention":
		if e.Window <= 0 {
			return false
		}
	}
	g.passed |= groupBit(e.Group)
	return true
}

// Passed tells whether blocks that an event is about are of a group that was passed over.
func (g *Groups) Passed(e *kvevents.Event) bool { return g.passed&groupBit(e.Group) != 0 }

// Parts is how many keys each block gets that an event stores, or the reason why it gets none. The first size that is told
// counts until all is forgotten: groups with blocks of another size are passed over, for they may call them the same.
func (g *Groups) Parts(h *Hasher, e *kvevents.Event) (parts int, skipped string) {
	parts, skipped = h.Parts(e)
	if skipped == "" && g.parts != 0 && parts != g.parts {
		skipped = "block_size"
	}
	bit := groupBit(e.Group)
	switch skipped {
	case "":
		g.parts = parts
		g.counted |= bit
		g.passed &^= bit
		return parts, ""
	case "block_size":
		g.passed |= bit &^ g.counted
	}
	return 0, skipped
}

// PerBlock is how many keys a block has, 0 while that is not known.
func (g *Groups) PerBlock() int { return g.parts }

func groupBit(group int) uint64 {
	if group < 0 || group > 63 {
		return 0
	}
	return 1 << group
}

// Elsewhere tells whether an event says only that blocks which were stored before are in another tier, too: engines that copy
// blocks to the host tell no tokens then.
func Elsewhere(e *kvevents.Event) bool { return e.Kind == kvevents.Stored && len(e.Tokens) == 0 }

// Parts is how many keys each block of an event gets, or the reason why it gets none.
func (h *Hasher) Parts(e *kvevents.Event) (parts int, skipped string) {
	switch {
	case e.BlockSize < 1 || e.BlockSize%h.BlockTokens != 0:
		return 0, "block_size"
	case len(e.Tokens) != len(e.Hashes)*e.BlockSize:
		return 0, "tokens"
	}
	return e.BlockSize / h.BlockTokens, ""
}

// Stored appends the keys of the blocks that an event stores to dst, in order, Parts of them for each; parent is the key of
// what stands before them. It gives the reason when they are not all.
func (h *Hasher) Stored(dst []uint64, e *kvevents.Event, parent uint64) (keys []uint64, skipped string) {
	parts := e.BlockSize / h.BlockTokens
	for i := range e.Hashes {
		var extra []string
		if len(e.Extra) > 0 {
			extra = without(e.Extra[i], e.LoRA)
		}
		// To which part of the block they belong is not told.
		if len(extra) > 0 && parts > 1 {
			return dst, "extra_keys"
		}
		for part := range parts {
			from := i*e.BlockSize + part*h.BlockTokens
			parent = h.Block(parent, e.Tokens[from:from+h.BlockTokens], extra)
			dst = append(dst, parent)
		}
	}
	return dst, ""
}

// without is the texts but for one of them: an adapter's name stands in the event besides, and counts once.
func without(texts []string, lora string) []string {
	if lora == "" || !slices.Contains(texts, lora) {
		return texts
	}
	return slices.DeleteFunc(texts, func(text string) bool { return text == lora })
}
