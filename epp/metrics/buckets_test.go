package metrics

import (
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestBuckets: dashboards and recording rules name buckets, 32778 among them.
func TestBuckets(t *testing.T) {
	const (
		latency = "0.005 0.025 0.05 0.1 0.2 0.4 0.6 0.8 1 1.25 1.5 2 3 4 5 6 8 10 15 20 30 45 60 120"
		long    = latency + " 180 240 300 360 480 600 900 1200 1800 2700 3600"
		size    = "64 128 256 512 1024 2048 4096 8192 16384 32768 65536 131072 262144 524288 1048576 2097152 4194304 " +
			"8388608 16777216 33554432 67108864 134217728 268435456 536870912 1073741824"
		tokens    = "1 8 16 32 64 128 256 512 1024 2048 4096 8192"
		response  = tokens + " 16384 32778 65536"
		input     = response + " 131072 262144 524288 1048576"
		scheduler = "0.0001 0.0002 0.0005 0.001 0.002 0.005 0.01 0.02 0.05 0.1"
	)
	m, _, registry := newMetrics(t)
	observeAll(m)
	got := bucketsOf(t, registry)
	for name, want := range map[string]string{
		"request_duration_seconds":             long,
		"request_ttft_seconds":                 latency,
		"request_size_bytes":                   size,
		"response_size_bytes":                  response,
		"request_input_tokens":                 input,
		"request_cached_tokens":                input,
		"request_output_tokens":                tokens,
		"request_streaming_tpot_seconds":       "0.0005 0.00205 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.125 0.15 0.2 0.3 0.4 0.5 0.6 0.8 1 2",
		"request_streaming_itl_seconds":        "0.001 0.005 0.01 0.02 0.04 0.06 0.08 0.1 0.15 0.2 0.3 0.5 0.75 1 2",
		"request_ntpot_seconds":                "0.001 0.002 0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2 5 10",
		"scheduler_e2e_duration_seconds":       scheduler,
		"plugin_duration_seconds":              scheduler,
		"request_processing_duration_seconds":  "0.0005 0.001 0.002 0.005 0.01 0.015 0.025 0.04 0.06 0.1 0.25 0.5 1 2.5 5 10",
		"response_processing_duration_seconds": "0.0001 0.00025 0.0005 0.001 0.0025 0.005 0.01 0.025 0.05 0.1 0.25 0.5 1 2.5 5",
		"prefix_indexer_hit_ratio":             "0 0.1 0.2 0.3 0.4 0.5 0.6 0.7 0.8 0.9 1",
		"prefix_indexer_hit_bytes":             "0 16 32 64 128 256 512 1024 2048 4096 8192 16384 32768 65536",
	} {
		if got[name] != want {
			t.Errorf("%s has the buckets\n%s\nwant\n%s", name, got[name], want)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s has buckets that nobody checks", name)
	}
}

// bucketsOf gives the bounds of all histograms.
func bucketsOf(t *testing.T, gatherer prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	buckets := map[string]string{}
	for _, family := range families {
		if family.GetType() != dto.MetricType_HISTOGRAM {
			continue
		}
		var bounds []string
		for _, bucket := range family.GetMetric()[0].GetHistogram().GetBucket() {
			bounds = append(bounds, strconv.FormatFloat(bucket.GetUpperBound(), 'f', -1, 64))
		}
		buckets[strings.TrimPrefix(family.GetName(), namespace+"_")] = strings.Join(bounds, " ")
	}
	return buckets
}
