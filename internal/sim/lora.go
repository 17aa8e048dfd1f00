package sim

import (
	"slices"
	"time"
)

// loraHistory bounds the series of vllm:lora_requests_info. vLLM never forgets one.
const loraHistory = 32

// loraState is one series of vllm:lora_requests_info: which adapters run and wait, and since when.
type loraState struct {
	running, waiting []string // sorted
	since            time.Time
}

// loraLog keeps the latest states, each combination of adapters once. Like in vLLM the old ones stay on the page
// and the one with the latest time is true.
type loraLog struct{ states []loraState }

// note records the state of now.
func (l *loraLog) note(running, waiting []string) {
	now := time.Now()
	if n := len(l.states); n > 0 {
		last := l.states[n-1]
		if slices.Equal(last.running, running) && slices.Equal(last.waiting, waiting) {
			return
		}
		// The page shows seconds as a float, which holds about half a microsecond: keep the order visible.
		if floor := last.since.Add(time.Microsecond); now.Before(floor) {
			now = floor
		}
	}
	l.states = slices.DeleteFunc(l.states, func(s loraState) bool {
		return slices.Equal(s.running, running) && slices.Equal(s.waiting, waiting)
	})
	if len(l.states) >= loraHistory {
		l.states = slices.Delete(l.states, 0, len(l.states)-loraHistory+1)
	}
	l.states = append(l.states, loraState{running, waiting, now})
}
