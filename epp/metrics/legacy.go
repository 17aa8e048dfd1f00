package metrics

import (
	"cmp"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// Legacy gives what a gatherer gives and the same once more under the names, and with the labels, that dashboards of earlier
// versions of the llm-d Router ask for.
func Legacy(gatherer prometheus.Gatherer) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		// With an error there may be families, too.
		families, err := gatherer.Gather()
		for _, family := range families {
			short, ours := strings.CutPrefix(family.GetName(), namespace+"_")
			if old, ok := twins[short]; ours && ok {
				families = append(families, old.of(family))
			}
		}
		slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
		return families, err
	})
}

// of makes the old form of a family. It leaves the family as it is.
func (t twin) of(family *dto.MetricFamily) *dto.MetricFamily {
	text := help("[Deprecated: Use " + family.GetName() + "] " + strings.TrimPrefix(family.GetHelp(), help("")))
	old := &dto.MetricFamily{Name: &t.name, Help: &text, Type: family.Type}
	sums := map[string]*dto.Metric{}
	for _, metric := range family.GetMetric() {
		labels, key := t.relabel(metric.GetLabel())
		sum, ok := sums[key]
		if !ok {
			sum = &dto.Metric{Label: labels}
			sums[key] = sum
			old.Metric = append(old.Metric, sum)
		}
		t.add(sum, metric)
	}
	return old
}

// relabel gives the labels of a series in the order of their names, and its values as one string.
func (t twin) relabel(labels []*dto.LabelPair) (old []*dto.LabelPair, key string) {
	if old = labels; t.labels != nil {
		old = t.choose(labels)
	}
	var values strings.Builder
	for _, label := range old {
		values.WriteString(label.GetValue())
		values.WriteByte(0xff) // in no label value, which are UTF-8
	}
	return old, values.String()
}

// choose gives the labels that the old form has.
func (t twin) choose(labels []*dto.LabelPair) []*dto.LabelPair {
	var chosen []*dto.LabelPair
	for _, wanted := range t.labels {
		value := ""
		for _, label := range labels {
			if label.GetName() == wanted.from {
				value = label.GetValue()
			}
		}
		chosen = append(chosen, &dto.LabelPair{Name: &wanted.name, Value: &value})
	}
	slices.SortFunc(chosen, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return chosen
}

// add adds a series to the sum of those that look the same without the dropped labels.
func (t twin) add(sum, metric *dto.Metric) {
	switch {
	case metric.Counter != nil:
		if sum.Counter == nil {
			sum.Counter = &dto.Counter{Value: new(float64), CreatedTimestamp: metric.Counter.CreatedTimestamp}
		}
		*sum.Counter.Value += metric.Counter.GetValue()
	case metric.Gauge != nil:
		value := metric.Gauge.GetValue()
		switch {
		case sum.Gauge == nil:
			sum.Gauge = &dto.Gauge{Value: &value}
		case t.highest:
			*sum.Gauge.Value = max(*sum.Gauge.Value, value)
		default:
			*sum.Gauge.Value += value
		}
	case metric.Histogram != nil:
		addHistogram(sum, metric.Histogram)
	}
}

// addHistogram adds bucket by bucket: the series of a family have the same ones.
func addHistogram(sum *dto.Metric, histogram *dto.Histogram) {
	if sum.Histogram == nil {
		sum.Histogram = &dto.Histogram{SampleCount: new(uint64), SampleSum: new(float64), CreatedTimestamp: histogram.CreatedTimestamp}
		for _, bucket := range histogram.GetBucket() {
			sum.Histogram.Bucket = append(sum.Histogram.Bucket, &dto.Bucket{UpperBound: bucket.UpperBound, CumulativeCount: new(uint64)})
		}
	}
	*sum.Histogram.SampleCount += histogram.GetSampleCount()
	*sum.Histogram.SampleSum += histogram.GetSampleSum()
	for i, bucket := range sum.Histogram.Bucket {
		*bucket.CumulativeCount += histogram.GetBucket()[i].GetCumulativeCount()
	}
}
