package prefix

// recency is the keys of one server in order of use, most recent first, with a hash table over them. Nodes are numbers
// in one slice, so that the garbage collector has nothing to follow; node 0 is the ring's own and means "none".
type recency struct {
	nodes   []node
	buckets []uint32 // a power of two, the first node of each chain
	free    uint32   // first unused node, linked by next
	len     int
}

type node struct {
	key        uint64
	prev, next uint32 // prev is the more recent; node 0's next is the most recent, its prev the least
	chain      uint32 // next of the same bucket
}

func (r *recency) find(key uint64) uint32 {
	if len(r.buckets) == 0 {
		return 0
	}
	n := r.buckets[key&uint64(len(r.buckets)-1)]
	for n != 0 && r.nodes[n].key != key {
		n = r.nodes[n].chain
	}
	return n
}

// linkAfter puts a node behind another one (0: in front of all).
func (r *recency) linkAfter(n, before uint32) {
	next := r.nodes[before].next
	r.nodes[n].prev, r.nodes[n].next = before, next
	r.nodes[before].next = n
	r.nodes[next].prev = n
}

func (r *recency) unlink(n uint32) {
	at := &r.nodes[n]
	r.nodes[at.prev].next = at.next
	r.nodes[at.next].prev = at.prev
}

// moveAfter makes a node the one behind another. It may stand there already, or be that other one.
func (r *recency) moveAfter(n, before uint32) {
	if n == before || r.nodes[before].next == n {
		return
	}
	r.unlink(n)
	r.linkAfter(n, before)
}

// insertAfter puts a new key behind a node.
func (r *recency) insertAfter(key uint64, before uint32) uint32 {
	if len(r.nodes) == 0 {
		r.nodes = make([]node, 1, 64)
	}
	n := r.free
	if n != 0 {
		r.free = r.nodes[n].next
	} else {
		r.nodes = append(r.nodes, node{})
		n = uint32(len(r.nodes) - 1)
	}
	if r.len >= len(r.buckets) {
		r.rehash(max(64, 2*len(r.buckets)))
	}
	b := &r.buckets[key&uint64(len(r.buckets)-1)]
	r.nodes[n] = node{key: key, chain: *b}
	*b = n
	r.linkAfter(n, before)
	r.len++
	return n
}

// last is the least recently used node.
func (r *recency) last() uint32 { return r.nodes[0].prev }

// drop forgets a node.
func (r *recency) drop(n uint32) {
	r.unlink(n)
	at := &r.buckets[r.nodes[n].key&uint64(len(r.buckets)-1)]
	for *at != n {
		at = &r.nodes[*at].chain
	}
	*at = r.nodes[n].chain
	r.nodes[n] = node{next: r.free}
	r.free = n
	r.len--
}

func (r *recency) rehash(size int) {
	r.buckets = make([]uint32, size)
	for n := r.nodes[0].next; n != 0; n = r.nodes[n].next {
		b := &r.buckets[r.nodes[n].key&uint64(size-1)]
		r.nodes[n].chain = *b
		*b = n
	}
}

// compact gives back memory that is not needed for as many keys as there are.
func (r *recency) compact() {
	old := *r
	*r = recency{}
	if old.len == 0 {
		return
	}
	r.nodes = make([]node, 1, old.len+1)
	cursor := uint32(0)
	for n := old.nodes[0].next; n != 0; n = old.nodes[n].next {
		cursor = r.insertAfter(old.nodes[n].key, cursor)
	}
}
