package metrics

import (
	"strings"
	"sync"
)

// Bounds of distinct label values and of their combinations, for the life of the process; beyond them the value is Other.
const (
	maxLabelValues = 1000
	maxSeries      = 10_000
)

// maxLabelBytes bounds a label value; clients choose some of them.
const maxLabelBytes = 256

// Other stands for label values beyond the bound.
const Other = "other"

// names are the values of a label: the first maxLabelValues distinct ones, and those that are kept whatever else came.
type names struct {
	mu    sync.RWMutex
	known map[string]name
	count int // of those that are not kept
}

type name struct {
	// value is a copy: what a client sent is a part of its whole body.
	value string
	kept  bool
}

func newNames() *names { return &names{known: map[string]name{}} }

// admit gives the value that stands for this one.
func (n *names) admit(value string) string {
	n.mu.RLock()
	known, ok := n.known[value]
	n.mu.RUnlock()
	if ok {
		return known.value
	}
	return n.add(cleanLabel(value), false)
}

// keep admits a value that does not count. So many of them are kept as there may be series.
func (n *names) keep(value string) { n.add(cleanLabel(value), true) }

func (n *names) add(value string, keep bool) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	keep = keep && len(n.known)-n.count < maxSeries
	known, ok := n.known[value]
	switch {
	case ok && (known.kept || !keep):
		return known.value
	case ok:
		n.count--
	case !keep && n.count >= maxLabelValues:
		return Other
	default:
		known.value = strings.Clone(value)
	}
	if known.kept = keep; !keep {
		n.count++
	}
	n.known[known.value] = known
	return known.value
}

// keeps tells whether a value is kept.
func (n *names) keeps(value string) bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.known[value].kept
}

// cleanLabel makes a value that Prometheus accepts.
func cleanLabel(value string) string {
	if len(value) > maxLabelBytes {
		value = value[:maxLabelBytes]
	}
	return strings.ToValidUTF8(value, "?")
}

// bounded holds what was made for a set of labels, so that it is looked up once, without making it a slice of strings, and
// counted.
type bounded[K comparable, V any] struct {
	mu    sync.RWMutex
	known map[K]V
}

func newBounded[K comparable, V any]() *bounded[K, V] { return &bounded[K, V]{known: map[K]V{}} }

func (b *bounded[K, V]) get(key K) (V, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	value, ok := b.known[key]
	return value, ok
}

// add gives what there is for key, or makes it unless there are limit already; a limit of 0 is none.
func (b *bounded[K, V]) add(key K, limit int, make func(K) V) (V, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	value, ok := b.known[key]
	if ok {
		return value, true
	}
	if limit > 0 && len(b.known) >= limit {
		return value, false
	}
	value = make(key)
	b.known[key] = value
	return value, true
}

// prune drops what is not to stay.
func (b *bounded[K, V]) prune(stays func(K) bool, dropped func(K)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key := range b.known {
		if !stays(key) {
			delete(b.known, key)
			dropped(key)
		}
	}
}

func (b *bounded[K, V]) len() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return len(b.known)
}
