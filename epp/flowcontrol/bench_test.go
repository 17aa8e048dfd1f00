package flowcontrol

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// loaded is a pool in which n requests wait, of n/4 flows in 3 bands. It has room for one at a time.
func loaded(tb testing.TB, n int) (c *Controller, p *pool, room *bool) {
	tb.Helper()
	room = new(bool)
	o := plainOptions(func(string, Load) Reading {
		if *room {
			*room = false
			return Reading{Endpoints: 1}
		}
		return Reading{Level: 1, Endpoints: 1}
	})
	o.TTL, o.NoEndpointTTL = time.Hour, time.Hour
	o.Default.MaxRequests = 1 << 20
	c, err := New(o)
	if err != nil {
		tb.Fatal(err)
	}
	p = c.poolOf("p", time.Now())
	for i := range n {
		enqueue(tb, p, i)
	}
	return c, p, room
}

func enqueue(tb testing.TB, p *pool, i int) {
	now := time.Now()
	_, w, _, _ := p.enter(&Request{Priority: i % 3, Fairness: flowNames[i%len(flowNames)], Bytes: 1000, Arrived: now}, now)
	if w == nil {
		tb.Fatal("was not queued")
	}
}

var flowNames = func() (names []string) {
	for i := range 2500 {
		names = append(names, fmt.Sprint("tenant-", i))
	}
	return names
}()

// BenchmarkQueued is one request queued and one dispatched while n others wait, also as a ratio to 10 others.
func BenchmarkQueued(b *testing.B) {
	few := 0.0
	for _, n := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			c, p, room := loaded(b, n)
			defer c.Stop()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				enqueue(b, p, i)
				p.mu.Lock()
				*room = true
				p.proceed(time.Now())
				p.mu.Unlock()
			}
			if c.Waiting() != int64(n) {
				b.Fatalf("%d wait, want %d", c.Waiting(), n)
			}
			each := float64(b.Elapsed()) / float64(b.N)
			if n == 10 {
				few = each
			}
			if few > 0 {
				b.ReportMetric(each/few, "x-of-10")
			}
		})
	}
}

// BenchmarkPass is a request that need not wait.
func BenchmarkPass(b *testing.B) {
	c, err := New(plainOptions(func(string, Load) Reading { return Reading{Endpoints: 1} }))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Stop()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			ticket, err := c.Admit(b.Context(), Request{Pool: "p"})
			if err != nil {
				b.Fatal(err)
			}
			ticket.Placed()
			ticket.Release(Usage{})
		}
	})
}

// BenchmarkOwner is the alternative to the lock: a goroutine that owns the queues, asked by a channel and answering by another.
// BenchmarkLock is the lock. Neither does any work.
func BenchmarkOwner(b *testing.B) {
	type question struct{ answer chan struct{} }
	questions := make(chan question)
	go func() {
		for asked := range questions {
			asked.answer <- struct{}{}
		}
	}()
	defer close(questions)
	b.RunParallel(func(pb *testing.PB) {
		asked := question{make(chan struct{}, 1)}
		for pb.Next() {
			questions <- asked
			<-asked.answer
		}
	})
}

// BenchmarkLock is what BenchmarkOwner is compared with.
func BenchmarkLock(b *testing.B) {
	var mu sync.Mutex
	work := 0
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			work++
			mu.Unlock()
		}
	})
}

// counting counts the comparisons of flows and of requests.
type counting struct {
	plain
	comparisons *int
}

func (c counting) NewTurns() Turns { return c }

func (c counting) Before(a, b *Flow) bool {
	*c.comparisons++
	return a.HeadBefore(b)
}

// TestNothingIsScanned: at 10 000 queued a request that comes and one that goes cost a few steps of a heap.
func TestNothingIsScanned(t *testing.T) {
	most := func(n int) int {
		comparisons := 0
		c, p, room := loaded(t, 0)
		defer c.Stop()
		o := c.options.Load()
		o.Default.Fairness = counting{comparisons: &comparisons}
		*o.Negative = o.Default
		for i := range n {
			enqueue(t, p, i)
		}
		worst := 0
		for i := range 2000 {
			before := comparisons
			enqueue(t, p, i)
			p.mu.Lock()
			*room = true
			p.proceed(time.Now())
			worst = max(worst, comparisons-before)
			p.mu.Unlock()
		}
		return worst
	}
	if few, many := most(10), most(10_000); few == 0 || many > 60 {
		t.Errorf("%d comparisons of flows at 10 queued, %d at 10 000 (of 2500 flows)", few, many)
	}
}
