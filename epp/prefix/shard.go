package prefix

import "sync"

// shard is a part of the reverse map: an open-addressed table from key to set, keys being hashes already. A key of zero
// marks a free slot; Index never passes one.
type shard struct {
	mu    sync.RWMutex
	slots []slot // a power of two, at most three quarters used
	used  int
	wide  bitmaps

	_ [24]byte // keeps the locks of neighbours out of one cache line
}

type slot struct {
	key     uint64
	servers set
}

const minSlots = 16

// find gives the place of a key, or that of the free slot where it would go. There must be slots.
func (s *shard) find(key uint64) int {
	mask := len(s.slots) - 1
	i := int(key) & mask
	for s.slots[i].key != key && s.slots[i].key != 0 {
		i = (i + 1) & mask
	}
	return i
}

// keep reorders hits so that those whose server holds the key come first, and gives their number.
func (s *shard) keep(key uint64, hits []Hit) (n int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.used == 0 {
		return 0
	}
	at := &s.slots[s.find(key)]
	if at.key == 0 {
		return 0
	}
	for i := range hits {
		if s.wide.has(&at.servers, hits[i].Server) {
			hits[n], hits[i] = hits[i], hits[n]
			n++
		}
	}
	return n
}

// holders appends a hit for each server that holds the key.
func (s *shard) holders(key uint64, hits []Hit) []Hit {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.used == 0 {
		return hits
	}
	at := &s.slots[s.find(key)]
	if at.key == 0 {
		return hits
	}
	s.wide.each(&at.servers, func(server Server) { hits = append(hits, Hit{Server: server}) })
	return hits
}

// add notes that a server holds the key.
func (s *shard) add(key uint64, server Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if (s.used+1)*4 > len(s.slots)*3 {
		s.resize(max(minSlots, 2*len(s.slots)))
	}
	at := &s.slots[s.find(key)]
	if at.key == 0 {
		*at = slot{key: key}
		s.used++
	}
	s.wide.add(&at.servers, server)
}

// remove notes that a server no longer holds the key.
func (s *shard) remove(key uint64, server Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used == 0 {
		return
	}
	i := s.find(key)
	at := &s.slots[i]
	if at.key == 0 {
		return
	}
	s.wide.remove(&at.servers, server)
	if at.servers != (set{}) {
		return
	}
	s.vacate(i)
	s.used--
	if n := len(s.slots); n > minSlots && s.used*8 < n {
		s.resize(n / 2)
	}
}

// vacate empties a slot and moves those after it that would not be found across the gap.
func (s *shard) vacate(gap int) {
	mask := len(s.slots) - 1
	for i := (gap + 1) & mask; s.slots[i].key != 0; i = (i + 1) & mask {
		home := int(s.slots[i].key) & mask
		if (i-home)&mask >= (i-gap)&mask {
			s.slots[gap] = s.slots[i]
			gap = i
		}
	}
	s.slots[gap] = slot{}
}

func (s *shard) resize(n int) {
	old := s.slots
	s.slots = make([]slot, n)
	for i := range old {
		if old[i].key != 0 {
			s.slots[s.find(old[i].key)] = old[i]
		}
	}
}
