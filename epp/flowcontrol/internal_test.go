package flowcontrol

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type plain struct{}

func (plain) NewTurns() Turns                 { return plain{} }
func (plain) Joined(*Flow)                    {}
func (plain) Served(*Flow)                    {}
func (plain) Before(a, b *Flow) bool          { return a.HeadBefore(b) }
func (plain) Attained(string, float64, *Flow) {}
func (plain) Rank(*Request, time.Time) int64  { return 0 }
func (plain) Ceilings(_ []int, out []float64) {
	for i := range out {
		out[i] = 1
	}
}

func plainOptions(read func(string, Load) Reading) Options {
	return Options{Saturation: read, TTL: time.Minute, NoEndpointTTL: time.Minute, Default: Band{Fairness: plain{}, Ordering: plain{}},
		UsageLimit: plain{}}
}

type member struct{ value, place int }

func TestHeap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h := newHeap(func(a, b *member) bool { return a.value < b.value }, func(m *member) *int { return &m.place })
	for step := range 20_000 {
		switch action := random.IntN(5); {
		case action < 2 || h.len() == 0:
			h.push(&member{value: random.IntN(50)})
		case action == 2:
			h.remove(random.IntN(h.len()))
		case action == 3:
			m := h.items[random.IntN(h.len())]
			m.value = random.IntN(50)
			h.fix(m.place)
		default:
			for _, m := range h.items[:min(5, h.len())] {
				m.value = random.IntN(50)
			}
			h.rebuild()
		}
		for i, m := range h.items {
			if m.place != i || i > 0 && m.value < h.items[(i-1)/2].value {
				t.Fatalf("step %d: out of order at %d", step, i)
			}
		}
	}
}

// TestForgets: flows, bands and pools that are gone leave nothing.
func TestForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(plainOptions(func(string, Load) Reading { return Reading{Level: 1, Endpoints: 1} }))
		if err != nil {
			t.Fatal(err)
		}
		const n = 2000
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				c.Admit(context.Background(), Request{Pool: "a/b", Fairness: fmt.Sprint(i), Priority: i % 3, Bytes: 5, Model: fmt.Sprint(i)})
			})
		}
		synctest.Wait()
		p := c.pools["a/b"]
		if c.Waiting() != n || p.waiting != (Load{n, 5 * n}) || len(p.bands[0].byID) == 0 {
			t.Fatalf("%d wait, %+v, %d flows", c.Waiting(), p.waiting, len(p.bands[0].byID))
		}
		all.Wait()
		if p.waiting != (Load{}) || p.expiry.len() != 0 || cap(p.expiry.items) > 64 {
			t.Errorf("left waiting: %+v, %d with an end, room for %d", p.waiting, p.expiry.len(), cap(p.expiry.items))
		}
		for _, b := range p.order {
			if b.waiting != (Load{}) || len(b.byID) != 0 || b.flows.len() != 0 || len(b.tallies) != 0 {
				t.Errorf("band %d keeps %+v, %d flows, %d turns, %d tallies", b.priority, b.waiting, len(b.byID), b.flows.len(), len(b.tallies))
			}
		}
		time.Sleep(bandIdle + time.Second)
		p.bandOf(77, time.Now())
		if len(p.bands) != 1 || len(p.order) != 1 {
			t.Errorf("%d bands are left beside the one in use", len(p.bands)-1)
		}
		c.poolOf("a/c", time.Now())
		if len(c.pools) != 1 || !p.gone {
			t.Errorf("%d pools are left, gone %v", len(c.pools), p.gone)
		}
	})
}

// TestStress: many at once, with clients that go, and room that comes and goes. Each request ends once, room is never exceeded,
// queues never hold more than they may, and nothing is left.
func TestStress(t *testing.T) {
	const clients, each, room, limit = 64, 150, 8, 48
	var inFlight, peak, dispatched, refused atomic.Int64
	o := plainOptions(func(_ string, ahead Load) Reading {
		return Reading{Level: float64(inFlight.Load()+ahead.Requests) / room, Endpoints: 1}
	})
	o.MaxRequests, o.TTL = limit, 20*time.Millisecond
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(client), 3))
			for range each {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(random.IntN(30))*time.Millisecond)
				ticket, err := c.Admit(ctx, Request{Pool: "p", Priority: random.IntN(3), Fairness: fmt.Sprint(random.IntN(9)), Bytes: 1})
				if c.Waiting() > limit {
					t.Errorf("%d wait, limit %d", c.Waiting(), limit)
				}
				if (ticket == nil) == (err == nil) {
					t.Errorf("ticket %v, error %v", ticket, err)
				}
				if err == nil {
					dispatched.Add(1)
					now := inFlight.Add(1)
					ticket.Placed()
					for most := peak.Load(); now > most && !peak.CompareAndSwap(most, now); most = peak.Load() {
					}
					inFlight.Add(-1)
					ticket.Release(Usage{})
				} else {
					refused.Add(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	c.Stop()
	p := c.pools["p"]
	if dispatched.Load()+refused.Load() != clients*each || dispatched.Load() == 0 {
		t.Errorf("%d dispatched and %d refused of %d", dispatched.Load(), refused.Load(), clients*each)
	}
	if peak.Load() > room {
		t.Errorf("%d in flight at once, room for %d", peak.Load(), room)
	}
	if c.Waiting() != 0 || p.waiting != (Load{}) || p.ahead != (Load{}) || p.tickets != 0 {
		t.Errorf("left: %d waiting, %+v, ahead %+v, %d tickets", c.Waiting(), p.waiting, p.ahead, p.tickets)
	}
}

// summing adds up what is charged.
type summing struct {
	plain
	charged *float64
}

func (s summing) NewTurns() Turns                            { return s }
func (s summing) Attained(_ string, tokens float64, _ *Flow) { *s.charged += tokens }

// TestCharges: what a request is charged in the end is what it cost, an output token twice.
func TestCharges(t *testing.T) {
	for usage, want := range map[Usage]float64{
		{Input: 30, Output: 7}:   44,
		{Input: 300, Output: 0}:  300,
		{Input: -1, Output: -1}:  100,
		{Input: -1, Output: 10}:  120,
		{Input: 500, Output: -1}: 500,
	} {
		charged := 0.0
		o := plainOptions(func(string, Load) Reading { return Reading{Endpoints: 1} })
		o.Default.Fairness = summing{charged: &charged}
		c, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := c.Admit(t.Context(), Request{Pool: "p", Bytes: 400})
		if err != nil || charged != 100 {
			t.Fatalf("at dispatch: %v, charged %g, want a fourth of the bytes", err, charged)
		}
		ticket.Release(usage)
		if charged != want {
			t.Errorf("%+v: charged %g, want %g", usage, charged, want)
		}
	}
}
