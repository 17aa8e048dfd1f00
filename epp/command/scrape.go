package command

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/pflag"

	"github.com/switchyard/switchyard/epp/datalayer"
)

// leastInterval is how often a model server is asked at most; what is below is raised.
const leastInterval = 50 * time.Millisecond

// scrapeFlags say how often model servers are asked for their metrics and how long the answers count.
type scrapeFlags struct {
	interval, gauges, stale time.Duration
}

// metricNameFlags are older flags for the names of metrics; the configuration has them now.
var metricNameFlags = []string{
	"total-queued-requests-metric", "total-running-requests-metric", "kv-cache-usage-percentage-metric", "lora-info-metric",
	"cache-info-metric",
}

func (s *scrapeFlags) register(set *pflag.FlagSet) {
	set.DurationVar(&s.interval, "refresh-metrics-interval", leastInterval, "how often a model server with traffic is asked for its metrics; at least 50ms")
	set.DurationVar(&s.gauges, "refresh-prometheus-metrics-interval", 5*time.Second,
		"accepted for compatibility: the pool's gauges are computed when they are asked for")
	set.DurationVar(&s.stale, "metrics-staleness-threshold", 2*time.Second, "age from which a model server's metrics count as unknown")
	for _, name := range metricNameFlags {
		set.String(name, "", "no longer supported: name metrics in the configuration")
		_ = set.MarkHidden(name)
	}
}

func (s *scrapeFlags) validate(set *pflag.FlagSet) error {
	for _, name := range metricNameFlags {
		if set.Changed(name) {
			return fmt.Errorf("--%s is no longer supported: describe the engine's metrics in the configuration, in the parameters of "+
				"the plugin core-metrics-extractor under engineConfigs, and choose it with defaultEngine", name)
		}
	}
	for _, flag := range []struct {
		name  string
		value time.Duration
	}{
		{"refresh-prometheus-metrics-interval", s.gauges}, {"metrics-staleness-threshold", s.stale},
	} {
		if flag.value <= 0 {
			return fmt.Errorf("--%s: %s is not above 0", flag.name, flag.value)
		}
	}
	return nil
}

// options for the data layer, before the configuration has its say.
func (s *scrapeFlags) options(log *slog.Logger) datalayer.Options {
	return datalayer.Options{Interval: max(s.interval, leastInterval), StaleAfter: s.stale, Logger: log}
}
