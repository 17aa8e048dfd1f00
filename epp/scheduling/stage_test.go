package scheduling

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
)

// TestStagesEndWithTheirCycle uses the same memory over and over.
func TestStagesEndWithTheirCycle(t *testing.T) {
	candidates := []*datalayer.Endpoint{{Address: "10.0.0.1:8001"}, {Address: "[fd00::2]:8001"}}
	for range 50 {
		c := newBareCycle(candidates)
		if len(c.Stages()) != 0 || c.Destination(1) != "[fd00::2]:8001" {
			t.Fatalf("a new cycle has the stages %v and the destination %s", c.Stages(), c.Destination(1))
		}
		c.AddStage(StagePrefill, 1)
		c.AddStage(StageEncode, 0)
		c.SendToPort("80")
		if want := []Stage{{StagePrefill, 1}, {StageEncode, 0}}; !slices.Equal(c.Stages(), want) {
			t.Fatalf("stages %v, want %v", c.Stages(), want)
		}
		if c.Destination(0) != "10.0.0.1:80" || c.Destination(1) != "[fd00::2]:80" {
			t.Fatalf("destinations %s, %s", c.Destination(0), c.Destination(1))
		}
		c.Candidates = nil
		c.Release()
	}
}

// newBareCycle is for endpoints that no pool has made, which have no numbers.
func newBareCycle(candidates []*datalayer.Endpoint) *Cycle {
	c := NewCycle(&body.Request{}, nil, time.Now())
	c.Candidates = candidates
	return c
}

func TestWhatIsKeptStays(t *testing.T) {
	c := NewCycle(&body.Request{}, nil, time.Now())
	defer c.Release()
	c.kept = make([]int, 0, 8) // room, so that nothing moves
	work := []int{1, 2}
	first := c.Keep(work)
	work[0] = 9
	second := c.Keep([]int{3})
	first = append(first, 8) // must not reach into the second
	for i := range 100 {     // nor must growing
		c.Keep([]int{i})
	}
	if !slices.Equal(first, []int{1, 2, 8}) || !slices.Equal(second, []int{3}) {
		t.Fatalf("kept %v and %v", first, second)
	}
}
