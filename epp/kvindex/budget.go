package kvindex

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// What things cost at most, in bytes. Maps are between 7/16 and 7/8 full, and are made anew when they have less than 3/4 of
// what they had.
const (
	pairCost   = 112 // a block of a server: 33 bytes in a map
	keyCost    = 144 // a block, whoever holds it: 41 bytes in a map
	listCost   = 64  // a list of holders
	holderSize = 8
	// blockCost is the most that one more block of a server can cost.
	blockCost = pairCost + keyCost + listCost + 8*holderSize
	// markCost is what the marks of all shards take.
	markCost = shardCount * 2 * markWords * 8
	// assumedCost is a key in the list of assumptions.
	assumedCost = 16
)

// MinBytes is the least that Options.Bytes may be.
const MinBytes = 16 << 20

// assumedShare is the part of a budget that is left to assumptions, as nothing makes room for them.
const assumedShare = 16

// eraLength is how long a block that was part of a match counts as in use: once to twice that.
const eraLength = time.Minute

// budget bounds the memory of an index.
type budget struct {
	limit    int64
	used     atomic.Int64 // by blocks, holders and assumptions, at what they cost at most
	promised atomic.Int64 // to what is being taken in

	mu  sync.Mutex // held while room is made
	era time.Time  // when marks were aged last
}

// over is how much more than a limit is used and promised.
func (b *budget) over(limit int64) int64 { return b.used.Load() + b.promised.Load() - limit }

// limit gives the index a budget; it is empty.
func (x *Index) limit(bytes int64) {
	x.budget = &budget{limit: max(bytes, MinBytes) - markCost}
	x.capacity = 1 << 62
	for i := range x.shards {
		x.shards[i].marks = &touched{}
	}
}

// applyWithin takes in one event within the budget. No lock may be held.
func (s *Server) applyWithin(event []kvevents.Event) {
	x, e := s.index, &event[0]
	var need int64
	if e.Kind == kvevents.Stored {
		if parts, skipped := x.hasher.Parts(e); skipped == "" {
			need = int64(len(e.Hashes)) * int64(parts) * blockCost
		}
	}
	x.budget.promised.Add(need)
	defer x.budget.promised.Add(-need)
	if need > 0 && !x.makeRoom(need) {
		x.metrics.Events.SkippedStore(e.Spec, "capacity")
		return
	}
	s.apply(event)
	s.compact()
}

// makeRoom has servers give blocks up until what is promised has room. False: so many bytes cannot have it.
func (x *Index) makeRoom(need int64) bool {
	b := x.budget
	limit := b.limit - b.limit/assumedShare
	if need > limit {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		over := b.over(limit)
		if over <= 0 {
			return true
		}
		victim := x.largest()
		if victim == nil || !victim.shed(over) {
			return false
		}
	}
}

// largest is the server with the most blocks, nil when there are none.
func (x *Index) largest() (most *Server) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var blocks int64
	for _, s := range x.members {
		if s == nil {
			continue
		}
		if n := s.count.Load(); n > blocks {
			most, blocks = s, n
		}
	}
	return most
}

// window is how many blocks are compared at a time, of which half are given up.
const window = 16

// candidate is a block that may be given up.
type candidate struct {
	block engineBlock
	known record
	used  bool // it was part of a match not long ago
	alone bool // nobody else holds it: giving it up frees the most
}

// shed gives up blocks of a server worth at least so many bytes, and a few more so that it is not asked for each: of some that
// are next to each other in the map, those not in use, those that free more, and the ends of prompts before their beginnings.
func (s *Server) shed(bytes int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := &s.index.budget.used
	goal := used.Load() - max(bytes, int64(len(s.blocks)/64)*pairCost)
	some := make([]candidate, 0, window)
	dropped := 0
	give := func(n int) {
		slices.SortFunc(some, compareCandidates)
		for _, c := range some[:n] {
			s.take(c.block, c.known, c.known.tiers)
			dropped++
		}
		some = some[:0]
	}
	for block, known := range s.blocks {
		sh := s.index.shard(known.key)
		some = append(some, candidate{block, known, sh.marks.marked(known.key), sh.alone(known.key)})
		if len(some) < window {
			continue
		}
		if give(window / 2); used.Load() <= goal {
			break
		}
	}
	if dropped == 0 {
		give(len(some))
	}
	s.shrink()
	return dropped > 0
}

// compareCandidates puts what is given up first in front.
func compareCandidates(a, b candidate) int {
	switch {
	case a.used != b.used:
		return order(b.used)
	case a.alone != b.alone:
		return order(a.alone)
	}
	return int(b.known.depth) - int(a.known.depth)
}

func order(first bool) int {
	if first {
		return -1
	}
	return 1
}

// compact gives memory back after blocks have gone.
func (s *Server) compact() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrink()
}

func (s *Server) shrink() {
	if !sparse(len(s.blocks), s.peak) {
		return
	}
	blocks := make(map[engineBlock]record, len(s.blocks))
	for block, known := range s.blocks {
		blocks[block] = known
	}
	s.blocks, s.peak = blocks, len(blocks)
}

// sparse tells whether a map has lost so much that it is to be made anew.
func sparse(n, peak int) bool { return peak > 64 && n < peak-peak/4 }

// bytes is what the blocks and holders of a shard cost.
func (s *shard) bytes() int64 { return int64(len(s.blocks))*keyCost + int64(s.listed) }

// compact gives memory back after blocks have gone. Only a shard that has marks does.
func (s *shard) compact() {
	s.peak = max(s.peak, len(s.blocks))
	if s.marks == nil || !sparse(len(s.blocks), s.peak) {
		return
	}
	blocks := make(map[uint64]holders, len(s.blocks))
	for key, at := range s.blocks {
		blocks[key] = at
	}
	s.blocks, s.peak = blocks, len(blocks)
}

// alone tells whether at most one server holds a block.
func (s *shard) alone(key uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := s.blocks[key]
	n := 0
	for _, h := range at.few {
		if h != (holder{}) {
			n++
		}
	}
	return n <= 1 && at.more == 0
}

// promise tells whether so many more blocks may be assumed. It is taken back when they have been taken in.
func (b *budget) promise(blocks int) (taken func(), ok bool) {
	if b == nil {
		return func() {}, true
	}
	need := int64(blocks) * (blockCost + assumedCost)
	b.promised.Add(need)
	taken = func() { b.promised.Add(-need) }
	if b.over(b.limit) > 0 {
		taken()
		return nil, false
	}
	return taken, true
}

// wait notes so many more blocks in the list of assumptions. The index's lock is held.
func (x *Index) wait(blocks int) {
	x.waiting += blocks
	if x.budget != nil {
		x.budget.used.Add(int64(blocks) * assumedCost)
	}
}

// age forgets which blocks were part of matches some time ago.
func (x *Index) age(now time.Time) {
	b := x.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.era) < eraLength {
		return
	}
	b.era = now
	for i := range x.shards {
		x.shards[i].marks.age()
	}
}
