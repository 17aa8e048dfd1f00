package filter_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

const allKnown = datalayer.HasWaiting | datalayer.HasRunning | datalayer.HasKVUsage

// build makes a plugin or ends the test.
func build[T any](t *testing.T, constructor func([]byte) (T, error), parameters string) T {
	t.Helper()
	f, err := constructor([]byte(parameters))
	if err != nil {
		t.Fatalf("%s: %v", parameters, err)
	}
	return f
}

// loaded is a cycle of candidates with these loads.
func loaded(t *testing.T, loads ...scheduling.Load) *scheduling.Cycle {
	t.Helper()
	c := cycleOf(t, make([]map[string]string, len(loads))...)
	copy(c.Loads, loads)
	return c
}

func TestLoadFilters(t *testing.T) {
	busy := []scheduling.Load{
		{Known: allKnown, Waiting: 0, Running: 8, KVUsage: 0.5, Requests: 3},
		{Known: allKnown, Waiting: 6, Running: 2, KVUsage: 0.1, Requests: 1, Tokens: 900},
		{Known: allKnown, Waiting: 5, Running: 5, KVUsage: 0.9, Requests: 2, Tokens: 1000},
		{Requests: 0, Waiting: 1, Running: 1},
	}
	utilization := func(parameters string) scheduling.Filter { return build(t, filter.NewUtilization, parameters) }
	concurrency := func(parameters string) scheduling.Filter { return build(t, filter.NewConcurrencyDetector, parameters) }
	for name, test := range map[string]struct {
		filter scheduling.Filter
		want   []int
	}{
		"one condition":              {utilization(`{"conditions":[{"metric":"waiting-queue","maxValue":5}]}`), []int{0, 2, 3}},
		"all conditions":             {utilization(`{"conditions":[{"metric":"running-requests","maxValue":5},{"metric":"kv-cache-utilization","maxValue":0.5}]}`), []int{1, 3}},
		"own requests":               {utilization(`{"conditions":[{"metric":"active-requests","maxValue":0}]}`), []int{3}},
		"nobody":                     {utilization(`{"conditions":[{"metric":"running-requests","maxValue":0}]}`), []int{}},
		"nobody, all fall back":      {utilization(`{"conditions":[{"metric":"running-requests","maxValue":0}],"fallbackOnEmpty":true}`), []int{0, 1, 2, 3}},
		"concurrency in requests":    {concurrency(`{"maxConcurrency":2}`), []int{1, 3}},
		"concurrency with headroom":  {concurrency(`{"maxConcurrency":2,"headroom":0.5}`), []int{1, 2, 3}},
		"concurrency in tokens":      {concurrency(`{"concurrencyMode":"tokens","maxTokenConcurrency":1000,"maxConcurrency":1}`), []int{0, 1, 3}},
		"concurrency in both":        {concurrency(`{"concurrencyMode":"hybrid","maxTokenConcurrency":1000,"maxConcurrency":3}`), []int{1, 3}},
		"concurrency, nobody":        {concurrency(`{"concurrencyMode":"tokens","maxTokenConcurrency":1,"headroom":0}`), []int{0, 3}},
		"concurrency default limits": {concurrency(``), []int{0, 1, 2, 3}},
	} {
		c := loaded(t, busy...)
		if got := test.filter.Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s keeps %v, want %v", name, got, test.want)
		}
	}
}

func TestConcurrencyDetectorRefusesWhenAllAreFull(t *testing.T) {
	c := loaded(t, scheduling.Load{Requests: 5}, scheduling.Load{Requests: 4})
	if got := build(t, filter.NewConcurrencyDetector, `{"maxConcurrency":4}`).Filter(c, c.Indices()); len(got) != 0 {
		t.Errorf("keeps %v, want none", got)
	}
}

// TestUtilizationDetector: numbers of model servers, our own requests there, and how old the numbers are.
func TestUtilizationDetector(t *testing.T) {
	endpoints := []*datalayer.Endpoint{scrapeServer(t, 0, 8, 0.5), scrapeServer(t, 6, 2, 0.1), scrapeServer(t, 5, 5, 0.9),
		cycleOf(t, nil).Candidates[0]}
	now := endpoints[2].Metrics().At
	for name, test := range map[string]struct {
		parameters string  // besides the staleness
		stale      string  // 1h: these servers are not asked again
		ours       []int64 // in flight
		later      time.Duration
		want       []int
	}{
		"at rest":                   {stale: "1h", want: []int{0}},
		"within headroom":           {stale: "1h", parameters: `, "headroom":0.2`, want: []int{0, 1, 2}},
		"nobody, all stay":          {stale: "1h", parameters: `, "kvCacheUtilThreshold":0.01`, want: []int{0, 1, 2, 3}},
		"our own, within the slack": {stale: "1h", ours: []int64{14}, want: []int{0}},
		"our own, not running":      {stale: "1h", parameters: `, "headroom":0.2`, ours: []int64{16}, want: []int{1, 2}},
		"stale, all stay":           {stale: "200ms", later: time.Minute, want: []int{0, 1, 2, 3}},
	} {
		c := scheduling.NewCycle(&body.Request{}, endpoints, now.Add(test.later))
		for i, n := range test.ours {
			c.Loads[i].Requests = n
		}
		if got := build(t, filter.NewUtilizationDetector, fmt.Sprintf(`{"metricsStalenessThreshold": %q%s}`, test.stale, test.parameters)).Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s: keeps %v, want %v", name, got, test.want)
		}
		c.Release()
	}
}

