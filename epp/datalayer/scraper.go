package datalayer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// scraper asks the endpoints of all pools for what each source wants to know. One goroutine owns the schedule; a scrape is a
// goroutine only while it is under way, and there are never more than maxScrapes.
type scraper struct {
	pools   *Pools
	opts    *Options
	sources []source
	clients map[clientKey]*http.Client // ours to close

	targets map[targetKey]*target
	waiting queue
	busy    int // scrapes under way
	suspect int // of these, of servers that are not known to answer
	held    []*target
	done    chan outcome
	buffers sync.Pool
	running sync.WaitGroup
}

// targetKey tells targets apart.
type targetKey struct {
	live *live
	kind kind
}

// outcome is a scrape that is over.
type outcome struct {
	target *target
	err    error
}

func newScraper(p *Pools) *scraper {
	s := &scraper{
		pools:   p,
		clients: map[clientKey]*http.Client{},
		targets: map[targetKey]*target{},
		done:    make(chan outcome, maxScrapes),
	}
	s.buffers.New = func() any { return &scratch{buf: make([]byte, 0, 64<<10)} }
	s.equip()
	return s
}

// scratch is the memory of one scrape.
type scratch struct {
	buf  []byte
	page page
}

// maxKeptBytes bounds the memory that a scrape leaves for others; that of an unusually large page is dropped.
const maxKeptBytes = 1 << 20

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
		case <-s.pools.renewed:
			s.renew()
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
	for _, client := range s.clients {
		client.CloseIdleConnections()
	}
}

// sync takes in endpoints that came and drops those that went.
func (s *scraper) sync() {
	now := time.Now()
	there := make(map[targetKey]bool, len(s.targets))
	for _, pool := range s.pools.List() {
		for _, e := range pool.Endpoints() {
			for _, source := range s.sources {
				key := targetKey{e.live, source.kind()}
				there[key] = true
				if s.targets[key] == nil {
					t := &target{live: e.live, pool: pool, source: source, place: -1}
					s.targets[key] = t
					s.waiting.put(t, now)
				}
			}
		}
	}
	for key, t := range s.targets {
		if !there[key] {
			s.drop(key, t)
		}
	}
}

func (s *scraper) drop(key targetKey, t *target) {
	t.gone = true
	s.waiting.drop(t)
	delete(s.targets, key)
}

// hurry gives an endpoint with new traffic its turn within the short interval.
func (s *scraper) hurry(l *live) {
	t := s.targets[targetKey{l, kindMetrics}]
	if t == nil || t.place < 0 || t.failures > 0 {
		return
	}
	if soon := time.Now().Add(s.opts.Interval); soon.Before(t.due) {
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

// scrape asks one endpoint and has the source store what it says. The target's wire is its own until the outcome is sent.
func (s *scraper) scrape(ctx context.Context, t *target) error {
	sc := s.buffers.Get().(*scratch)
	defer func() {
		if cap(sc.buf) <= maxKeptBytes {
			s.buffers.Put(sc)
		}
	}()
	counts := &s.pools.counts[t.source.kind()]
	err := t.prepare()
	if err == nil {
		sc.buf, err = t.source.place().fetch(ctx, t.wire.request, sc.buf)
	}
	if ctx.Err() != nil {
		return nil // not the server's fault
	}
	if err != nil {
		counts.poll.Add(1)
	} else if err = t.source.read(t, sc, time.Now()); err != nil {
		counts.extract.Add(1)
	}
	if err != nil {
		err = fmt.Errorf("asking for %s: %w", t.source.what(), err)
		t.source.failed(t.live, err)
	}
	return err
}

// prepare makes the wire of an endpoint, once for as long as it is described the same way.
func (t *target) prepare() error {
	e := t.live.endpoint.Load()
	if t.wire.endpoint == e {
		return nil
	}
	request, err := t.source.place().request(e)
	if err != nil {
		return err
	}
	t.wire = wire{endpoint: e, request: request}
	t.source.equip(&t.wire, e)
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
	s.waiting.put(t, now.Add(t.next(now, rand.Float64())))
}

// note counts failures, and logs when a server stops or begins to answer.
func (s *scraper) note(t *target, err error) {
	if err == nil && t.failures == 0 {
		t.proven = true
		return
	}
	e := t.live.endpoint.Load()
	log := s.opts.Logger.With(slog.String("pool", t.pool.key), slog.String("endpoint", e.Name), slog.String("address", e.Address))
	if err == nil {
		log.Info("model server "+t.source.what()+" can be read again", slog.Int("failures", t.failures))
		t.failures, t.proven = 0, true
		return
	}
	if t.failures == 0 {
		log.Warn("model server "+t.source.what()+" cannot be read; what is known of it counts as unknown when it is old", slog.Any("error", err))
	}
	t.failures, t.proven = t.failures+1, false
}
