package epp

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/config"
)

// reloadMetrics tell whether the configuration in force is the one that was written last.
type reloadMetrics struct {
	total      *prometheus.CounterVec
	successful prometheus.Gauge
	restart    prometheus.Gauge
}

func newReloadMetrics(registerer prometheus.Registerer) (*reloadMetrics, error) {
	m := &reloadMetrics{
		total: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: metricsNamespace, Name: "config_reloads_total",
			Help: "[ALPHA] Changes of the configuration, by result."}, []string{"result"}),
		successful: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: metricsNamespace, Name: "config_last_reload_successful",
			Help: "[ALPHA] 1: the latest configuration is in force. 0: it was refused, and the one before goes on."}),
		restart: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: metricsNamespace, Name: "config_restart_needed",
			Help: "[ALPHA] 1: a part of the configuration takes effect at the next start only."}),
	}
	m.successful.Set(1)
	m.total.WithLabelValues("success")
	m.total.WithLabelValues("failure")
	return m, registerAll(registerer, m.total, m.successful, m.restart)
}

// Config is the configuration in force.
func (e *EPP) Config() *config.Config { return e.streams.current.Load().config }

// Reload puts the configuration that load gives in force for new requests. Those under way go on as they began. Prefix
// index, requests in flight and the metrics of endpoints stay; entries of the index whose block size is no longer used are
// never matched again and give way to new ones. When load fails, the configuration before goes on, and the error is logged
// and counted as well as returned.
func (e *EPP) Reload(load func() (*config.Config, error)) error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	next, err := load()
	if err != nil {
		e.reloads.total.WithLabelValues("failure").Inc()
		e.reloads.successful.Set(0)
		e.options.Logger.Error("the changed configuration is refused; the one before goes on", "error", err)
		return fmt.Errorf("reloading the configuration: %w", err)
	}
	e.warn(next)
	restart := 0.0
	if !next.SameDataLayer(e.options.Config) {
		restart = 1
		e.options.Logger.Warn("a change of how model servers are asked for their metrics, or of the size of the prefix index, " +
			"takes effect at the next start; all else is in force now")
	}
	e.streams.current.Store(newGeneration(e.extProcOptions(next)))
	e.reloads.total.WithLabelValues("success").Inc()
	e.reloads.successful.Set(1)
	e.reloads.restart.Set(restart)
	e.options.Logger.Info("the changed configuration is in force")
	e.health.changed()
	return nil
}

func (e *EPP) warn(c *config.Config) {
	for _, warning := range c.Warnings {
		e.options.Logger.Warn("configuration", "warning", warning)
	}
}
