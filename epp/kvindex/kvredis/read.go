package kvredis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/switchyard/switchyard/epp/kvindex"
)

// Read implements kvindex.Shared, with one round trip.
func (s *Store) Read(until time.Time, keys []uint64, tier func(medium string) uint8) [][]kvindex.SharedHolder {
	reader := s.reader.Load()
	if reader == nil || !s.readable.Load() {
		return nil
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	pipe := reader.Pipeline()
	answers := make([]*redis.StringSliceCmd, len(keys))
	for i, key := range keys {
		answers[i] = pipe.HKeys(ctx, blockKey(key))
	}
	_, _ = pipe.Exec(ctx) // each answer has its error
	for _, answer := range answers {
		if err := unanswered(answer.Err()); err != nil {
			s.readFailed(err)
			return nil
		}
	}
	s.failed.Store(0)
	blocks := make([][]kvindex.SharedHolder, len(keys))
	for i, answer := range answers {
		blocks[i] = s.holders(answer.Val(), tier)
	}
	return blocks
}

func (s *Store) readFailed(err error) {
	if s.failed.Add(1) >= failures && s.readable.Swap(false) {
		s.sayDown(err)
	}
}

// holders are the servers that the fields of a block name, each once.
func (s *Store) holders(fields []string, tier func(medium string) uint8) (list []kvindex.SharedHolder) {
	for _, field := range fields {
		r := s.resolve(field)
		if r.ordinal < 0 {
			continue
		}
		h := kvindex.SharedHolder{Ordinal: r.ordinal}
		if !r.assumed {
			h.Tiers = tier(r.tier)
		}
		list = merge(list, h)
	}
	return list
}

func merge(list []kvindex.SharedHolder, h kvindex.SharedHolder) []kvindex.SharedHolder {
	for i := range list {
		if list[i].Ordinal == h.Ordinal {
			list[i].Tiers |= h.Tiers
			return list
		}
	}
	return append(list, h)
}

func (s *Store) resolve(field string) resolved {
	s.mu.RLock()
	r, known := s.fields[field]
	s.mu.RUnlock()
	if known {
		return r
	}
	r.ordinal = -1
	e, ok := parseField(field)
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.names[e.PodIdentifier]; ok && len(at) == 1 {
		r = resolved{at[0].ordinal, e.DeviceTier, e.Speculative}
	}
	if len(s.fields) < maxFields && len(field) <= maxField {
		s.fields[field] = r
	}
	return r
}

// maxField bounds the length of a field that is remembered.
const maxField = 512
