package flowcontrol_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
)

// arrival is a request of a table: name, then "priority flow".
type arrival struct {
	name     string
	priority int
	flow     string
	ttft     time.Duration
	deadline time.Duration
}

func TestOrder(t *testing.T) {
	programAware, err := fairness.NewProgramAware(nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		band     flowcontrol.Band
		arrivals []arrival
		want     string
	}{
		"bands strictly by priority": {
			band:     flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.FCFS{}},
			arrivals: []arrival{{name: "low", priority: -5}, {name: "mid"}, {name: "high", priority: 9}, {name: "mid2"}, {name: "high2", priority: 9}},
			want:     "high high2 mid mid2 low",
		},
		"strict: one order over flows": {
			band:     flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.FCFS{}},
			arrivals: []arrival{{name: "a1", flow: "a"}, {name: "a2", flow: "a"}, {name: "b1", flow: "b"}, {name: "a3", flow: "a"}},
			want:     "a1 a2 b1 a3",
		},
		"strict by deadline over flows": {
			band: flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.EDF{}},
			arrivals: []arrival{{name: "a1", flow: "a"}, {name: "b9", flow: "b", deadline: 9 * time.Second},
				{name: "a5", flow: "a", deadline: 5 * time.Second}, {name: "b7", flow: "b", deadline: 7 * time.Second}},
			want: "a5 b7 b9 a1",
		},
		"strict by time to first token": {
			band:     flowcontrol.Band{Fairness: fairness.GlobalStrict{}, Ordering: ordering.SLODeadline{}},
			arrivals: []arrival{{name: "none"}, {name: "slow", ttft: 3 * time.Second}, {name: "none2"}, {name: "fast", flow: "b", ttft: time.Second}},
			want:     "fast slow none none2",
		},
		"round robin": {
			band: flowcontrol.Band{Fairness: fairness.RoundRobin{}, Ordering: ordering.FCFS{}},
			arrivals: []arrival{{name: "a1", flow: "a"}, {name: "a2", flow: "a"}, {name: "a3", flow: "a"}, {name: "b1", flow: "b"},
				{name: "c1", flow: "c"}, {name: "b2", flow: "b"}},
			want: "a1 b1 c1 a2 b2 a3",
		},
		"round robin, by deadline inside a flow": {
			band: flowcontrol.Band{Fairness: fairness.RoundRobin{}, Ordering: ordering.EDF{}},
			arrivals: []arrival{{name: "a9", flow: "a", deadline: 9 * time.Second}, {name: "a1", flow: "a", deadline: time.Second},
				{name: "b1", flow: "b"}},
			want: "a1 b1 a9",
		},
		"program aware: least service first, the longer wait between equals": {
			band:     flowcontrol.Band{Fairness: programAware, Ordering: ordering.FCFS{}},
			arrivals: []arrival{{name: "a1", flow: "a"}, {name: "a2", flow: "a"}, {name: "b1", flow: "b"}, {name: "b2", flow: "b"}},
			want:     "a1 b1 a2 b2",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{}
				o := options(t, s)
				o.Default = test.band
				c := newController(t, o)
				var calls []*call
				for _, one := range test.arrivals {
					r := flowcontrol.Request{Priority: one.priority, Fairness: one.flow, TTFT: one.ttft, Bytes: 4000}
					if one.deadline > 0 {
						r.Deadline = time.Now().Add(one.deadline)
					}
					calls = append(calls, admit(c, one.name, r))
					time.Sleep(time.Millisecond)
				}
				if got := strings.Join(serveOneByOne(t, c, s, calls), " "); got != test.want {
					t.Errorf("dispatched %s\nwant       %s", got, test.want)
				}
			})
		})
	}
}

