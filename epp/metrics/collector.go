package metrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// prefixProducer and loadProducer are the names under which dashboards know the prefix index and the in-flight counters.
const (
	prefixProducer = "approx-prefix-cache-producer"
	loadProducer   = "inflight-load-producer"
)

var pluginLabels = []string{"plugin_name", "plugin_type"}

func describe(name, text string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help(text), labels, nil)
}

var (
	readyEndpoints   = describe("ready_endpoints", "Endpoints of the pool that may be chosen.", "name")
	averageQueue     = describe("average_queue_size", "Average of waiting requests over the endpoints with fresh metrics.", "name")
	averageRunning   = describe("average_running_requests", "Average of running requests over the endpoints with fresh metrics.", "name")
	averageKV        = describe("average_kv_cache_utilization", "Average KV cache usage over the endpoints with fresh metrics.", "name")
	deviationQueue   = describe("std_dev_queue_size", "Standard deviation of waiting requests.", "name")
	deviationRunning = describe("std_dev_running_requests", "Standard deviation of running requests.", "name")
	deviationKV      = describe("std_dev_kv_cache_utilization", "Standard deviation of KV cache usage.", "name")
	endpointQueue    = describe("per_endpoint_queue_size", "Waiting requests of an endpoint with fresh metrics.", "name", "model_server_endpoint")
	prefixSize       = describe("prefix_indexer_size", "Entries of the prefix index.", pluginLabels...)
	inFlightRequests = describe("inflight_requests", "Requests of this process in flight at an endpoint, by tenant and priority.",
		"endpoint_name", "namespace", "producer_name", "fairness_id", "priority")
	inFlightTokens = describe("inflight_tokens", "Tokens of this process in flight at an endpoint, by tenant and priority: of prompts, and of answers where these are estimated.",
		"endpoint_name", "namespace", "producer_name", "fairness_id", "priority")
	pollErrors    = describe("datalayer_poll_errors_total", "Endpoints that could not be asked, by the type of the data source.", "source_type")
	extractErrors = describe("datalayer_extract_errors_total", "Answers of endpoints that could not be read, by the types of data source and extractor.",
		"source_type", "extractor_type")
)

// Collector reads the pools when it is scraped.
type Collector struct {
	pools   *datalayer.Pools
	flights *flights
}

type endpointID struct{ namespace, name string }

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, description := range []*prometheus.Desc{readyEndpoints, averageQueue, averageRunning, averageKV, deviationQueue,
		deviationRunning, deviationKV, endpointQueue, prefixSize, inFlightRequests, inFlightTokens, pollErrors, extractErrors} {
		descriptions <- description
	}
}

// Collect implements prometheus.Collector.
func (c *Collector) Collect(out chan<- prometheus.Metric) {
	now := time.Now()
	entries := 0
	seen := map[endpointID]bool{}
	shown := map[datalayer.Process]*datalayer.Endpoint{}
	names := map[string]bool{}
	for _, pool := range c.pools.List() {
		entries += pool.Index().Len()
		name := poolName(pool.Key())
		if names[name] {
			name = pool.Key()
		}
		names[name] = true
		collectPool(out, pool, name, now)
		for _, endpoint := range pool.Endpoints() {
			id := endpointID{endpoint.Namespace, endpoint.Name}
			if seen[id] {
				// An endpoint of two pools is counted by each; the first one's counters stand for it.
				continue
			}
			seen[id] = true
			shown[endpoint.Process()] = endpoint
		}
	}
	c.flights.collect(out, shown, now)
	for _, source := range c.pools.Stats() {
		counter(out, pollErrors, source.PollErrors, source.Source)
		counter(out, extractErrors, source.ExtractErrors, source.Source, source.Extractor)
	}
	gauge(out, prefixSize, float64(entries), prefixProducer, prefixProducer)
}

func collectPool(out chan<- prometheus.Metric, pool *datalayer.Pool, name string, now time.Time) {
	var queue, running, kv moments
	endpoints := pool.Endpoints()
	for _, endpoint := range endpoints {
		metrics := endpoint.Metrics()
		if metrics.Stale(now) {
			continue
		}
		if metrics.Known.Has(datalayer.HasWaiting) {
			queue.add(float64(metrics.Waiting))
			gauge(out, endpointQueue, float64(metrics.Waiting), name, endpoint.Name)
		}
		if metrics.Known.Has(datalayer.HasRunning) {
			running.add(float64(metrics.Running))
		}
		if metrics.Known.Has(datalayer.HasKVUsage) {
			kv.add(metrics.KVUsage)
		}
	}
	gauge(out, readyEndpoints, float64(len(endpoints)), name)
	gauge(out, averageQueue, queue.mean(), name)
	gauge(out, averageRunning, running.mean(), name)
	gauge(out, averageKV, kv.mean(), name)
	gauge(out, deviationQueue, queue.deviation(), name)
	gauge(out, deviationRunning, running.deviation(), name)
	gauge(out, deviationKV, kv.deviation(), name)
}

// poolName is the pool's name as label; dashboards know it without the namespace. A second pool of the same name is shown
// with its namespace.
func poolName(key string) string {
	for i := range key {
		if key[i] == '/' {
			return key[i+1:]
		}
	}
	return key
}

func gauge(out chan<- prometheus.Metric, description *prometheus.Desc, value float64, labels ...string) {
	out <- prometheus.MustNewConstMetric(description, prometheus.GaugeValue, value, labels...)
}

// moments sums up a population.
type moments struct {
	count, sum, squares float64
}

func (m *moments) add(value float64) {
	m.count++
	m.sum += value
	m.squares += value * value
}

func (m *moments) mean() float64 {
	if m.count == 0 {
		return 0
	}
	return m.sum / m.count
}

func (m *moments) deviation() float64 {
	if m.count == 0 {
		return 0
	}
	mean := m.mean()
	return math.Sqrt(max(0, m.squares/m.count-mean*mean))
}

func counter(out chan<- prometheus.Metric, description *prometheus.Desc, value uint64, labels ...string) {
	out <- prometheus.MustNewConstMetric(description, prometheus.CounterValue, float64(value), labels...)
}
