package scheduling

import (
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
)

// TestLapsFollowEachOther: the time of a plugin is neither that since the cycle began nor that which was skipped.
func TestLapsFollowEachOther(t *testing.T) {
	c := NewCycle(&body.Request{}, nil, time.Now())
	defer c.Release()
	c.Lap(PointFilter, "nobody asked")
	var took []time.Duration
	c.Time(func(point string, plugin any, d time.Duration) {
		if point != PointScorer || plugin != len(took) {
			t.Errorf("%s %v", point, plugin)
		}
		took = append(took, d)
	})
	c.lap = c.lap.Add(-time.Hour)
	c.Skip()
	c.Lap(PointScorer, 0)
	c.lap = c.lap.Add(-time.Minute)
	c.Lap(PointScorer, 1)
	c.Lap(PointScorer, 2)
	if len(took) != 3 || took[0] > time.Minute/2 || took[1] < time.Minute || took[1] > 2*time.Minute || took[2] > time.Minute/2 {
		t.Errorf("took %v", took)
	}
}

func TestTheNextCycleIsNotTimed(t *testing.T) {
	for range 2 {
		c := NewCycle(&body.Request{}, nil, time.Now())
		if c.tell != nil {
			t.Fatal("a cycle is timed that nobody asked for")
		}
		c.Time(func(string, any, time.Duration) {})
		c.Release()
	}
}
