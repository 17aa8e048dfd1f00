package probe

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// showing makes an answer with the given state, sent and complete at the given distance from the origin.
func showing(origin time.Time, state string, sent, got time.Duration) Answer {
	return Answer{Sent: origin.Add(sent), Got: origin.Add(got), Code: 200, Header: http.Header{"X-State": {state}}}
}

func shown(a Answer) (State, error) {
	switch s := a.Header.Get("X-State"); s {
	case "A", "B":
		return State(s), nil
	default:
		return "", errors.New("neither: " + s)
	}
}

// flipped is a route that began as A and became B: sent at 10 ms, acknowledged at 20 ms, and may be stale for 100 ms.
func flipped(origin time.Time) *Timeline {
	t := NewTimeline("A", 100*time.Millisecond)
	t.flips = []flip{{state: "B", sent: origin.Add(10 * time.Millisecond), returned: origin.Add(20 * time.Millisecond)}}
	return t
}

func TestTimelineJudgesAnswers(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name      string
		state     string
		sent, got time.Duration
		want      func(Tally) bool
	}{
		{"old before the change", "A", 0, 5 * ms, func(c Tally) bool { return c.Stale+c.Early == 0 }},
		{"new before the change", "B", 0, 5 * ms, func(c Tally) bool { return c.Early == 1 }},
		{"old within the bound", "A", 110 * ms, 115 * ms, func(c Tally) bool { return c.Stale == 0 }},
		{"old, sent within the bound and slow", "A", 119 * ms, 300 * ms, func(c Tally) bool { return c.Stale == 0 }},
		{"old after the bound", "A", 150 * ms, 151 * ms, func(c Tally) bool { return c.Stale == 1 && c.StaleBy == 130*ms }},
		{"new after the bound", "B", 150 * ms, 151 * ms, func(c Tally) bool { return c.Stale == 0 }},
		{"neither", "half", 150 * ms, 151 * ms, func(c Tally) bool { return c.Mixed["neither: half"] == 1 && c.Stale == 0 }},
	} {
		origin := time.Now()
		line := flipped(origin)
		line.Record(showing(origin, test.state, test.sent, test.got), shown)
		tally, _, _, _ := line.Report()
		if tally.Requests != 1 || !test.want(tally) {
			t.Errorf("%s: counted %+v", test.name, tally)
		}
	}
}

func TestTimelineMeasuresEachChange(t *testing.T) {
	const ms = time.Millisecond
	origin := time.Now()
	line := flipped(origin)
	line.flips = append(line.flips, flip{state: "A", sent: origin.Add(500 * ms), returned: origin.Add(510 * ms)})
	for _, a := range []Answer{
		showing(origin, "A", 1*ms, 2*ms),
		showing(origin, "B", 30*ms, 32*ms), // the first new one, 12 ms after the acknowledgement
		showing(origin, "A", 40*ms, 41*ms), // a proxy that lags: the last old one, 21 ms after
		showing(origin, "B", 50*ms, 51*ms),
		showing(origin, "A", 499*ms, 501*ms), // sent before the second change: tells nothing about it
	} {
		line.Record(a, shown)
	}
	_, first, last, never := line.Report()
	if len(first) != 1 || first[0] != 12*ms {
		t.Errorf("first new answers after %v, want 12ms of the first change only", first)
	}
	if len(last) != 1 || last[0] != 21*ms {
		t.Errorf("last old answers after %v, want 21ms", last)
	}
	if never != 1 {
		t.Errorf("%d changes never showed, want the second one", never)
	}
}

// TestLoadAgainstAServerThatErrs drives the whole: connections, timeline and counters against a proxy that answers one request with
// 503, one with half of each state, drops one, and goes back to the old state after the bound.
func TestLoadAgainstAServerThatErrs(t *testing.T) {
	var requests, fault atomic.Int64
	var state atomic.Value
	state.Store("A")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch fault.Swap(0) {
		case 1:
			w.WriteHeader(503)
		case 2:
			w.Header().Set("X-State", "half")
		case 3:
			w.Header().Set("X-State", "A")
		case 4:
			w.WriteHeader(500)
		default:
			w.Header().Set("X-State", state.Load().(string))
		}
	}))
	defer server.Close()

	line := NewTimeline("A", 50*time.Millisecond)
	load := StartLoad(t.Context(), 3, 5*time.Second, func(int, int) Target {
		return Target{Address: server.Listener.Addr().String(), Host: "flip.example.com", Path: "/"}
	}, func(_ Target, a Answer) { line.Record(a, shown) })

	inject := func(n int64) {
		t.Helper()
		fault.Store(n)
		waitFor(t, func() bool { return fault.Load() == 0 })
	}
	inject(1)
	inject(1)
	inject(4)
	inject(2)
	line.Sending("B")
	state.Store("B")
	line.Returned()
	acknowledged := time.Now()
	waitFor(t, func() bool { return time.Since(acknowledged) > 60*time.Millisecond })
	inject(3)
	seen := requests.Load()
	waitFor(t, func() bool { return requests.Load() > seen+10 })
	load.Stop()

	tally, first, _, never := line.Report()
	if want := map[string]int{"503": 2, "500": 1}; !maps.Equal(tally.Wrong, want) {
		t.Errorf("wrong answers %v, want %v", tally.Wrong, want)
	}
	if tally.Mixed["neither: half"] != 1 || tally.Stale != 1 || tally.StaleBy < 50*time.Millisecond {
		t.Errorf("counted %+v, want 1 mixed and 1 stale answer", tally)
	}
	if int64(tally.Requests) != requests.Load() {
		t.Errorf("%d answers recorded of %d requests", tally.Requests, requests.Load())
	}
	if len(first) != 1 || never != 0 {
		t.Errorf("the change was seen %d times, and never %d times", len(first), never)
	}
	if after := requests.Load(); after != int64(tally.Requests) {
		t.Errorf("requests went on after Stop: %d", after)
	}
}

func TestLoadThatIsCancelledRecordsNoFailure(t *testing.T) {
	arrived := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	line := NewTimeline("A", time.Second)
	load := StartLoad(ctx, 1, time.Minute, func(int, int) Target {
		return Target{Address: server.Listener.Addr().String(), Path: "/"}
	}, func(_ Target, a Answer) { line.Record(a, shown) })
	<-arrived
	cancel()
	load.Stop()
	if tally, _, _, _ := line.Report(); tally.Requests != 0 {
		t.Errorf("the interrupted request was counted: %+v", tally)
	}
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(20 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("waited 20 s in vain")
		}
	}
}
