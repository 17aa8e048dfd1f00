package metrics

import (
	"bufio"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// oldForm is a line of testdata/legacy.txt.
type oldForm struct {
	kind, now, then       string
	nowLabels, thenLabels []string
	labelsThatWent        []string
}

func oldForms(t *testing.T) []oldForm {
	t.Helper()
	file, err := os.Open("testdata/legacy.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var forms []oldForm
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Fields(lines.Text())
		if len(fields) != 3 {
			t.Fatalf("line %q", lines.Text())
		}
		form := oldForm{kind: fields[0]}
		form.now, form.nowLabels = splitSeries(fields[1])
		form.then, form.thenLabels = splitSeries(fields[2])
		for _, label := range form.nowLabels {
			if !slices.Contains(form.thenLabels, label) && label != "endpoint_name" && label != "model_server_endpoint" {
				form.labelsThatWent = append(form.labelsThatWent, label)
			}
		}
		forms = append(forms, form)
	}
	return forms
}

func splitSeries(text string) (name string, labels []string) {
	name, list, _ := strings.Cut(strings.TrimSuffix(text, "}"), "{")
	if list != "" {
		labels = strings.Split(list, ",")
	}
	return name, labels
}

// TestOldForms makes two series of each family, which differ in the labels that the old form does not have, if there are any.
func TestOldForms(t *testing.T) {
	forms := oldForms(t)
	if len(forms) != len(twins) {
		t.Errorf("testdata/legacy.txt has %d families, the code %d", len(forms), len(twins))
	}
	for _, form := range forms {
		t.Run(form.then, func(t *testing.T) {
			registry := prometheus.NewRegistry()
			form.fill(registry)
			before, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			families, err := Legacy(registry).Gather()
			if err != nil || len(families) != 2 {
				t.Fatalf("%d families, error %v", len(families), err)
			}
			if !slices.IsSortedFunc(families, func(a, b *dto.MetricFamily) int { return strings.Compare(a.GetName(), b.GetName()) }) {
				t.Error("families are not in the order of their names")
			}
			for _, family := range families {
				if family.GetName() == form.then {
					form.check(t, family)
				} else if family.String() != before[0].String() {
					t.Errorf("the family itself changed: %s", family)
				}
			}
		})
	}
}

// fill registers the family with one series, and a second one when that looks the same without the labels that went.
func (f oldForm) fill(registry *prometheus.Registry) {
	values := func(went string) []string {
		var values []string
		for _, label := range f.nowLabels {
			if slices.Contains(f.labelsThatWent, label) {
				values = append(values, went)
			} else {
				values = append(values, "of "+label)
			}
		}
		return values
	}
	name := namespace + "_" + f.now
	both := len(f.labelsThatWent) > 0
	switch f.kind {
	case "counter":
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help("Text.")}, f.nowLabels)
		registry.MustRegister(vec)
		vec.WithLabelValues(values("a")...).Add(2)
		if both {
			vec.WithLabelValues(values("b")...).Add(3)
		}
	case "histogram":
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help("Text."), Buckets: []float64{1, 2}}, f.nowLabels)
		registry.MustRegister(vec)
		vec.WithLabelValues(values("a")...).Observe(2)
		if both {
			vec.WithLabelValues(values("b")...).Observe(1)
			vec.WithLabelValues(values("b")...).Observe(2.5)
		}
	default:
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help("Text.")}, f.nowLabels)
		registry.MustRegister(vec)
		vec.WithLabelValues(values("a")...).Set(2)
		if both {
			vec.WithLabelValues(values("b")...).Set(3)
		}
	}
}

// check looks at the old form of what fill made.
func (f oldForm) check(t *testing.T, family *dto.MetricFamily) {
	t.Helper()
	if got, want := family.GetHelp(), "[ALPHA] [Deprecated: Use "+namespace+"_"+f.now+"] Text."; got != want {
		t.Errorf("help %q, want %q", got, want)
	}
	if len(family.GetMetric()) != 1 {
		t.Fatalf("%d series, want 1", len(family.GetMetric()))
	}
	metric := family.GetMetric()[0]
	var names []string
	for _, label := range metric.GetLabel() {
		names = append(names, label.GetName())
		from := strings.NewReplacer("pod_name", "endpoint_name", "model_server_pod", "model_server_endpoint").Replace(label.GetName())
		if got := label.GetValue(); got != "of "+from {
			t.Errorf("label %s is %q", label.GetName(), got)
		}
	}
	slices.Sort(f.thenLabels)
	if !slices.Equal(names, f.thenLabels) {
		t.Errorf("labels %q, want %q in order", names, f.thenLabels)
	}
	f.checkValue(t, family.GetType(), metric)
}

func (f oldForm) checkValue(t *testing.T, kind dto.MetricType, metric *dto.Metric) {
	t.Helper()
	both := len(f.labelsThatWent) > 0
	want := 2.0
	if both {
		want = 5
	}
	switch f.kind {
	case "counter":
		if got := metric.GetCounter().GetValue(); kind != dto.MetricType_COUNTER || got != want {
			t.Errorf("%s %g, want a counter of %g", kind, got, want)
		}
	case "gauge":
		if got := metric.GetGauge().GetValue(); kind != dto.MetricType_GAUGE || got != want {
			t.Errorf("%s %g, want a gauge of %g", kind, got, want)
		}
	case "max":
		if got := metric.GetGauge().GetValue(); kind != dto.MetricType_GAUGE || got != 3 {
			t.Errorf("%s %g, want a gauge of 3", kind, got)
		}
	case "histogram":
		f.checkHistogram(t, kind, metric.GetHistogram(), both)
	}
}

func (f oldForm) checkHistogram(t *testing.T, kind dto.MetricType, got *dto.Histogram, both bool) {
	t.Helper()
	sum, counts := 2.0, []uint64{0, 1, 1}
	if both {
		sum, counts = 5.5, []uint64{1, 2, 3}
	}
	buckets := got.GetBucket()
	if kind != dto.MetricType_HISTOGRAM || len(buckets) != 2 || buckets[0].GetUpperBound() != 1 || buckets[1].GetUpperBound() != 2 {
		t.Fatalf("%s with buckets %v", kind, buckets)
	}
	if have := []uint64{buckets[0].GetCumulativeCount(), buckets[1].GetCumulativeCount(), got.GetSampleCount()}; !slices.Equal(have, counts) || got.GetSampleSum() != sum {
		t.Errorf("counts %v, sum %g; want %v, %g", have, got.GetSampleSum(), counts, sum)
	}
}

// TestLegacyKeepsWhatCameWithAnError: a collector that fails does not take the others' series away.
func TestLegacyKeepsWhatCameWithAnError(t *testing.T) {
	registry := prometheus.NewRegistry()
	form := oldForm{kind: "counter", now: "request_total"}
	form.fill(registry)
	broken := prometheus.NewDesc("broken", "Text.", nil, nil)
	registry.MustRegister(collectorOf{broken})
	families, err := Legacy(registry).Gather()
	if err == nil || len(families) != 2 {
		t.Errorf("%d families, error %v; want 2 and an error", len(families), err)
	}
}

// collectorOf is a collector that fails.
type collectorOf struct{ description *prometheus.Desc }

func (c collectorOf) Describe(out chan<- *prometheus.Desc) { out <- c.description }
func (c collectorOf) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.NewInvalidMetric(c.description, os.ErrInvalid)
}
