package latency_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/latency"
)

func from(set map[string]string) (latency.Options, error) {
	return latency.FromEnvironment(func(name string) (string, bool) { value, ok := set[name]; return value, ok })
}

func TestFromEnvironment(t *testing.T) {
	o, err := from(nil)
	if err != nil || o.TrainingURL != "http://localhost:8000" || !slices.Equal(o.PredictionURLs, []string{"http://localhost:8001"}) || o.Window != time.Millisecond {
		t.Errorf("defaults %+v, %v", o, err)
	}
	o, err = from(map[string]string{
		"TRAINING_SERVER_URL": "https://train:9/", "PREDICTION_SERVER_URL": "http://a:1, http://b:2/x/", "LATENCY_MAX_SAMPLE_SIZE": "7",
		"LATENCY_FLUSH_INTERVAL_SEC": "3", "LATENCY_HTTP_TIMEOUT_SEC": "4", "LATENCY_COALESCE_WINDOW_MS": "0",
		"LATENCY_MAX_COALESCED_ROWS": "5", "LATENCY_MAX_CONCURRENT_DISPATCHES": "6", "LATENCY_USE_NATIVE_XGBOOST": "true",
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.TrainingURL != "https://train:9" || !slices.Equal(o.PredictionURLs, []string{"http://a:1", "http://b:2/x"}) || o.MaxSamples != 7 ||
		o.FlushInterval != 3*time.Second || o.TrainingTimeout != 4*time.Second || o.Window != 0 || o.MaxRows != 5 || o.MaxCalls != 6 {
		t.Errorf("%+v", o)
	}
	for name, value := range map[string]string{
		"TRAINING_SERVER_URL": "localhost:8000", "PREDICTION_SERVER_URL": "http://a:1,,http://b", "LATENCY_MAX_SAMPLE_SIZE": "0",
		"LATENCY_FLUSH_INTERVAL_SEC": "1s", "LATENCY_COALESCE_WINDOW_MS": "-1", "LATENCY_MAX_CONCURRENT_DISPATCHES": "100000",
	} {
		if _, err := from(map[string]string{name: value}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: error %v", name, value, err)
		}
	}
}
