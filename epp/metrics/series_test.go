package metrics

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// observeAll has every family of requests and plugins shown.
func observeAll(m *Metrics) {
	series := m.Series("m", "t", "f", 1)
	series.Total.Inc()
	series.Running.Inc()
	series.Duration.Observe(1)
	series.Size.Observe(1)
	series.Error("BadRequest")
	series.Tokens(10, 20, 5)
	series.FirstToken(time.Second, true)
	series.FirstToken(2*time.Second, false)
	series.Gap(20 * time.Millisecond)
	series.PerToken(30 * time.Millisecond)
	series.NormalizedPerToken(40 * time.Millisecond)
	series.ResponseSize(500)
	m.CountAttempt("m", nil)
	m.PrefixHit(3, 4, 16)
	m.ModelRewritten("rewrite", "m", "t")
	m.PluginDuration("Scorer", "queue-scorer", "queue").Observe(.001)
	m.Processing.Observe(.001)
	m.ResponseProcessing.Observe(.001)
}

// sums gives the sum and count of each histogram's series by name and labels.
func sums(t *testing.T, gatherer prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := gatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			name := family.GetName()
			for _, label := range metric.GetLabel() {
				name += " " + label.GetName() + "=" + label.GetValue()
			}
			switch family.GetType() {
			case dto.MetricType_HISTOGRAM:
				found[name] = fmt.Sprintf("%d of %g", metric.GetHistogram().GetSampleCount(), metric.GetHistogram().GetSampleSum())
			case dto.MetricType_COUNTER:
				found[name] = fmt.Sprint(metric.GetCounter().GetValue())
			}
		}
	}
	return found
}

func TestWhatARequestObserves(t *testing.T) {
	m, _, registry := newMetrics(t)
	observeAll(m)
	got := sums(t, registry)
	const labels = " fairness_id=f model_name=m priority=1"
	for name, want := range map[string]string{
		"request_ttft_seconds" + labels + " streaming=true target_model_name=t":                                      "1 of 1",
		"request_ttft_seconds" + labels + " streaming=false target_model_name=t":                                     "1 of 2",
		"request_streaming_itl_seconds" + labels + " target_model_name=t":                                            "1 of 0.02",
		"request_streaming_tpot_seconds" + labels + " target_model_name=t":                                           "1 of 0.03",
		"request_ntpot_seconds" + labels + " target_model_name=t":                                                    "1 of 0.04",
		"response_size_bytes" + labels + " target_model_name=t":                                                      "1 of 500",
		"request_input_tokens" + labels + " target_model_name=t":                                                     "1 of 10",
		"request_output_tokens" + labels + " target_model_name=t":                                                    "1 of 20",
		"request_cached_tokens" + labels + " target_model_name=t":                                                    "1 of 5",
		"request_error_total error_code=BadRequest" + labels + " target_model_name=t":                                "1",
		"model_rewrite_decisions_total model_name=m model_rewrite_name=rewrite target_model=t":                       "1",
		"datalayer_poll_errors_total source_type=metrics-data-source":                                                "0",
		"datalayer_extract_errors_total extractor_type=core-metrics-extractor source_type=metrics-data-source":       "0",
		"prefix_indexer_hit_ratio plugin_name=approx-prefix-cache-producer plugin_type=approx-prefix-cache-producer": "1 of 0.75",
		"prefix_indexer_hit_bytes plugin_name=approx-prefix-cache-producer plugin_type=approx-prefix-cache-producer": "1 of 192",
		"plugin_duration_seconds extension_point=Scorer plugin_name=queue plugin_type=queue-scorer":                  "1 of 0.001",
	} {
		if got[namespace+"_"+name] != want {
			t.Errorf("%s is %q, want %q", name, got[namespace+"_"+name], want)
		}
	}
}

