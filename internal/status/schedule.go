package status

import (
	"container/heap"
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/time/rate"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/internal/source"
)

const (
	maxInFlight       = 8
	requestsPerSecond = 200
	requestBurst      = 100
	farAway           = time.Hour // when there is nothing to wait for
)

// schedule decides what to ask of the API server and when. It holds the newest want and an entry for each
// object that is not at rest, starts no goroutine and reads no clock; one goroutine calls it.
type schedule struct {
	controller string
	metrics    *metrics
	log        *slog.Logger
	limiter    *rate.Limiter
	lacking    *sync.Once // of telling that the role does not allow to write; nil: that is wrong

	want    *want
	entries []map[source.Key]*entry // by kind
	asleep  sleepers
	queues  [][]*entry // by kind, in order of arrival; entries that are not queued any more are passed over
	turn    int        // the kind that comes next
	flying  int
	blocked time.Time // until when the limiter lets nothing through
}

func newSchedule(controller string, m *metrics, log *slog.Logger) *schedule {
	s := &schedule{
		controller: controller,
		metrics:    m,
		log:        log,
		limiter:    rate.NewLimiter(requestsPerSecond, requestBurst),
		entries:    make([]map[source.Key]*entry, len(kinds)),
		queues:     make([][]*entry, len(kinds)),
	}
	for i := range s.entries {
		s.entries[i] = map[source.Key]*entry{}
	}
	return s
}

// take replaces the want and looks at every object of it.
func (s *schedule) take(w *want, now time.Time) {
	s.want = w
	m := s.merger(now)
	for i, k := range kinds {
		for _, e := range s.entries[i] {
			s.look(e, now)
		}
		for subject := range k.all(w) {
			if s.entries[i][subject.key] != nil {
				continue
			}
			m.start(subject.object.GetGeneration())
			if _, after := k.merge(m, subject.object, subject.wanted); after != nil && !m.untimely {
				e := &entry{kind: k, turn: i, key: subject.key, index: -1}
				s.entries[i][subject.key] = e
				s.look(e, now)
			}
		}
	}
}

func (s *schedule) merger(now time.Time) *merger {
	return &merger{
		controller:    s.controller,
		now:           metav1.NewTime(now).Rfc3339Copy(),
		gatewayIsOurs: func(k source.Key) bool { return s.want.statuses.Gateways[k] != nil },
	}
}

// judge says what is to be asked about an entry now, nil for nothing, and whether the entry is still about
// an object at all.
func (s *schedule) judge(e *entry, now time.Time) (*job, bool) {
	subject, ok := e.kind.find(s.want, e.key)
	if !ok {
		return nil, false
	}
	object := subject.object
	e.catchUp(object)
	base := object
	if e.known != nil {
		base = e.known
	}
	if e.isGone || base.GetUID() != object.GetUID() || base.GetGeneration() != object.GetGeneration() {
		return nil, true // the source will bring the object that is there now, with a status made for it
	}
	m := s.merger(now)
	m.start(base.GetGeneration())
	before, after := e.kind.merge(m, base, subject.wanted)
	switch {
	case after == nil || m.untimely:
		return nil, true
	case e.stale != "":
		return &job{entry: e, started: now}, true
	default:
		return &job{entry: e, before: before, after: after, leftOut: m.leftOut, started: now}, true
	}
}

// look moves an entry to where it belongs now.
func (s *schedule) look(e *entry, now time.Time) {
	if e.place == inFlight {
		return // looked at when the answer comes
	}
	j, exists := s.judge(e, now)
	if !exists {
		s.forget(e)
		return
	}
	if j == nil {
		e.since = time.Time{}
		s.sleep(e, e.keepUntil(), now)
		return
	}
	if e.since.IsZero() {
		e.since = s.want.since
	}
	if at := e.notBefore(); at.After(now) {
		s.sleep(e, at, now)
	} else if e.place != queued {
		s.unsleep(e)
		e.place = queued
		s.queues[e.turn] = append(s.queues[e.turn], e)
	}
}

// sleep puts an entry aside until a moment; one that has nothing to wait for is forgotten.
func (s *schedule) sleep(e *entry, until, now time.Time) {
	s.unsleep(e)
	e.place = asleep
	if !until.After(now) {
		s.forget(e)
		return
	}
	e.due = until
	heap.Push(&s.asleep, e)
}

func (s *schedule) unsleep(e *entry) {
	if e.index >= 0 {
		heap.Remove(&s.asleep, e.index)
	}
}

func (s *schedule) forget(e *entry) {
	s.unsleep(e)
	e.place = asleep
	if s.entries[e.turn][e.key] == e {
		delete(s.entries[e.turn], e.key)
	}
}

