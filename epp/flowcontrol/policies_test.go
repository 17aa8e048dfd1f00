package flowcontrol_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/eviction"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
)

// counted counts the comparisons of a fairness policy.
type counted struct {
	flowcontrol.Fairness
	comparisons *int
}

type countedTurns struct {
	flowcontrol.Turns
	comparisons *int
}

func (c counted) NewTurns() flowcontrol.Turns {
	return countedTurns{c.Fairness.NewTurns(), c.comparisons}
}

func (c countedTurns) Before(a, b *flowcontrol.Flow) bool {
	*c.comparisons++
	return c.Turns.Before(a, b)
}

// eachPolicy runs a function for each fairness with each ordering policy.
func eachPolicy(tb testing.TB, run func(name string, band flowcontrol.Band)) {
	tb.Helper()
	programs, err := fairness.NewProgramAware(nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, fair := range []flowcontrol.Fairness{fairness.GlobalStrict{}, fairness.RoundRobin{}, programs} {
		for _, order := range []flowcontrol.Ordering{ordering.FCFS{}, ordering.EDF{}, ordering.SLODeadline{}} {
			run(fmt.Sprintf("%T/%T", fair, order), flowcontrol.Band{Fairness: fair, Ordering: order, MaxRequests: 1 << 20})
		}
	}
}

// crowd is a pool in which n requests of 2500 flows and 3 priorities wait. turn has one more come, and one go.
func crowd(tb testing.TB, n int, band flowcontrol.Band) (c *flowcontrol.Controller, turn func(i int)) {
	tb.Helper()
	var room atomic.Int64 // how many may be dispatched, ever
	limit, err := usagelimit.NewPriorityHoldback([]byte(`{"minCeiling": 0.5}`))
	if err != nil {
		tb.Fatal(err)
	}
	c = newController(tb, flowcontrol.Options{
		Saturation: func(_ string, ahead flowcontrol.Load) flowcontrol.Reading {
			if ahead.Requests < room.Load() {
				return flowcontrol.Reading{Endpoints: 1}
			}
			return flowcontrol.Reading{Level: 1, Endpoints: 1}
		},
		TTL: time.Hour, NoEndpointTTL: time.Hour, Default: band, UsageLimit: limit,
		Eviction: &flowcontrol.Eviction{Filter: eviction.Sheddable{}, Ordering: eviction.PriorityThenTime{}},
	})
	come := func(i int) {
		r := flowcontrol.Request{Pool: "p", Priority: i % 3, Fairness: tenants[i%len(tenants)], Bytes: 1000, TTFT: time.Duration(i%50) * time.Millisecond}
		if i%2 == 0 {
			r.Deadline = time.Now().Add(time.Duration(1+i%97) * time.Minute)
		}
		if !flowcontrol.Enqueue(c, r) {
			tb.Fatal("was not queued")
		}
	}
	for i := range n {
		come(i)
	}
	return c, func(i int) {
		come(i)
		room.Add(1)
		c.Changed("p")
	}
}

var tenants = func() (names []string) {
	for i := range 2500 {
		names = append(names, fmt.Sprint("tenant-", i))
	}
	return names
}()

// BenchmarkPolicies is one request queued and one dispatched while n others wait, by each pair of policies.
func BenchmarkPolicies(b *testing.B) {
	eachPolicy(b, func(name string, band flowcontrol.Band) {
		for _, n := range []int{10, 10_000} {
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				c, turn := crowd(b, n, band)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					turn(i)
				}
				if c.Waiting() != int64(n) {
					b.Fatalf("%d wait, want %d", c.Waiting(), n)
				}
			})
		}
	})
}

// TestPoliciesScanNothing: with each pair of policies a request that comes and one that goes cost a few steps of a heap, however
// many wait.
func TestPoliciesScanNothing(t *testing.T) {
	eachPolicy(t, func(name string, band flowcontrol.Band) {
		comparisons := 0
		band.Fairness = counted{band.Fairness, &comparisons}
		c, turn := crowd(t, 10_000, band)
		worst := 0
		for i := range 1000 {
			before := comparisons
			turn(i)
			worst = max(worst, comparisons-before)
		}
		if worst == 0 || worst > 80 || c.Waiting() != 10_000 {
			t.Errorf("%s: %d comparisons of flows for one request (of 2500 flows), %d wait", name, worst, c.Waiting())
		}
	})
}
