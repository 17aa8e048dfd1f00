package kvindex

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// Server is one model server's part of the index. It is a kvevents.Sink.
type Server struct {
	index   *Index
	ordinal uint16

	shared SharedServer // nil: what it holds is kept here

	mu     sync.Mutex
	blocks map[engineBlock]record
	peak   int          // the most blocks since the map was made, which does not give memory back
	count  atomic.Int64 // of blocks
	groups Groups
	keys   []uint64 // memory of store
	gone   bool     // also under the index's lock
}

// engineBlock is a block as the engine names it, or a part of it where its blocks are longer than ours.
type engineBlock struct {
	hash uint64
	part uint32
}

// record is what a block is here.
type record struct {
	key   uint64
	depth uint32 // how many blocks stand before it
	tiers uint8
}

// NewServer gives a server a place in the index; nil: there is none left. Remove it when it is gone. names are those that it
// has where several replicas share blocks; an index of its own needs none.
func (x *Index) NewServer(names ...string) *Server {
	x.mu.Lock()
	defer x.mu.Unlock()
	ordinal := slices.Index(x.members, nil)
	if ordinal < 0 {
		if len(x.members) == maxServers {
			return nil
		}
		ordinal = len(x.members)
		x.members = append(x.members, nil)
		x.servers.Store(int32(len(x.members)))
	}
	s := &Server{index: x, ordinal: uint16(ordinal), blocks: map[engineBlock]record{}}
	if x.shared != nil {
		s.shared = x.shared.Follow(ordinal, names)
	}
	x.members[ordinal] = s
	return s
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
			x.wait(-len(a.keys))
			return true
		}
		return false
	})
	x.mu.Unlock()
	for _, a := range mine {
		x.unassume(a, ^uint32(0))
	}
	if s.shared != nil {
		s.shared.Remove()
	}
	x.mu.Lock()
	x.members[s.ordinal] = nil
	x.mu.Unlock()
}

// Clear implements kvevents.Sink.
func (s *Server) Clear() {
	if s.shared != nil {
		s.shared.Clear()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Server) clear() {
	for _, known := range s.blocks {
		s.index.change(known.key, s.ordinal, func(h *holder) { h.tiers = 0 })
	}
	s.counted(-len(s.blocks))
	s.index.metrics.Evicted(len(s.blocks))
	s.blocks, s.peak, s.groups = map[engineBlock]record{}, 0, Groups{}
}

// Apply implements kvevents.Sink.
func (s *Server) Apply(events []kvevents.Event) {
	switch {
	case s.shared != nil:
		s.shared.Apply(events)
	case s.index.budget != nil:
		for i := range events {
			s.applyWithin(events[i : i+1])
		}
	default:
		s.apply(events)
	}
}

func (s *Server) apply(events []kvevents.Event) {
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

// store takes blocks in. It gives the reason when it does not, or not all of them.
func (s *Server) store(e *kvevents.Event) (skipped string) {
	h := s.index.hasher
	switch {
	case s.groups.Pass(e):
		return "cache_kind"
	case Elsewhere(e):
		return s.copied(e)
	}
	parts, skipped := s.groups.Parts(h, e)
	if skipped != "" {
		return skipped
	}
	parent, depth := h.Root(e.LoRA), uint32(0)
	if e.HasParent {
		known, ok := s.blocks[engineBlock{e.Parent, uint32(parts - 1)}]
		if !ok {
			return "parent"
		}
		parent, depth = known.key, known.depth+1
	}
	s.index.adapters.note(e.LoRA)
	tier := s.index.tier(e.Medium)
	s.keys, skipped = h.Stored(s.keys[:0], e, parent)
	for i, key := range s.keys {
		if !s.put(engineBlock{e.Hashes[i/parts], uint32(i % parts)}, key, depth+uint32(i), tier) {
			return "capacity"
		}
	}
	return skipped
}

// copied notes that blocks are in another tier, too. It gives the reason when it does not know all of them.
func (s *Server) copied(e *kvevents.Event) (skipped string) {
	if s.groups.Passed(e) {
		return "cache_kind"
	}
	tier := s.index.tier(e.Medium)
	for _, hash := range e.Hashes {
		for part := range max(s.groups.PerBlock(), 1) {
			block := engineBlock{hash, uint32(part)}
			known, ok := s.blocks[block]
			if !ok {
				skipped = "tokens"
				break
			}
			s.put(block, known.key, known.depth, tier)
		}
	}
	return skipped
}

// put notes a block. False: there is no room.
func (s *Server) put(block engineBlock, key uint64, depth uint32, tier uint8) bool {
	known, ok := s.blocks[block]
	if ok && known.key == key && known.tiers&tier != 0 {
		return true
	}
	if ok && known.key != key { // the engine has given the name to something else
		s.take(block, known, known.tiers)
		known, ok = record{}, false
	}
	if !ok {
		if s.counted(1) > s.index.capacity {
			s.counted(-1)
			return false
		}
		s.index.metrics.Admitted(1)
	}
	s.blocks[block] = record{key, depth, known.tiers | tier}
	s.peak = max(s.peak, len(s.blocks))
	s.index.change(key, s.ordinal, func(h *holder) { h.tiers |= tier })
	return true
}

// counted notes that the server has so many blocks more, and tells how many all have.
func (s *Server) counted(n int) (all int64) {
	s.count.Add(int64(n))
	if s.index.budget != nil {
		s.index.budget.used.Add(int64(n) * pairCost)
	}
	return s.index.pairs.Add(int64(n))
}

// take notes that a block is no longer in some tiers.
func (s *Server) take(block engineBlock, known record, tiers uint8) (evicted bool) {
	s.index.change(known.key, s.ordinal, func(h *holder) { h.tiers &^= tiers })
	if known.tiers &^= tiers; known.tiers != 0 {
		s.blocks[block] = known
		return false
	}
	delete(s.blocks, block)
	s.counted(-1)
	s.index.metrics.Evicted(1)
	return true
}

func (s *Server) remove(e *kvevents.Event) {
	if s.groups.Passed(e) {
		s.index.metrics.Events.SkippedRemoval("", "cache_kind")
		return
	}
	tier := s.index.tier(e.Medium)
	for _, hash := range e.Hashes {
		for part := range s.groups.PerBlock() {
			block := engineBlock{hash, uint32(part)}
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
