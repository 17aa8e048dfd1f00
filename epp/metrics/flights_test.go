package metrics

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// endpointsOf makes a pool of n endpoints, e-0, e-1...
func endpointsOf(pools *datalayer.Pools, n int) []*datalayer.Endpoint {
	var specs []datalayer.Spec
	for i := range n {
		specs = append(specs, datalayer.Spec{Name: fmt.Sprintf("e-%d", i), Namespace: "ns", Address: fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)})
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	return pool.Endpoints()
}

// inFlight reads the page: "endpoint tenant priority" -> requests, tokens.
func inFlight(t *testing.T, registry *prometheus.Registry) map[string][2]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][2]float64{}
	for _, family := range families {
		which := map[string]int{"llm_d_epp_inflight_requests": 1, "llm_d_epp_inflight_tokens": 2}[family.GetName()]
		if which == 0 {
			continue
		}
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, label := range metric.GetLabel() {
				labels[label.GetName()] = label.GetValue()
			}
			if labels["namespace"] != "ns" || labels["producer_name"] != "inflight-load-producer" {
				t.Fatalf("labels %v", labels)
			}
			key := labels["endpoint_name"] + " " + labels["fairness_id"] + " " + labels["priority"]
			values := found[key]
			values[which-1] = metric.GetGauge().GetValue()
			found[key] = values
		}
	}
	return found
}

func expectInFlight(t *testing.T, registry *prometheus.Registry, when string, want map[string][2]float64) {
	t.Helper()
	if got := inFlight(t, registry); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", when, got, want)
	}
}

func TestInFlightByTenantAndPriority(t *testing.T) {
	m, pools, registry := newMetrics(t)
	e := endpointsOf(pools, 2)
	idle := [2]float64{}
	expectInFlight(t, registry, "idle", map[string][2]float64{"e-0 default-flow 0": idle, "e-1 default-flow 0": idle})
	first := m.BeginFlight(e[0], "alice", 5, 100, 50)
	second := m.BeginFlight(e[0], "alice", 5, 10, 0)
	third := m.BeginFlight(e[0], "alice", -1, 1, 0)
	fourth := m.BeginFlight(e[1], "", 0, 7, 0)
	begun := map[string][2]float64{"e-0 default-flow 0": idle, "e-0 alice 5": {2, 160}, "e-0 alice -1": {1, 1}, "e-1 default-flow 0": {1, 7}}
	expectInFlight(t, registry, "begun", begun)
	// The same process under other labels goes on.
	pools.Set("ns/pool", []datalayer.Spec{
		{Name: "e-0", Namespace: "ns", Address: "10.0.0.0:1", Labels: map[string]string{"x": "y"}}, {Name: "e-1", Namespace: "ns", Address: "10.0.0.1:1"}})
	expectInFlight(t, registry, "relabelled", begun)
	first.EndPrefill()
	third.End()
	begun["e-0 alice 5"], begun["e-0 alice -1"] = [2]float64{2, 60}, idle
	expectInFlight(t, registry, "answering", begun)
	for _, flight := range []*datalayer.Flight{first, second, fourth} {
		flight.End()
	}
	begun["e-0 alice 5"], begun["e-1 default-flow 0"] = idle, idle
	expectInFlight(t, registry, "over", begun)
}

func TestInFlightVanishes(t *testing.T) {
	m, pools, registry := newMetrics(t)
	e := endpointsOf(pools, 2)
	idle, now := [2]float64{}, time.Now()
	m.BeginFlight(e[0], "alice", 0, 1, 0).End()
	busy := m.BeginFlight(e[0], "bob", 0, 1, 0)
	m.flights.sweep(now) // alice was here since the last one
	m.flights.sweep(now.Add(time.Second))
	m.flights.sweep(now.Add(time.Second + quietFor - 1))
	if m.flights.len() != 2 {
		t.Fatalf("%d shares before the time is over", m.flights.len())
	}
	// A short visit begins the time anew.
	m.BeginFlight(e[0], "alice", 0, 1, 0).End()
	m.flights.sweep(now.Add(time.Second + 2*quietFor))
	m.flights.sweep(now.Add(time.Second + 2*quietFor + 1))
	if m.flights.len() != 2 {
		t.Fatalf("%d shares right after a visit", m.flights.len())
	}
	m.flights.sweep(now.Add(2*time.Second + 3*quietFor))
	expectInFlight(t, registry, "alice is long gone", map[string][2]float64{"e-0 default-flow 0": idle, "e-0 bob 0": {1, 1}, "e-1 default-flow 0": idle})

	// An endpoint that goes takes its series along, whatever is in flight there, and comes back without it.
	endpointsOf(pools, 0)
	expectInFlight(t, registry, "no endpoints", map[string][2]float64{})
	if m.flights.len() != 0 {
		t.Errorf("%d shares of endpoints that are gone", m.flights.len())
	}
	e = endpointsOf(pools, 1)
	expectInFlight(t, registry, "back", map[string][2]float64{"e-0 default-flow 0": idle})
	busy.End()
	m.BeginFlight(e[0], "bob", 0, 2, 0)
	expectInFlight(t, registry, "busy again", map[string][2]float64{"e-0 default-flow 0": idle, "e-0 bob 0": {1, 2}})
}

