package director

import (
	"reflect"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/metrics"
)

// timings knows where the times of plugins go. Plugins that no file declares, such as the picker of a profile that names none, are not timed.
type timings struct {
	metrics  *metrics.Metrics
	declared map[any]config.Declared
	series   sync.Map // timing -> prometheus.Observer
}

// timing is a plugin at an extension point.
type timing struct {
	point  string
	plugin any
}

func newTimings(c *config.Config, m *metrics.Metrics) *timings {
	t := &timings{metrics: m, declared: map[any]config.Declared{}}
	for _, declared := range c.Plugins {
		if declared.Plugin != nil && reflect.TypeOf(declared.Plugin).Comparable() {
			t.declared[declared.Plugin] = declared
		}
	}
	return t
}

// tell notes how long a plugin took.
func (t *timings) tell(point string, plugin any, took time.Duration) {
	if !reflect.TypeOf(plugin).Comparable() {
		return
	}
	key := timing{point, plugin}
	known, ok := t.series.Load(key)
	if !ok {
		declared, ok := t.declared[plugin]
		if !ok {
			return
		}
		known, _ = t.series.LoadOrStore(key, t.metrics.PluginDuration(point, declared.Type, declared.Name))
	}
	known.(prometheus.Observer).Observe(took.Seconds())
}
