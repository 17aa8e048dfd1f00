package flowcontrol_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard/switchyard/epp/flowcontrol"
)

// gather gives the value (of a histogram: the count) of each series.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			name := strings.TrimPrefix(family.GetName(), "llm_d_epp_flow_control_") + "{" + strings.Join(labels, ",") + "}"
			switch family.GetType() {
			case dto.MetricType_COUNTER:
				values[name] = metric.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				values[name] = metric.GetGauge().GetValue()
			default:
				values[name] = float64(metric.GetHistogram().GetSampleCount())
			}
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := &server{room: 2}
		o := options(t, s)
		o.Registerer, o.Detector = registry, "utilization-detector"
		o.MaxRequests, o.MaxBytes = 8, 1000
		o.Default.MaxRequests, o.Default.MaxBytes = 4, 400
		c := newController(t, o)
		request := flowcontrol.Request{Fairness: "tenant", Bytes: 100, Model: "m", TargetModel: "m-v2"}
		admit(c, "goes", request)
		admit(c, "goes too", request)
		waits := admit(c, "waits", request)
		admit(c, "waits too", request)
		want := map[string]float64{
			"request_queue_duration_seconds{fairness_id=tenant,inference_pool=pool,model_name=m,outcome=Dispatched,priority=0,target_model_name=m-v2}": 2,
			"request_enqueue_duration_seconds{fairness_id=tenant,outcome=Dispatched,priority=0}":                                                       2,
			"requests_total{inference_pool=pool,outcome=Dispatched,priority=0}":                                                                        2,
			"queue_size{fairness_id=tenant,inference_pool=pool,model_name=m,priority=0,target_model_name=m-v2}":                                        2,
			"queue_bytes{fairness_id=tenant,inference_pool=pool,model_name=m,priority=0,target_model_name=m-v2}":                                       200,
			"pool_saturation{inference_pool=pool,stage=decode}":                                                                                        1,
			"stale_endpoints{detector=utilization-detector}":                                                                                           0,
			"capacity_utilization_requests{inference_pool=pool,priority=0}":                                                                            0.5,
			"capacity_utilization_bytes{inference_pool=pool,priority=0}":                                                                               0.5,
			"global_capacity_utilization_requests{inference_pool=pool}":                                                                                0.25,
			"global_capacity_utilization_bytes{inference_pool=pool}":                                                                                   0.2,
			"dispatch_cycle_duration_seconds{}":                                                                                                        1,
		}
		if got := gather(t, registry); !maps.Equal(got, want) {
			t.Errorf("got\n%s", show(got))
		}
		waits.ctx()
		time.Sleep(time.Minute)
		synctest.Wait()
		got := gather(t, registry)
		for _, outcome := range []string{"EvictedContextCancelled", "EvictedTTL"} {
			if got["requests_total{inference_pool=pool,outcome="+outcome+",priority=0}"] != 1 {
				t.Errorf("%s was not counted once:\n%s", outcome, show(got))
			}
		}
		for name := range got {
			if strings.HasPrefix(name, "queue_") {
				t.Errorf("%s is there, and nothing waits", name)
			}
		}
	})
}

// TestMetricsAreBounded: clients that make up tenants and models make no end of series, and those of tenants that are gone go too.
func TestMetricsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := &server{room: 1 << 20}
		o := options(t, s)
		o.Registerer = registry
		c := newController(t, o)
		count := func() (tenants, models map[string]bool) {
			tenants, models = map[string]bool{}, map[string]bool{}
			for name := range gather(t, registry) {
				if labels, ok := strings.CutPrefix(name, "request_queue_duration_seconds{"); ok {
					pairs := strings.Split(labels, ",")
					tenants[pairs[0]], models[pairs[2]] = true, true
				}
			}
			return tenants, models
		}
		admit(c, "", flowcontrol.Request{})
		for i := range 1500 {
			admit(c, "", flowcontrol.Request{Fairness: fmt.Sprint("tenant", i), Model: fmt.Sprint("m", i, "\xff")})
		}
		tenants, models := count()
		if len(tenants) != 1001 || !tenants["fairness_id=other"] || !tenants["fairness_id=default-flow"] || len(models) != 1001 || !models["model_name=other"] {
			t.Errorf("%d tenants and %d models, want 1000 of each (the default tenant and the empty model among them) and the rest as one", len(tenants), len(models))
		}
		time.Sleep(4 * time.Minute)
		admit(c, "", flowcontrol.Request{Fairness: "tenant7"})
		time.Sleep(2 * time.Minute)
		count() // looks for what is gone
		if tenants, _ = count(); len(tenants) != 3 || !tenants["fairness_id=tenant7"] {
			t.Errorf("after six minutes: tenants %v, want the one that was there two minutes ago, the default and the rest", tenants)
		}
	})
}