func TestInFlightIsBounded(t *testing.T) {
	m, pools, registry := newMetrics(t)
	e := endpointsOf(pools, 12)
	begun := 0
	for i := range 1100 {
		for _, endpoint := range e {
			m.BeginFlight(endpoint, fmt.Sprintf("tenant-%d\xff", i), 0, 2, 0)
			begun++
		}
	}
	// Endpoints always have their series: that of the others, and the idle one of the default tenant.
	shown := inFlight(t, registry)
	if most := maxSeries + 2*len(e); len(shown) > most || len(shown) < maxSeries {
		t.Errorf("%d series, want at most %d", len(shown), most)
	}
	var requests, tokens, others float64
	for i := range e {
		others += shown[fmt.Sprintf("e-%d other 0", i)][0]
	}
	for _, values := range shown {
		requests, tokens = requests+values[0], tokens+values[1]
	}
	if requests != float64(begun) || tokens != 2*requests || others < 1200 {
		t.Errorf("%g requests and %g tokens of %d, %g of them of others", requests, tokens, begun, others)
	}
}

func TestInFlightMakesRoom(t *testing.T) {
	m, pools, _ := newMetrics(t)
	e := endpointsOf(pools, 11)
	fill := func(from int) {
		for i := range 1000 {
			for _, endpoint := range e {
				m.BeginFlight(endpoint, fmt.Sprintf("tenant-%d", i), from, 1, 0).End()
			}
		}
	}
	fill(0)
	// Other endpoints come in place of these. Nobody scrapes: the next request that finds no room looks for some.
	endpointsOf(pools, 0)
	e = endpointsOf(pools, 5)
	m.flights.sweepAt.Store(0)
	m.BeginFlight(e[0], "tenant-1", 0, 1, 0)
	if n := m.flights.len(); n != 1 {
		t.Errorf("%d shares after a new tenant came", n)
	}
}

// TestInFlightAddsUp has requests of many tenants come, move and go while the page is read and shares are dropped.
func TestInFlightAddsUp(t *testing.T) {
	m, pools, registry := newMetrics(t)
	e := endpointsOf(pools, 3)
	check := func() {
		t.Helper()
		sums := map[string][2]float64{}
		for key, values := range inFlight(t, registry) {
			name := key[:3]
			sums[name] = [2]float64{sums[name][0] + values[0], sums[name][1] + values[1]}
		}
		for _, endpoint := range e {
			if want := [2]float64{float64(endpoint.Requests()), float64(endpoint.Tokens())}; sums[endpoint.Name] != want {
				t.Errorf("%s: the tenants add up to %v, the endpoint counts %v", endpoint.Name, sums[endpoint.Name], want)
			}
		}
	}
	stop, reading := make(chan struct{}), sync.WaitGroup{}
	reading.Go(func() {
		for now := time.Now(); ; now = now.Add(quietFor) { // all that is empty goes at once
			select {
			case <-stop:
				return
			default:
				m.flights.sweep(now)
			}
		}
	})
	for range 5 {
		var working sync.WaitGroup
		var mu sync.Mutex
		var open []*datalayer.Flight
		for worker := range 4 {
			working.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(worker)))
				for i := range 2000 {
					tenant := fmt.Sprintf("tenant-%d", random.IntN(1200))
					flight := m.BeginFlight(e[random.IntN(3)], tenant, random.IntN(3)-1, random.Int64N(100), random.Int64N(9))
					if random.IntN(2) == 0 {
						flight.EndPrefill()
					}
					if random.IntN(3) == 0 {
						prompt, output := flight.Held()
						flight.End()
						flight = m.BeginFlight(e[random.IntN(3)], tenant, 0, prompt, output)
					}
					if i%20 == 0 {
						mu.Lock()
						open = append(open, flight)
						mu.Unlock()
						continue
					}
					flight.End()
				}
			})
		}
		working.Wait()
		check()
		if e[0].Requests() == 0 {
			t.Error("nothing is in flight")
		}
		for _, flight := range open {
			flight.End()
		}
		check()
		if e[0].Requests() != 0 || e[0].Tokens() != 0 {
			t.Errorf("%d requests, %d tokens are left", e[0].Requests(), e[0].Tokens())
		}
	}
	close(stop)
	reading.Wait()
}

func TestInFlightAllocatesTheFlightAlone(t *testing.T) {
	m, pools, _ := newMetrics(t)
	e := endpointsOf(pools, 1)
	if got := testing.AllocsPerRun(100, func() {
		flight := m.BeginFlight(e[0], "alice", 1, 100, 10)
		flight.EndPrefill()
		flight.End()
	}); got > 1 {
		t.Errorf("%g allocations, want that of the flight", got)
	}
}

func BenchmarkInFlight(b *testing.B) {
	m, pools, _ := newMetrics(b)
	e := endpointsOf(pools, 100)
	for name, begin := range map[string]func(i int) *datalayer.Flight{
		"by tenant": func(i int) *datalayer.Flight { return m.BeginFlight(e[i%100], "alice", 1, 100, 10) },
		"sum":       func(i int) *datalayer.Flight { return e[i%100].Begin(110) },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				flight := begin(i)
				flight.EndPrefill()
				flight.End()
			}
		})
	}
}
