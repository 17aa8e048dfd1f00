package metrics

import (
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// quietFor is how long a tenant has a series at an endpoint where it has nothing in flight any more.
const quietFor = 5 * time.Minute

// sweepEvery is how often there is a look for series to drop where nobody scrapes and there is no room for more.
const sweepEvery = time.Minute

// flights counts what is in flight by endpoint, tenant and priority. What a request costs is looking up its share, which it then adds
// to and takes from together with the endpoint's own counters.
type flights struct {
	pools   *datalayer.Pools
	tenants *names
	sweepAt atomic.Int64 // unix nanoseconds

	mu    sync.RWMutex
	known map[flightKey]*flightShare

	sweeping sync.Mutex
}

type flightKey struct {
	process  datalayer.Process
	fairness string
	priority int
}

type flightShare struct {
	datalayer.Share
	used  atomic.Bool // since the last sweep
	quiet time.Time   // since when it is empty and not used; of who sweeps
}

func newFlights(pools *datalayer.Pools, tenants *names) *flights {
	return &flights{pools: pools, tenants: tenants, known: map[flightKey]*flightShare{}}
}

// BeginFlight counts a request as in flight at an endpoint, under its tenant and priority: see datalayer.Endpoint.BeginIn.
func (m *Metrics) BeginFlight(endpoint *datalayer.Endpoint, fairness string, priority int, prompt, output int64) *datalayer.Flight {
	if fairness == "" {
		fairness = DefaultFairness
	}
	f, key := m.flights, flightKey{endpoint.Process(), fairness, priority}
	if flight := f.begin(key, endpoint, prompt, output); flight != nil {
		return flight
	}
	if key.fairness = f.tenants.admit(fairness); key.fairness != fairness {
		if flight := f.begin(key, endpoint, prompt, output); flight != nil {
			return flight
		}
	}
	if f.full() && key.fairness != Other {
		key.fairness = Other
		if flight := f.begin(key, endpoint, prompt, output); flight != nil {
			return flight
		}
	}
	return f.beginNew(key, endpoint, prompt, output)
}

// begin gives nil when there is no such share. The share is in use before the lock is released: it cannot be dropped in between.
func (f *flights) begin(key flightKey, endpoint *datalayer.Endpoint, prompt, output int64) *datalayer.Flight {
	f.mu.RLock()
	defer f.mu.RUnlock()
	share, ok := f.known[key]
	if !ok {
		return nil
	}
	return share.begin(endpoint, prompt, output)
}

// beginNew makes the share if nobody else has done so, and there is room.
func (f *flights) beginNew(key flightKey, endpoint *datalayer.Endpoint, prompt, output int64) *datalayer.Flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	share, ok := f.known[key]
	if !ok && len(f.known) >= maxSeries {
		key.fairness = Other
		share, ok = f.known[key]
	}
	if !ok {
		share = &flightShare{}
		f.known[key] = share
	}
	return share.begin(endpoint, prompt, output)
}

func (s *flightShare) begin(endpoint *datalayer.Endpoint, prompt, output int64) *datalayer.Flight {
	if !s.used.Load() {
		s.used.Store(true)
	}
	return endpoint.BeginIn(&s.Share, prompt, output)
}

// full tells whether tenants that have no share yet are not told apart any more. Where nobody scrapes, it makes room at times.
func (f *flights) full() bool {
	if f.len() < maxSeries {
		return false
	}
	now := time.Now()
	if at := f.sweepAt.Load(); now.UnixNano() >= at && f.sweepAt.CompareAndSwap(at, now.Add(sweepEvery).UnixNano()) {
		f.sweep(now)
	}
	return f.len() >= maxSeries
}

func (f *flights) len() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return len(f.known)
}

// counted is a share and whose it is.
type counted struct {
	flightKey
	*flightShare
}

// sweep drops the shares of processes that are gone and those that have been empty for long. It returns the others.
func (f *flights) sweep(now time.Time) []counted {
	f.sweeping.Lock()
	defer f.sweeping.Unlock()
	f.sweepAt.Store(now.Add(sweepEvery).UnixNano())
	there := f.there()
	var stay, drop []counted
	for _, each := range f.all() {
		if there[each.process] && each.stays(now) {
			stay = append(stay, each)
		} else {
			drop = append(drop, each)
		}
	}
	if len(drop) == 0 {
		return stay
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range drop {
		if !there[each.process] || each.empty() {
			delete(f.known, each.flightKey)
		} else {
			stay = append(stay, each)
		}
	}
	return stay
}

// there are the processes that pools have.
func (f *flights) there() map[datalayer.Process]bool {
	there := map[datalayer.Process]bool{}
	for _, pool := range f.pools.List() {
		for _, endpoint := range pool.Endpoints() {
			there[endpoint.Process()] = true
		}
	}
	return there
}

// all is the shares that there are.
func (f *flights) all() []counted {
	f.mu.RLock()
	defer f.mu.RUnlock()
	all := make([]counted, 0, len(f.known))
	for key, share := range f.known {
		all = append(all, counted{key, share})
	}
	return all
}

// empty tells whether nothing is in flight or was since the last sweep.
func (s *flightShare) empty() bool { return !s.used.Load() && s.Requests() == 0 }

// stays tells whether the share was used lately.
func (s *flightShare) stays(now time.Time) bool {
	if s.used.Swap(false) || s.Requests() != 0 {
		s.quiet = time.Time{}
		return true
	}
	if s.quiet.IsZero() {
		s.quiet = now
	}
	return now.Sub(s.quiet) < quietFor
}

// collect shows what is in flight at these endpoints. Each has a series of the default tenant, so that none is missing while it is idle.
func (f *flights) collect(out chan<- prometheus.Metric, shown map[datalayer.Process]*datalayer.Endpoint, now time.Time) {
	usual := map[datalayer.Process]bool{}
	for _, each := range f.sweep(now) {
		if endpoint := shown[each.process]; endpoint != nil {
			each.show(out, endpoint, &each.Share)
			usual[each.process] = usual[each.process] || each.fairness == DefaultFairness && each.priority == 0
		}
	}
	for process, endpoint := range shown {
		if !usual[process] {
			flightKey{process, DefaultFairness, 0}.show(out, endpoint, &datalayer.Share{})
		}
	}
}

func (k flightKey) show(out chan<- prometheus.Metric, endpoint *datalayer.Endpoint, share *datalayer.Share) {
	labels := []string{endpoint.Name, endpoint.Namespace, loadProducer, k.fairness, strconv.Itoa(k.priority)}
	gauge(out, inFlightRequests, float64(share.Requests()), labels...)
	gauge(out, inFlightTokens, float64(share.Tokens()), labels...)
}
