package producer

import "sync"

// strictest knows the least time per token that the requests under way at an endpoint ask for. Safe for concurrent use.
type strictest struct {
	mu    sync.Mutex
	limit map[string]map[float64]int // by address: how many requests ask for so many milliseconds
}

func newStrictest() *strictest { return &strictest{limit: map[string]map[float64]int{}} }

// of is the least of an endpoint, 0 when nobody there asks for any.
func (s *strictest) of(address string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	least := 0.0
	for ms := range s.limit[address] {
		if least == 0 || ms < least {
			least = ms
		}
	}
	return least
}

func (s *strictest) add(address string, ms float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.limit[address]
	if asked == nil {
		asked = map[float64]int{}
		s.limit[address] = asked
	}
	asked[ms]++
}

func (s *strictest) remove(address string, ms float64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	asked := s.limit[address]
	if asked[ms]--; asked[ms] <= 0 {
		delete(asked, ms)
	}
	if len(asked) == 0 {
		delete(s.limit, address)
	}
}
