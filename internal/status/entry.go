package status

import (
	"math/rand/v2"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/internal/source"
)

const (
	// The pause between two writes to one object grows from the first to the longest while it keeps
	// changing: 1 000 changes over 10 s are about 10 writes. The last value is late by the longest at most.
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second

	// The pause after an attempt that failed, doubled with each.
	firstRetry   = 50 * time.Millisecond
	longestRetry = 30 * time.Second
	// lackingRetry is the pause where a role may lack the right to write, and does.
	lackingRetry = 10 * time.Minute

	// memory is how long what the API server said is kept when the source brings nothing newer.
	memory = time.Minute
)

// place is where an entry waits.
type place int

const (
	asleep   place = iota // until entry.due
	queued                // for its turn
	inFlight              // for the API server's answer
)

// entry is one object that is not at rest: its status is to be written, or was a short while ago.
type entry struct {
	kind  kind
	turn  int // of the kind
	key   source.Key
	place place
	due   time.Time // when to look at it again, if asleep
	index int       // in the heap of sleepers, -1 when not there

	since    time.Time // when the status that is to be written was first wanted, zero when none is
	written  time.Time // when the last write began
	answered time.Time // when it had succeeded
	pause    time.Duration
	failures int
	retry    time.Time // not before, after a failure
	tried    int64     // the generation for which it failed
	warned   string    // cause that was warned about

	known   client.Object // what the API server said last, trimmed, while the source has not caught up
	knownAt time.Time
	// stale is the resourceVersion that a write found outdated: the object is read unless the source brings
	// a newer one first.
	stale  string
	gone   types.UID // the API server said that the object with this UID does not exist
	isGone bool
}

// notBefore is the earliest moment for the next attempt.
func (e *entry) notBefore() time.Time {
	at := e.retry
	if paced := e.written.Add(e.pause); paced.After(at) {
		at = paced
	}
	return at
}

// keepUntil is when an entry that has nothing to write can be forgotten: when the object has been quiet for
// long enough that the next change is written at once, and nothing of the API server's word is needed.
func (e *entry) keepUntil() time.Time {
	at := e.answered.Add(2 * e.pause)
	if e.known != nil || e.isGone {
		if t := e.knownAt.Add(memory); t.After(at) {
			at = t
		}
	}
	return at
}

// pace sets the pause after a write: longer when the object is written as often as it may be, short again
// after a quiet while. How long the API server takes is no quiet.
func (e *entry) pace(began, now time.Time) {
	if e.pause == 0 || began.Sub(e.answered) > 2*e.pause {
		e.pause = firstPause
	} else {
		e.pause = min(2*e.pause, longestPause)
	}
	e.written, e.answered = began, now
}

// backOff sets the pause after a failure, with jitter so that objects do not come back all at once.
func (e *entry) backOff(now time.Time, generation int64) {
	pause := longestRetry
	if e.failures < 10 {
		pause = min(firstRetry<<e.failures, longestRetry)
	}
	e.failures++
	e.tried = generation
	e.retry = now.Add(pause/2 + rand.N(pause/2))
}

// catchUp drops what is outdated by the object that the source brings.
func (e *entry) catchUp(object client.Object) {
	if e.isGone && e.gone != object.GetUID() {
		e.isGone = false
	}
	if e.known != nil && !newer(e.known.GetResourceVersion(), object.GetResourceVersion()) {
		e.known = nil
	}
	if e.stale != "" && newer(object.GetResourceVersion(), e.stale) {
		e.stale, e.retry = "", time.Time{}
	}
	if e.failures > 0 && e.tried != object.GetGeneration() {
		e.failures, e.retry = 0, time.Time{} // what was wrong with it may be mended
	}
}

// newer tells whether the first of two resourceVersions of an object is the later one. Those that cannot be
// compared count as newer when they differ: a conflict will tell.
func newer(a, b string) bool {
	order, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return a != b
	}
	return order > 0
}

// sleepers is a heap of entries by when they are due.
type sleepers []*entry

func (h sleepers) Len() int           { return len(h) }
func (h sleepers) Less(i, j int) bool { return h[i].due.Before(h[j].due) }

func (h sleepers) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *sleepers) Push(x any) {
	e := x.(*entry)
	e.index = len(*h)
	*h = append(*h, e)
}

func (h *sleepers) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.index = -1
	return e
}
