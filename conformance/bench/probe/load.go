package probe

import (
	"context"
	"sync"
	"time"
)

// Load sends requests back to back on several connections, one request at a time on each.
type Load struct {
	stop chan struct{}
	wg   sync.WaitGroup
}

// StartLoad begins at once. The target function is given the number of the connection and of the request on it; record is called from
// all connections' goroutines. Stop must be called. After the end of the context no more answers are recorded.
func StartLoad(ctx context.Context, connections int, timeout time.Duration, target func(connection, request int) Target,
	record func(Target, Answer)) *Load {
	l := &Load{stop: make(chan struct{})}
	for c := range connections {
		l.wg.Go(func() { l.send(ctx, c, timeout, target, record) })
	}
	return l
}

func (l *Load) send(ctx context.Context, connection int, timeout time.Duration, target func(int, int) Target, record func(Target, Answer)) {
	client := NewKept(timeout)
	defer client.Close()
	for request := 0; ; request++ {
		select {
		case <-l.stop:
			return
		default:
		}
		to := target(connection, request)
		answer := client.Get(ctx, to)
		if ctx.Err() != nil {
			return
		}
		record(to, answer)
	}
}

// Stop waits for the requests under way, which their time-out bounds, and for their answers to be recorded.
func (l *Load) Stop() {
	close(l.stop)
	l.wg.Wait()
}
