package datalayer

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// scraper asks the endpoints of all pools for their metrics. One goroutine owns the schedule; a scrape is a goroutine
// only while it is under way, and there are never more than maxScrapes.
type scraper struct {
	pools   *Pools
	fetcher fetcher
	owned   bool // the client is ours to close

	targets map[*live]*target
	waiting queue
	busy    int // scrapes under way
	suspect int // of these, of servers that are not known to answer
	held    []*target
	done    chan outcome
	buffers sync.Pool
	running sync.WaitGroup
}

// outcome is a scrape that is over.
type outcome struct {
	target *target
	err    error
}

func newScraper(p *Pools) *scraper {
	o := &p.opts
	s := &scraper{
		pools:   p,
		fetcher: fetcher{opts: o, client: o.Client, engines: newEngines(o.Engines, o.EngineLabel, o.DefaultEngine)},
		targets: map[*live]*target{},
		done:    make(chan outcome, maxScrapes),
	}
	if s.fetcher.client == nil {
		s.fetcher.client, s.owned = newClient(*o), true
	}
	s.buffers.New = func() any { return &scratch{buf: make([]byte, 0, 64<<10)} }
	return s
}

// scratch is the memory of one scrape.
type scratch struct {
	buf  []byte
	page page
}

// batch is how far ahead scrapes are taken together, to wake up less often.
const batch = 2 * time.Millisecond

func (s *scraper) run(ctx context.Context) error {
	defer s.stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	s.sync()
	for {
		now := time.Now()
		s.start(ctx, now)
		wait := time.Hour
		if len(s.waiting.items) > 0 && s.busy < maxScrapes {
			wait = max(s.waiting.items[0].due.Sub(now), 0)
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-s.pools.changed:
			s.sync()
		case l := <-s.pools.woken:
			s.hurry(l)
		case o := <-s.done:
			s.finish(o)
		}
	}
}

// stop waits for the scrapes under way, whose context has ended, and closes the connections.
func (s *scraper) stop() {
	s.running.Wait()
	if s.owned {
		s.fetcher.client.CloseIdleConnections()
	}
}

// sync takes in endpoints that came and drops those that went.
func (s *scraper) sync() {
	now := time.Now()
	there := make(map[*live]bool, len(s.targets))
	for _, pool := range s.pools.List() {
		for _, e := range pool.Endpoints() {
			there[e.live] = true
			if s.targets[e.live] == nil {
				t := &target{live: e.live, pool: pool, place: -1}
				s.targets[e.live] = t
				s.waiting.put(t, now)
			}
		}
	}
	for l, t := range s.targets {
		if !there[l] {
			t.gone = true
			s.waiting.drop(t)
			delete(s.targets, l)
		}
	}
}

// hurry gives an endpoint with new traffic its turn within the short interval.
func (s *scraper) hurry(l *live) {
	t := s.targets[l]
	if t == nil || t.place < 0 || t.failures > 0 {
		return
	}
	if soon := time.Now().Add(s.pools.opts.Interval); soon.Before(t.due) {
		s.waiting.put(t, soon)
	}
}

// start begins the scrapes that are due and for which there is room. Suspects without room are held aside, so that the
// others have their turn.
func (s *scraper) start(ctx context.Context, now time.Time) {
	for s.suspect < maxSuspect && s.busy < maxScrapes && len(s.held) > 0 {
		t := s.held[0]
		s.held = s.held[1:]
		if !t.gone {
			s.begin(ctx, t)
		}
	}
	for s.busy < maxScrapes {
		t := s.waiting.take(now.Add(batch))
		if t == nil {
			return
		}
		if !t.proven && s.suspect >= maxSuspect {
			s.held = append(s.held, t)
			continue
		}
		s.begin(ctx, t)
	}
}

func (s *scraper) begin(ctx context.Context, t *target) {
	s.busy++
	if t.suspect = !t.proven; t.suspect {
		s.suspect++
	}
	s.running.Go(func() { s.done <- outcome{t, s.scrape(ctx, t)} })
}

// scrape asks one endpoint and stores what it says. The target is its own until the outcome is sent.
func (s *scraper) scrape(ctx context.Context, t *target) error {
	sc := s.buffers.Get().(*scratch)
	defer s.buffers.Put(sc)
	err := s.fetcher.prepare(&t.wire, t.live.endpoint.Load())
	if err == nil {
		sc.buf, err = s.fetcher.fetch(ctx, &t.wire, sc.buf, &sc.page)
	}
	before := t.live.metrics.Load()
	if ctx.Err() != nil {
		return nil // not the server's fault
	}
	if err != nil {
		t.live.metrics.Store(before.failed(err))
		return err
	}
	after := before.next(&sc.page, time.Now())
	t.live.metrics.Store(after)
	if after.Known.Has(HasCacheInfo) && (after.BlockSize != before.BlockSize || after.NumBlocks != before.NumBlocks) {
		s.pools.resize(t.pool, t.live, after)
	}
	return nil
}

// finish puts a target back into the schedule.
func (s *scraper) finish(o outcome) {
	t := o.target
	s.busy--
	if t.suspect {
		s.suspect--
	}
	if t.gone {
		return
	}
	s.note(t, o.err)
	now := time.Now()
	s.waiting.put(t, now.Add(jittered(t.interval(&s.pools.opts, now), rand.Float64())))
}

// note counts failures, and logs when a server stops or begins to answer.
func (s *scraper) note(t *target, err error) {
	if err == nil && t.failures == 0 {
		t.proven = true
		return
	}
	e := t.live.endpoint.Load()
	log := s.pools.opts.Logger.With(slog.String("pool", t.pool.key), slog.String("endpoint", e.Name), slog.String("address", e.Address))
	if err == nil {
		log.Info("model server metrics can be read again", slog.Int("failures", t.failures))
		t.failures, t.proven = 0, true
		return
	}
	if t.failures == 0 {
		log.Warn("model server metrics cannot be read; its numbers count as unknown when they are old", slog.Any("error", err))
	}
	t.failures, t.proven = t.failures+1, false
}

// maxBlocksPerServer bounds what a server may have the index keep for it.
const maxBlocksPerServer = 1 << 20

// resize makes the prefix index hold as much of a server as the server's own cache does.
func (p *Pools) resize(pool *Pool, l *live, m *Metrics) {
	if p.opts.BlockTokens <= 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range pool.Endpoints() {
		if e.live == l { // still in the pool: the ordinal is its own
			pool.index.SetCapacity(e.Server, min(max(1, m.BlockSize*m.NumBlocks/p.opts.BlockTokens), maxBlocksPerServer))
		}
	}
}