// TestWhatIsNotUsedHasNoSeries: an answer that was not streamed shows no times of tokens.
func TestWhatIsNotUsedHasNoSeries(t *testing.T) {
	m, _, registry := newMetrics(t)
	m.Series("m", "m", "", 0).Total.Inc()
	shown := gather(t, registry)
	for _, name := range []string{"request_ttft_seconds", "request_streaming_itl_seconds", "request_streaming_tpot_seconds", "request_ntpot_seconds",
		"response_size_bytes", "request_input_tokens", "request_error_total", "model_rewrite_decisions_total", "plugin_duration_seconds",
		"scheduler_attempts_total"} {
		if shown[namespace+"_"+name] != 0 {
			t.Errorf("%s is shown", name)
		}
	}
	if shown[namespace+"_request_total"] != 1 {
		t.Error("the request is not shown")
	}
}

func TestKeptNamesAreNeverFolded(t *testing.T) {
	m, _, _ := newMetrics(t)
	m.Keep(slices.Values([]string{"configured", "target"}))
	for i := range maxLabelValues + 10 {
		m.Series(fmt.Sprintf("model-%d", i), "", "", 0)
	}
	if got := m.Series("configured", "target", "", 0).values; got[0] != "configured" || got[1] != "target" {
		t.Errorf("labels %q", got)
	}
	if got := m.Series("late", "target", "", 0).values; got[0] != Other {
		t.Errorf("a model beyond the bound is %q", got[0])
	}
	m.Keep(slices.Values([]string{"late"}))
	if got := m.Series("late", "target", "", 0).values; got[0] != "late" {
		t.Errorf("a model that is kept by now is %q", got[0])
	}
	// model-1 came before it was configured: its place is free for one more.
	m.Keep(slices.Values([]string{"model-1"}))
	if first, second := m.models.admit("one more"), m.models.admit("two more"); first != "one more" || second != Other {
		t.Errorf("%q, %q after a place became free", first, second)
	}
}

// TestKeptNamesOutliveTheBoundOfCombinations: tenants are folded before models that somebody configured.
func TestKeptNamesOutliveTheBoundOfCombinations(t *testing.T) {
	m, _, _ := newMetrics(t)
	m.Keep(slices.Values([]string{"configured"}))
	for i := range 200 {
		for j := range 60 {
			m.Series(fmt.Sprintf("model-%d", i), "", fmt.Sprintf("tenant-%d", j), 0)
		}
	}
	if got := m.Series("configured", "configured", "tenant-1", 7).values; !slices.Equal(got, []string{"configured", "configured", Other, "7"}) {
		t.Errorf("labels %q", got)
	}
	if got := m.Series("model-1", "model-2", "tenant-1", 7).values; !slices.Equal(got, []string{Other, Other, Other, "7"}) {
		t.Errorf("labels %q", got)
	}
}

// TestNamesAreCopied: a name that a client sent is a part of its body, which is not to stay in memory.
func TestNamesAreCopied(t *testing.T) {
	m, _, _ := newMetrics(t)
	body := string(make([]byte, 100)) + "model"
	series := m.Series(body[100:], "", "", 0)
	if unsafe.StringData(series.values[0]) == unsafe.StringData(body[100:]) {
		t.Error("the label is a part of the body")
	}
	for key := range m.series.known {
		if unsafe.StringData(key.model) == unsafe.StringData(body[100:]) {
			t.Error("the key is a part of the body")
		}
	}
}

func TestAttemptsAreBounded(t *testing.T) {
	m, pools, _ := newMetrics(t)
	const endpoints = 20
	var specs []datalayer.Spec
	for i := range endpoints {
		specs = append(specs, datalayer.Spec{Name: fmt.Sprintf("pod-%d", i), Namespace: "ns", Address: fmt.Sprintf("10.0.0.1:%d", i)})
	}
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	for i := range 2 * maxLabelValues {
		for _, endpoint := range pool.Endpoints() {
			m.CountAttempt(fmt.Sprintf("model-%d", i), endpoint)
		}
	}
	if got := count(m.attempts); got > maxSeries+endpoints {
		t.Errorf("%d series, want at most %d", got, maxSeries+endpoints)
	}
	total := 0.0
	for _, counter := range m.attempts.known.known {
		total += value(t, counter)
	}
	if total != 2*maxLabelValues*endpoints {
		t.Errorf("%g attempts are counted", total)
	}
}

