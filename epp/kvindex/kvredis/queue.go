package kvredis

import (
	"slices"
	"sync"

	"github.com/switchyard/switchyard/epp/kvevents"
)

// maxWaiting bounds what waits to be written, in words: tokens, and names of blocks twice. It is about 64 MiB.
const maxWaiting = 8 << 20

// maxTaken is how many words are taken from the queue at a time, about a thousand blocks of 16 tokens.
const maxTaken = 16 << 10

// item is what a server was told. No events: all that it held is gone.
type item struct {
	server *server
	events []kvevents.Event
	words  int
}

// queue is what waits to be written, in order.
type queue struct {
	wake chan struct{}

	mu    sync.Mutex
	items []item
	words int
	most  int
}

func newQueue() queue { return queue{wake: make(chan struct{}, 1), most: maxWaiting} }

// put adds what a server was told; nil: that all is gone. When there is no room, the server is lost: all that it held counts as
// gone, and what it is told until that is noted does not count.
func (q *queue) put(s *server, events []kvevents.Event) (full bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.gone || s.lost {
		return false
	}
	next := item{server: s, words: 16}
	for i := range events {
		next.words += len(events[i].Tokens) + 2*len(events[i].Hashes) + 16
	}
	if q.words+next.words > q.most {
		s.lost, full = true, true
		next = item{server: s}
	} else {
		next.events = clone(events)
	}
	q.items = append(q.items, next)
	q.words += next.words
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return full
}

// take removes the first items.
func (q *queue) take() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, words := 0, 0
	for n < len(q.items) && words < maxTaken {
		words += q.items[n].words
		n++
	}
	if n == 0 {
		return nil
	}
	taken := slices.Clone(q.items[:n])
	clear(q.items[:n])
	if q.items = q.items[n:]; len(q.items) == 0 {
		q.items = nil
	}
	q.words -= words
	return taken
}

// found is to be called when a lost server's blocks are about to go: what it is told from here on counts again.
func (q *queue) found(s *server) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.lost = false
}

// last adds that all that a server held is gone, and that nothing follows.
func (q *queue) last(s *server) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.gone {
		return
	}
	s.gone = true
	q.items = append(q.items, item{server: s})
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items)
}

// clone copies events, which belong to who tells them.
func clone(events []kvevents.Event) []kvevents.Event {
	own := slices.Clone(events)
	for i := range own {
		e := &own[i]
		e.Hashes, e.Tokens, e.Extra = slices.Clone(e.Hashes), slices.Clone(e.Tokens), slices.Clone(e.Extra)
		for j := range e.Extra {
			e.Extra[j] = slices.Clone(e.Extra[j])
		}
	}
	return own
}
