package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// insistAfter is how long after the first signal another one counts as impatience. Programs such as timeout(1) send the same signal
// twice, to the process and to its group.
const insistAfter = 2 * time.Second

// obey cancels at the first signal, so that the stage is cleared, and calls quit at the next one that is meant. It ends with the channel.
func obey(signals <-chan os.Signal, now func() time.Time, cancel context.CancelCauseFunc, quit func()) {
	var first time.Time
	for s := range signals {
		switch {
		case first.IsZero():
			first = now()
			cancel(fmt.Errorf("ended by signal: %v", s))
		case now().Sub(first) > insistAfter:
			quit()
		}
	}
}
