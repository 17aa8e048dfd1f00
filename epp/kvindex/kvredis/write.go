package kvredis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard/switchyard/epp/kvevents"
	"github.com/switchyard/switchyard/epp/kvindex"
)

const (
	// maxCommands is how many commands are sent at once, so that reads do not wait long behind them.
	maxCommands = 1000
	firstRetry  = 50 * time.Millisecond
	lastRetry   = 2 * time.Second
	// lastWrites is how long what waits may still be written when all ends.
	lastWrites = time.Second
)

// write writes what waits, and sweeps in between, until ctx ends.
func (s *Store) write(ctx context.Context, writer *redis.Client) {
	retry := firstRetry
	for ctx.Err() == nil {
		idle, err := s.step(ctx, writer)
		switch {
		case err != nil:
			s.writeFailed(ctx, err)
			pause(ctx, retry)
			retry = min(2*retry, lastRetry)
		case idle:
			select {
			case <-s.queue.wake:
			case <-ctx.Done():
			}
		default:
			retry = firstRetry
			s.wrote()
		}
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	for !s.stuck && ending.Err() == nil {
		if idle, err := s.step(ending, writer); idle || err != nil {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Store) writeFailed(ctx context.Context, err error) {
	if ctx.Err() == nil && !s.stuck {
		s.stuck = true
		s.logger.Warn("changes cannot be written to the shared prefix index; trying again", "address", s.options.Addr, "error", err)
	}
}

func (s *Store) wrote() {
	if s.stuck {
		s.stuck = false
		s.logger.Info("changes are written to the shared prefix index again", "address", s.options.Addr)
	}
}

// step does a part of what is to be done. idle: there was nothing.
func (s *Store) step(ctx context.Context, writer *redis.Client) (idle bool, err error) {
	if s.pending == nil {
		s.pending = s.queue.take()
	}
	if s.pending == nil && !s.sweep.due() {
		return true, nil
	}
	if !s.loaded {
		if err := take.Load(ctx, writer).Err(); err != nil {
			return false, err
		}
		s.loaded = true
	}
	if s.pending != nil {
		if err := s.writeItems(ctx, writer, s.pending); err != nil {
			s.loaded = false // it may be another server, or one that has begun anew
			return false, err
		}
		s.pending = nil
	}
	return false, s.sweepOn(ctx, writer)
}

// writeItems writes what servers were told. It may be done again as a whole when it fails.
func (s *Store) writeItems(ctx context.Context, writer *redis.Client, items []item) error {
	if err := s.ask(ctx, writer, items); err != nil {
		return err
	}
	b := &batch{ctx: ctx, writer: writer, pipe: writer.Pipeline()}
	for _, at := range items {
		if at.events == nil {
			s.clear(at.server)
		}
		for i := range at.events {
			if err := s.apply(b, at.server, &at.events[i]); err != nil {
				return err
			}
		}
	}
	if err := b.send(true); err != nil {
		return err
	}
	s.metrics.Admitted(b.admitted)
	s.metrics.Evicted(b.evicted)
	for _, skipped := range b.skipped {
		s.metrics.Events.SkippedStore(skipped[0], skipped[1])
	}
	return nil
}

// ask has the cache know the names that the items need and that are not stored by them: parents, and blocks that are removed or
// copied.
func (s *Store) ask(ctx context.Context, writer *redis.Client, items []item) error {
	pipe := writer.Pipeline()
	asked := map[name]*redis.StringSliceCmd{}
	own := map[name]bool{}
	want := func(at *server, hash uint64) {
		n := name{hash, at.id, 0}
		if _, known := s.cache.all(nil, at.id, hash, at.groups.PerBlock()); known || own[n] || asked[n] != nil {
			return
		}
		asked[n] = pipe.ZRange(ctx, engineKey(hash), 0, -1)
	}
	for _, item := range items {
		for i := range item.events {
			e := &item.events[i]
			if e.HasParent && e.Kind == kvevents.Stored {
				want(item.server, e.Parent)
			}
			named := e.Kind == kvevents.Removed || kvindex.Elsewhere(e)
			for _, hash := range e.Hashes {
				if named {
					want(item.server, hash)
				} else {
					own[name{hash, item.server.id, 0}] = true
				}
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	_, _ = pipe.Exec(ctx)
	for n, answer := range asked {
		if err := unanswered(answer.Err()); err != nil {
			return err
		}
		for part, text := range answer.Val() {
			if key, ok := parseKey(text); ok && part < maxParts {
				s.cache.put(name{n.hash, n.server, uint32(part)}, key)
			}
		}
	}
	return nil
}