// TestAttemptsOfEndpointsLongGone: where nobody scrapes, pods come and go without an end of series.
func TestAttemptsOfEndpointsLongGone(t *testing.T) {
	m, pools, registry := newMetrics(t)
	for i := range maxSeries + 100 {
		pools.Set("ns/pool", []datalayer.Spec{{Name: fmt.Sprintf("pod-%d", i), Namespace: "ns", Address: "10.0.0.1:1"}})
		pool, _ := pools.Get("ns/pool")
		m.CountAttempt("m", pool.Endpoints()[0])
	}
	if got := m.attempts.known.len(); got > 100 {
		t.Errorf("%d series", got)
	}
	pool, _ := pools.Get("ns/pool")
	last := pool.Endpoints()[0]
	pools.Delete("ns/pool")
	// A request that was decided before the pod went is counted after.
	gather(t, registry)
	m.CountAttempt("m", last)
	gather(t, registry)
	if got := m.attempts.known.len() + count(m.attempts.total); got != 0 {
		t.Errorf("%d series of endpoints that are gone", got)
	}
}

func TestRewritesAreBounded(t *testing.T) {
	m, _, _ := newMetrics(t)
	m.Keep(slices.Values([]string{"target"}))
	for i := range 20 {
		for j := range maxLabelValues {
			m.ModelRewritten(fmt.Sprintf("rewrite-%d", i), fmt.Sprintf("model-%d", j), "target")
		}
	}
	if got := count(m.rewrites); got > maxSeries+20 {
		t.Errorf("%d series", got)
	}
}

// TestConcurrentUse: requests, scrapes and pods that come and go at once lose no request.
func TestConcurrentUse(t *testing.T) {
	m, pools, registry := newMetrics(t)
	const workers, each = 4, 600
	var running sync.WaitGroup
	for worker := range workers {
		running.Go(func() {
			for i := range each {
				name := fmt.Sprintf("model-%d", worker*300+i)
				series := m.Series(name, name, fmt.Sprintf("tenant-%d", i%20), 0)
				series.Total.Inc()
				series.Gap(time.Second)
				if pool, ok := pools.Get("ns/pool"); ok {
					m.CountAttempt(name, pool.Endpoints()[0])
				}
				m.ModelRewritten("rewrite", name, "target")
				m.Keep(slices.Values([]string{name}))
				if i%300 == 0 {
					pools.Set("ns/pool", []datalayer.Spec{{Name: fmt.Sprint(worker, i), Namespace: "ns", Address: "10.0.0.1:1"}})
					if _, err := Legacy(registry).Gather(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	running.Wait()
	requests := 0.0
	for _, series := range m.series.known {
		requests += value(t, series.Total)
	}
	if requests != workers*each {
		t.Errorf("%g requests are counted, want %d", requests, workers*each)
	}
}

func TestARequestAllocatesNothing(t *testing.T) {
	m, pools, _ := newMetrics(t)
	pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Namespace: "ns", Address: "10.0.0.1:1"}})
	pool, _ := pools.Get("ns/pool")
	endpoint := pool.Endpoints()[0]
	allocations := testing.AllocsPerRun(1000, func() {
		series := m.Series("m", "t", "f", 1)
		series.Total.Inc()
		series.FirstToken(time.Second, true)
		series.Gap(time.Second)
		series.Tokens(1, 2, 3)
		m.CountAttempt("t", endpoint)
		m.ModelRewritten("rewrite", "m", "t")
		m.PrefixHit(1, 2, 16)
		m.Watched()
	})
	if allocations != 0 {
		t.Errorf("%g allocations for a request", allocations)
	}
}

func TestOneRequestInSixteenIsWatched(t *testing.T) {
	m, _, _ := newMetrics(t)
	watched := 0
	for range 4 * watchedEvery {
		if m.Watched() {
			watched++
		}
	}
	if watched != 4 {
		t.Errorf("%d of %d requests are watched", watched, 4*watchedEvery)
	}
}
