package scorer

import (
	"fmt"
	"slices"
	"sync"

	"github.com/switchyard/switchyard/epp/scheduling"
)

// NoHitLRUType is the type of NoHitLRU.
const NoHitLRUType = "no-hit-lru-scorer"

// NoHitLRU spreads prompts that nobody holds a part of: endpoints that never got such a prompt score 1, the others less the
// more recently they got one, the latest 0. So caches fill evenly. When somebody holds a part of the prompt all score 0.5.
type NoHitLRU struct {
	size     int
	producer string

	mu     sync.Mutex
	turn   uint64
	latest map[string]uint64 // turn of the latest cold prompt, by the endpoint's address
}

// maxLRUSize bounds lruSize.
const maxLRUSize = 1 << 20

// NewNoHitLRU reads `lruSize` (1024), the number of endpoints remembered, and the names of the producer of prefix matches,
// which may be given as `prefixMatchInfoProducerName`, `prefixPluginName` or, by its type, `prefixPluginType`.
func NewNoHitLRU(parameters []byte) (*NoHitLRU, error) {
	given := struct {
		LRUSize          int    `json:"lruSize"`
		Producer         string `json:"prefixMatchInfoProducerName"`
		PrefixPluginType string `json:"prefixPluginType"`
		PrefixPluginName string `json:"prefixPluginName"`
	}{LRUSize: 1024}
	if err := scheduling.DecodeParameters(parameters, &given); err != nil {
		return nil, err
	}
	if given.LRUSize < 1 || given.LRUSize > maxLRUSize {
		return nil, fmt.Errorf("parameters: lruSize: %d is not between 1 and %d", given.LRUSize, maxLRUSize)
	}
	// prefixPluginName is not checked: it may be any name given to the one source of prefix matches, or to the scorer
	// which was that source in older configurations.
	if given.PrefixPluginType != PrefixCacheType {
		if err := scheduling.OnePrefixProducer("prefixPluginType", given.PrefixPluginType); err != nil {
			return nil, err
		}
	}
	if err := scheduling.OnePrefixProducer("prefixMatchInfoProducerName", given.Producer); err != nil {
		return nil, err
	}
	return &NoHitLRU{size: given.LRUSize, producer: given.Producer, latest: map[string]uint64{}}, nil
}

// turns is memory for one Score.
var turns = sync.Pool{New: func() any { return new([]uint64) }}

// Score implements scheduling.Scorer.
func (s *NoHitLRU) Score(c *scheduling.Cycle, in []int, out []float32) {
	if !s.cold(c) {
		for k := range out {
			out[k] = 0.5
		}
		return
	}
	work := turns.Get().(*[]uint64)
	defer turns.Put(work)
	mine := (*work)[:0]
	s.mu.Lock()
	for _, i := range in {
		mine = append(mine, s.latest[c.Candidates[i].Address])
	}
	s.mu.Unlock()
	both := append(mine, mine...)
	mine, ordered := both[:len(mine)], both[len(mine):]
	slices.Sort(ordered)
	for k := range in {
		// Turn 0 is never: the place of the first of these is 0 for all of them.
		place, _ := slices.BinarySearch(ordered, mine[k])
		out[k] = 1
		if len(in) > 1 {
			out[k] = 1 - float32(place)/float32(len(in)-1)
		}
	}
	*work = both
}

// Picked implements scheduling.Observer.
func (s *NoHitLRU) Picked(c *scheduling.Cycle, chosen []int) {
	if len(chosen) == 0 || !s.cold(c) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turn++
	s.latest[c.Candidates[chosen[0]].Address] = s.turn
	if len(s.latest) > s.size {
		s.forgetOldest()
	}
}

func (s *NoHitLRU) forgetOldest() {
	oldest, when := "", uint64(0)
	for address, turn := range s.latest {
		if when == 0 || turn < when {
			oldest, when = address, turn
		}
	}
	delete(s.latest, oldest)
}

// cold tells whether no candidate holds a part of the prompt.
func (s *NoHitLRU) cold(c *scheduling.Cycle) bool {
	for _, blocks := range c.Prefix(s.producer).Blocks {
		if blocks > 0 {
			return false
		}
	}
	return true
}
