package session

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// maxBindings bounds the sessions remembered; beyond it new sessions are not bound until others have expired. A binding
// takes about 200 bytes, so this is about 25 MiB.
const maxBindings = 1 << 17

// maxSessionID bounds a session's id, in bytes: a longer one is not a session.
const maxSessionID = 256

// bindings remembers which endpoint each session is bound to, until it has not been used for ttl. It is safe for
// concurrent use and has no goroutine: whoever puts a binding sweeps when it is time.
type bindings struct {
	ttl, sweep time.Duration

	mu    sync.Mutex
	byID  map[string]binding
	swept time.Time
}

type binding struct {
	endpoint string
	used     time.Time
}

func newBindings(ttlSeconds, sweepSeconds float64) (*bindings, error) {
	ttl, err := seconds("evictionTtlSeconds", ttlSeconds)
	if err != nil {
		return nil, err
	}
	sweep, err := seconds("evictionSweepSeconds", sweepSeconds)
	return &bindings{ttl: ttl, sweep: sweep, byID: map[string]binding{}}, err
}

func seconds(field string, n float64) (time.Duration, error) {
	const most = 7 * 24 * 3600
	if !(n > 0 && n <= most) {
		return 0, fmt.Errorf("parameters: sessionIdConfig.%s: %g is not above 0 and at most %d (a week)", field, n, most)
	}
	return time.Duration(n * float64(time.Second)), nil
}

// get returns the endpoint that a session is bound to, empty when there is none.
func (b *bindings) get(id string, now time.Time) string {
	if id == "" {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	found, ok := b.byID[id]
	if !ok || now.Sub(found.used) > b.ttl {
		return ""
	}
	return found.endpoint
}

// put binds a session.
func (b *bindings) put(id, endpoint string, now time.Time) {
	if len(id) > maxSessionID {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.swept) > b.sweep {
		b.swept = now
		for id, old := range b.byID {
			if now.Sub(old.used) > b.ttl {
				delete(b.byID, id)
			}
		}
	}
	if _, known := b.byID[id]; !known {
		if len(b.byID) >= maxBindings {
			return
		}
		id = strings.Clone(id)
	}
	b.byID[id] = binding{endpoint: endpoint, used: now}
}