// TestDetectorsAllocateNothing per candidate.
func TestDetectorsAllocateNothing(t *testing.T) {
	c := loaded(t, make([]scheduling.Load, 50)...)
	for name, detector := range map[string]scheduling.Filter{
		"utilization": build(t, filter.NewUtilizationDetector, ``), "concurrency": build(t, filter.NewConcurrencyDetector, ``),
	} {
		if n := testing.AllocsPerRun(100, func() { detector.Filter(c, c.Indices()) }); n > 1 {
			t.Errorf("%s: %g allocations for 50 candidates", name, n)
		}
	}
}

// scrapeServer returns an endpoint of which these numbers have been read.
func scrapeServer(t *testing.T, waiting, running int, usage float64) *datalayer.Endpoint {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "vllm:num_requests_waiting %d\nvllm:num_requests_running %d\nvllm:kv_cache_usage_perc %g\n", waiting, running, usage)
	}))
	defer server.Close()
	return scrape(t, server.Listener.Addr().String())
}

// scrape returns an endpoint whose metrics have been read.
func scrape(t *testing.T, address string) *datalayer.Endpoint {
	t.Helper()
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/scraped", []datalayer.Spec{{Name: "pod-rank-0", Namespace: "ns", Address: address}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pools.Run(ctx) }()
	defer func() { cancel(); <-done }()
	pool, _ := pools.Get("ns/scraped")
	endpoint := pool.Endpoints()[0]
	deadline := time.Now().Add(30 * time.Second)
	for endpoint.Metrics().At.IsZero() {
		if time.Now().After(deadline) {
			t.Fatal("the endpoint was not scraped")
		}
		runtime.Gosched()
	}
	return endpoint
}

func TestPrefixCacheAffinity(t *testing.T) {
	loads := []scheduling.Load{{Tokens: 30_000}, {Tokens: 20_000}, {Tokens: 0}, {Tokens: 0}}
	for name, test := range map[string]struct {
		parameters string
		blocks     []int
		want       []int
	}{
		"those that hold enough":           {``, []int{10, 8, 7, 0}, []int{0, 1}},
		"another threshold":                {`{"affinityThreshold":0.7}`, []int{10, 8, 7, 0}, []int{0, 1, 2}},
		"nobody holds enough":              {``, []int{7, 7, 7, 0}, []int{0, 1, 2, 3}},
		"everybody does":                   {``, []int{10, 10, 10, 10}, []int{0, 1, 2, 3}},
		"too busy by the least of them":    {`{"maxTTFTPenaltyMs":1900,"peakPrefillThroughput":10000}`, []int{10, 8, 7, 0}, []int{0, 1, 2, 3}},
		"just not too busy":                {`{"maxTTFTPenaltyMs":2000,"peakPrefillThroughput":10000}`, []int{10, 8, 7, 0}, []int{0, 1}},
		"busy without a limit":             {`{"maxTTFTPenaltyMs":0,"peakPrefillThroughput":1}`, []int{10, 8, 7, 0}, []int{0, 1}},
		"always exploring":                 {`{"explorationProbability":1}`, []int{10, 8, 7, 0}, []int{0, 1, 2, 3}},
		"an endpoint that is busy anyhow":  {`{"maxTTFTPenaltyMs":1,"peakPrefillThroughput":1}`, []int{0, 0, 10, 0}, []int{2}},
		"the producers that there are":     {`{"prefixMatchInfoProducerName":"approx-prefix-cache-producer","inFlightLoadProducerName":"inflight-load-producer"}`, []int{10, 0, 0, 0}, []int{0}},
		"a threshold that is just reached": {`{"affinityThreshold":0.5}`, []int{5, 4, 0, 0}, []int{0}},
	} {
		c := loaded(t, loads...)
		c.Keys = make([]uint64, 10)
		copy(c.PrefixBlocks, test.blocks)
		if got := build(t, filter.NewPrefixCacheAffinity, test.parameters).Filter(c, c.Indices()); !slices.Equal(got, test.want) {
			t.Errorf("%s: keeps %v, want %v", name, got, test.want)
		}
	}
	c := loaded(t, loads...)
	if got := build(t, filter.NewPrefixCacheAffinity, ``).Filter(c, c.Indices()); len(got) != 4 {
		t.Errorf("without a prompt keeps %v, want all", got)
	}
}

