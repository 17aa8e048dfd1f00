package filter_test

import (
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

// TestParametersNameTheField checks that an error says which field is wrong.
func TestParametersNameTheField(t *testing.T) {
	builds := map[string]func([]byte) error{
		"by-label":      func(raw []byte) error { _, err := filter.NewByLabel(raw); return err },
		"prefix":        func(raw []byte) error { _, err := filter.NewPrefixCacheAffinity(raw); return err },
		"utilization":   func(raw []byte) error { _, err := filter.NewUtilization(raw); return err },
		"detector":      func(raw []byte) error { _, err := filter.NewUtilizationDetector(raw); return err },
		"concurrency":   func(raw []byte) error { _, err := filter.NewConcurrencyDetector(raw); return err },
		"attribute":     func(raw []byte) error { _, err := filter.NewEndpointAttribute(raw); return err },
		"session":       func(raw []byte) error { _, err := filter.NewSessionAffinity(raw); return err },
		"selector, old": func(raw []byte) error { _, err := filter.NewByLabelSelector(raw); return err },
	}
	for _, test := range []struct{ plugin, parameters, field string }{
		{"by-label", `{}`, "label"},
		{"by-label", `{"label":"x"}`, "validValues"},
		{"selector, old", `{}`, "matchLabels"},
		{"prefix", `{"affinityThreshold":0}`, "affinityThreshold"},
		{"prefix", `{"affinityThreshold":1.1}`, "affinityThreshold"},
		{"prefix", `{"explorationProbability":2}`, "explorationProbability"},
		{"prefix", `{"maxTTFTPenaltyMs":-1}`, "maxTTFTPenaltyMs"},
		{"prefix", `{"peakPrefillThroughput":0}`, "peakPrefillThroughput"},
		{"prefix", `{"ttftSource":"guess"}`, "ttftSource"},
		{"prefix", `{"ttftSource":"guess"}`, "ttftSource"},
		{"prefix", `{"prefixMatchInfoProducerName":"precise"}`, "prefixMatchInfoProducerName"},
		{"prefix", `{"inFlightLoadProducerName":"mine"}`, "inFlightLoadProducerName"},
		{"utilization", `{}`, "conditions"},
		{"utilization", `{"conditions":[{"metric":"gpu","maxValue":1}]}`, "conditions[0]: metric"},
		{"utilization", `{"conditions":[{"metric":"waiting-queue"}]}`, "conditions[0]: maxValue"},
		{"utilization", `{"conditions":[{"metric":"waiting-queue","maxValue":-1}]}`, "conditions[0]: maxValue"},
		{"utilization", `{"conditions":[{"metric":"waiting-queue","maxValue":1},{"metric":"kv-cache-utilization","maxValue":1.5}]}`, "conditions[1]: maxValue"},
		{"detector", `{"queueDepthThreshold":0}`, "queueDepthThreshold"},
		{"detector", `{"kvCacheUtilThreshold":1.1}`, "kvCacheUtilThreshold"},
		{"detector", `{"headroom":-1}`, "headroom"},
		{"detector", `{"metricsStalenessThreshold":"0s"}`, "metricsStalenessThreshold"},
		{"concurrency", `{"maxConcurrency":0}`, "maxConcurrency"},
		{"concurrency", `{"maxTokenConcurrency":0}`, "maxTokenConcurrency"},
		{"concurrency", `{"headroom":-0.1}`, "headroom"},
		{"concurrency", `{"concurrencyMode":"both"}`, "concurrencyMode"},
		{"attribute", `{"algorithm":{"topK":{"k":1}}}`, "attribute"},
		{"attribute", `{"attribute":"x","onMissing":"Keep","algorithm":{"topK":{"k":1}}}`, "onMissing"},
		{"attribute", `{"attribute":"x"}`, "algorithm"},
		{"attribute", `{"attribute":"x","algorithm":{"type":"range","topK":{"k":1}}}`, "algorithm: type"},
		{"attribute", `{"attribute":"x","algorithm":{"topK":{"k":1},"range":{"min":1,"max":2}}}`, "algorithm"},
		{"attribute", `{"attribute":"x","algorithm":{"topK":{"k":0}}}`, "topK.k"},
		{"attribute", `{"attribute":"x","algorithm":{"range":{"min":2,"max":1}}}`, "range.min"},
		{"attribute", `{"attribute":"x","algorithm":{"range":{"min":2}}}`, "range.max"},
		{"attribute", `{"attribute":"x","algorithm":{"threshold":{"operator":"<","value":1}}}`, "threshold.operator"},
		{"attribute", `{"attribute":"x","algorithm":{"threshold":{"operator":"Equal"}}}`, "threshold.value"},
		{"attribute", `{"attribute":"x","algorithm":{"percentile":{"percentile":101}}}`, "percentile.percentile"},
		{"session", `{"strategy":"cookie"}`, "strategy"},
	} {
		err := builds[test.plugin]([]byte(test.parameters))
		if err == nil || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s %s: error %v does not name %s", test.plugin, test.parameters, err, test.field)
		}
	}
	for name, build := range builds {
		if err := build([]byte(`{"noSuchField":1}`)); err == nil || !strings.Contains(err.Error(), "noSuchField") {
			t.Errorf("%s: error %v, want one about noSuchField", name, err)
		}
	}
}
