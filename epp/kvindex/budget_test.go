package kvindex_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

func live() int64 {
	var m runtime.MemStats
	for range 2 {
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestBytesAreABound has servers outgrow each other, share blocks, lose them and be taken to hold some, and measures.
func TestBytesAreABound(t *testing.T) {
	const budget = 16 << 20
	events := kvevents.NewMetrics()
	before := live()
	x := newIndex(t, kvindex.Options{Bytes: budget, Metrics: kvindex.NewMetrics(events)})
	check := func(when string) {
		t.Helper()
		used := live() - before
		t.Logf("%s: %d of %d bytes, %+v", when, used, budget, x.Stats())
		if used > budget {
			t.Errorf("%s: %d bytes, more than %d; %+v", when, used, budget, x.Stats())
		}
	}
	var servers []*kvindex.Server
	for range 6 {
		servers = append(servers, x.NewServer())
	}
	most := 0
	for round := range servers {
		for i := range uint32(1200) { // 40 blocks each: more than all have room for
			of := i + uint32(round)*1200
			if i%4 == 0 {
				of = i // what all of them hold
			}
			servers[round].Apply([]kvevents.Event{stored(of, 0, 40)})
		}
		most = max(most, x.Stats().Pairs)
		if round%2 == 0 {
			check(fmt.Sprintf("after server %d", round))
		}
	}
	if most < budget/400 {
		t.Errorf("only %d blocks of servers in %d bytes", most, budget)
	}
	for conversation := range uint32(3000) {
		x.Assume(servers[0], keys(x, "", ids(1_000_000+conversation, 40)), time.Now().Add(time.Hour))
	}
	check("with assumptions")
	if got := x.Stats().Assumed; got < 1000 {
		t.Errorf("only %d blocks could be assumed", got)
	}
	x.Expire(time.Now().Add(2 * time.Hour))
	for _, s := range servers {
		if s.Ordinal()%2 == 0 {
			s.Clear()
		}
	}
	servers[1].Apply([]kvevents.Event{stored(5_000_000, 0, 40)})
	wantBlocks(t, held(x, 5_000_000, 40)[1:2], 40)
	check("after clearing")
	for _, s := range servers {
		s.Remove()
	}
	if got := x.Stats(); got != (kvindex.Stats{}) {
		t.Errorf("left %+v", got)
	}
	runtime.KeepAlive(x)
}

// TestWhatIsWorthMoreStays has a small budget overrun many times: the beginnings of prompts that are asked for stay.
func TestWhatIsWorthMoreStays(t *testing.T) {
	x := newIndex(t, kvindex.Options{Bytes: kvindex.MinBytes})
	a, b := x.NewServer(), x.NewServer()
	a.Apply([]kvevents.Event{stored(1, 0, 30), stored(2, 0, 30), stored(3, 0, 30)})
	b.Apply([]kvevents.Event{stored(3, 0, 30)})
	now := time.Now()
	for conversation := range uint32(8000) {
		if conversation%100 == 0 {
			held(x, 1, 30)
			held(x, 3, 30)
			now = now.Add(10 * time.Second)
			x.Expire(now) // they are in use again and again
		}
		a.Apply([]kvevents.Event{stored(10+conversation, 0, 20)})
	}
	wantBlocks(t, held(x, 1, 30), 30, 0)
	wantBlocks(t, held(x, 3, 30), 30, 30)
	if got := held(x, 2, 30)[0].Blocks; got == 30 {
		t.Error("what nobody asks for is all there still")
	}
	// Of those that nobody asks for, ends go before beginnings.
	beginnings, ends := 0, 0
	for conversation := range uint32(8000) {
		k := keys(x, "", ids(10+conversation, 20))
		if match(x, k, now)[0].Blocks > 0 {
			beginnings++
		}
		if match(x, k[19:], now)[0].Blocks > 0 {
			ends++
		}
	}
	if beginnings < 2*ends {
		t.Errorf("%d beginnings and %d ends are left", beginnings, ends)
	}
}

func TestAnEventTooLargeForTheBudget(t *testing.T) {
	x := newIndex(t, kvindex.Options{Bytes: kvindex.MinBytes})
	s := x.NewServer()
	s.Apply([]kvevents.Event{stored(1, 0, 5), stored(2, 0, 60_000)})
	wantBlocks(t, held(x, 1, 5), 5)
	wantBlocks(t, held(x, 2, 5), 0)
}

func TestManyAtOnceWithinABudget(t *testing.T) {
	x := newIndex(t, kvindex.Options{Bytes: kvindex.MinBytes})
	var all sync.WaitGroup
	for i := range 6 {
		s := x.NewServer()
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 7))
			for range 500 {
				c := uint32(random.IntN(3000))
				switch random.IntN(20) {
				case 0:
					s.Clear()
				case 1, 2:
					s.Apply([]kvevents.Event{removed("GPU", uint64(c)*100+uint64(random.IntN(20)))})
				case 3:
					x.Assume(s, keys(x, "", ids(c, 10)), time.Now().Add(time.Hour))
				case 4:
					x.Expire(time.Now())
				default:
					s.Apply([]kvevents.Event{stored(c, 0, 20+random.IntN(20))})
				}
				held(x, c, 20)
			}
			s.Remove()
		})
	}
	all.Wait()
	x.Expire(time.Now().Add(4 * time.Hour))
	if got := x.Stats(); got != (kvindex.Stats{}) {
		t.Errorf("left %+v", got)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"2GiB": 2 << 30, "500 MiB": 500 << 20, "1GB": 1e9, "1.5gib": 3 << 29, "4096": 4096, "7b": 7, "2G": 2e9, "3Mi": 3 << 20} {
		if got, err := kvindex.ParseSize(text); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1GiB", "2GiBs", "1.2.3", "9999999TiB", "NaN", "Inf", "1e9"} {
		if got, err := kvindex.ParseSize(text); err == nil {
			t.Errorf("%q was read as %d", text, got)
		}
	}
}
