package main

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestTheFirstSignalCancelsAndALaterOneQuits(t *testing.T) {
	for _, test := range []struct {
		name  string
		after []time.Duration // of each signal
		quits int
	}{
		{"none", nil, 0},
		{"one", []time.Duration{0}, 0},
		{"the same signal twice at once", []time.Duration{0, time.Millisecond}, 0},
		{"an impatient user", []time.Duration{0, 5 * time.Second}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			signals := make(chan os.Signal, len(test.after))
			for range test.after {
				signals <- syscall.SIGTERM
			}
			close(signals)
			begin, at, quits := time.Now(), 0, 0
			now := func() time.Time {
				at++
				return begin.Add(test.after[at-1])
			}
			obey(signals, now, cancel, func() { quits++ })
			if quits != test.quits {
				t.Errorf("quit %d times, want %d", quits, test.quits)
			}
			if len(test.after) > 0 && (ctx.Err() == nil || !strings.Contains(context.Cause(ctx).Error(), "terminated")) {
				t.Errorf("cancelled with %v, want the signal's name", context.Cause(ctx))
			}
		})
	}
}
