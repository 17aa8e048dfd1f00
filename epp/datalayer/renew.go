package datalayer

import (
	"fmt"
	"net/http"
	"time"
)

// Reconfigure puts other options in force, all of them. Pools, endpoints, what is in flight, the numbers known and the prefix
// indexes stay. An error says that they cannot work, and leaves those before in force.
func (p *Pools) Reconfigure(opts Options) error {
	if err := opts.Check(); err != nil {
		return fmt.Errorf("how model servers are asked: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before, after := p.opts.Load(), opts.withDefaults()
	if after.Interval != before.Interval || after.StaleAfter != before.StaleAfter {
		opts.warn()
	}
	p.settle(opts)
	for _, pool := range p.List() {
		for _, e := range pool.Endpoints() {
			pool.index.SetCapacity(e.Server, p.capacity(e.live))
		}
	}
	select {
	case p.renewed <- struct{}{}:
	default: // the scraper has not looked since the last time
	}
	return nil
}

// maxBlocksPerServer bounds what a server may have the index keep for it.
const maxBlocksPerServer = 1 << 20

// capacity is how many blocks the prefix index holds of a server: as much as the server's own cache, where it told and the
// options ask for that. 0: the index's default.
func (p *Pools) capacity(l *live) int {
	opts := p.opts.Load()
	m := l.metrics.Load()
	if opts.BlockTokens > 0 && m.Known.Has(HasCacheInfo) {
		return min(max(1, m.BlockSize*m.NumBlocks/opts.BlockTokens), maxBlocksPerServer)
	}
	return opts.BlocksPerServer
}

// resize makes the prefix index follow what a server told of its cache.
func (p *Pools) resize(pool *Pool, l *live) {
	if p.opts.Load().BlockTokens <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range pool.Endpoints() {
		if e.live == l { // still in the pool: the ordinal is its own
			pool.index.SetCapacity(e.Server, p.capacity(l))
		}
	}
}

// clientKey is what connections depend on.
type clientKey struct {
	files   TLS
	timeout time.Duration
}

// client gives the client for connections of this kind.
func (s *scraper) client(files TLS) *http.Client {
	if s.opts.Client != nil {
		return s.opts.Client
	}
	key := clientKey{files, s.opts.Timeout}
	if s.clients[key] == nil {
		s.clients[key] = newClient(files, s.opts.Timeout, s.opts.Logger)
	}
	return s.clients[key]
}

// equip makes the sources that the options ask for.
func (s *scraper) equip() {
	s.opts = s.pools.opts.Load()
	o := s.opts
	s.sources = []source{&metricsSource{
		at: place{scheme: o.Scheme, path: o.Path, port: o.Port, accept: "text/plain;version=0.0.4", limit: MaxPageBytes,
			timeout: o.Timeout, client: s.client(o.TLS)},
		engines: newEngines(o.Engines, o.EngineLabel, o.DefaultEngine), opts: o, pools: s.pools,
	}}
	if o.Models.Interval > 0 {
		s.sources = append(s.sources, &modelsSource{
			at: place{scheme: o.Models.Scheme, path: o.Models.Path, port: o.Models.Port, accept: "application/json", limit: MaxModelsBytes,
				timeout: o.Timeout, client: s.client(o.Models.TLS)},
			every: o.Models.Interval, pools: s.pools,
		})
	}
}

// renew has all endpoints asked as the options say now. What is known of who answers stays, so that the log is not told again;
// scrapes under way end for nobody.
func (s *scraper) renew() {
	before := s.targets
	s.targets = map[targetKey]*target{}
	s.held = nil
	s.waiting = queue{}
	s.equip()
	s.sync()
	for key, t := range before {
		t.gone, t.place = true, -1
		if next := s.targets[key]; next != nil {
			next.failures, next.proven = t.failures, t.proven
		}
	}
	for _, client := range s.clients {
		client.CloseIdleConnections()
	}
}
