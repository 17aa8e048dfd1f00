package flowcontrol_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/eviction"
	"github.com/switchyard/switchyard/epp/flowcontrol/usagelimit"
)

// evicting is options with eviction, and a registry of its metrics.
func evicting(t *testing.T, s *server, lag time.Duration) (flowcontrol.Options, *prometheus.Registry) {
	t.Helper()
	o := options(t, s)
	o.Eviction = &flowcontrol.Eviction{Filter: eviction.Sheddable{}, Ordering: eviction.PriorityThenTime{}, Lag: lag}
	registry := prometheus.NewRegistry()
	o.Registerer = registry
	return o, registry
}

// fleet is requests in flight that can be revoked.
type fleet struct {
	mu      sync.Mutex
	revoked []string // "name reason", in order
	end     map[string]func()
}

// names are the requests revoked since the last call.
func (f *fleet) names() string {
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := strings.Join(f.revoked, ", ")
	f.revoked = nil
	return got
}

// send dispatches and places a request. Revoked, it ends only if obedient.
func (f *fleet) send(t *testing.T, c *flowcontrol.Controller, s *server, name string, priority int, obedient bool) {
	t.Helper()
	if f.end == nil {
		f.end = map[string]func(){}
	}
	r := flowcontrol.Request{Priority: priority, Revoke: func(reason string) {
		f.mu.Lock()
		f.revoked = append(f.revoked, name+" "+reason)
		end := f.end[name]
		f.mu.Unlock()
		if obedient {
			end() // from inside the callback: nothing is held while it is called
		}
	}}
	made := admit(c, name, r)
	if !made.dispatched() {
		t.Fatalf("%s was not dispatched: %v", name, made.err)
	}
	end := s.place(made.ticket)
	f.mu.Lock()
	f.end[name] = end
	f.mu.Unlock()
	time.Sleep(time.Millisecond)
}

func TestEviction(t *testing.T) {
	type flight struct {
		name     string
		priority int
	}
	for name, test := range map[string]struct {
		flights []flight
		room    int // once they are in flight
		waits   int // priority of the request that comes then
		change  func(*flowcontrol.Options)
		server  func(*server)
		revoked string
		goes    bool
	}{
		"the lowest, and of these the latest": {flights: []flight{{"a", -1}, {"b", -2}, {"c", -2}, {"d", -1}}, room: 4, waits: 0,
			revoked: "c evicted-priority", goes: true},
		"from 0 on nobody is":              {flights: []flight{{"a", 0}, {"b", 3}}, room: 2, waits: 9},
		"a victim is lower than who waits": {flights: []flight{{"a", -1}, {"b", -2}}, room: 1, waits: -2},
		"below 0 may be above another":     {flights: []flight{{"a", -1}, {"b", -2}}, room: 2, waits: -1, revoked: "b evicted-priority", goes: true},
		"two at most": {flights: []flight{{"a", -1}, {"b", -1}, {"c", -1}, {"d", -1}}, room: 1, waits: 0,
			revoked: "d evicted-priority, c evicted-priority"},
		"there is room": {flights: []flight{{"a", -1}}, room: 2, waits: 0, goes: true},
		"a queue that is full": {flights: []flight{{"a", -1}}, room: 1, waits: 0,
			change: func(o *flowcontrol.Options) { o.Default.MaxRequests = 1 }, revoked: "a evicted-queue-pressure", goes: true},
		"not asked for":    {flights: []flight{{"a", -1}}, room: 1, waits: 0, change: func(o *flowcontrol.Options) { o.Eviction = nil }},
		"an empty pool":    {flights: []flight{{"a", -1}}, room: 1, waits: 0, server: func(s *server) { s.empty = true }},
		"nothing is known": {flights: []flight{{"a", -1}}, room: 1, waits: 0, server: func(s *server) { s.stale = true }},
		"a band that is closed": {flights: []flight{{"a", -1}}, room: 1, waits: 5, change: func(o *flowcontrol.Options) {
			o.UsageLimit, _ = usagelimit.NewPriorityHoldback([]byte(`{"domain": "explicit", "ceilings": {"-1": 1}}`))
		}},
		"a filter": {flights: []flight{{"a", -1}}, room: 1, waits: 0, change: func(o *flowcontrol.Options) { o.Eviction.Filter = nobody{} }},
		"a filter that goes too far": {flights: []flight{{"a", 0}}, room: 1, waits: 5,
			change: func(o *flowcontrol.Options) { o.Eviction.Filter = everybody{} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{room: 100}
				o, registry := evicting(t, s, 10*time.Millisecond)
				if test.change != nil {
					test.change(&o)
				}
				c := newController(t, o)
				var f fleet
				for _, one := range test.flights {
					f.send(t, c, s, one.name, one.priority, true)
				}
				s.set(func(s *server) {
					s.room = test.room
					if test.server != nil {
						test.server(s)
					}
				})
				waits := admit(c, "waits", flowcontrol.Request{Priority: test.waits})
				if got := f.names(); got != test.revoked {
					t.Errorf("revoked %q, want %q", got, test.revoked)
				}
				if target := gather(t, registry)["reclaim_target{inference_pool=pool}"]; test.revoked == "" && target != 0 {
					t.Errorf("there is nobody to revoke, and the target is %g", target)
				}
				if waits.dispatched() != test.goes {
					t.Errorf("who waits is through: %v, want %v", waits.dispatched(), test.goes)
				}
			})
		})
	}
}

type nobody struct{}

func (nobody) Evictable(*flowcontrol.InFlight) bool { return false }

type everybody struct{}

func (everybody) Evictable(*flowcontrol.InFlight) bool { return true }

