package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/util/workqueue"

	"github.com/switchyard/switchyard/internal/source"
)

const (
	// workers is how many Gateways are worked on at the same time.
	workers = 4
	// retryFirst and retryAtMost bound the pause before a Gateway is tried again; it doubles in between.
	retryFirst  = 500 * time.Millisecond
	retryAtMost = 2 * time.Minute
	// waitPause is the pause when something has only to be waited for.
	waitPause = time.Second
	// lookAtCA is how often the CA is compared with the one that fleets have.
	lookAtCA = 10 * time.Second
)

// term is one leader's time in office: all that is known about the cluster is learned anew in each.
type term struct {
	*Reconciler
	queue workqueue.TypedRateLimitingInterface[source.Key]

	mu     sync.Mutex
	states map[source.Key]*state
}

func newTerm(r *Reconciler) *term {
	return &term{
		Reconciler: r,
		states:     map[source.Key]*state{},
		queue: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[source.Key](retryFirst, retryAtMost),
			workqueue.TypedRateLimitingQueueConfig[source.Key]{Clock: r.opts.Clock},
		),
	}
}

func (t *term) run(ctx context.Context) error {
	defer t.metrics.failing.Set(0)
	g, ctx := errgroup.WithContext(ctx)
	if t.opts.Config != nil {
		if err := t.watch(ctx, g); err != nil {
			t.queue.ShutDown()
			return errors.Join(err, g.Wait())
		}
	}
	g.Go(func() error {
		<-ctx.Done()
		t.queue.ShutDown()
		return nil
	})
	g.Go(func() error { return t.plan(ctx) })
	for range workers {
		g.Go(func() error {
			for t.next(ctx) {
			}
			return nil
		})
	}
	return g.Wait()
}

// plan queues the Gateways that something new is wanted of.
func (t *term) plan(ctx context.Context) error {
	ticker := t.opts.Clock.NewTicker(lookAtCA)
	defer ticker.Stop()
	t.accept(t.wish())
	signs := t.opts.CA().Fingerprint()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.news:
			t.accept(t.wish())
		case <-ticker.C():
			if now := t.opts.CA().Fingerprint(); now != signs {
				signs = now
				t.queueAll()
			}
		}
	}
}

func (t *term) queueAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key := range t.states {
		t.queue.Add(key)
	}
}

// next works on one Gateway; false says that there is no more work, ever.
func (t *term) next(ctx context.Context) bool {
	key, end := t.queue.Get()
	if end {
		return false
	}
	defer t.queue.Done(key)
	s := t.state(key)
	if s == nil {
		t.queue.Forget(key)
		return true
	}
	again, err := t.reconcile(ctx, s)
	var wait waitError
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &wait):
		t.opts.Log.Debug("waiting", "gateway", key, "reason", err)
		t.queue.AddAfter(key, waitPause)
	case err != nil:
		t.complain(key, s, err)
		t.queue.AddRateLimited(key)
	default:
		t.settle(key, s)
		t.queue.Forget(key)
		if again > 0 {
			t.queue.AddAfter(key, again)
		}
	}
	return true
}

func (t *term) state(key source.Key) *state {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.states[key]
}

// reconcile does what is wanted of one Gateway and says when to look again, 0 for never.
func (t *term) reconcile(ctx context.Context, s *state) (time.Duration, error) {
	w := s.wanted()
	switch w.mode {
	case remove:
		return 0, t.removeFleet(ctx, w, s)
	case keep:
		return t.keepIdentity(ctx, w, s)
	}
	return t.applyFleet(ctx, w, s)
}

// waitError says that something will come about without us.
type waitError struct{ reason string }

func (e waitError) Error() string { return e.reason }

func waitFor(format string, args ...any) error { return waitError{fmt.Sprintf(format, args...)} }
