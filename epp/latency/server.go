package latency

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of how a server that fails is left alone.
const (
	failuresToOpen = 3
	firstPause     = 200 * time.Millisecond
	longestPause   = 10 * time.Second
)

// server is a prediction server and whether it is worth asking: after some failures in a row it is left alone for a while, then
// tried with one call, and left alone for longer each time that fails.
type server struct {
	url   string
	trial time.Duration // how long one call of a trial may take

	mu       sync.Mutex
	failures int
	until    time.Time
}

// ready tells whether it may be asked.
func (s *server) ready(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failures < failuresToOpen || !now.Before(s.until)
}

// ask tells whether it may be asked, and counts on it being asked then.
func (s *server) ask(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failures < failuresToOpen {
		return true
	}
	if now.Before(s.until) {
		return false
	}
	s.until = now.Add(s.trial)
	return true
}

// answered notes that it answered.
func (s *server) answered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = 0
}

// failed notes that it did not. It tells whether the server is left alone from now on.
func (s *server) failed(now time.Time) (opened bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures++
	if s.failures < failuresToOpen {
		return false
	}
	s.until = now.Add(pause(firstPause, longestPause, s.failures-failuresToOpen))
	return s.failures == failuresToOpen
}

// pause doubles with each failure up to a bound, give or take a fifth, so that pickers do not come back all at once.
func pause(first, longest time.Duration, failures int) time.Duration {
	d := min(first<<min(failures, 20), longest)
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}

// choose gives a server to ask, any of those that are ready; nil: there is none. except is not asked.
func choose(servers []*server, except *server, now time.Time) *server {
	from := rand.IntN(len(servers))
	for i := range servers {
		s := servers[(from+i)%len(servers)]
		if s != except && s.ask(now) {
			return s
		}
	}
	return nil
}
