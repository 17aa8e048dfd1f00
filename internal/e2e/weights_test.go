package e2e

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// instant makes a simulator answer without simulated waiting.
var instant = []string{"--time-scale", "1e-9"}

// tally sends n chat requests over several connections and counts answers by status and server.
func (w *world) tally(client *http.Client, n int) map[string]int {
	w.t.Helper()
	const senders = 8
	var mu sync.Mutex
	var wg sync.WaitGroup
	counts := map[string]int{}
	for s := range senders {
		wg.Go(func() {
			for i := s; i < n; i += senders {
				key := ""
				r, err := send(client, http.MethodPost, w.url("/v1/chat/completions"), chat("request "+strconv.Itoa(i), false, 1))
				if err != nil {
					key = err.Error()
				} else {
					key = strconv.Itoa(r.status) + " " + r.server()
				}
				mu.Lock()
				counts[key]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return counts
}

// expectShares compares counts, by the beginning of their keys, with shares of the whole. The tolerance is
// five standard deviations: chance fails this once in a million times.
func expectShares(t *testing.T, counts map[string]int, shares map[string]float64) {
	t.Helper()
	total, seen := 0, 0
	for _, n := range counts {
		total += n
	}
	for prefix, share := range shares {
		n := 0
		for key, k := range counts {
			if strings.HasPrefix(key, prefix) {
				n += k
			}
		}
		seen += n
		want := share * float64(total)
		if off := math.Abs(float64(n) - want); off > 5*math.Sqrt(want*(1-share)) {
			t.Errorf("%s: %d of %d, want about %.0f", prefix, n, total, want)
		}
	}
	if seen != total {
		t.Errorf("other answers than %v: %v", shares, counts)
	}
}

func TestWeights(t *testing.T) {
	w := newWorld(t, gateway+simPods("s", 1, 1, instant...)+service("s", 1)+simPods("p", 2, 3, instant...)+pool("p", "p")+
		simPods("q", 5, 1, instant...)+pool("q", "q")+simPods("zero", 6, 1, instant...)+service("zero", 6)+pool("zero", "zero")+
		route("weights", `
  - backendRefs:
    - {name: s, port: 80, weight: 40}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: p, weight: 30}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: q, weight: 10}
    - {name: missing, port: 80, weight: 15}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: missing, weight: 5}
    - {name: zero, port: 80, weight: 0}
    - {group: inference.networking.k8s.io, kind: InferencePool, name: zero, weight: 0}`), worldOptions{proxies: 1})
	client := newKeepAliveClient(t)
	counts := w.tally(client, 4000)
	t.Log(counts)
	expectShares(t, counts, map[string]float64{"200 s-": 0.4, "200 p-": 0.3, "200 q-": 0.1, "500 ": 0.2})

	t.Run("of one backend and a missing one", func(t *testing.T) {
		w.apply("main.yaml", gateway+simPods("s", 1, 1)+service("s", 1)+route("weights", `
  - backendRefs: [{name: s, port: 80, weight: 1}, {name: missing, port: 80, weight: 1}]`))
		expectShares(t, w.tally(client, 500), map[string]float64{"200 s-": 0.5, "500 ": 0.5})
	})
}
