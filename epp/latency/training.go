package latency

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// samples are those that wait to be sent: a fair choice of all that came since the last time, so many at most.
type samples struct {
	most int

	mu      sync.Mutex
	waiting []Sample
	seen    int // since the last time
}

// add takes up a sample, perhaps in place of another. It tells whether one was lost.
func (s *samples) add(sample Sample) (lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	if len(s.waiting) < s.most {
		s.waiting = append(s.waiting, sample)
		return false
	}
	if place := rand.IntN(s.seen); place < s.most {
		s.waiting[place] = sample
	}
	return true
}

// take removes all.
func (s *samples) take() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.waiting
	s.waiting, s.seen = nil, 0
	return taken
}

// giveBack takes up samples again that could not be sent, as far as there is room beside newer ones. It returns how many were
// lost.
func (s *samples) giveBack(old []Sample) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := min(len(old), s.most-len(s.waiting))
	s.waiting = append(s.waiting, old[:kept]...)
	s.seen += kept
	return len(old) - kept
}

// Learn takes up how long a request took. It does not wait.
func (c *Client) Learn(sample Sample) {
	if c.samples.add(sample) {
		c.metrics.countSamples("dropped", 1)
	}
}

// longestTrainingPause bounds how long a training server that fails is left alone.
const longestTrainingPause = 30 * time.Second

// train sends samples until the context ends. While the training server fails, it is asked less and less often.
func (c *Client) train(ctx context.Context) {
	failures := 0
	timer := time.NewTimer(c.options.FlushInterval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := c.options.FlushInterval
		if err := c.flush(ctx); err != nil {
			next = pause(c.options.FlushInterval, max(longestTrainingPause, c.options.FlushInterval), failures)
			if failures == 0 && ctx.Err() == nil {
				c.log.Warn("the training server takes no samples; they are kept as far as there is room", "url", c.options.TrainingURL, "error", err)
			}
			failures++
		} else {
			failures = 0
		}
		timer.Reset(next)
	}
}

// flush sends the samples that wait.
func (c *Client) flush(ctx context.Context) error {
	batch := c.samples.take()
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, c.options.TrainingTimeout)
	defer cancel()
	body := append(make([]byte, 0, 32+len(batch)*512), `{"entries":[`...)
	for i := range batch {
		if i > 0 {
			body = append(body, ',')
		}
		body = batch[i].appendObject(body)
	}
	if _, err := c.post(ctx, c.options.TrainingURL+trainPath, append(body, "]}"...), answerBytes); err != nil {
		lost := len(batch)
		if refused := new(statusError); !errors.As(err, &refused) || !refused.final() {
			lost = c.samples.giveBack(batch)
		}
		c.metrics.countSamples("dropped", lost)
		return err
	}
	c.metrics.countSamples("sent", len(batch))
	return nil
}