// TestProgramAware: a program with much service behind it waits for one with little; its service fades.
func TestProgramAware(t *testing.T) {
	for name, test := range map[string]struct {
		pause time.Duration
		want  string
	}{
		"at once":                {want: "newcomer heavy"},
		"when service has faded": {pause: time.Hour, want: "heavy newcomer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy, err := fairness.NewProgramAware(nil)
				if err != nil {
					t.Fatal(err)
				}
				s := &server{room: 1}
				o := options(t, s)
				o.Bands = map[int]flowcontrol.Band{0: {Fairness: policy, Ordering: ordering.FCFS{}}}
				c := newController(t, o)
				first := admit(c, "first", flowcontrol.Request{Fairness: "heavy"})
				first.ticket.Release(flowcontrol.Usage{Input: 100, Output: 5000})
				s.set(func(s *server) { s.room = 0 })
				time.Sleep(test.pause)
				heavy := admit(c, "heavy", flowcontrol.Request{Fairness: "heavy"})
				time.Sleep(time.Second)
				newcomer := admit(c, "newcomer", flowcontrol.Request{Fairness: "newcomer"})
				if got := strings.Join(serveOneByOne(t, c, s, []*call{heavy, newcomer}), " "); got != test.want {
					t.Errorf("dispatched %s, want %s", got, test.want)
				}
			})
		})
	}
}

// TestCeilings: the level that stops a band stops all below it, whatever the policy says of those, and a high request passes
// low ones that are held back.
func TestCeilings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		holdback, err := usagelimit.NewPriorityHoldback([]byte(`{"minCeiling": 0.5}`))
		if err != nil {
			t.Fatal(err)
		}
		s := &server{room: 10}
		o := options(t, s)
		o.UsageLimit = holdback
		o.Bands = map[int]flowcontrol.Band{1: o.Default, -1: o.Default}
		c := newController(t, o)
		through := func(priority int) (n int) {
			for range 12 {
				if admit(c, "", flowcontrol.Request{Priority: priority}).dispatched() {
					n++
				}
			}
			return n
		}
		if n := through(-1); n != 5 {
			t.Errorf("low: %d went, want half of 10", n)
		}
		if n := through(1); n != 5 {
			t.Errorf("high: %d went, want the other half", n)
		}
	})
}

type wrongWayRound struct{}

func (wrongWayRound) Ceilings(priorities []int, out []float64) {
	for i := range priorities {
		out[i] = float64(i + 1)
	}
}

func TestCeilingsNeverRise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 1, inFlight: 1}
		o := options(t, s)
		o.UsageLimit = wrongWayRound{}
		o.Bands = map[int]flowcontrol.Band{1: o.Default, 0: o.Default}
		c := newController(t, o)
		if high, low := admit(c, "high", flowcontrol.Request{Priority: 1}), admit(c, "low", flowcontrol.Request{}); high.done() || low.done() {
			t.Errorf("high went %v, low went %v, in a pool that is full for high", high.done(), low.done())
		}
	})
}

// TestAgainstModel: random arrivals, departures and services; each dispatch is the one that a model chooses which looks at
// everything that waits.
func TestAgainstModel(t *testing.T) {
	orderings := map[string]flowcontrol.Ordering{"fcfs": ordering.FCFS{}, "edf": ordering.EDF{}, "slo": ordering.SLODeadline{}}
	for name, order := range orderings {
		for seed := range uint64(4) {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { runModel(t, order, rand.New(rand.NewPCG(seed, 7))) })
			})
		}
	}
}

// modelled is a request that waits, as the model sees it.
type modelled struct {
	call    *call
	request flowcontrol.Request
	rank    int64
	serial  int
}

func modelBefore(a, b *modelled) int {
	return cmp.Or(cmp.Compare(b.request.Priority, a.request.Priority), cmp.Compare(a.rank, b.rank), cmp.Compare(a.serial, b.serial))
}

