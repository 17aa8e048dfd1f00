package datalayer

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/switchyard/switchyard/epp/prefix"
)

// Pools is the registry of pools. One goroutine at a time changes it; reading never waits.
type Pools struct {
	given  atomic.Pointer[Options] // as they were given
	opts   atomic.Pointer[Options] // with defaults
	counts [kinds]counts

	mu      sync.Mutex // of changes
	pools   atomic.Pointer[map[string]*Pool]
	changed chan struct{}                 // endpoints came or went
	turned  atomic.Pointer[chan struct{}] // closed and replaced when endpoints have come or gone
	renewed chan struct{}                 // options changed
	woken   chan *live                    // an endpoint has traffic after a quiet time
}

// Pool is a set of endpoints that serve the same models.
type Pool struct {
	key       string
	index     *prefix.Index
	endpoints atomic.Pointer[[]*Endpoint]
	ordinals  ordinals // under Pools.mu
}

// New makes a registry without pools.
func New(opts Options) *Pools {
	p := &Pools{changed: make(chan struct{}, 1), renewed: make(chan struct{}, 1), woken: make(chan *live, 256)}
	p.pools.Store(&map[string]*Pool{})
	turned := make(chan struct{})
	p.turned.Store(&turned)
	p.settle(opts)
	opts.warn()
	return p
}

func (p *Pools) settle(opts Options) {
	settled := opts.withDefaults()
	p.given.Store(&opts)
	p.opts.Store(&settled)
}

// Options are those that were given last.
func (p *Pools) Options() Options { return *p.given.Load() }

// Key is namespace/name.
func (p *Pool) Key() string { return p.key }

// Endpoints is the pool's endpoints now, ordered by namespace, name and address. The slice is not to be changed.
func (p *Pool) Endpoints() []*Endpoint { return *p.endpoints.Load() }

// Index is the pool's prefix index.
func (p *Pool) Index() *prefix.Index { return p.index }

// Get finds a pool.
func (p *Pools) Get(key string) (*Pool, bool) {
	pool, ok := (*p.pools.Load())[key]
	return pool, ok
}

// List gives the pools ordered by key.
func (p *Pools) List() []*Pool {
	return slices.SortedFunc(maps.Values(*p.pools.Load()), func(a, b *Pool) int { return cmp.Compare(a.key, b.key) })
}

// Set makes the pool with this key, or replaces its endpoints. An endpoint whose namespace, name and address were there
// before keeps its ordinal, its numbers and what is in flight. Of specs that are equal in the three the first counts.
func (p *Pools) Set(key string, specs []Spec) {
	if p.set(key, specs) {
		p.tell(key)
	}
}

// set tells whether anything is different now.
func (p *Pools) set(key string, specs []Spec) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool, ok := p.Get(key)
	if !ok {
		pool = &Pool{key: key, index: prefix.New(prefix.Options{})}
		pool.endpoints.Store(&[]*Endpoint{})
	}
	before := pool.Endpoints()
	p.replace(pool, specs)
	if !ok {
		p.publish(func(pools map[string]*Pool) { pools[key] = pool })
	}
	p.signal()
	return !ok || !slices.Equal(before, pool.Endpoints())
}

// Delete forgets a pool. Who still has it sees it without endpoints.
func (p *Pools) Delete(key string) {
	if p.remove(key) {
		p.tell(key)
	}
}

// remove tells whether the pool was there.
func (p *Pools) remove(key string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pool, ok := p.Get(key)
	if !ok {
		return false
	}
	p.publish(func(pools map[string]*Pool) { delete(pools, key) })
	p.replace(pool, nil)
	p.signal()
	return true
}

// tell passes on that something of a pool is new.
func (p *Pools) tell(key string) {
	if changed := p.opts.Load().Changed; changed != nil {
		changed(key)
	}
}

// Run scrapes the endpoints of all pools until the context ends, and leaves nothing behind. It runs once at a time.
func (p *Pools) Run(ctx context.Context) error {
	return newScraper(p).run(ctx)
}

func (p *Pools) publish(change func(map[string]*Pool)) {
	pools := maps.Clone(*p.pools.Load())
	change(pools)
	p.pools.Store(&pools)
}

func (p *Pools) signal() {
	turned := make(chan struct{})
	close(*p.turned.Swap(&turned))
	select {
	case p.changed <- struct{}{}:
	default: // the scraper has not looked since the last signal
	}
}

// wake tells the scraper of traffic. When it has much to do it may miss that: the endpoint then has its turn within
// IdleInterval.
func (p *Pools) wake(l *live) {
	select {
	case p.woken <- l:
	default:
	}
}

// identity is what makes two specs speak of the same process.
type identity struct{ namespace, name, address string }

// replace puts endpoints for these specs in place of those the pool has.
func (p *Pools) replace(pool *Pool, specs []Spec) {
	before := map[identity]*Endpoint{}
	for _, e := range pool.Endpoints() {
		before[identity{e.Namespace, e.Name, e.Address}] = e
	}
	next := make([]*Endpoint, 0, len(specs))
	taken := make(map[identity]bool, len(specs))
	for i := range specs {
		s := &specs[i]
		id := identity{s.Namespace, s.Name, s.Address}
		if taken[id] {
			continue
		}
		taken[id] = true
		next = append(next, p.endpoint(pool, s, before[id]))
		delete(before, id)
	}
	slices.SortFunc(next, func(a, b *Endpoint) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Address, b.Address))
	})
	pool.endpoints.Store(&next)
	// Ordinals are freed only now: none goes from an endpoint to another within one change.
	for _, e := range before {
		pool.index.Remove(e.Server)
		pool.ordinals.release(e.Server)
	}
}

// endpoint gives the endpoint for a spec: the one that was there, one that shares its live numbers, or a new one.
func (p *Pools) endpoint(pool *Pool, s *Spec, before *Endpoint) *Endpoint {
	if before != nil && before.describes(s) {
		return before
	}
	e := &Endpoint{
		Name: s.Name, Namespace: s.Namespace, Pod: s.Pod, Rank: s.Rank, Address: s.Address, Labels: maps.Clone(s.Labels),
	}
	if before != nil {
		e.Server, e.live = before.Server, before.live
	} else {
		e.Server = pool.ordinals.take()
		// A request that began before the ordinal was freed may have added to it since.
		pool.index.Remove(e.Server)
		e.live = &live{woken: p.wake}
		e.live.metrics.Store(&Metrics{})
		pool.index.SetCapacity(e.Server, p.capacity(e.live))
	}
	e.live.endpoint.Store(e)
	return e
}

// ordinals gives out the smallest ordinals that are free.
type ordinals struct{ used []bool }

func (o *ordinals) take() prefix.Server {
	i := slices.Index(o.used, false)
	if i < 0 {
		i = len(o.used)
		o.used = append(o.used, false)
	}
	o.used[i] = true
	return prefix.Server(i)
}

func (o *ordinals) release(s prefix.Server) { o.used[s] = false }
