package sim

// block is a piece of the KV cache. A block that is full and has been computed carries the hash of all tokens
// up to its end, and can be shared.
type block struct {
	hash   uint64
	hashed bool
	refs   int // running requests that hold it

	older, newer *block // neighbours in the list of idle blocks
}

// blockPool is the KV cache: blocks in use, blocks idle but cached (in order of their last use), and room.
// There is at most one block per hash. It is not safe for concurrent use.
type blockPool struct {
	capacity int
	inUse    int // blocks with refs > 0
	idle     int // blocks with refs == 0, all of them hashed
	reserved int // blocks promised to the outputs of running requests, not yet taken
	byHash   map[uint64]*block
	ring     block // sentinel of the idle list: ring.newer is the oldest, ring.older the newest
}

func newBlockPool(capacity int) *blockPool {
	p := &blockPool{capacity: capacity, byHash: make(map[uint64]*block)}
	p.ring.older, p.ring.newer = &p.ring, &p.ring
	return p
}

// free is the number of blocks that a new request can have, evicting what is idle.
func (p *blockPool) free() int { return p.capacity - p.inUse - p.reserved }

// fits tells whether a request with these full blocks, and so many blocks in all, can be let in.
func (p *blockPool) fits(hashes []uint64, blocks int) bool {
	missing := blocks - p.free()
	if missing <= 0 {
		return true
	}
	// Blocks that another request holds already cost nothing.
	for _, h := range hashes {
		if b := p.byHash[h]; b == nil || b.refs == 0 {
			return false
		}
		if missing--; missing <= 0 {
			return true
		}
	}
	return false
}

// pin takes hold of the block with this hash, nil when there is none.
func (p *blockPool) pin(hash uint64) *block {
	b := p.byHash[hash]
	if b == nil {
		return nil
	}
	if b.refs == 0 {
		p.unlink(b)
		p.inUse++
	}
	b.refs++
	return b
}

// take gives an empty block, evicting the block that was idle longest when there is no room. The caller has
// made sure with fits, or by a reservation, that it can have one.
func (p *blockPool) take() *block {
	if p.inUse+p.idle >= p.capacity {
		oldest := p.ring.newer
		p.unlink(oldest)
		delete(p.byHash, oldest.hash)
	}
	p.inUse++
	return &block{refs: 1}
}

// publish makes a full block findable. It stays private when another one has the same content.
func (p *blockPool) publish(b *block, hash uint64) {
	if p.byHash[hash] != nil {
		return
	}
	b.hash, b.hashed = hash, true
	p.byHash[hash] = b
}

// conceal makes a block private that only its owner holds: its content was never computed.
func (p *blockPool) conceal(b *block) {
	if b.refs == 1 && b.hashed {
		delete(p.byHash, b.hash)
		b.hashed = false
	}
}

// release lets go of a request's blocks, the last one first: a tail is no use without its head, so it is
// evicted before it.
func (p *blockPool) release(blocks []*block) {
	for i := len(blocks) - 1; i >= 0; i-- {
		b := blocks[i]
		if b.refs--; b.refs > 0 {
			continue
		}
		p.inUse--
		if b.hashed {
			p.link(b)
		}
	}
}

func (p *blockPool) link(b *block) {
	b.older, b.newer = p.ring.older, &p.ring
	b.older.newer, p.ring.older = b, b
	p.idle++
}

func (p *blockPool) unlink(b *block) {
	b.older.newer, b.newer.older = b.newer, b.older
	b.older, b.newer = nil, nil
	p.idle--
}