func runModel(t *testing.T, order flowcontrol.Ordering, random *rand.Rand) {
	const maxRequests, maxBytes = 40, 3000
	s := &server{room: 1}
	o := options(t, s)
	o.Default.Ordering = order
	o.MaxRequests, o.MaxBytes = maxRequests, maxBytes
	c := newController(t, o)
	end := s.place(admit(c, "holds the server", flowcontrol.Request{}).ticket)
	var waiting []*modelled
	bytes, ended := int64(0), 0
	drop := func(m *modelled) {
		waiting = slices.DeleteFunc(waiting, func(other *modelled) bool { return other == m })
		bytes -= m.request.Bytes
		ended++
	}
	for step := range 1500 {
		switch action := random.IntN(10); {
		case action < 5:
			now := time.Now()
			r := flowcontrol.Request{Priority: random.IntN(4) - 2, Fairness: fmt.Sprint(random.IntN(5)), Bytes: random.Int64N(300),
				TTFT: time.Duration(random.IntN(3)) * time.Second, Arrived: now}
			if random.IntN(2) == 0 {
				r.Deadline = now.Add(time.Duration(1+random.IntN(1000)) * time.Second)
			}
			made := admit(c, fmt.Sprint(step), r)
			if len(waiting) >= maxRequests || bytes+r.Bytes > maxBytes {
				if got := made.refusal(t).Outcome; got != flowcontrol.RejectedCapacity {
					t.Fatalf("step %d: %v, want a refusal for want of room", step, got)
				}
				continue
			}
			if made.done() {
				t.Fatalf("step %d: ended at once: %v", step, made.err)
			}
			expires := now.Add(time.Minute)
			if !r.Deadline.IsZero() && r.Deadline.Before(expires) {
				expires = r.Deadline
			}
			r.Deadline = expires
			waiting = append(waiting, &modelled{call: made, request: r, rank: order.Rank(&r, expires), serial: step})
			bytes += r.Bytes
		case action < 8:
			end()
			synctest.Wait()
			if len(waiting) == 0 {
				end = s.place(admit(c, "holds the server", flowcontrol.Request{}).ticket)
				continue
			}
			next := slices.MinFunc(waiting, modelBefore)
			if !next.call.dispatched() {
				t.Fatalf("step %d: request %s (%+v) is next of %d and did not go", step, next.call.name, next.request, len(waiting))
			}
			end = s.place(next.call.ticket)
			drop(next)
		case action < 9 && len(waiting) > 0:
			leaves := waiting[random.IntN(len(waiting))]
			leaves.call.ctx()
			synctest.Wait()
			if got := leaves.call.refusal(t).Outcome; got != flowcontrol.EvictedContextCancelled {
				t.Fatalf("step %d: %v, want cancelled", step, got)
			}
			drop(leaves)
		default:
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			synctest.Wait()
			for _, m := range slices.Clone(waiting) {
				if !m.request.Deadline.After(time.Now()) {
					if got := m.call.refusal(t).Outcome; got != flowcontrol.EvictedTTL {
						t.Fatalf("step %d: %v, want expired", step, got)
					}
					drop(m)
				}
			}
		}
		for _, m := range waiting {
			if m.call.done() {
				t.Fatalf("step %d: request %s ended out of turn: %v", step, m.call.name, m.call.err)
			}
		}
		if c.Waiting() != int64(len(waiting)) {
			t.Fatalf("step %d: %d wait, want %d", step, c.Waiting(), len(waiting))
		}
	}
	if ended < 100 {
		t.Fatalf("only %d waits ended: the test tests nothing", ended)
	}
}

// TestRoundRobinBound: of flows that always have something waiting none is ever more than one request ahead of another, however
// unequal what they send.
func TestRoundRobinBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := options(t, s)
		o.Default.Fairness = fairness.RoundRobin{}
		c := newController(t, o)
		const flows, rounds = 7, 20
		var calls []*call
		for flow := range flows {
			for range rounds * (1 + flow%3) {
				calls = append(calls, admit(c, fmt.Sprint(flow), flowcontrol.Request{Fairness: fmt.Sprint(flow)}))
			}
		}
		served := map[string]int{}
		for i, name := range serveOneByOne(t, c, s, calls)[:flows*rounds] {
			served[name]++
			least := rounds
			for flow := range flows {
				least = min(least, served[fmt.Sprint(flow)])
			}
			if served[name] > least+1 {
				t.Fatalf("after %d dispatches: %v", i+1, served)
			}
		}
	})
}

// TestProgramAwareChargesAtDispatch: when room for two comes at once it does not go to one program.
func TestProgramAwareChargesAtDispatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy, err := fairness.NewProgramAware(nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &server{}
		o := options(t, s)
		o.Default.Fairness = policy
		c := newController(t, o)
		first := admit(c, "first", flowcontrol.Request{Fairness: "a", Bytes: 4000})
		second := admit(c, "second", flowcontrol.Request{Fairness: "a", Bytes: 4000})
		other := admit(c, "other", flowcontrol.Request{Fairness: "b", Bytes: 4000})
		s.set(func(s *server) { s.room = 2 })
		c.Changed("ns/pool")
		synctest.Wait()
		if !first.dispatched() || second.dispatched() || !other.dispatched() {
			t.Errorf("dispatched: %v %v %v, want the first of each program", first.dispatched(), second.dispatched(), other.dispatched())
		}
	})
}
