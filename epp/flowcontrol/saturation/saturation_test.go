package saturation

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

var now = time.Unix(1_000_000, 0)

// endpoint has fresh metrics.
func endpoint(waiting, running, usage float64, inFlight int64) flowcontrol.Endpoint {
	return flowcontrol.Endpoint{Fresh: true, At: now.Add(-10 * time.Millisecond), Waiting: waiting, Running: running, KVUsage: usage,
		HasWaiting: true, HasRunning: true, HasUsage: true, Requests: inFlight, Tokens: 1000 * inFlight}
}

func with(e flowcontrol.Endpoint, changes ...func(*flowcontrol.Endpoint)) flowcontrol.Endpoint {
	for _, change := range changes {
		change(&e)
	}
	return e
}

func role(name string) func(*flowcontrol.Endpoint) {
	return func(e *flowcontrol.Endpoint) { e.Role = name }
}

func age(d time.Duration, fresh bool) func(*flowcontrol.Endpoint) {
	return func(e *flowcontrol.Endpoint) { e.At, e.Fresh = now.Add(-d), fresh }
}

func every(d time.Duration) func(*flowcontrol.Endpoint) {
	return func(e *flowcontrol.Endpoint) { e.Every = d }
}

func unknown(e *flowcontrol.Endpoint) { e.At, e.Fresh = time.Time{}, false }

func noRunning(e *flowcontrol.Endpoint) { e.HasRunning = false }

func noNumbers(e *flowcontrol.Endpoint) { e.HasWaiting, e.HasUsage = false, false }

func build(t *testing.T, typ, parameters string) flowcontrol.Detector {
	t.Helper()
	var detector flowcontrol.Detector
	var err error
	if typ == UtilizationType {
		detector, err = NewUtilization([]byte(parameters))
	} else {
		detector, err = NewConcurrency([]byte(parameters))
	}
	if err != nil {
		t.Fatal(err)
	}
	return detector
}

