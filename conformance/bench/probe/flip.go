package probe

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// State names one of the two configurations between which a route alternates.
type State string

// flip is one change of the route, as its author saw it.
type flip struct {
	state          State
	sent, returned time.Time
	// firstNew and lastOld are answers' ends; zero when there was none.
	firstNew, lastOld time.Time
}

// Timeline knows which state the route was asked to have at which time, and judges answers by it. It is safe for concurrent use.
type Timeline struct {
	// Bound is how long after the change was acknowledged an answer may still be the old one.
	Bound time.Duration

	mu    sync.Mutex
	start State
	flips []flip
	tally Tally
}

// Tally counts answers under load.
type Tally struct {
	Requests int
	// Wrong counts answers that were not 200, by code, and those that never came, by reason.
	Wrong map[string]int
	// Mixed answers are 200, but neither of the two states: half of one, half of the other.
	Mixed map[string]int
	// Stale answers show the old state to a request that was sent after the bound.
	Stale int
	// StaleBy is how long after the acknowledgement the latest of them was sent.
	StaleBy time.Duration
	// Early answers show a state that had not been asked for yet.
	Early int
}

// NewTimeline starts with a route that is known to be in the given state everywhere.
func NewTimeline(start State, bound time.Duration) *Timeline {
	return &Timeline{Bound: bound, start: start, tally: Tally{Wrong: map[string]int{}, Mixed: map[string]int{}}}
}

// Sending has to be called before a change is sent, so that no answer of the new state can end earlier than the recorded time.
func (t *Timeline) Sending(state State) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flips = append(t.flips, flip{state: state, sent: time.Now()})
}

// Returned has to be called when the API server has acknowledged the change.
func (t *Timeline) Returned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flips[len(t.flips)-1].returned = time.Now()
}

// Record judges and counts one answer. The state function tells which state the answer shows, or why it shows neither.
func (t *Timeline) Record(a Answer, state func(Answer) (State, error)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tally.Requests++
	if a.Err != nil || a.Code != http.StatusOK {
		t.tally.Wrong[label(a)]++
		return
	}
	shown, err := state(a)
	if err != nil {
		t.tally.Mixed[err.Error()]++
		return
	}
	t.place(a, shown)
}

// place holds an answer of a known state against the changes that had been sent before it ended.
func (t *Timeline) place(a Answer, shown State) {
	last := t.lastSentBefore(a.Got)
	if last < 0 {
		if shown != t.start {
			t.tally.Early++
		}
		return
	}
	f := &t.flips[last]
	if shown == f.state {
		// The answer to a request from before the change is of the same state only if the state came back: it tells nothing.
		if !a.Sent.Before(f.sent) && (f.firstNew.IsZero() || a.Got.Before(f.firstNew)) {
			f.firstNew = a.Got
		}
		return
	}
	if shown != t.before(last) {
		t.tally.Early++
		return
	}
	if a.Got.After(f.lastOld) {
		f.lastOld = a.Got
	}
	if f.returned.IsZero() || !a.Sent.After(f.returned.Add(t.Bound)) {
		return
	}
	t.tally.Stale++
	t.tally.StaleBy = max(t.tally.StaleBy, a.Sent.Sub(f.returned))
}

// lastSentBefore searches from the end: answers are nearly always about the latest change.
func (t *Timeline) lastSentBefore(end time.Time) int {
	for i, f := range slices.Backward(t.flips) {
		if f.sent.Before(end) {
			return i
		}
	}
	return -1
}

func (t *Timeline) before(i int) State {
	if i == 0 {
		return t.start
	}
	return t.flips[i-1].state
}

// Report returns what was counted, and for each change the time from its acknowledgement to the first new and to the last old answer.
// A change that no answer ever showed has no first; it is counted in never.
func (t *Timeline) Report() (tally Tally, firstNew, lastOld []time.Duration, never int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.flips {
		if f.returned.IsZero() {
			continue // refused by the API server
		}
		if f.firstNew.IsZero() {
			never++
			continue
		}
		firstNew = append(firstNew, f.firstNew.Sub(f.returned))
		if !f.lastOld.IsZero() {
			lastOld = append(lastOld, f.lastOld.Sub(f.returned))
		}
	}
	tally = t.tally
	tally.Wrong, tally.Mixed = maps.Clone(tally.Wrong), maps.Clone(tally.Mixed)
	return tally, firstNew, lastOld, never
}

// String is for a progress line.
func (t *Timeline) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return fmt.Sprintf("%d changes, %d answers, %d not 200, %d mixed, %d stale",
		len(t.flips), t.tally.Requests, Sum(t.tally.Wrong), Sum(t.tally.Mixed), t.tally.Stale)
}

// Sum adds up counters.
func Sum(counts map[string]int) int {
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return sum
}