// TestPoolsOfOneName do not share series.
func TestPoolsOfOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		registry := prometheus.NewRegistry()
		s := &server{room: 9}
		o := options(t, s)
		o.Registerer = registry
		c := newController(t, o)
		for _, pool := range []string{"a/llama", "b/llama", "qwen"} {
			if _, err := c.Admit(t.Context(), flowcontrol.Request{Pool: pool}); err != nil {
				t.Fatal(err)
			}
		}
		got := gather(t, registry)
		for _, label := range []string{"llama", "b/llama", "qwen"} {
			if got["requests_total{inference_pool="+label+",outcome=Dispatched,priority=0}"] != 1 {
				t.Errorf("%s:\n%s", label, show(got))
			}
		}
	})
}

func show(values map[string]float64) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, fmt.Sprintf("%s %g", name, values[name]))
	}
	return strings.Join(lines, "\n")
}

func TestOptionsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*flowcontrol.Options)
		fault  string
	}{
		"no saturation":    {func(o *flowcontrol.Options) { o.Saturation = nil }, "saturation"},
		"no usage limit":   {func(o *flowcontrol.Options) { o.UsageLimit = nil }, "usageLimitPolicyPluginRef"},
		"requests below 0": {func(o *flowcontrol.Options) { o.MaxRequests = -1 }, "maxRequests"},
		"bytes below 0":    {func(o *flowcontrol.Options) { o.MaxBytes = -1 }, "maxBytes"},
		"ttl below 0":      {func(o *flowcontrol.Options) { o.TTL = -1 }, "defaultRequestTTL"},
		"empty ttl":        {func(o *flowcontrol.Options) { o.NoEndpointTTL = -1 }, "noEndpointRequestTTL"},
		"no fairness":      {func(o *flowcontrol.Options) { o.Default.Fairness = nil }, "defaultPriorityBand: no fairness"},
		"no ordering":      {func(o *flowcontrol.Options) { o.Negative = &flowcontrol.Band{Fairness: o.Default.Fairness} }, "defaultNegativePriorityBand: no ordering"},
		"band of a priority": {func(o *flowcontrol.Options) {
			band := o.Default
			band.MaxBytes = -1
			o.Bands = map[int]flowcontrol.Band{7: band}
		}, "priority 7: maxBytes"},
	} {
		o := options(t, &server{})
		test.change(&o)
		if _, err := flowcontrol.New(o); err == nil || !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: error %v, want one about %q", name, err, test.fault)
		}
	}
}

// TestTemplates: a priority has the band listed for it, else the template of its sign.
func TestTemplates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := options(t, s)
		negative, listed := o.Default, o.Default
		o.Default.MaxRequests, negative.MaxRequests, listed.MaxRequests = 3, 2, 1
		o.Negative, o.Bands = &negative, map[int]flowcontrol.Band{-7: listed, 7: listed}
		c := newController(t, o)
		for priority, want := range map[int]int{0: 3, 12: 3, -1: 2, -9: 2, -7: 1, 7: 1} {
			queued := 0
			for range 5 {
				if !admit(c, "", flowcontrol.Request{Priority: priority}).done() {
					queued++
				}
			}
			if queued != want {
				t.Errorf("priority %d: %d could wait, want %d", priority, queued, want)
			}
		}
	})
}
