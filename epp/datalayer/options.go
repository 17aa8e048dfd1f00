package datalayer

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// MaxPageBytes bounds a metrics page, MaxModelsBytes a list of models; a larger one is an error.
const (
	MaxPageBytes   = 4 << 20
	MaxModelsBytes = 1 << 20
)

// maxScrapes bounds the scrapes under way at once, maxSuspect those of servers that did not answer the last time (or
// were never asked): a dead node must not hold up the living.
const (
	maxScrapes = 64
	maxSuspect = maxScrapes / 2
)

// Options of Pools. The zero value is good.
type Options struct {
	Interval     time.Duration // between scrapes of an endpoint with traffic; 0: 50 ms
	IdleInterval time.Duration // between scrapes of one without; 0: 1 s, or half of StaleAfter if that is less
	StaleAfter   time.Duration // age at which numbers count as unknown; 0: 2 s; at least twice IdleInterval
	Timeout      time.Duration // of one scrape; 0: 1 s

	Scheme string       // of the metrics URL; "": http
	Path   string       // of the metrics URL; "": /metrics
	Port   int          // of the metrics URL; 0: the endpoint's own
	TLS    TLS          // for the scheme https
	Models Models       // a second thing that endpoints are asked for
	Client *http.Client // nil: keep-alive, no proxy, no redirects, certificates as TLS says

	Engines       []Engine // besides those of the variable Engines; one of the same name replaces it
	EngineLabel   string   // a pod label asked before the constants EngineLabel and LegacyEngineLabel
	DefaultEngine string   // engine of endpoints whose labels name none; "": the constant DefaultEngine

	BlocksPerServer int // capacity of a pool's prefix index per server; 0: prefix's default
	BlockTokens     int // tokens per block of the index: sizes it by each server's own cache; 0: not

	// Changed is called with the key of a pool when an endpoint of it told something new, or endpoints came or went. It may
	// be called from many goroutines at once, must be cheap and must not change pools.
	Changed func(pool string)
	// Base is the options before a configuration had its say in them, so that another one can; nil: none had.
	Base *Options

	Logger *slog.Logger // nil: slog.Default
}

// Models says where endpoints are asked for the models that they serve.
type Models struct {
	Interval time.Duration // between two questions; 0: they are not asked
	Scheme   string        // "": http
	Path     string        // "": /v1/models
	Port     int           // 0: the endpoint's own
	TLS      TLS           // for the scheme https
}

// Log is where to log, never nil.
func (o Options) Log() *slog.Logger { return defaultTo(o.Logger, slog.Default()) }

// withDefaults fills in what is not given.
func (o Options) withDefaults() Options {
	o.Interval = defaultTo(o.Interval, 50*time.Millisecond)
	o.StaleAfter = defaultTo(o.StaleAfter, 2*time.Second)
	o.IdleInterval = max(defaultTo(o.IdleInterval, min(time.Second, o.StaleAfter/2)), o.Interval)
	o.StaleAfter = max(o.StaleAfter, 2*o.IdleInterval)
	o.Timeout = defaultTo(o.Timeout, time.Second)
	o.Scheme = defaultTo(o.Scheme, "http")
	o.Path = defaultTo(o.Path, "/metrics")
	o.Models.Scheme = defaultTo(o.Models.Scheme, "http")
	o.Models.Path = defaultTo(o.Models.Path, "/v1/models")
	o.Logger = o.Log()
	return o
}

func defaultTo[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// Check tells what would keep servers from being asked at all: files that cannot be read.
func (o Options) Check() error {
	if o.Client != nil {
		return nil
	}
	o = o.withDefaults()
	if o.Scheme == "https" {
		if _, err := o.TLS.load(); err != nil {
			return fmt.Errorf("metrics: %w", err)
		}
	}
	if o.Models.Interval > 0 && o.Models.Scheme == "https" {
		if _, err := o.Models.TLS.load(); err != nil {
			return fmt.Errorf("models: %w", err)
		}
	}
	return nil
}

// tooSlow tells that numbers would count as unknown before they are asked for again. given is without defaults.
func (o Options) tooSlow() bool {
	settled := o.withDefaults()
	return defaultTo(o.StaleAfter, 2*time.Second) < 2*settled.Interval
}

// warn tells of options that work otherwise than they say.
func (o Options) warn() {
	if !o.tooSlow() {
		return
	}
	settled := o.withDefaults()
	settled.Logger.Warn("metrics of model servers would be stale before they are asked for again; they count for longer than the staleness "+
		"threshold says: raise it, or ask more often", "interval", settled.Interval,
		"staleness_threshold", defaultTo(o.StaleAfter, 2*time.Second), "count_for", settled.StaleAfter)
}
