package sim

import (
	"context"
	"time"

	"github.com/zeebo/xxh3"
)

// Reasons for which a sequence ends; they are label values of vllm:request_success_total.
const (
	finishStop   = "stop"
	finishLength = "length"
	finishAbort  = "abort"
)

// sequence is a running request: the blocks it holds and its place in time. One goroutine uses it.
type sequence struct {
	engine *engine
	job    job
	cached int // prompt tokens that were in the cache

	arrived, started          time.Time
	prefillFrom, prefillUntil time.Time
	firstAt, lastAt           time.Time // when output tokens really came

	blocks   []*block
	fresh    []*block // prompt blocks that this request's prefill computes
	promised int      // blocks reserved for the output and not yet taken
	written  int      // output tokens
	finished bool
}

// finishReason is the reason of an answer that is complete.
func (s *sequence) finishReason() string {
	if s.job.natural {
		return finishStop
	}
	return finishLength
}

// append accounts for one output token: it takes a block when the last one is full, and makes the block findable
// that it fills.
func (s *sequence) append(token string) {
	e, c := s.engine, &s.job.chain
	if len(c.tail) == 0 {
		e.mu.Lock()
		s.blocks = append(s.blocks, e.pool.take())
		s.promised--
		e.pool.reserved--
		e.mu.Unlock()
	}
	c.tail = append(c.tail, token...)
	if len(c.tail) == e.cfg.BlockTokens*tokenBytes {
		c.parent = xxh3.HashSeed(c.tail, c.parent)
		c.tail = c.tail[:0]
		e.mu.Lock()
		e.pool.publish(s.blocks[len(s.blocks)-1], c.parent)
		e.mu.Unlock()
	}

	now := time.Now()
	if s.written++; s.written == 1 {
		s.firstAt = now
		e.meter.firstToken(now.Sub(s.arrived))
	} else {
		e.meter.interToken(now.Sub(s.lastAt))
	}
	s.lastAt = now
	e.generated.Add(1)
}

// finish gives everything back, at once, and lets others in. Only the first call counts.
func (s *sequence) finish(reason string) {
	if s.finished {
		return
	}
	s.finished = true
	e, now := s.engine, time.Now()
	e.mu.Lock()
	if unspent := s.prefillUntil.Sub(later(now, s.prefillFrom)); reason == finishAbort && unspent > 0 {
		e.prefillUntil = e.prefillUntil.Add(-unspent)
		for _, b := range s.fresh {
			e.pool.conceal(b)
		}
	}
	e.pool.release(s.blocks)
	e.pool.reserved -= s.promised
	e.running--
	e.countAdapter(s.job.adapter, -1, 0)
	if reason == finishAbort {
		e.counts.Disconnects++
	} else {
		e.counts.Succeeded++
	}
	e.letIn()
	e.mu.Unlock()
	s.blocks, s.fresh = nil, nil

	e.meter.finished(reason)
	if reason != finishAbort {
		e.meter.request(s, now)
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pace wakes a sequence when its tokens are due. Deadlines follow from one another, not from when the last one
// was noticed, so that lateness does not add up.
type pace struct {
	timer *time.Timer
	due   time.Time
}

func newPace(first time.Time) *pace {
	p := &pace{timer: time.NewTimer(time.Hour), due: first}
	p.timer.Stop()
	return p
}

// wait returns when the next token is due, or with the error of the context.
func (p *pace) wait(ctx context.Context) error {
	d := time.Until(p.due)
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	p.timer.Reset(d)
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		p.timer.Stop()
		return ctx.Err()
	}
}