func TestMeasure(t *testing.T) {
	type list = []flowcontrol.Endpoint
	for name, test := range map[string]struct {
		typ, parameters string
		endpoints       list
		ahead           flowcontrol.Load
		level           float64
		prefill, decode float64
		stale           int
	}{
		"no endpoints":                 {typ: UtilizationType, level: 1},
		"idle":                         {typ: UtilizationType, endpoints: list{endpoint(0, 0, 0, 0)}},
		"queue":                        {typ: UtilizationType, endpoints: list{endpoint(4, 9, 0, 0)}, level: 0.8, decode: 0.8},
		"cache":                        {typ: UtilizationType, endpoints: list{endpoint(0, 9, 0.6, 0)}, level: 0.75, decode: 0.75},
		"fuller of both, mean of all":  {typ: UtilizationType, endpoints: list{endpoint(5, 0, 0.2, 0), endpoint(1, 0, 0.4, 0)}, level: 0.75, decode: 0.75},
		"parameters":                   {typ: UtilizationType, parameters: `{"queueDepthThreshold": 10, "kvCacheUtilThreshold": 0.5}`, endpoints: list{endpoint(4, 0, 0.3, 0)}, level: 0.6, decode: 0.6},
		"our own requests, not shown":  {typ: UtilizationType, endpoints: list{endpoint(1, 2, 0, 6)}, level: 0.8, decode: 0.8},
		"what runs is not known":       {typ: UtilizationType, endpoints: list{with(endpoint(1, 0, 0, 6), noRunning)}, level: 0.2, decode: 0.2},
		"ahead joins the queues":       {typ: UtilizationType, endpoints: list{endpoint(1, 0, 0, 0), endpoint(1, 0, 0, 0)}, ahead: flowcontrol.Load{Requests: 4}, level: 0.6, decode: 0.6},
		"stale counts as full":         {typ: UtilizationType, endpoints: list{endpoint(0, 0, 0, 0), with(endpoint(0, 0, 0, 0), age(time.Second, false))}, level: 0.5, decode: 0.5, stale: 1},
		"never read":                   {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), unknown)}, level: 1, decode: 1, stale: 1},
		"read, and the numbers absent": {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), noNumbers)}, level: 1, decode: 1, stale: 1},
		"old, and believed":            {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), age(time.Second, true))}},
		"younger than the threshold":   {typ: UtilizationType, parameters: `{"metricsStalenessThreshold": "3s"}`, endpoints: list{with(endpoint(0, 0, 0, 0), age(time.Second, false))}},
		"of a pace, old": {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), age(201*time.Millisecond, true), every(50*time.Millisecond))},
			level: 1, decode: 1, stale: 1},
		"of a pace, young":           {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), age(200*time.Millisecond, false), every(50*time.Millisecond))}},
		"asked rarely, within twice": {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), age(2*time.Second, false), every(time.Second))}},
		"asked rarely, overdue": {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), age(2*time.Second+1, true), every(time.Second))},
			level: 1, decode: 1, stale: 1},
		"stale is ignored":          {typ: UtilizationType, parameters: `{"stalenessPolicy": "ignore"}`, endpoints: list{endpoint(2, 0, 0, 0), with(endpoint(0, 0, 0, 0), unknown)}, level: 0.4, decode: 0.4, stale: 1},
		"all are stale and ignored": {typ: UtilizationType, parameters: `{"stalenessPolicy": "ignore"}`, endpoints: list{with(endpoint(9, 0, 0, 0), unknown)}, stale: 1},
		"stages: the fuller one": {typ: UtilizationType, endpoints: list{with(endpoint(5, 0, 0, 0), role("prefill")), with(endpoint(1, 0, 0, 0), role("decode")),
			with(endpoint(3, 0, 0, 0), role("prefill-decode")), with(endpoint(9, 0, 0, 0), role("encode"))}, level: 0.8, prefill: 0.8, decode: 0.4},
		"nobody but encoders": {typ: UtilizationType, endpoints: list{with(endpoint(0, 0, 0, 0), role("encode"))}, level: 1},

		"in flight":           {typ: ConcurrencyType, endpoints: list{endpoint(9, 9, 1, 50), endpoint(0, 0, 0, 0)}, level: 0.25, decode: 0.25},
		"in flight and ahead": {typ: ConcurrencyType, parameters: `{"maxConcurrency": 10}`, endpoints: list{endpoint(0, 0, 0, 5), endpoint(0, 0, 0, 5)}, ahead: flowcontrol.Load{Requests: 10}, level: 1, decode: 1},
		"tokens":              {typ: ConcurrencyType, parameters: `{"concurrencyMode": "tokens", "maxTokenConcurrency": 10000}`, endpoints: list{endpoint(0, 0, 0, 2)}, ahead: flowcontrol.Load{Requests: 99, Bytes: 12_000}, level: 0.5, decode: 0.5},
		"hybrid, requests":    {typ: ConcurrencyType, parameters: `{"concurrencyMode": "hybrid", "maxConcurrency": 4}`, endpoints: list{endpoint(0, 0, 0, 2)}, level: 0.5, decode: 0.5},
		"hybrid, tokens":      {typ: ConcurrencyType, parameters: `{"concurrencyMode": "hybrid", "maxTokenConcurrency": 2500}`, endpoints: list{endpoint(0, 0, 0, 2)}, level: 0.8, decode: 0.8},
		"stale is no matter":  {typ: ConcurrencyType, endpoints: list{with(endpoint(0, 0, 0, 10), unknown)}, level: 0.1, decode: 0.1},
		"nobody":              {typ: ConcurrencyType, level: 1},
		"stages": {typ: ConcurrencyType, parameters: `{"maxConcurrency": 10}`, endpoints: list{with(endpoint(0, 0, 0, 8), role("prefill")), with(endpoint(0, 0, 0, 2), role("both")),
			endpoint(0, 0, 0, 1)}, level: 0.5, prefill: 0.5, decode: 0.15},
	} {
		t.Run(name, func(t *testing.T) {
			got := build(t, test.typ, test.parameters).Measure(test.endpoints, test.ahead, now)
			if !near(got.Level, test.level) || !near(got.Prefill.Level, test.prefill) || !near(got.Decode.Level, test.decode) ||
				got.Stale != test.stale || got.Endpoints != len(test.endpoints) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestKeeps(t *testing.T) {
	for name, test := range map[string]struct {
		typ, parameters string
		endpoint        flowcontrol.Endpoint
		want            bool
	}{
		"idle":                   {typ: UtilizationType, endpoint: endpoint(0, 0, 0, 0), want: true},
		"queue at the limit":     {typ: UtilizationType, endpoint: endpoint(5, 0, 0, 0), want: true},
		"queue above":            {typ: UtilizationType, endpoint: endpoint(6, 0, 0, 0)},
		"queue within headroom":  {typ: UtilizationType, parameters: `{"headroom": 0.2}`, endpoint: endpoint(6, 0, 0, 0), want: true},
		"cache above":            {typ: UtilizationType, endpoint: endpoint(0, 0, 0.81, 0)},
		"stale":                  {typ: UtilizationType, endpoint: with(endpoint(0, 0, 0, 0), unknown)},
		"our own, not shown":     {typ: UtilizationType, endpoint: endpoint(0, 2, 0, 9)},
		"our own, and the slack": {typ: UtilizationType, endpoint: endpoint(0, 2, 0, 8), want: true},
		"few in flight":          {typ: ConcurrencyType, endpoint: endpoint(0, 0, 0, 99), want: true},
		"as many as may be":      {typ: ConcurrencyType, endpoint: endpoint(0, 0, 0, 100)},
		"within headroom":        {typ: ConcurrencyType, parameters: `{"headroom": 0.5}`, endpoint: endpoint(0, 0, 0, 149), want: true},
	} {
		if got := build(t, test.typ, test.parameters).Keeps(test.endpoint, now); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !build(t, UtilizationType, "").FailsOpen() || build(t, ConcurrencyType, "").FailsOpen() {
		t.Error("utilization fails open, concurrency does not")
	}
}

func TestLag(t *testing.T) {
	for _, test := range []struct {
		typ, parameters string
		want            time.Duration
	}{
		{UtilizationType, "", 500 * time.Millisecond},
		{UtilizationType, `{"metricsStalenessThreshold": "1h"}`, 1300 * time.Millisecond},
		{ConcurrencyType, "", 10 * time.Millisecond},
	} {
		if got := build(t, test.typ, test.parameters).Lag(); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.typ, test.parameters, got, test.want)
		}
	}
}

func TestParameterBounds(t *testing.T) {
	for parameters, fault := range map[string]string{
		`{"queueDepthThreshold": 0}`: "queueDepthThreshold", `{"kvCacheUtilThreshold": 0}`: "kvCacheUtilThreshold",
		`{"kvCacheUtilThreshold": 1.1}`: "kvCacheUtilThreshold", `{"metricsStalenessThreshold": "0s"}`: "metricsStalenessThreshold",
		`{"stalenessPolicy": "open"}`: "stalenessPolicy", `{"headroom": -0.1}`: "headroom", `{"queue": 1}`: "queue",
	} {
		if _, err := NewUtilization([]byte(parameters)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", parameters, err)
		}
	}
	for parameters, fault := range map[string]string{
		`{"concurrencyMode": "both"}`: "concurrencyMode", `{"maxConcurrency": 0}`: "maxConcurrency",
		`{"inFlightLoadProducerName": "mine"}`: "inFlightLoadProducerName", `{"maxTokenConcurrency": -1}`: "maxTokenConcurrency", `{"headroom": -0.1}`: "headroom", `{"max": 1}`: "max",
	} {
		if _, err := NewConcurrency([]byte(parameters)); err == nil || !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v", parameters, err)
		}
	}
}

// BenchmarkUtilization reads 100 endpoints.
func BenchmarkUtilization(b *testing.B) {
	endpoints := make([]flowcontrol.Endpoint, 100)
	for i := range endpoints {
		endpoints[i] = endpoint(1, 2, 0.5, 3)
	}
	detector, err := NewUtilization(nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		detector.Measure(endpoints, flowcontrol.Load{}, now)
	}
}
