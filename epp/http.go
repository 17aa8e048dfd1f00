package epp

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/metrics"
)

// Handler serves /metrics, /debug/epp, /debug/plugins/state and, when the options say so, /debug/pprof. It asks for no
// credentials: wrap it, or bind it where only those who may read it can reach it.
func (e *EPP) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(e.page(), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/epp", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		_ = encoder.Encode(e.debugState(time.Now()))
	})
	mux.HandleFunc("GET /debug/plugins/state", e.servePlugins)
	if e.options.Profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// page is what /metrics shows.
func (e *EPP) page() prometheus.Gatherer {
	if e.options.LegacyMetrics {
		return metrics.Legacy(e.options.Registry)
	}
	return e.options.Registry
}

type debugState struct {
	Ready    bool        `json:"ready"`
	Draining bool        `json:"draining"`
	Streams  int64       `json:"streams"`
	Pools    []debugPool `json:"pools"`
}

type debugPool struct {
	Name           string          `json:"name"`
	PrefixBlocks   int             `json:"prefixBlocks"`
	PrefixEntries  int             `json:"prefixEntries"`
	PrefixServers  int             `json:"prefixServers"`
	Endpoints      []debugEndpoint `json:"endpoints"`
	StaleEndpoints int             `json:"staleEndpoints"`
}

type debugEndpoint struct {
	Name     string  `json:"name"`
	Address  string  `json:"address"`
	InFlight int64   `json:"inFlight"`
	Tokens   int64   `json:"inFlightTokens"`
	Waiting  int     `json:"waiting"`
	Running  int     `json:"running"`
	KVUsage  float64 `json:"kvUsage"`
	// MetricsAge is seconds since the scrape that the numbers are from, absent when there was none.
	MetricsAge   *float64 `json:"metricsAgeSeconds,omitempty"`
	Stale        bool     `json:"stale"`
	MetricsError string   `json:"metricsError,omitempty"`
}

func (e *EPP) debugState(now time.Time) debugState {
	state := debugState{Ready: e.ready(), Draining: e.draining.Load(), Streams: e.streams.open.Load(), Pools: []debugPool{}}
	for _, pool := range e.options.Pools.List() {
		stats := pool.Index().Stats()
		shown := debugPool{Name: pool.Key(), PrefixBlocks: stats.Blocks, PrefixEntries: stats.Pairs, PrefixServers: stats.Servers,
			Endpoints: []debugEndpoint{}}
		for _, endpoint := range pool.Endpoints() {
			described := describeEndpoint(endpoint, now)
			if described.Stale {
				shown.StaleEndpoints++
			}
			shown.Endpoints = append(shown.Endpoints, described)
		}
		state.Pools = append(state.Pools, shown)
	}
	return state
}

func describeEndpoint(endpoint *datalayer.Endpoint, now time.Time) debugEndpoint {
	metrics := endpoint.Metrics()
	described := debugEndpoint{
		Name: endpoint.Name, Address: endpoint.Address, InFlight: endpoint.Requests(), Tokens: endpoint.Tokens(),
		Waiting: metrics.Waiting, Running: metrics.Running, KVUsage: metrics.KVUsage, Stale: metrics.Stale(now),
	}
	if !metrics.At.IsZero() {
		age := now.Sub(metrics.At).Seconds()
		described.MetricsAge = &age
	}
	if metrics.Err != nil {
		described.MetricsError = metrics.Err.Error()
	}
	return described
}