// next gives the next request to make, nil when there is none now.
func (s *schedule) next(now time.Time) *job {
	for len(s.asleep) > 0 && !s.asleep[0].due.After(now) {
		s.look(s.asleep[0], now)
	}
	if s.flying >= maxInFlight || s.blocked.After(now) {
		return nil
	}
	for e := s.pop(); e != nil; e = s.pop() {
		j, exists := s.judge(e, now)
		if !exists || j == nil {
			e.place = asleep
			s.look(e, now)
			continue
		}
		e.place = inFlight
		s.flying++
		if r := s.limiter.ReserveN(now, 1); r.DelayFrom(now) > 0 {
			s.blocked = now.Add(r.DelayFrom(now)) // this one still goes, the next waits
		}
		return j
	}
	return nil
}

// pop takes the entry whose turn it is: kinds alternate, entries of a kind come in order of arrival.
func (s *schedule) pop() *entry {
	for range s.queues {
		i := s.turn
		s.turn = (s.turn + 1) % len(s.queues)
		for len(s.queues[i]) > 0 {
			e := s.queues[i][0]
			s.queues[i][0] = nil
			s.queues[i] = s.queues[i][1:]
			if e.place == queued && s.entries[i][e.key] == e {
				return e
			}
		}
	}
	return nil
}

// wakeAt is when next is to be called again at the latest, if nothing happens before.
func (s *schedule) wakeAt(now time.Time) time.Time {
	at := now.Add(farAway)
	if len(s.asleep) > 0 && s.asleep[0].due.Before(at) {
		at = s.asleep[0].due
	}
	if s.blocked.After(now) && s.blocked.Before(at) {
		at = s.blocked
	}
	return at
}

// done takes in the answer to a request.
func (s *schedule) done(r result, now time.Time) {
	e := r.entry
	s.flying--
	e.place = asleep
	o := outcomeOf(r.err)
	if !r.reads() {
		s.metrics.writes.WithLabelValues(e.kind.name(), string(o)).Inc()
	}
	switch o {
	case written:
		s.accept(r, now)
	case gone:
		if subject, ok := e.kind.find(s.want, e.key); ok {
			e.gone, e.isGone, e.knownAt = subject.object.GetUID(), true, now
		}
	default:
		s.reject(r, o, now)
	}
	s.look(e, now)
}

// accept remembers what the API server gave, until the source brings something as new.
func (s *schedule) accept(r result, now time.Time) {
	e := r.entry
	e.known, e.knownAt, e.stale, e.retry = r.object, now, "", time.Time{}
	if r.reads() {
		return
	}
	e.failures = 0
	s.metrics.latency.Observe(now.Sub(e.since).Seconds())
	e.since = time.Time{}
	e.pace(r.started, now)
	s.log.Debug("status is written", "kind", e.kind.name(), "object", e.key.String(),
		"resourceVersion", r.object.GetResourceVersion(), "took", now.Sub(r.started))
	if r.leftOut > 0 {
		s.warn(e, "full", "the status has no room for every parent: other controllers have filled the list", "leftOut", r.leftOut)
	} else {
		e.warned = ""
	}
}

func (s *schedule) reject(r result, o outcome, now time.Time) {
	e := r.entry
	var generation int64
	if subject, ok := e.kind.find(s.want, e.key); ok {
		generation = subject.object.GetGeneration()
	}
	e.backOff(now, generation)
	if o == conflict && !r.reads() {
		e.stale = r.before.GetResourceVersion()
		s.log.Debug("status is not written: the object has changed", "kind", e.kind.name(), "object", e.key.String())
		return
	}
	if s.lacking != nil && apierrors.IsForbidden(r.err) {
		e.retry = now.Add(lackingRetry)
		s.lacking.Do(func() {
			s.log.Info("statuses are not written: the role does not allow it; allow patch of the status of these kinds, if they are wanted",
				"kind", e.kind.name(), "error", r.err)
		})
		return
	}
	what := "status cannot be written"
	if r.reads() {
		what = "object cannot be read after a conflict"
	}
	s.warn(e, string(o)+"/"+string(apierrors.ReasonForError(r.err)), what+"; it is tried again", "error", r.err)
}

// warn logs once per object and cause, until a write succeeds.
func (s *schedule) warn(e *entry, cause, message string, args ...any) {
	level := slog.LevelWarn
	if e.warned == cause {
		level = slog.LevelDebug
	}
	e.warned = cause
	s.log.Log(context.Background(), level, message, append([]any{"kind", e.kind.name(), "object", e.key.String()}, args...)...)
}
