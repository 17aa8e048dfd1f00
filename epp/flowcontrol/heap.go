package flowcontrol

// heap is a binary heap whose members know their place, so that any of them can be moved or taken out.
type heap[T any] struct {
	items  []T
	before func(a, b T) bool
	place  func(T) *int
}

func newHeap[T any](before func(a, b T) bool, place func(T) *int) heap[T] {
	return heap[T]{before: before, place: place}
}

func (h *heap[T]) len() int { return len(h.items) }

// top is the member that goes first; ok is false when there is none.
func (h *heap[T]) top() (first T, ok bool) {
	if len(h.items) == 0 {
		return first, false
	}
	return h.items[0], true
}

func (h *heap[T]) push(item T) {
	h.items = append(h.items, item)
	*h.place(item) = len(h.items) - 1
	h.up(len(h.items) - 1)
}

// remove takes out the member at i. An array that has become far too large is given back.
func (h *heap[T]) remove(i int) {
	last := len(h.items) - 1
	h.swap(i, last)
	var none T
	h.items[last] = none
	h.items = h.items[:last]
	if i < last {
		h.fix(i)
	}
	const kept = 64
	if cap(h.items) > kept && len(h.items) <= cap(h.items)/8 {
		h.items = append(make([]T, 0, cap(h.items)/4), h.items...)
	}
}

// fix moves the member at i to where it belongs now.
func (h *heap[T]) fix(i int) {
	if !h.down(i) {
		h.up(i)
	}
}

// rebuild restores the order when any number of members have changed.
func (h *heap[T]) rebuild() {
	for i := len(h.items)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *heap[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(h.items[i], h.items[parent]) {
			return
		}
		h.swap(i, parent)
		i = parent
	}
}

func (h *heap[T]) down(i int) (moved bool) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			return moved
		}
		if other := child + 1; other < len(h.items) && h.before(h.items[other], h.items[child]) {
			child = other
		}
		if !h.before(h.items[child], h.items[i]) {
			return moved
		}
		h.swap(i, child)
		i, moved = child, true
	}
}

func (h *heap[T]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	*h.place(h.items[i]) = i
	*h.place(h.items[j]) = j
}
