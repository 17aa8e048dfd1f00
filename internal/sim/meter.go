package sim

import (
	"slices"
	"sync"
	"time"
)

// Upper bounds of vLLM's histograms, in seconds or tokens.
var (
	firstTokenBounds = []float64{0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
		20, 40, 80, 160, 640, 2560}
	interTokenBounds = []float64{0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
		20, 40, 80}
	latencyBounds = []float64{0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920,
		7680}
	tokenBounds = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000,
		500000}
)

// histogram counts observations at or under each bound. It is not safe for concurrent use.
type histogram struct {
	name, help string
	bounds     []float64
	counts     []int64 // per bucket, not cumulative; the last one is above all bounds
	sum        float64
	le         []string // the bounds as the page shows them
}

func newHistogram(name, help string, bounds []float64) *histogram {
	h := &histogram{name: name, help: help, bounds: bounds, counts: make([]int64, len(bounds)+1)}
	for _, b := range bounds {
		h.le = append(h.le, string(appendFloat(nil, b)))
	}
	h.le = append(h.le, "+Inf")
	return h
}

func (h *histogram) observe(v float64) {
	i, _ := slices.BinarySearch(h.bounds, v)
	h.counts[i]++
	h.sum += v
}

// meter measures what became of requests, by the clock on the wall and not by what was simulated.
type meter struct {
	mu       sync.Mutex
	outcomes map[string]int64 // by finish reason

	ttft, itl, e2e, queue, prefill, decode, inference, promptTokens, outputTokens *histogram
}

func newMeter() *meter {
	return &meter{
		outcomes: map[string]int64{finishStop: 0, finishLength: 0, finishAbort: 0},
		ttft: newHistogram("vllm:time_to_first_token_seconds",
			"Histogram of time to first token in seconds.", firstTokenBounds),
		itl: newHistogram("vllm:inter_token_latency_seconds",
			"Histogram of inter-token latency in seconds.", interTokenBounds),
		e2e: newHistogram("vllm:e2e_request_latency_seconds",
			"Histogram of e2e request latency in seconds.", latencyBounds),
		queue: newHistogram("vllm:request_queue_time_seconds",
			"Histogram of time spent in WAITING phase for request.", latencyBounds),
		prefill: newHistogram("vllm:request_prefill_time_seconds",
			"Histogram of time spent in PREFILL phase for request.", latencyBounds),
		decode: newHistogram("vllm:request_decode_time_seconds",
			"Histogram of time spent in DECODE phase for request.", latencyBounds),
		inference: newHistogram("vllm:request_inference_time_seconds",
			"Histogram of time spent in RUNNING phase for request.", latencyBounds),
		promptTokens: newHistogram("vllm:request_prompt_tokens",
			"Number of prefill tokens processed.", tokenBounds),
		outputTokens: newHistogram("vllm:request_generation_tokens",
			"Number of generation tokens processed.", tokenBounds),
	}
}

// histograms in the order of the page.
func (m *meter) histograms() []*histogram {
	return []*histogram{m.ttft, m.itl, m.e2e, m.queue, m.prefill, m.decode, m.inference, m.promptTokens, m.outputTokens}
}

func (m *meter) firstToken(d time.Duration) {
	m.mu.Lock()
	m.ttft.observe(d.Seconds())
	m.mu.Unlock()
}

func (m *meter) interToken(d time.Duration) {
	m.mu.Lock()
	m.itl.observe(d.Seconds())
	m.mu.Unlock()
}

func (m *meter) finished(reason string) {
	m.mu.Lock()
	m.outcomes[reason]++
	m.mu.Unlock()
}

// request takes the measures of an answer that is complete.
func (m *meter) request(s *sequence, end time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.e2e.observe(end.Sub(s.arrived).Seconds())
	m.queue.observe(s.started.Sub(s.arrived).Seconds())
	m.prefill.observe(s.firstAt.Sub(s.started).Seconds())
	m.decode.observe(s.lastAt.Sub(s.firstAt).Seconds())
	m.inference.observe(s.lastAt.Sub(s.started).Seconds())
	m.promptTokens.observe(float64(s.job.prompt))
	m.outputTokens.observe(float64(s.written))
}
