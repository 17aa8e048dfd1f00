package stage

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// progressEvery is the time between two progress lines of a long piece of work.
const progressEvery = 5 * time.Second

// each calls do for 0 to n-1 from the stage's workers. The first error ends it; work that has begun is waited for.
func (s *Stage) each(ctx context.Context, n int, what string, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var workers sync.WaitGroup
	for range max(s.Workers, 1) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(fmt.Errorf("%s, number %d: %w", what, i, err))
					return
				}
				done.Add(1)
			}
		})
	}
	finished := make(chan struct{})
	var teller sync.WaitGroup
	teller.Go(func() { s.tell(finished, what, &done, n) })
	workers.Wait()
	close(finished)
	teller.Wait()
	if int(done.Load()) == n {
		return nil
	}
	return context.Cause(ctx)
}

func (s *Stage) tell(finished <-chan struct{}, what string, done *atomic.Int64, n int) {
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.Log.Info(what, "done", done.Load(), "of", n)
		case <-finished:
			return
		}
	}
}
