package kvindex

import "sync/atomic"

// markWords are the words of marks of one shard and era.
const markWords = 512

// touched says which blocks of a shard were part of matches in this era or the one before. Several blocks share a mark: one
// that is not in use may look as if it were, never the other way round.
type touched struct {
	era   atomic.Uint32
	marks [2][markWords]atomic.Uint64
}

func place(key uint64) (word int, bit uint64) { return int((key >> 6) % markWords), 1 << (key % 64) }

func (t *touched) mark(key uint64) {
	word, bit := place(key)
	if w := &t.marks[t.era.Load()%2][word]; w.Load()&bit == 0 {
		w.Or(bit)
	}
}

func (t *touched) marked(key uint64) bool {
	word, bit := place(key)
	return (t.marks[0][word].Load()|t.marks[1][word].Load())&bit != 0
}

// age begins the next era.
func (t *touched) age() {
	next := t.era.Load() + 1
	for i := range t.marks[next%2] {
		t.marks[next%2][i].Store(0)
	}
	t.era.Store(next)
}
