package flowcontrol

import (
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func describe(name, text string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_flow_control_"+name, help(text), labels, nil)
}

// queueLabels tell the requests of a queue apart.
type queueLabels struct {
	tenant string
	models modelPair
}

var queueLabelNames = []string{"fairness_id", "priority", "inference_pool", "model_name", "target_model_name"}

var (
	queueSize      = describe("queue_size", "Requests that wait.", queueLabelNames...)
	queueBytes     = describe("queue_bytes", "Bytes of the requests that wait.", queueLabelNames...)
	saturation     = describe("pool_saturation", "How full the pool is; 1 is full.", "inference_pool", "stage")
	staleEndpoints = describe("stale_endpoints", "Endpoints without believable metrics.", "detector")
	bandRequests   = describe("capacity_utilization_requests", "Share of the requests that a band may hold.", "priority", "inference_pool")
	bandBytes      = describe("capacity_utilization_bytes", "Share of the bytes that a band may hold.", "priority", "inference_pool")
	globalRequests = describe("global_capacity_utilization_requests", "Share of the requests that may wait for the pool; 0 without a bound.", "inference_pool")
	globalBytes    = describe("global_capacity_utilization_bytes", "Share of the bytes that may wait for the pool; 0 without a bound.", "inference_pool")
	reclaimTarget  = describe("reclaim_target", "By how much the pool is too full for the highest priority that waits, as saturation; 0 when nothing in flight can make room.", "inference_pool")
	pendingReclaim = describe("pending_reclaim", "What requests that were revoked are about to free, as saturation.", "inference_pool")
)

// collector reads the queues when it is scraped: gauges cost requests nothing, and vanish with what they show.
type collector struct{ controller *Controller }

// Describe implements prometheus.Collector.
func (c *collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{queueSize, queueBytes, saturation, staleEndpoints, bandRequests, bandBytes,
		globalRequests, globalBytes, reclaimTarget, pendingReclaim} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector. What a pool shows is copied under its lock and sent without it: who takes the
// series may be slow.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	controller := c.controller
	controller.metrics.sweep(time.Now())
	controller.mu.RLock()
	pools := make([]*pool, 0, len(controller.pools))
	for _, p := range controller.pools {
		pools = append(pools, p)
	}
	controller.mu.RUnlock()
	stale := 0
	for _, p := range pools {
		reading, metrics := p.show()
		stale += reading.Stale
		for _, metric := range metrics {
			out <- metric
		}
	}
	if detector := controller.options.Load().Detector; detector != "" {
		out <- gauge(staleEndpoints, float64(stale), detector)
	}
}

// show is the series of a pool now.
func (p *pool) show() (Reading, []prometheus.Metric) {
	p.mu.Lock()
	defer p.mu.Unlock()
	options := p.options
	reading := p.read()
	metrics := []prometheus.Metric{
		gauge(globalRequests, share(p.waiting.Requests, int64(options.MaxRequests)), p.label),
		gauge(globalBytes, share(p.waiting.Bytes, options.MaxBytes), p.label),
	}
	metrics = append(metrics, p.showSaturation(reading)...)
	metrics = append(metrics, p.showEviction()...)
	for _, b := range p.order {
		metrics = append(metrics, b.show(p.label)...)
	}
	return reading, metrics
}

func (p *pool) showEviction() []prometheus.Metric {
	if p.options.Eviction == nil {
		return nil
	}
	p.settle(time.Now())
	if p.waiting.Requests == 0 {
		p.target = 0
	}
	return []prometheus.Metric{gauge(reclaimTarget, p.target, p.label), gauge(pendingReclaim, p.pending(), p.label)}
}

// showSaturation is one series per stage; a pool without stages, or without endpoints, is all decode.
func (p *pool) showSaturation(reading Reading) []prometheus.Metric {
	var metrics []prometheus.Metric
	if reading.Prefill.Endpoints > 0 {
		metrics = append(metrics, gauge(saturation, reading.Prefill.Level, p.label, "prefill"))
	}
	switch {
	case reading.Decode.Endpoints > 0:
		metrics = append(metrics, gauge(saturation, reading.Decode.Level, p.label, "decode"))
	case len(metrics) == 0:
		metrics = append(metrics, gauge(saturation, reading.Level, p.label, "decode"))
	}
	return metrics
}

func (b *band) show(pool string) []prometheus.Metric {
	priority := strconv.Itoa(b.priority)
	metrics := []prometheus.Metric{
		gauge(bandRequests, share(b.waiting.Requests, int64(b.MaxRequests)), priority, pool),
		gauge(bandBytes, share(b.waiting.Bytes, b.MaxBytes), priority, pool),
	}
	for of, tally := range b.tallies {
		labels := []string{of.tenant, priority, pool, of.models.model, of.models.target}
		metrics = append(metrics, gauge(queueSize, float64(tally.Requests), slices.Clone(labels)...),
			gauge(queueBytes, float64(tally.Bytes), labels...))
	}
	return metrics
}

func share(used, limit int64) float64 {
	if limit <= 0 {
		return 0
	}
	return float64(used) / float64(limit)
}

func gauge(description *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}
