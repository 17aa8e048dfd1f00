package kvindex

import "sync"

// holder says how a server holds a block: the tiers it is in, and until which tick it is taken to hold it because a request
// was sent there. A zero holder is a free place.
type holder struct {
	server  uint16 // ordinal plus one
	tiers   uint8
	assumed uint32
}

func (h holder) holds(tick uint32) bool { return h.tiers != 0 || h.assumed > tick }

// holders are the servers that hold a block: up to three in place, the others in a list of the shard.
type holders struct {
	few  [3]holder
	more uint32 // number of the list plus one
}

// shard is a part of the keys. Neither keys nor values have pointers, so that the garbage collector passes over the table.
type shard struct {
	mu     sync.RWMutex
	blocks map[uint64]holders
	lists  [][]holder
	free   []uint32
	listed int      // bytes of the lists
	peak   int      // the most blocks since the map was made
	marks  *touched // nil: nobody wants to know

	_ [56]byte // keeps the locks of neighbours out of one cache line
}

// change has f change how a server holds a block. It tells how many bytes that costs.
func (s *shard) change(key uint64, server uint16, f func(*holder)) (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.bytes()
	at, known := s.blocks[key]
	place := s.find(&at, server+1)
	if place == nil {
		place = s.add(&at)
	}
	place.server = server + 1
	f(place)
	if place.tiers == 0 && place.assumed == 0 {
		*place = holder{}
		s.shrink(&at)
	}
	switch {
	case at != (holders{}):
		if s.blocks == nil {
			s.blocks = map[uint64]holders{}
		}
		s.blocks[key] = at
	case known:
		delete(s.blocks, key)
	}
	s.compact()
	return s.bytes() - before
}

// find gives the place of a server (its ordinal plus one; 0: a free one), nil when it has none.
func (s *shard) find(at *holders, server uint16) *holder {
	for i := range at.few {
		if at.few[i].server == server {
			return &at.few[i]
		}
	}
	if at.more != 0 {
		list := s.lists[at.more-1]
		for i := range list {
			if list[i].server == server {
				return &list[i]
			}
		}
	}
	return nil
}

// add gives a free place.
func (s *shard) add(at *holders) *holder {
	if place := s.find(at, 0); place != nil {
		return place
	}
	if at.more == 0 {
		if n := len(s.free); n > 0 {
			at.more = s.free[n-1]
			s.free = s.free[:n-1]
		} else {
			s.lists = append(s.lists, nil)
			s.listed += listCost
			at.more = uint32(len(s.lists))
		}
	}
	list := &s.lists[at.more-1]
	room := cap(*list)
	*list = append(*list, holder{})
	s.listed += (cap(*list) - room) * holderSize
	return &(*list)[len(*list)-1]
}

// shrink drops the free places at the end of the list, and the list when nothing is left of it.
func (s *shard) shrink(at *holders) {
	if at.more == 0 {
		return
	}
	list := s.lists[at.more-1]
	for len(list) > 0 && list[len(list)-1] == (holder{}) {
		list = list[:len(list)-1]
	}
	if len(list) > 0 {
		s.lists[at.more-1] = list
		return
	}
	s.listed -= cap(list) * holderSize
	s.lists[at.more-1] = nil
	s.free = append(s.free, at.more)
	at.more = 0
}

// advance moves the servers on that hold the block and all those before it, and tells whether there was one.
func (s *shard) advance(key uint64, before int32, tick uint32, weights *[256]float32, held []Held) (moved bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, ok := s.blocks[key]
	if !ok {
		return false
	}
	if s.marks != nil {
		s.marks.mark(key)
	}
	step := func(list []holder) {
		for _, h := range list {
			if h.server == 0 || int(h.server) > len(held) || !h.holds(tick) {
				continue
			}
			if mine := &held[h.server-1]; mine.Blocks == before {
				mine.Blocks++
				mine.Weight += weights[h.tiers]
				moved = true
			}
		}
	}
	step(at.few[:])
	if at.more != 0 {
		step(s.lists[at.more-1])
	}
	return moved
}
