package datalayer

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/prefix"
)

func spec(name, address string) Spec {
	return Spec{Name: name, Namespace: "ns", Pod: name, Address: address, Labels: map[string]string{"role": "decode"}}
}

func endpointNamed(t *testing.T, pool *Pool, name string) *Endpoint {
	t.Helper()
	for _, e := range pool.Endpoints() {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("pool %s has no endpoint %s", pool.Key(), name)
	return nil
}

func TestPools(t *testing.T) {
	p := New(Options{})
	if _, ok := p.Get("ns/a"); ok || len(p.List()) != 0 {
		t.Error("a new registry has pools")
	}
	p.Set("ns/b", nil)
	p.Set("ns/a", []Spec{spec("y", "10.0.0.2:80"), spec("x", "10.0.0.1:80"), spec("x", "10.0.0.1:80")})
	a, ok := p.Get("ns/a")
	if !ok || a.Key() != "ns/a" || len(a.Endpoints()) != 2 || a.Endpoints()[0].Name != "x" || a.Index() == nil {
		t.Fatalf("pool %+v", a)
	}
	if list := p.List(); len(list) != 2 || list[0] != a || list[1].Key() != "ns/b" {
		t.Errorf("list %v", list)
	}
	m := a.Endpoints()[0].Metrics()
	if m == nil || !m.Stale(time.Now()) || m.Known != 0 {
		t.Errorf("metrics of an endpoint never scraped: %+v", m)
	}
	p.Delete("ns/a")
	p.Delete("ns/nothing")
	if _, ok := p.Get("ns/a"); ok || len(p.List()) != 1 || len(a.Endpoints()) != 0 {
		t.Error("the pool is still there")
	}
	p.Set("ns/a", nil)
	if again, _ := p.Get("ns/a"); again == a {
		t.Error("a pool made again is the one deleted")
	}
}

func TestSetKeepsIdentity(t *testing.T) {
	p := New(Options{})
	p.Set("k", []Spec{spec("x", "10.0.0.1:80"), spec("y", "10.0.0.2:80")})
	pool, _ := p.Get("k")
	x, y := endpointNamed(t, pool, "x"), endpointNamed(t, pool, "y")
	flight := x.Begin(100)
	pool.Index().Add(x.Server, []uint64{1, 2, 3})
	pool.Index().Add(y.Server, []uint64{1, 2, 3})

	relabelled := spec("x", "10.0.0.1:80")
	relabelled.Labels = map[string]string{"role": "prefill"}
	moved := spec("y", "10.0.0.9:80")
	before := pool.Endpoints()
	p.Set("k", []Spec{relabelled, moved, spec("z", "10.0.0.3:80")})

	if len(before) != 2 || before[0] != x {
		t.Error("a snapshot taken before has changed")
	}
	x2, y2, z := endpointNamed(t, pool, "x"), endpointNamed(t, pool, "y"), endpointNamed(t, pool, "z")
	if x2.Labels["role"] != "prefill" || x.Labels["role"] != "decode" {
		t.Errorf("labels %v, before %v", x2.Labels, x.Labels)
	}
	if x2.Server != x.Server || x2.Requests() != 1 || x2.Tokens() != 100 {
		t.Errorf("relabelled endpoint: server %d, %d requests, %d tokens", x2.Server, x2.Requests(), x2.Tokens())
	}
	flight.End()
	if x2.Requests() != 0 || x2.Tokens() != 0 {
		t.Errorf("after the end: %d requests, %d tokens", x2.Requests(), x2.Tokens())
	}
	if y2.Server == y.Server || z.Server == y.Server || y2.Server == z.Server {
		t.Errorf("ordinals %d, %d, %d: one was given on within a change", y.Server, y2.Server, z.Server)
	}
	if hits := pool.Index().Match([]uint64{1, 2, 3}, nil); !slices.Equal(hits, []prefix.Hit{{Server: x.Server, Blocks: 3}}) {
		t.Errorf("hits %v, want those of x alone", hits)
	}

	// A late request of the endpoint that is gone must not speak for the one that gets its ordinal.
	pool.Index().Add(y.Server, []uint64{1, 2, 3})
	p.Set("k", []Spec{relabelled, moved, spec("z", "10.0.0.3:80"), spec("w", "10.0.0.4:80")})
	w := endpointNamed(t, pool, "w")
	if w.Server != y.Server {
		t.Errorf("ordinal %d is not used again, the new one is %d", y.Server, w.Server)
	}
	if hits := pool.Index().Match([]uint64{1, 2, 3}, nil); len(hits) != 1 {
		t.Errorf("hits %v, want those of x alone", hits)
	}
	if endpointNamed(t, pool, "x") != x2 {
		t.Error("an endpoint that did not change was made again")
	}
}

func TestFlight(t *testing.T) {
	p := New(Options{})
	p.Set("k", []Spec{spec("x", "10.0.0.1:80")})
	pool, _ := p.Get("k")
	e := pool.Endpoints()[0]
	a, b := e.Begin(100), e.Begin(20)
	if e.Requests() != 2 || e.Tokens() != 120 {
		t.Fatalf("%d requests, %d tokens", e.Requests(), e.Tokens())
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(a.EndPrefill)
	}
	wg.Wait()
	if e.Requests() != 2 || e.Tokens() != 20 {
		t.Errorf("prefill over: %d requests, %d tokens", e.Requests(), e.Tokens())
	}
	for range 20 {
		wg.Go(a.End)
		wg.Go(b.End)
		wg.Go(b.EndPrefill)
	}
	wg.Wait()
	if e.Requests() != 0 || e.Tokens() != 0 {
		t.Errorf("all over: %d requests, %d tokens", e.Requests(), e.Tokens())
	}
}

func TestInterval(t *testing.T) {
	o := (Options{}).withDefaults()
	metrics, models := &metricsSource{opts: &o}, &modelsSource{every: 5 * time.Second}
	now := time.Now()
	for _, tc := range []struct {
		name string
		of   source
		with func(*target)
		want time.Duration
	}{
		{"idle", metrics, func(*target) {}, time.Second},
		{"request in flight", metrics, func(t *target) { t.live.requests.Store(1) }, 50 * time.Millisecond},
		{"request lately", metrics, func(t *target) { t.live.lastBegin.Store(now.Add(-activeFor + 1).UnixNano()) }, 50 * time.Millisecond},
		{"request a while ago", metrics, func(t *target) { t.live.lastBegin.Store(now.Add(-activeFor).UnixNano()) }, time.Second},
		{"busy for others", metrics, func(t *target) { t.live.metrics.Store(&Metrics{Running: 1}) }, 50 * time.Millisecond},
		{"queue for others", metrics, func(t *target) { t.live.metrics.Store(&Metrics{Waiting: 1}) }, 50 * time.Millisecond},
		{"failed once", metrics, func(t *target) { t.failures = 1; t.live.requests.Store(1) }, time.Second},
		{"failed twice", metrics, func(t *target) { t.failures = 2 }, 2 * time.Second},
		{"failed for ever", metrics, func(t *target) { t.failures = 1 << 40 }, 4 * time.Second},
		{"models", models, func(t *target) { t.live.requests.Store(1) }, 5 * time.Second},
		{"models failed for ever", models, func(t *target) { t.failures = 9 }, 20 * time.Second},
	} {
		l := &live{}
		l.metrics.Store(&Metrics{})
		target := &target{live: l, source: tc.of}
		tc.with(target)
		if got := target.interval(now); got != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
		// The first time they are spread over the interval, later about it.
		for _, test := range []struct {
			spread         bool
			random, expect float64
		}{{false, 0, 0.1}, {false, 1, 1}, {true, 0, 0.9}, {true, 1, 1.1}} {
			target.spread = test.spread
			if got, want := target.next(now, test.random), time.Duration(float64(tc.want)*test.expect); got.Round(time.Microsecond) != want.Round(time.Microsecond) || !target.spread {
				t.Errorf("%s, spread %v, random %v: %v, want %v", tc.name, test.spread, test.random, got, want)
			}
		}
	}
}

func TestStale(t *testing.T) {
	now := time.Now()
	m := &Metrics{At: now, staleAfter: 2 * time.Second}
	if m.Stale(now.Add(2*time.Second)) || !m.Stale(now.Add(2*time.Second+1)) || !(&Metrics{staleAfter: time.Hour}).Stale(now) {
		t.Error("stale at the wrong time")
	}
	if o := (Options{IdleInterval: 5 * time.Second}).withDefaults(); o.StaleAfter != 10*time.Second {
		t.Errorf("idle endpoints go stale between scrapes: %v", o.StaleAfter)
	}
	if o := (Options{StaleAfter: time.Second}).withDefaults(); o.StaleAfter != time.Second || o.IdleInterval != 500*time.Millisecond {
		t.Errorf("idle endpoints go stale between scrapes: asked each %v, stale after %v", o.IdleInterval, o.StaleAfter)
	}
}

// TestSlowScrapesAreWarnedOf counts the lines of the log.
func TestSlowScrapesAreWarnedOf(t *testing.T) {
	var log bytes.Buffer
	o := Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}
	warned := func(what string, want int) {
		t.Helper()
		if got := strings.Count(log.String(), "stale before they are asked"); got != want {
			t.Errorf("%s: %d warnings, want %d", what, got, want)
		}
	}
	New(o)
	warned("defaults", 0)
	o.Interval = time.Second
	New(o)
	warned("twice within the threshold", 0)
	o.Interval, o.StaleAfter = 300*time.Millisecond, 500*time.Millisecond
	p := New(o)
	warned("slower than the threshold", 1)
	p.Set("k", []Spec{spec("x", "10.0.0.1:80")})
	o.BlocksPerServer = 7
	if err := p.Reconfigure(o); err != nil {
		t.Fatal(err)
	}
	warned("another option changed", 1)
	o.Interval = time.Second
	if err := p.Reconfigure(o); err != nil {
		t.Fatal(err)
	}
	warned("slower still", 2)
	if got := p.opts.Load().StaleAfter; got != 2*time.Second {
		t.Errorf("numbers count for %v, want twice the interval", got)
	}
}

func TestChangesAreTold(t *testing.T) {
	var told []string
	p := New(Options{Changed: func(pool string) { told = append(told, pool) }})
	a, b := spec("a", "10.0.0.1:80"), spec("b", "10.0.0.2:80")
	p.Set("ns/p", nil)
	p.Set("ns/p", []Spec{a})
	p.Set("ns/p", []Spec{a})
	p.Set("ns/q", []Spec{a, b})
	p.Set("ns/q", []Spec{b, a})
	relabelled := a
	relabelled.Labels = map[string]string{"role": "both"}
	p.Set("ns/p", []Spec{relabelled})
	p.Delete("ns/q")
	p.Delete("ns/q")
	if want := []string{"ns/p", "ns/p", "ns/q", "ns/p", "ns/q"}; !slices.Equal(told, want) {
		t.Errorf("told of %q, want %q", told, want)
	}
}