// TestEvictionIsPaced: the next decision comes when the last one's requests have ended and their end must show.
func TestEvictionIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 100}
		o, registry := evicting(t, s, 500*time.Millisecond)
		c := newController(t, o)
		var f fleet
		for i := range 6 {
			f.send(t, c, s, fmt.Sprint("v", i), -1, false)
		}
		s.set(func(s *server) { s.room = 2 })
		admit(c, "waits", flowcontrol.Request{Priority: 7})
		if got := f.names(); got != "v5 evicted-priority, v4 evicted-priority" {
			t.Fatalf("revoked %q", got)
		}
		got := gather(t, registry)
		for name, want := range map[string]float64{
			"revocations_issued_total{inference_pool=pool,priority=7}": 2,
			"reclaim_target{inference_pool=pool}":                      2, // 6 of 2, and 2 would do
			"pending_reclaim{inference_pool=pool}":                     1, // two of the six that make 3
		} {
			if diff := got[name] - want; diff > 1e-9 || diff < -1e-9 {
				t.Errorf("%s is %g, want %g", name, got[name], want)
			}
		}
		time.Sleep(5 * time.Second)
		f.end["v5"]()
		time.Sleep(4 * time.Second)
		if got := f.names(); got != "" {
			t.Fatalf("revoked %q while v4 has not ended", got)
		}
		f.end["v4"]()
		time.Sleep(499 * time.Millisecond)
		if got := f.names(); got != "" {
			t.Fatalf("revoked %q before the end of v4 must show", got)
		}
		time.Sleep(30 * time.Millisecond)
		if got := f.names(); got != "v3 evicted-priority, v2 evicted-priority" {
			t.Fatalf("revoked %q", got)
		}
		// These do not end: after 10 s they are given up on, half a second later others have to go.
		time.Sleep(10*time.Second + 400*time.Millisecond)
		f.end["v3"]() // late: it does not count again
		if got := f.names(); got != "" {
			t.Fatalf("revoked %q", got)
		}
		time.Sleep(200 * time.Millisecond)
		if got := f.names(); got != "v1 evicted-priority" {
			t.Fatalf("revoked %q, want the one of which the lack is", got)
		}
		f.end["v1"]()
		got = gather(t, registry)
		for name, want := range map[string]float64{
			"revocations_issued_total{inference_pool=pool,priority=7}":           5,
			"revocations_total{inference_pool=pool,outcome=confirmed}":           3,
			"revocations_total{inference_pool=pool,outcome=timed_out}":           2,
			"revocation_confirmation_seconds{inference_pool=pool}":               3,
			"requests_total{inference_pool=pool,outcome=Dispatched,priority=-1}": 6,
		} {
			if got[name] != want {
				t.Errorf("%s is %g, want %g", name, got[name], want)
			}
		}
	})
}

// TestEndedIsNotRevoked: a request that has ended, or is not placed yet, is no victim.
func TestEndedIsNotRevoked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 100}
		o, registry := evicting(t, s, 10*time.Millisecond)
		c := newController(t, o)
		var f fleet
		f.send(t, c, s, "ended", -1, true)
		f.end["ended"]()
		unplaced := admit(c, "unplaced", flowcontrol.Request{Priority: -1, Revoke: func(string) { t.Error("revoked before it is placed") }})
		s.set(func(s *server) { s.room = 1 })
		waits := admit(c, "waits", flowcontrol.Request{})
		time.Sleep(time.Second)
		if got := f.names(); got != "" || waits.done() {
			t.Errorf("revoked %q, who waits is done: %v", got, waits.done())
		}
		unplaced.ticket.Release(flowcontrol.Usage{})
		unplaced.ticket.Placed()
		synctest.Wait()
		if !waits.dispatched() {
			t.Error("the end of the request did not make room")
		}
		for name, value := range gather(t, registry) {
			if strings.HasPrefix(name, "reclaim_target") && value != 0 {
				t.Errorf("%s is %g with nothing waiting", name, value)
			}
		}
	})
}

// TestEvictionUnderLoad: requests that end by themselves, are revoked and come at once; each is told once at most, and all end.
func TestEvictionUnderLoad(t *testing.T) {
	s := &server{room: 8}
	o, _ := evicting(t, s, time.Microsecond)
	o.Default.MaxRequests = 1 << 20
	c := newController(t, o)
	var all sync.WaitGroup
	for i := range 2000 {
		all.Go(func() {
			told := make(chan string, 2)
			ticket, err := c.Admit(t.Context(), flowcontrol.Request{Pool: "ns/pool", Priority: i%5 - 3,
				Revoke: func(reason string) { told <- reason }})
			if err != nil {
				t.Error(err)
				return
			}
			end := s.place(ticket)
			for range 20 {
				select {
				case <-told:
				default:
					c.Changed("ns/pool")
				}
			}
			end()
			if len(told) > 1 {
				t.Error("told twice")
			}
		})
	}
	all.Wait()
	if c.Waiting() != 0 || s.inFlight != 0 {
		t.Errorf("%d wait, %d in flight", c.Waiting(), s.inFlight)
	}
}

func TestEvictedAnswer(t *testing.T) {
	for given, want := range map[string]string{"": "evicted", "evicted-priority": "evicted-priority"} {
		got := flowcontrol.Evicted(given)
		if got.Status != 429 || got.Code != "" || got.Message != "request evicted by flow control" || got.Reason != want {
			t.Errorf("%q: %+v", given, got)
		}
	}
	reasons := []string{flowcontrol.ReasonEvicted, flowcontrol.ReasonEvictedPriority, flowcontrol.ReasonEvictedQueuePressure}
	if !slices.Equal(reasons, []string{"evicted", "evicted-priority", "evicted-queue-pressure"}) {
		t.Error(reasons)
	}
}
