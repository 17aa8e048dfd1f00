package metrics

import (
	"fmt"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard/switchyard/epp/datalayer"
)

func newMetrics(t testing.TB) (*Metrics, *datalayer.Pools, *prometheus.Registry) {
	t.Helper()
	pools, registry := datalayer.New(datalayer.Options{}), prometheus.NewRegistry()
	m, err := New(registry, Build{}, pools)
	if err != nil {
		t.Fatal(err)
	}
	return m, pools, registry
}

func TestLabelValuesAreBounded(t *testing.T) {
	m, _, _ := newMetrics(t)
	for i := range maxLabelValues + 500 {
		model := fmt.Sprintf("model-%d", i)
		m.Series(model, model, "", 0).Total.Inc()
	}
	if got := count(m.requests.total); got != maxLabelValues+1 {
		t.Errorf("%d series, want %d and one for the others", got, maxLabelValues)
	}
	if got := value(t, m.Series("model-1400", "model-1400", "", 0).Total); got != 500 {
		t.Errorf("%g requests are counted under the others, want 500", got)
	}
}

func TestCombinationsAreBounded(t *testing.T) {
	m, _, _ := newMetrics(t)
	for i := range 200 {
		for j := range 100 {
			m.Series(fmt.Sprintf("model-%d", i), "", fmt.Sprintf("tenant-%d", j), 0).Total.Inc()
		}
	}
	if got := count(m.requests.total); got > maxSeries+1 {
		t.Errorf("%d series, want at most %d", got, maxSeries+1)
	}
}

func TestStrangeLabelValuesAreTaken(t *testing.T) {
	m, _, registry := newMetrics(t)
	m.Series("\xff\xfe", "ok\x00", string(make([]byte, 10_000)), 0).Error("BadRequest")
	m.CountAttempt("\xff", nil)
	if _, err := registry.Gather(); err != nil {
		t.Fatal(err)
	}
}

func TestUnknownTokensAreNotObserved(t *testing.T) {
	m, _, _ := newMetrics(t)
	series := m.Series("m", "m", "", 0)
	series.Tokens(-1, -1, -1)
	if n := tokenSeries(m, inputTokens) + tokenSeries(m, outputTokens) + tokenSeries(m, cachedTokens); n != 0 {
		t.Fatalf("%d series of tokens without any", n)
	}
	series.Tokens(10, 0, -1)
	if tokenSeries(m, inputTokens) != 1 || tokenSeries(m, outputTokens) != 1 || tokenSeries(m, cachedTokens) != 0 {
		t.Fatal("known tokens are not observed, or unknown ones are")
	}
}

func TestSeriesVanishWithTheirEndpoint(t *testing.T) {
	m, pools, registry := newMetrics(t)
	pools.Set("ns/pool", []datalayer.Spec{{Name: "a", Namespace: "ns", Address: "10.0.0.1:1"}, {Name: "b", Namespace: "ns", Address: "10.0.0.2:1"}})
	pool, _ := pools.Get("ns/pool")
	for _, endpoint := range pool.Endpoints() {
		m.CountAttempt("m", endpoint)
	}
	gather(t, registry)
	pools.Set("ns/pool", []datalayer.Spec{{Name: "b", Namespace: "ns", Address: "10.0.0.2:1"}})
	gather(t, registry)
	if got := count(m.attempts.total); got != 1 {
		t.Fatalf("%d series of attempts, want that of the endpoint left", got)
	}
}

func TestPoolsOfTheSameName(t *testing.T) {
	_, pools, registry := newMetrics(t)
	pools.Set("a/pool", nil)
	pools.Set("b/pool", nil)
	if got := gather(t, registry)["llm_d_epp_ready_endpoints"]; got != 2 {
		t.Fatalf("%d series of ready endpoints, want 2", got)
	}
}

// gather returns the number of series by name.
func gather(t *testing.T, registry *prometheus.Registry) map[string]int {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, family := range families {
		counts[family.GetName()] = len(family.GetMetric())
	}
	return counts
}

func BenchmarkSeries(b *testing.B) {
	m, _, _ := newMetrics(b)
	b.ReportAllocs()
	for b.Loop() {
		series := m.Series("meta-llama/Llama-3.1-8B-Instruct", "meta-llama/Llama-3.1-8B-Instruct", "", 0)
		series.Total.Inc()
		series.Duration.Observe(1)
	}
}

// count is the number of series of a collector.
func count(collector prometheus.Collector) int {
	series := make(chan prometheus.Metric)
	go func() { collector.Collect(series); close(series) }()
	n := 0
	for range series {
		n++
	}
	return n
}

func value(t *testing.T, counter prometheus.Counter) float64 {
	t.Helper()
	var written dto.Metric
	if err := counter.Write(&written); err != nil {
		t.Fatal(err)
	}
	return written.GetCounter().GetValue()
}

// tokenSeries is the number of series of one of the rare histograms.
func tokenSeries(m *Metrics, which int) int { return count(m.requests.rare[which]) }
