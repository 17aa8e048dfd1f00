package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// attempts counts the outcomes of scheduling by endpoint. A scrape drops the series of endpoints that are gone; where nobody
// scrapes, a growing number of series does.
type attempts struct {
	pools   *datalayer.Pools
	total   *prometheus.CounterVec
	known   *bounded[attempt, prometheus.Counter]
	pruneAt atomic.Int64
}

// attempt is the labels of a series; the zero place is that of failures.
type attempt struct {
	model string
	place place
}

type place struct{ name, namespace, port string }

func newAttempts(pools *datalayer.Pools) *attempts {
	a := &attempts{pools: pools, known: newBounded[attempt, prometheus.Counter](),
		total: counters("scheduler_attempts_total", "Scheduling attempts by outcome and endpoint.",
			"status", "target_model_name", "endpoint_name", "namespace", "port")}
	a.pruneAt.Store(maxSeries)
	return a
}

func (k attempt) values() []string {
	status := "success"
	if k.place == (place{}) {
		status = "failure"
	}
	return []string{status, k.model, k.place.name, k.place.namespace, k.place.port}
}

func placeOf(endpoint *datalayer.Endpoint) place {
	return place{endpoint.Name, endpoint.Namespace, portOf(endpoint.Address)}
}

func (a *attempts) counter(k attempt) prometheus.Counter {
	return a.total.WithLabelValues(k.values()...)
}

// add gives the counter of labels that were not seen before. Beyond the bound models are not told apart: endpoints are as many
// as the pools have.
func (a *attempts) add(k attempt) prometheus.Counter {
	if int64(a.known.len()) >= a.pruneAt.Load() {
		a.prune()
	}
	counter, ok := a.known.add(k, maxSeries, a.counter)
	if !ok {
		k.model = Other
		counter, _ = a.known.add(k, 0, a.counter)
	}
	return counter
}

// prune drops the series of endpoints that are gone.
func (a *attempts) prune() {
	there := map[place]bool{{}: true}
	for _, pool := range a.pools.List() {
		for _, endpoint := range pool.Endpoints() {
			there[placeOf(endpoint)] = true
		}
	}
	a.known.prune(func(k attempt) bool { return there[k.place] }, func(k attempt) { a.total.DeleteLabelValues(k.values()...) })
	a.pruneAt.Store(max(maxSeries, 2*int64(a.known.len())))
}

// Describe implements prometheus.Collector.
func (a *attempts) Describe(descriptions chan<- *prometheus.Desc) { a.total.Describe(descriptions) }

// Collect implements prometheus.Collector.
func (a *attempts) Collect(out chan<- prometheus.Metric) {
	a.prune()
	a.total.Collect(out)
}

// CountAttempt notes the outcome of scheduling; endpoint is nil when there was none. model is the one that the model server is
// asked for.
func (m *Metrics) CountAttempt(model string, endpoint *datalayer.Endpoint) {
	k := attempt{model: model}
	if endpoint != nil {
		k.place = placeOf(endpoint)
	}
	counter, ok := m.attempts.known.get(k)
	if !ok {
		k.model = m.models.admit(model)
		counter = m.attempts.add(k)
	}
	counter.Inc()
}

func portOf(address string) string {
	for i := len(address) - 1; i >= 0; i-- {
		if address[i] == ':' {
			return address[i+1:]
		}
	}
	return ""
}
