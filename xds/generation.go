package xds

import (
	"strings"
	"sync"
	"time"

	"github.com/zeebo/xxh3"

	"github.com/switchyard/switchyard/translate/resource"
)

// generation is one state of a view: immutable, shared by every connection of the view.
type generation struct {
	view *resource.View
	// sum and count cover the resources of a kind; sum does not depend on their order.
	sum   [kindCount]uint64
	count [kindCount]int

	index  sync.Once
	byKind [kindCount][]*resource.Resource
}

// emptyGeneration is the state of a view that nobody has set yet.
func emptyGeneration(name string) *generation {
	return &generation{view: &resource.View{Name: name}}
}

func (g *generation) get(k key) *resource.Resource { return g.view.Resources[k.id()] }

// of lists the resources of one kind in no order. The list is built on first use: only a proxy that connects
// needs it, a change does not.
func (g *generation) of(k kind) []*resource.Resource {
	g.index.Do(func() {
		for id, r := range g.view.Resources {
			if kind, ok := kindOf(id.Type); ok {
				g.byKind[kind] = append(g.byKind[kind], r)
			}
		}
	})
	return g.byKind[k]
}

// change is the step from one generation of a view to the next, computed once for all connections.
type change struct {
	from, to *generation
	keys     []key // added, modified and removed
	at       time.Time
}

// nextGeneration compares a view with the generation before it. It costs one pass over the view, and a second one
// only when something was removed.
func nextGeneration(from *generation, view *resource.View, at time.Time) change {
	to := &generation{view: view, sum: from.sum, count: from.count}
	ch := change{from: from, to: to, at: at}
	old := from.view.Resources
	kept := 0
	for id, r := range view.Resources {
		before := old[id]
		if before != nil {
			kept++
			if before == r || before.Version == r.Version {
				continue
			}
		}
		if k, ok := keyOf(id); ok {
			ch.keys = append(ch.keys, k)
			to.replace(k, before, r)
		}
	}
	if kept == len(old) {
		return ch
	}
	for id, before := range old {
		if _, still := view.Resources[id]; still {
			continue
		}
		if k, ok := keyOf(id); ok {
			ch.keys = append(ch.keys, k)
			to.replace(k, before, nil)
		}
	}
	return ch
}

func (g *generation) replace(k key, before, after *resource.Resource) {
	g.sum[k.kind] += sumOf(after) - sumOf(before)
	if before != nil {
		g.count[k.kind]--
	}
	if after != nil {
		g.count[k.kind]++
	}
}

// sumOf hashes a name and a version. Sums are added, so that a set has one value whatever its order.
func sumOf(r *resource.Resource) uint64 {
	if r == nil {
		return 0
	}
	return hashPair(r.Name, r.Version)
}

func hashPair(name, version string) uint64 {
	var b strings.Builder
	b.Grow(len(name) + 1 + len(version))
	b.WriteString(name)
	b.WriteByte(0)
	b.WriteString(version)
	return xxh3.HashString(b.String())
}

// historySize bounds the versions remembered for one view. Forgetting an old one only means that a proxy which
// still has it waits Options.LagHold before it is updated.
const historySize = 1 << 16

// history remembers which versions this replica has produced for a view.
type history struct {
	mu    sync.Mutex
	known map[uint64]struct{}
	ring  []uint64
	next  int
}

func historyKey(k key, version string) uint64 { return hashPair(k.name, version) + uint64(k.kind) }

// record adds the versions that a change brought.
func (h *history) record(ch change) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.known == nil {
		h.known = map[uint64]struct{}{}
	}
	for _, k := range ch.keys {
		if r := ch.to.get(k); r != nil {
			h.add(historyKey(k, r.Version))
		}
	}
}

func (h *history) add(v uint64) {
	if _, ok := h.known[v]; ok {
		return
	}
	if len(h.ring) < historySize {
		h.ring = append(h.ring, v)
	} else {
		delete(h.known, h.ring[h.next])
		h.ring[h.next] = v
		h.next = (h.next + 1) % historySize
	}
	h.known[v] = struct{}{}
}

// produced says whether this replica is known to have made that version.
func (h *history) produced(k key, version string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, ok := h.known[historyKey(k, version)]
	return ok
}
