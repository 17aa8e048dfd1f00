package scheduling

import (
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// BurstSlack is how many requests beyond the last scrape an endpoint may have in flight before they count as waiting
// there. Without slack the ordinary lag of a scrape (a request that started a moment ago and is not counted as running
// yet) would look like a queue of one and, where nobody has a queue, turn the whole min-max score over; with it a burst
// puts at most this many more requests on a favoured endpoint than its queue score is worth.
const BurstSlack = 1

// Load is what is known of one endpoint.
type Load struct {
	// Known is the scraped numbers that are there and fresh. A number that is not is the average of the candidates that
	// have it, zero if none has.
	Known datalayer.Fields
	// Waiting and Running are requests as last scraped.
	Waiting, Running float32
	// KVUsage is the share of the KV cache in use, 0 to 1.
	KVUsage float32
	// Requests and Tokens are what this process has in flight at the endpoint.
	Requests, Tokens int64
	// LoRA is the endpoint's adapter state, nil when unknown.
	LoRA *datalayer.LoRA
}

// Queue is the number of requests taken to be waiting: the scraped figure, or our own requests that the last scrape does
// not show as running, beyond BurstSlack, if that is more.
func (l *Load) Queue() float32 {
	return max(l.Waiting, float32(l.Requests)-l.Running-BurstSlack)
}

// Active is the number of requests taken to be running: the scraped figure, or our own requests in flight that the last
// scrape does not show as waiting, if that is more.
func (l *Load) Active() float32 {
	return max(l.Running, float32(l.Requests)-l.Waiting)
}

func loadOf(endpoint *datalayer.Endpoint, now time.Time) Load {
	load := Load{Requests: endpoint.Requests(), Tokens: endpoint.Tokens()}
	metrics := endpoint.Metrics()
	if metrics.Stale(now) {
		return load
	}
	load.Known = metrics.Known
	load.Waiting = float32(metrics.Waiting)
	load.Running = float32(metrics.Running)
	load.KVUsage = float32(metrics.KVUsage)
	if metrics.Known.Has(datalayer.HasLoRA) {
		load.LoRA = &metrics.LoRA
	}
	return load
}

// estimateUnknown gives numbers that are not known the average of those that are.
func estimateUnknown(loads []Load) {
	estimate(loads, datalayer.HasWaiting, func(l *Load) *float32 { return &l.Waiting })
	estimate(loads, datalayer.HasRunning, func(l *Load) *float32 { return &l.Running })
	estimate(loads, datalayer.HasKVUsage, func(l *Load) *float32 { return &l.KVUsage })
}

func estimate(loads []Load, field datalayer.Fields, number func(*Load) *float32) {
	sum, known := float32(0), 0
	for i := range loads {
		if loads[i].Known.Has(field) {
			sum += *number(&loads[i])
			known++
		}
	}
	if known == 0 || known == len(loads) {
		return
	}
	for i := range loads {
		if !loads[i].Known.Has(field) {
			*number(&loads[i]) = sum / float32(known)
		}
	}
}
