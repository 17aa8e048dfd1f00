package kvindex

import (
	"slices"
	"strings"
	"sync"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// Server is one model server's part of the index. It is a kvevents.Sink.
type Server struct {
	index   *Index
	ordinal uint16

	mu     sync.Mutex
	blocks map[engineBlock]record
	parts  uint32 // keys per block of the engine
	passed uint64 // groups, by bit, that are passed over
	gone   bool   // also under the index's lock
}

// engineBlock is a block as the engine names it, or a part of it where its blocks are longer than ours.
type engineBlock struct {
	hash uint64
	part uint32
}

// record is what a block is here.
type record struct {
	key   uint64
	tiers uint8
}

// NewServer gives a server a place in the index; nil: there is none left. Remove it when it is gone.
func (x *Index) NewServer() *Server {
	x.mu.Lock()
	defer x.mu.Unlock()
	ordinal := slices.Index(x.ordinals, false)
	if ordinal < 0 {
		if len(x.ordinals) == maxServers {
			return nil
		}
		ordinal = len(x.ordinals)
		x.ordinals = append(x.ordinals, false)
		x.servers.Store(int32(len(x.ordinals)))
	}
	x.ordinals[ordinal] = true
	return &Server{index: x, ordinal: uint16(ordinal), blocks: map[engineBlock]record{}}
}

// Ordinal is its place in what Match fills.
func (s *Server) Ordinal() int { return int(s.ordinal) }

// Remove forgets the server. What it is told afterwards counts for nothing.
func (s *Server) Remove() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	s.clear()
	x := s.index
	x.mu.Lock()
	s.gone = true
	var mine []assumption
	x.assumed = slices.DeleteFunc(x.assumed, func(a assumption) bool {
		if a.server == s.ordinal {
			mine = append(mine, a)
			x.waiting -= len(a.keys)
			return true
		}
		return false
	})
	x.mu.Unlock()
	for _, a := range mine {
		x.unassume(a, ^uint32(0))
	}
	x.mu.Lock()
	x.ordinals[s.ordinal] = false
	x.mu.Unlock()
}

// Clear implements kvevents.Sink.
func (s *Server) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Server) clear() {
	for _, known := range s.blocks {
		s.index.shard(known.key).change(known.key, s.ordinal, func(h *holder) { h.tiers = 0 })
	}
	s.index.pairs.Add(-int64(len(s.blocks)))
	s.index.metrics.evicted(len(s.blocks))
	s.blocks, s.passed = map[engineBlock]record{}, 0
}

// Apply implements kvevents.Sink.
func (s *Server) Apply(events []kvevents.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone {
		return
	}
	for i := range events {
		switch e := &events[i]; e.Kind {
		case kvevents.Stored:
			if reason := s.store(e); reason != "" {
				s.index.metrics.Events.SkippedStore(e.Spec, reason)
			}
		case kvevents.Removed:
			s.remove(e)
		case kvevents.Cleared:
			s.clear()
		}
	}
}

// passOver tells whether the blocks of an event are of a group that does not decide what can be used of a prompt.
func passOver(e *kvevents.Event) bool {
	switch e.Spec {
	case "", "full_attention", "mla_attention":
		return e.Window > 0
	}
	return true
}

func groupBit(group int) uint64 {
	if group < 0 || group > 63 {
		return 0
	}
	return 1 << group
}

// store takes blocks in. It gives the reason when it does not, or not all of them.
func (s *Server) store(e *kvevents.Event) (skipped string) {
	h := s.index.hasher
	if passOver(e) {
		s.passed |= groupBit(e.Group)
		return "cache_kind"
	}
	switch {
	case e.BlockSize < 1 || e.BlockSize%h.BlockTokens != 0:
		return "block_size"
	case len(e.Tokens) != len(e.Hashes)*e.BlockSize:
		return "tokens"
	}
	parts := uint32(e.BlockSize / h.BlockTokens)
	if s.parts != parts {
		s.clear()
		s.parts = parts
	}
	parent := h.Root(e.LoRA)
	if e.HasParent {
		known, ok := s.blocks[engineBlock{e.Parent, parts - 1}]
		if !ok {
			return "parent"
		}
		parent = known.key
	}
	s.index.adapters.note(e.LoRA)
	tier := s.index.tier(e.Medium)
	for i, hash := range e.Hashes {
		var extra []string
		if len(e.Extra) > 0 {
			extra = without(e.Extra[i], e.LoRA)
		}
		// To which part of the block they belong is not told.
		if len(extra) > 0 && parts > 1 {
			return "extra_keys"
		}
		for part := range parts {
			from := i*e.BlockSize + int(part)*h.BlockTokens
			parent = h.Block(parent, e.Tokens[from:from+h.BlockTokens], extra)
			if !s.put(engineBlock{hash, part}, parent, tier) {
				return "capacity"
			}
		}
	}
	return ""
}

// without is the texts but for one of them: an adapter's name stands in the event besides, and counts once.
func without(texts []string, lora string) []string {
	if lora == "" || !slices.Contains(texts, lora) {
		return texts
	}
	return slices.DeleteFunc(texts, func(text string) bool { return text == lora })
}

// put notes a block. False: there is no room.
func (s *Server) put(block engineBlock, key uint64, tier uint8) bool {
	known, ok := s.blocks[block]
	if ok && known.key == key && known.tiers&tier != 0 {
		return true
	}
	if ok && known.key != key { // the engine has given the name to something else
		s.take(block, known, known.tiers)
		known, ok = record{}, false
	}
	if !ok {
		if s.index.pairs.Add(1) > s.index.capacity {
			s.index.pairs.Add(-1)
			return false
		}
		s.index.metrics.admitted()
	}
	s.blocks[block] = record{key, known.tiers | tier}
	s.index.shard(key).change(key, s.ordinal, func(h *holder) { h.tiers |= tier })
	return true
}

// take notes that a block is no longer in some tiers.
func (s *Server) take(block engineBlock, known record, tiers uint8) (evicted bool) {
	s.index.shard(known.key).change(known.key, s.ordinal, func(h *holder) { h.tiers &^= tiers })
	if known.tiers &^= tiers; known.tiers != 0 {
		s.blocks[block] = known
		return false
	}
	delete(s.blocks, block)
	s.index.pairs.Add(-1)
	s.index.metrics.evicted(1)
	return true
}

func (s *Server) remove(e *kvevents.Event) {
	if s.passed&groupBit(e.Group) != 0 {
		s.index.metrics.Events.SkippedRemoval("", "cache_kind")
		return
	}
	tier := s.index.tier(e.Medium)
	for _, hash := range e.Hashes {
		for part := range s.parts {
			block := engineBlock{hash, part}
			if known, ok := s.blocks[block]; ok {
				s.index.metrics.removed(s.take(block, known, tier))
			}
		}
	}
}

// tier is the bit of a medium.
func (x *Index) tier(medium string) uint8 {
	if medium == "" {
		return x.first
	}
	if bit, ok := x.tiers[medium]; ok {
		return bit
	}
	if bit, ok := x.tiers[strings.ToLower(medium)]; ok {
		return bit
	}
	return x.other
}
