package datalayer

import (
	"log/slog"
	"net"
	"net/http"
	"time"
)

// MaxPageBytes bounds a metrics page; a larger one is an error.
const MaxPageBytes = 4 << 20

// maxScrapes bounds the scrapes under way at once, maxSuspect those of servers that did not answer the last time (or
// were never asked): a dead node must not hold up the living.
const (
	maxScrapes = 64
	maxSuspect = maxScrapes / 2
)

// Options of Pools. The zero value is good.
type Options struct {
	Interval     time.Duration // between scrapes of an endpoint with traffic; 0: 50 ms
	IdleInterval time.Duration // between scrapes of one without; 0: 1 s
	StaleAfter   time.Duration // age at which numbers count as unknown; 0: 2 s; at least twice IdleInterval
	Timeout      time.Duration // of one scrape; 0: 1 s

	Scheme string       // of the metrics URL; "": http
	Path   string       // of the metrics URL; "": /metrics
	Port   int          // of the metrics URL; 0: the endpoint's own
	Client *http.Client // nil: keep-alive, no proxy, no redirects, certificates not checked

	Engines       []Engine // besides those of the variable Engines; one of the same name replaces it
	EngineLabel   string   // a pod label asked before the constants EngineLabel and LegacyEngineLabel
	DefaultEngine string   // engine of endpoints whose labels name none; "": the constant DefaultEngine

	BlocksPerServer int // capacity of a pool's prefix index per server; 0: prefix's default
	BlockTokens     int // tokens per block of the index: sizes it by each server's own cache; 0: not

	Logger *slog.Logger // nil: slog.Default
}

func (o Options) withDefaults() Options {
	o.Interval = defaultTo(o.Interval, 50*time.Millisecond)
	o.IdleInterval = max(defaultTo(o.IdleInterval, time.Second), o.Interval)
	o.StaleAfter = max(defaultTo(o.StaleAfter, 2*time.Second), 2*o.IdleInterval)
	o.Timeout = defaultTo(o.Timeout, time.Second)
	o.Scheme = defaultTo(o.Scheme, "http")
	o.Path = defaultTo(o.Path, "/metrics")
	o.Logger = defaultTo(o.Logger, slog.Default())
	return o
}

func defaultTo[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// newClient makes a client for many servers, each asked by one connection that is kept. Redirects are not followed: a
// model server must not choose whom we ask.
func newClient(o Options) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:           (&net.Dialer{Timeout: o.Timeout, KeepAlive: 30 * time.Second}).DialContext,
			MaxIdleConnsPerHost:   1,
			IdleConnTimeout:       30 * time.Second,
			DisableCompression:    true, // costs more than the bytes it saves
			ResponseHeaderTimeout: o.Timeout,
			ReadBufferSize:        16 << 10,
			TLSClientConfig:       insecureTLS(),
		},
	}
}
