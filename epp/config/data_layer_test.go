package config

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// TestIntervalsAreMultiplesOfTheTick rounds intervals of the file.
func TestIntervalsAreMultiplesOfTheTick(t *testing.T) {
	for _, test := range []struct {
		tick, given, want time.Duration
	}{
		{0, 0, 0}, {0, 40 * time.Millisecond, 50 * time.Millisecond}, {0, 120 * time.Millisecond, 100 * time.Millisecond}, {0, time.Second, time.Second},
		{200 * time.Millisecond, 0, 200 * time.Millisecond}, {200 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond},
		{200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond}, {200 * time.Millisecond, time.Minute, time.Minute},
	} {
		options := datalayer.Options{Interval: test.tick}
		(&MetricsSource{address{Interval: test.given}}).apply(&options)
		if options.Interval != test.want {
			t.Errorf("tick %s, interval %s: %s, want %s", test.tick, test.given, options.Interval, test.want)
		}
	}
}

// TestAConfigurationTakesThePlaceOfAnother applies two in turn, and expects nothing of the first.
func TestAConfigurationTakesThePlaceOfAnother(t *testing.T) {
	first := load(t, `
plugins:
- {type: metrics-data-source, parameters: {scheme: https, path: /m, port: 1, interval: 1s, insecureSkipVerify: false}}
- {type: core-metrics-extractor, parameters: {engineLabelKey: l, defaultEngine: mine, engineConfigs: [{name: mine}]}}
- {type: models-data-source}
- {type: models-data-extractor}
- {type: approx-prefix-cache-producer, parameters: {autoTune: false, lruCapacityPerServer: 7}}
`)
	second := load(t, "plugins: [{type: core-metrics-extractor, parameters: {engineConfigs: [{name: other}]}}, {type: metrics-data-source}]\n")
	base := datalayer.Options{Interval: 200 * time.Millisecond, StaleAfter: time.Minute, Engines: []datalayer.Engine{{Name: "built"}}}
	both, alone := base, base
	first.Apply(&both)
	if both.Scheme != "https" || both.Models.Interval != modelsInterval || !both.TLS.Verify || len(both.Engines) != 2 || both.BlocksPerServer != 7 ||
		both.BlockTokens != 0 || both.Interval != time.Second || both.StaleAfter != time.Minute {
		t.Errorf("the first gives %+v", both)
	}
	second.Apply(&both)
	second.Apply(&alone)
	if !reflect.DeepEqual(both, alone) || len(both.Engines) != 2 || both.Interval != 200*time.Millisecond {
		t.Errorf("after another %+v, alone %+v", both, alone)
	}
	log, told := slog.New(slog.DiscardHandler), false
	both.Logger, both.Changed = log, func(string) { told = true }
	first.Apply(&both)
	if both.Logger != log || both.Changed == nil {
		t.Error("what is no matter of configurations is lost")
	} else if both.Changed(""); !told {
		t.Error("another is told of changes")
	}
}

func TestSameDiscovery(t *testing.T) {
	file := func(name, path string) *Config {
		return load(t, "plugins: [{name: "+name+", type: file-discovery, parameters: {path: "+path+"}}]\ndataLayer: {discovery: {pluginRef: "+name+"}}\n")
	}
	for _, test := range []struct {
		a, b *Config
		want bool
	}{
		{Default(), Default(), true}, {file("a", "/x"), file("a", "/x"), true}, {file("a", "/x"), file("a", "/y"), false},
		{file("a", "/x"), file("b", "/x"), false}, {file("a", "/x"), Default(), false}, {Default(), file("a", "/x"), false},
	} {
		if got := test.a.SameDiscovery(test.b); got != test.want {
			t.Errorf("%v and %v: %v", test.a.Discovery, test.b.Discovery, got)
		}
	}
}

// TestTooManyCustomMetrics has one more than there may be.
func TestTooManyCustomMetrics(t *testing.T) {
	text := `{"engineConfigs":[{"name":"a","customMetrics":[` + strings.Repeat(`{"attributeKey":"k","metricSpec":"m"},`, datalayer.MaxCustom) +
		`{"attributeKey":"k","metricSpec":"m"}]}]}`
	if _, err := NewCoreMetrics([]byte(text)); err == nil || !strings.Contains(err.Error(), "65 are more than the 64") {
		t.Errorf("error %v", err)
	}
}
