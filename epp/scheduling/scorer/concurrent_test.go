package scorer_test

import (
	"sync"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/scorer"
)

// TestScorersThatLearnAreSafe has many requests decided at once; run with -race it finds what is not guarded.
func TestScorersThatLearnAreSafe(t *testing.T) {
	lru := must(scorer.NewNoHitLRU([]byte(`{"lruSize":4}`)))
	affinity := must(scorer.NewSessionAffinity([]byte(`{"strategy":"session_id"}`)))
	var group sync.WaitGroup
	for worker := range 8 {
		c := cycleOf(t, make([]scheduling.Load, 6)...)
		c.Headers = scheduling.Headers{{Name: "x-session-id", Value: string(rune('a' + worker%3))}}
		group.Go(func() {
			out := make([]float32, 6)
			for round := range 300 {
				lru.Score(c, c.Indices(), out)
				for k, score := range out {
					if score < 0 || score > 1 {
						t.Errorf("candidate %d scores %g", k, score)
						return
					}
				}
				affinity.Score(c, c.Indices(), out)
				lru.Picked(c, []int{round % 6})
				affinity.Picked(c, []int{round % 6})
			}
		})
	}
	group.Wait()
}
