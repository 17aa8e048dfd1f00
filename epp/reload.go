package epp

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/scheduling"
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
// never matched again and give way to new ones. When load fails, or model servers cannot be asked as it says, the configuration
// before goes on, and the error is logged and counted as well as returned.
func (e *EPP) Reload(load func() (*config.Config, error)) error {
	e.reloading.Lock()
	defer e.reloading.Unlock()
	next, err := load()
	var made *generation
	if err == nil {
		made, err = e.replace(next)
	}
	if err != nil {
		e.reloads.total.WithLabelValues("failure").Inc()
		e.reloads.successful.Set(0)
		e.options.Logger.Error("the changed configuration is refused; the one before goes on", "error", err)
		return fmt.Errorf("reloading the configuration: %w", err)
	}
	e.warn(next)
	restart := 0.0
	if !next.SameDiscovery(e.options.Config) {
		restart = 1
		e.options.Logger.Warn("a change of where endpoints come from takes effect at the next start; all else is in force now")
	}
	e.streams.current.Store(made)
	select {
	case e.swapped <- struct{}{}:
	default: // not noticed yet since the last time
	}
	e.reloads.total.WithLabelValues("success").Inc()
	e.reloads.successful.Set(1)
	e.reloads.restart.Set(restart)
	e.options.Logger.Info("the changed configuration is in force")
	e.health.changed()
	return nil
}

// replace makes what is needed to serve by a configuration.
func (e *EPP) replace(next *config.Config) (*generation, error) {
	if err := e.reconfigure(next); err != nil {
		return nil, err
	}
	takeOver(e.Config().Plugins, next.Plugins)
	return e.newGeneration(next)
}

// takeOver has plugins go on with what those of the same name in the configuration before have learnt.
func takeOver(before, next []config.Declared) {
	learnt := map[string]any{}
	for _, declared := range before {
		learnt[declared.Name] = declared.Plugin
	}
	for _, declared := range next {
		if successor, ok := declared.Plugin.(scheduling.Successor); ok && learnt[declared.Name] != nil {
			successor.TakeOver(learnt[declared.Name])
		}
	}
}

// reconfigure has model servers asked and remembered as a configuration says.
func (e *EPP) reconfigure(next *config.Config) error {
	if next.SameDataLayer(e.Config()) {
		return nil
	}
	options := e.options.Pools.Options()
	next.Apply(&options)
	return e.options.Pools.Reconfigure(options)
}

func (e *EPP) warn(c *config.Config) {
	for _, warning := range c.Warnings {
		e.options.Logger.Warn("configuration", "warning", warning)
	}
}
