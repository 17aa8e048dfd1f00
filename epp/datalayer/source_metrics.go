package datalayer

import (
	"fmt"
	"time"
)

// metricsSource asks for the numbers of an engine.
type metricsSource struct {
	at      place
	engines *engines
	opts    *Options
	pools   *Pools
}

func (s *metricsSource) kind() kind           { return kindMetrics }
func (s *metricsSource) what() string         { return "metrics" }
func (s *metricsSource) place() *place        { return &s.at }
func (s *metricsSource) pause() time.Duration { return s.opts.IdleInterval }

func (s *metricsSource) equip(w *wire, e *Endpoint) { w.reader = s.engines.of(e.Labels) }

func (s *metricsSource) interval(l *live, now time.Time) time.Duration {
	return s.intervalAfter(l, l.metrics.Load(), now)
}

// intervalAfter is short with traffic, of this process (in flight, or lately) or of another (the server has requests), and long
// without.
func (s *metricsSource) intervalAfter(l *live, m *Metrics, now time.Time) time.Duration {
	if l.requests.Load() > 0 || m.Running > 0 || m.Waiting > 0 || now.UnixNano()-l.lastBegin.Load() < int64(activeFor) {
		return s.opts.Interval
	}
	return s.opts.IdleInterval
}

func (s *metricsSource) read(t *target, sc *scratch, now time.Time) error {
	r := t.wire.reader
	r.read(sc.buf, &sc.page)
	if sc.page.empty() {
		return fmt.Errorf("get %s: the page has none of the metrics of engine %s", t.wire.request.URL, r.engine.Name)
	}
	before := t.live.metrics.Load()
	after := before.next(&sc.page, now, s.opts.StaleAfter)
	after.Every = s.intervalAfter(t.live, after, now)
	t.live.metrics.Store(after)
	if after.Known.Has(HasCacheInfo) && (after.BlockSize != before.BlockSize || after.NumBlocks != before.NumBlocks) {
		s.pools.resize(t.pool, t.live)
	}
	s.pools.tell(t.pool.key)
	return nil
}

func (s *metricsSource) failed(l *live, err error) { l.metrics.Store(l.metrics.Load().failed(err)) }