func TestEndpointAttribute(t *testing.T) {
	custom := func(e *datalayer.Endpoint, name string) (float64, bool) {
		value, known := map[string]float64{"a": 1, "b": 5, "c": 3, "d": 5}[e.Name]
		return value, known && name == "gpu"
	}
	for parameters, want := range map[string][]int{
		`{"attribute":"gpu","algorithm":{"type":"threshold","threshold":{"operator":"LessThan","value":5}}}`:                                                   {0, 2, 4},
		`{"attribute":"gpu","algorithm":{"threshold":{"operator":"LessThanOrEqual","value":3}}}`:                                                               {0, 2, 4},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"threshold":{"operator":"GreaterThan","value":3}}}`:                                                {1, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"threshold":{"operator":"GreaterThanOrEqual","value":3}}}`:                                         {1, 2, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"threshold":{"operator":"Equal","value":3}}}`:                                                      {2},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"threshold":{"operator":"NotEqual","value":3}}}`:                                                   {0, 1, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"range","range":{"min":1,"max":3}}}`:                                                        {0, 2},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"topK","topK":{"k":1}}}`:                                                                    {1, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"topK","topK":{"k":2,"higherIsBetter":false}}}`:                                             {0, 2},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"topK","topK":{"k":3}}}`:                                                                    {1, 2, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"percentile","percentile":{"percentile":60}}}`:                                              {1, 3},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"topK","topK":{"k":9}}}`:                                                                    {0, 1, 2, 3},
		`{"attribute":"gpu","algorithm":{"type":"percentile","percentile":{"percentile":75}}}`:                                                                 {1, 3, 4},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"percentile","percentile":{"percentile":50,"higherIsBetter":false}}}`:                       {0, 2},
		`{"attribute":"gpu","onMissing":"Fail","algorithm":{"type":"percentile","percentile":{"percentile":0}}}`:                                               {0, 1, 2, 3},
		`{"attribute":"other","onMissing":"Fail","algorithm":{"topK":{"k":1}}}`:                                                                                {},
		`{"attribute":"other","onMissing":"Fail","fallbackOnEmpty":true,"algorithm":{"topK":{"k":1}}}`:                                                         {0, 1, 2, 3, 4},
		`{"attribute":"waiting-queue","onMissing":"Fail","producer":"core-metrics-extractor","algorithm":{"threshold":{"operator":"LessThan","value":2}}}`:     {0},
		`{"attribute":"active-requests","onMissing":"Fail","algorithm":{"threshold":{"operator":"GreaterThanOrEqual","value":1}},"fallbackOnEmpty":false}`:     {1},
		`{"attribute":"kv-cache-utilization","onMissing":"Fail","algorithm":{"threshold":{"operator":"LessThan","value":0.5}},"fallbackOnEmpty":true}`:         {1},
		`{"attribute":"running-requests","onMissing":"Pass","algorithm":{"threshold":{"operator":"LessThan","value":1}}}`:                                      {1, 2, 3, 4},
		`{"attribute":"active-tokens","onMissing":"Fail","algorithm":{"type":"threshold","threshold":{"operator":"GreaterThan","value":0}},"producer":"dcgm"}`: {2},
	} {
		c := loaded(t, scheduling.Load{Known: allKnown, Running: 3, KVUsage: 0.5}, scheduling.Load{Known: allKnown, Waiting: 2, Requests: 1},
			scheduling.Load{Tokens: 7}, scheduling.Load{}, scheduling.Load{})
		c.Custom = custom
		if got := build(t, filter.NewEndpointAttribute, parameters).Filter(c, c.Indices()); !slices.Equal(got, want) {
			t.Errorf("%s keeps %v, want %v", parameters, got, want)
		}
	}
}

func TestByLabel(t *testing.T) {
	for parameters, want := range map[string][]int{
		`{"label":"tier","validValues":["gold","silver"]}`:              {0, 1},
		`{"label":"tier","validValues":["gold"],"allowsNoLabel":true}`:  {0, 3},
		`{"label":"tier","allowsNoLabel":true}`:                         {3},
		`{"label":"tier","validValues":["none"],"allowsNoLabel":false}`: {},
	} {
		c := cycleOf(t, map[string]string{"tier": "gold"}, map[string]string{"tier": "silver"}, map[string]string{"tier": ""}, nil)
		if got := build(t, filter.NewByLabel, parameters).Filter(c, c.Indices()); !slices.Equal(got, want) {
			t.Errorf("%s keeps %v, want %v", parameters, got, want)
		}
	}
	c := cycleOf(t, map[string]string{"tier": "gold"}, nil)
	if got := build(t, filter.NewByLabelSelector, `{"matchLabels":{"tier":"gold"}}`).Filter(c, c.Indices()); !slices.Equal(got, []int{0}) {
		t.Errorf("by-label-selector keeps %v, want [0]", got)
	}
}
