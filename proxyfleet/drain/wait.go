package drain

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// pollEvery is the pause between two looks at a condition that Envoy does not report by itself.
	pollEvery = 20 * time.Millisecond
	// idleFor is how long connections without a request are left to their clients where others serve the port already.
	idleFor = 250 * time.Millisecond
)

// ErrExited says that the proxy's process ended while it was waited for.
var ErrExited = errors.New("the proxy has ended")

// Now ends the work of a proxy whose port others serve as well, at once: it closes the view's listeners, fails
// readiness and waits until no request is open and the connections are closed or have been idle for 250 ms, the
// process has exited, or ctx is done.
//
// A proxy whose readiness fails asks its clients, with every answer, to close the connection. They connect
// anew then, which must not lead back here: a connection that waits to be accepted when its listener closes is
// reset. So the listeners go first, and the other proxies of the port take over.
func Now(ctx context.Context, a Admin, exited <-chan struct{}) error {
	if err := a.CloseListeners(ctx); err != nil {
		return err
	}
	if err := pause(ctx, pollEvery, exited); err != nil { // worker threads close them soon after
		return err
	}
	if err := a.FailReadiness(ctx); err != nil {
		return err
	}
	return waitQuiet(ctx, a, pollEvery, idleFor, exited)
}

// waitQuiet returns when nothing is served and the connections are closed or have been idle for so long.
func waitQuiet(ctx context.Context, a Admin, every, idle time.Duration, exited <-chan struct{}) error {
	busy := time.Now()
	for {
		w, err := a.OpenWork(ctx)
		if err != nil {
			return err
		}
		switch {
		case w.Busy():
			busy = time.Now()
		case w.Connections == 0, time.Since(busy) >= idle:
			return nil
		}
		if err := pause(ctx, every, exited); err != nil {
			return fmt.Errorf("%d requests and %d other connections still open: %w", w.Requests, w.Raw, err)
		}
	}
}

func pause(ctx context.Context, d time.Duration, exited <-chan struct{}) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-exited:
		return ErrExited
	}
}
