package metrics

import "github.com/prometheus/client_golang/prometheus"

// watchedEvery: the plugins of one request in so many are timed. Reading the clock and observing takes about as long as a
// cheap filter does, and much longer on machines where the clock is a system call; a sample shows the same distribution.
const watchedEvery = 16

// Watched tells whether the plugins of the next request are to be timed.
func (m *Metrics) Watched() bool { return m.watched.Add(1)%watchedEvery == 1 }

// PluginDuration is where the times of a plugin at an extension point go, in seconds.
func (m *Metrics) PluginDuration(point, typ, name string) prometheus.Observer {
	return m.plugins.WithLabelValues(point, cleanLabel(typ), cleanLabel(name))
}
