package sim

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// idleHashes lists the idle blocks, the next to be evicted first.
func (p *blockPool) idleHashes() []uint64 {
	var out []uint64
	for b := p.ring.newer; b != &p.ring; b = b.newer {
		out = append(out, b.hash)
	}
	return out
}

func TestPoolEvictsTailsFirst(t *testing.T) {
	p := newBlockPool(4)
	fill := func(hashes ...uint64) (out []*block) {
		for _, h := range hashes {
			b := p.take()
			p.publish(b, h)
			out = append(out, b)
		}
		return out
	}
	p.release(fill(1, 2, 3))
	if got := p.idleHashes(); !slices.Equal(got, []uint64{3, 2, 1}) {
		t.Fatalf("order of eviction %v, want 3 2 1", got)
	}
	held := p.pin(2)
	p.release(fill(4, 5)) // one is empty, the other was 3
	if got := p.idleHashes(); !slices.Equal(got, []uint64{1, 5, 4}) {
		t.Fatalf("order of eviction %v, want 1 5 4", got)
	}
	if p.pin(3) != nil {
		t.Error("3 was evicted, but is found")
	}
	p.release([]*block{held})
	if got := p.idleHashes(); !slices.Equal(got, []uint64{1, 5, 4, 2}) {
		t.Fatalf("order of eviction %v, want 1 5 4 2", got)
	}
}

func TestPoolFits(t *testing.T) {
	p := newBlockPool(4)
	a, b := p.take(), p.take()
	p.publish(a, 1)
	p.publish(b, 2)
	p.reserved = 1
	for _, c := range []struct {
		hashes []uint64
		blocks int
		want   bool
	}{
		{nil, 1, true}, {nil, 2, false},
		{[]uint64{1, 2}, 3, true},  // shares two that run, needs one
		{[]uint64{1, 2}, 4, false}, // needs two
		{[]uint64{1, 9}, 3, false},
	} {
		if got := p.fits(c.hashes, c.blocks); got != c.want {
			t.Errorf("fits(%v, %d) = %v", c.hashes, c.blocks, got)
		}
	}
}

// TestPoolKeepsItsBooks does random things and counts anew after each.
func TestPoolKeepsItsBooks(t *testing.T) {
	const capacity = 32
	random := rand.New(rand.NewPCG(1, 2))
	p := newBlockPool(capacity)
	var requests [][]*block
	for range 20000 {
		if len(requests) > 0 && random.IntN(2) == 0 {
			i := random.IntN(len(requests))
			if random.IntN(4) == 0 {
				for _, b := range requests[i] {
					p.conceal(b)
				}
			}
			p.release(requests[i])
			requests = slices.Delete(requests, i, i+1)
		} else {
			base, n := uint64(random.IntN(6))*100, 1+random.IntN(6)
			hashes := make([]uint64, n)
			for i := range hashes {
				hashes[i] = base + uint64(i)
			}
			if !p.fits(hashes, n) {
				continue
			}
			var blocks []*block
			for _, h := range hashes {
				b := p.pin(h)
				if b == nil {
					b = p.take()
					p.publish(b, h)
				}
				blocks = append(blocks, b)
			}
			requests = append(requests, blocks)
		}
		checkBooks(t, p, requests)
	}
}

func checkBooks(t *testing.T, p *blockPool, requests [][]*block) {
	t.Helper()
	refs := make(map[*block]int)
	for _, blocks := range requests {
		for _, b := range blocks {
			refs[b]++
		}
	}
	idle := p.idleHashes()
	if p.inUse != len(refs) || p.idle != len(idle) || p.inUse+p.idle > p.capacity {
		t.Fatalf("in use %d (really %d), idle %d (really %d)", p.inUse, len(refs), p.idle, len(idle))
	}
	hashed := 0
	for b, n := range refs {
		if b.refs != n {
			t.Fatalf("block %d has %d refs, really %d", b.hash, b.refs, n)
		}
		if b.hashed {
			hashed++
		}
	}
	if len(p.byHash) != hashed+len(idle) {
		t.Fatalf("%d blocks can be found, there are %d", len(p.byHash), hashed+len(idle))
	}
}
