package sim

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func newRequest(t *testing.T) *http.Request {
	t.Helper()
	return httptest.NewRequest("POST", "/v1/completions", strings.NewReader(""))
}

// scrape reads the page with Prometheus' own parser.
func (r *running) scrape() map[string]*dto.MetricFamily {
	r.t.Helper()
	got := r.do("GET", "/metrics", "")
	if got.status != 200 || !strings.HasPrefix(got.header.Get("Content-Type"), "text/plain; version=0.0.4") {
		r.t.Fatalf("status %d, %q", got.status, got.header.Get("Content-Type"))
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(got.body))
	if err != nil {
		r.t.Fatalf("%v in\n%s", err, got.body)
	}
	return families
}

// value finds the series of a family whose labels include these.
func value(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	t.Helper()
	for _, m := range families[name].GetMetric() {
		if hasLabels(m, labels) {
			switch {
			case m.Gauge != nil:
				return m.Gauge.GetValue()
			case m.Counter != nil:
				return m.Counter.GetValue()
			}
		}
	}
	t.Fatalf("no %s with %v", name, labels)
	return 0
}

func hasLabels(m *dto.Metric, want []string) bool {
	for i := 0; i+1 < len(want); i += 2 {
		if labelOf(m, want[i]) != want[i+1] {
			return false
		}
	}
	return true
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// TestPageIsWhatHappened makes every number of the page differ from zero, and compares each with the server's
// own counts and with what the test did.
func TestPageIsWhatHappened(t *testing.T) {
	const name = `odd "name"\`
	r := start(t, slow(Config{Model: name, MaxRunning: 2, CacheBlocks: 10, BlockTokens: 32}))
	r.completion(text('a', 100), 1)                                                       // length
	r.completion(text('a', 100), 1)                                                       // length, 96 cached
	defer r.hold(text('b', 65), 2)()                                                      // runs: 3 blocks
	abort := r.hold(text('a', 33), 2)                                                     // 32 cached, to be aborted
	_ = r.park(context.Background(), text('c', 10))                                       // waits
	r.eventually("waits", func(s Stats) bool { return s.Waiting == 1 && s.Running == 2 }) // while both run
	f := r.scrape()
	for metric, want := range map[string]float64{
		"vllm:num_requests_running":       2,
		"vllm:num_requests_waiting":       1,
		"vllm:kv_cache_usage_perc":        0.5, // 3 + 2 of 10
		"vllm:prefix_cache_queries_total": 100 + 100 + 65 + 33,
		"vllm:prefix_cache_hits_total":    96 + 32,
		"vllm:prompt_tokens_total":        100 + 100 + 65 + 33,
		"vllm:generation_tokens_total":    4,
	} {
		if got := value(t, f, metric, "model_name", name); got != want {
			t.Errorf("%s is %v, want %v", metric, got, want)
		}
	}
	if s := r.Stats(); s.KVUsage() != 0.5 || s.PrefixHits != 128 || s.PrefixQueries != 298 || s.HitRate() != 128.0/298 {
		t.Errorf("%+v", s)
	}

	abort()
	r.eventually("the waiting one was served", func(s Stats) bool { return s.Succeeded == 3 && s.Running == 1 })
	f = r.scrape()
	for reason, want := range map[string]float64{"length": 3, "stop": 0, "abort": 1} {
		if got := value(t, f, "vllm:request_success_total", "finished_reason", reason); got != want {
			t.Errorf("%v requests ended with %s, want %v", got, reason, want)
		}
	}
	for metric, count := range map[string]uint64{
		"vllm:time_to_first_token_seconds": 5,
		"vllm:e2e_request_latency_seconds": 3,
		"vllm:request_prompt_tokens":       3,
	} {
		if got := f[metric].GetMetric()[0].GetHistogram().GetSampleCount(); got != count {
			t.Errorf("%s counts %d, want %d", metric, got, count)
		}
	}
	if got := f["vllm:request_prompt_tokens"].GetMetric()[0].GetHistogram().GetSampleSum(); got != 210 {
		t.Errorf("prompts of %v tokens in all, want 210", got)
	}
	value(t, f, "vllm:cache_config_info", "block_size", "32", "num_gpu_blocks", "10")
	if f["vllm:lora_requests_info"] != nil {
		t.Error("LoRA series on a server without adapters")
	}
}

func TestFirstTokenHistogramIsMeasured(t *testing.T) {
	r := start(t, Config{FirstToken: 110 * time.Millisecond})
	r.completion("hello", 1)
	h := r.scrape()["vllm:time_to_first_token_seconds"].GetMetric()[0].GetHistogram()
	for _, b := range h.GetBucket() {
		below := b.GetUpperBound() <= 0.1
		if got := b.GetCumulativeCount(); (below && got != 0) || (b.GetUpperBound() >= limit.Seconds() && got != 1) {
			t.Errorf("%d first tokens within %v s", got, b.GetUpperBound())
		}
	}
	if sum := h.GetSampleSum(); sum < 0.11 || sum > limit.Seconds() {
		t.Errorf("sum of times to first token is %v s", sum)
	}
}

func TestHistogramBounds(t *testing.T) {
	h := newHistogram("h", "", []float64{1, 2})
	for _, v := range []float64{0.5, 1, 1.5, 2, 2.5} {
		h.observe(v)
	}
	if got := fmt.Sprint(h.counts, h.sum); got != "[2 2 1] 7.5" {
		t.Errorf("counts and sum: %s", got)
	}
}

// TestLatestLoRASeriesIsTrue goes through several states; the one with the largest value must be that of now.
func TestLatestLoRASeriesIsTrue(t *testing.T) {
	r := start(t, slow(Config{LoRA: []string{"x", "y"}}))
	latest := func() string {
		var best *dto.Metric
		for _, m := range r.scrape()["vllm:lora_requests_info"].GetMetric() {
			if best == nil || m.GetGauge().GetValue() > best.GetGauge().GetValue() {
				best = m
			}
		}
		return labelOf(best, "running_lora_adapters") + " of " + labelOf(best, "max_lora")
	}
	endX := r.hold("1", 2, "model", "x")
	if got := latest(); got != "x of 2" {
		t.Errorf("with x: %q", got)
	}
	endY := r.hold("2", 2, "model", "y")
	if got := latest(); got != "x,y of 2" {
		t.Errorf("with x and y: %q", got)
	}
	endX()
	r.eventually("x ended", func(s Stats) bool { return s.Running == 1 })
	if got := latest(); got != "y of 2" {
		t.Errorf("with y: %q", got)
	}
	endY()
	r.idle()
	if got := latest(); got != " of 2" {
		t.Errorf("with none: %q", got)
	}
}

func TestLoRALogIsBounded(t *testing.T) {
	var l loraLog
	for i := range 3 * loraHistory {
		l.note([]string{fmt.Sprint(i)}, nil)
		l.note(nil, nil)
	}
	if len(l.states) != loraHistory || l.states[loraHistory-1].running != nil {
		t.Errorf("%d states, the last is %+v", len(l.states), l.states[len(l.states)-1])
	}
	for i := 1; i < len(l.states); i++ {
		if l.states[i].since.UnixMicro() <= l.states[i-1].since.UnixMicro() { // as the page shows it
			t.Fatalf("state %d is not visibly later than the one before", i)
		}
	}
}
