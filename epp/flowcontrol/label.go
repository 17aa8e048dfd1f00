package flowcontrol

import (
	"strings"
	"sync"
	"sync/atomic"
)

// other stands for label values beyond the bound of distinct ones.
const other = "other"

// Bounds of names that clients choose, as labels: how many distinct ones in the life of the process, and how long.
const (
	maxLabels     = 1000
	maxLabelBytes = 256
)

// labelBound admits the first maxLabels distinct names.
type labelBound struct {
	seen  sync.Map
	count atomic.Int64
}

func (b *labelBound) admit(name string) string {
	if known, ok := b.seen.Load(name); ok {
		return known.(string)
	}
	if len(name) > maxLabelBytes {
		name = name[:maxLabelBytes]
	}
	// A copy: what is kept for good must not keep the request that it came with.
	name = strings.Clone(strings.ToValidUTF8(name, "?"))
	if known, ok := b.seen.Load(name); ok {
		return known.(string)
	}
	if b.count.Load() >= maxLabels {
		return other
	}
	known, loaded := b.seen.LoadOrStore(name, name)
	if !loaded {
		b.count.Add(1)
	}
	return known.(string)
}
