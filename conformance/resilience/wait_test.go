package resilience

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// pollEvery is the pause between two looks at something that nobody reports by itself.
const pollEvery = 100 * time.Millisecond

// eventually waits until check finds nothing to complain about, and says how long that took.
func eventually(t *testing.T, within time.Duration, what string, check func(context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	if err := poll(t.Context(), within, check); err != nil {
		t.Fatalf("%s: not within %s: %v", what, within, err)
	}
	return time.Since(began)
}

// poll calls check until it gives no error, and gives its last one when time is up.
func poll(ctx context.Context, within time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil { // what the deadline itself breaks says nothing
			last = err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return errors.Join(ctx.Err(), last)
		}
	}
}

// passes waits under load for a time that is itself the measure, such as twice the interval of a health check.
func passes(t *testing.T, d time.Duration) {
	t.Helper()
	until := time.Now().Add(d)
	eventually(t, d+settled, "time passes", func(context.Context) error {
		if left := time.Until(until); left > 0 {
			return fmt.Errorf("%s left", left)
		}
		return nil
	})
}
