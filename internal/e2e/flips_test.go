package e2e

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard/switchyard/proxyfleet/local"
)

// flipGrace is how long after the last acknowledgement a proxy's worker threads may still use the old route.
const flipGrace = 100 * time.Millisecond

// flips is load that goes on while a route is switched between backends, and the judge of its answers.
type flips struct {
	w       *world
	request func(*http.Client) (reply, error)

	mu       sync.Mutex
	expected string    // backend that answers now
	since    time.Time // when every proxy had acknowledged it; zero while a flip is under way
	allowed  map[string]bool
	total    int
	settled  int // answers since `since` that had to come from expected
	wrong    []string
}

// backendOf gives the app of a simulator's pod name.
func backendOf(r reply) string {
	name := r.server()
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		return name[:i]
	}
	return name
}

// start keeps connections busy with one request after another until stop is closed.
func (f *flips) start(connections int) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range connections {
		transport := &http.Transport{MaxConnsPerHost: 1}
		client := &http.Client{Timeout: 10 * time.Second, Transport: transport}
		wg.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				began := time.Now()
				r, err := f.request(client)
				f.judge(began, r, err)
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

// judge counts one answer. From a request that began after a flip had settled, only the new backend is right.
func (f *flips) judge(began time.Time, r reply, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total++
	backend := backendOf(r)
	switch {
	case err != nil:
		f.complain("request %d: %v", f.total, err)
	case r.status != http.StatusOK || !f.allowed[backend]:
		f.complain("request %d: %d by %q: %.100s", f.total, r.status, r.server(), r.body)
	case !f.since.IsZero() && began.After(f.since.Add(flipGrace)):
		f.settled++
		if backend != f.expected {
			f.complain("request %d: answered by %s, %s after the flip to %s had been acknowledged",
				f.total, backend, began.Sub(f.since), f.expected)
		}
	}
}

func (f *flips) complain(format string, args ...any) {
	if len(f.wrong) < 20 {
		f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
	}
}

// flip switches to a backend and waits until enough requests have been answered by it alone.
func (f *flips) flip(t *testing.T, to, manifest string, enough int) {
	t.Helper()
	f.mu.Lock()
	f.since = time.Time{}
	f.settled = 0
	f.mu.Unlock()
	f.w.apply("flip.yaml", manifest)
	f.mu.Lock()
	f.expected, f.since = to, time.Now()
	f.mu.Unlock()
	eventually(t, 10*time.Second, "requests are answered by "+to, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.settled >= enough || len(f.wrong) > 0
	})
	f.report(t)
}

func (f *flips) report(t *testing.T) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, wrong := range f.wrong {
		t.Error(wrong)
	}
	if len(f.wrong) > 0 {
		t.FailNow()
	}
}

// rested waits until the proxies have dropped what is no longer used.
func (w *world) rested(t *testing.T) {
	t.Helper()
	eventually(t, 15*time.Second, "what is no longer used is removed", func() bool {
		for _, p := range w.stack.Views.State("default/gw", "").Proxies {
			for _, ts := range p.Types {
				if ts.Removing > 0 || !ts.Synced {
					return false
				}
			}
		}
		return true
	})
}

func TestTenThousandRequestsOverFiftyFlips(t *testing.T) {
	const wanted, times = 10_000, 50
	w := newWorld(t, gateway+echoServices(1, "a", "b"), worldOptions{proxies: 2})
	toService := func(name string) string {
		return route("flip", fmt.Sprintf("\n  - backendRefs: [{name: %s, port: 80}]", name))
	}
	w.apply("flip.yaml", toService("b"))
	f := &flips{w: w, allowed: map[string]bool{"a": true, "b": true}, request: func(c *http.Client) (reply, error) {
		return send(c, http.MethodGet, w.url("/flip"), "")
	}}
	stop := f.start(16)
	defer stop()
	backends := []string{"a", "b"}
	for i := range times {
		f.flip(t, backends[i%2], toService(backends[i%2]), wanted/times/2)
	}
	// A backend that had been dropped for good is made before it is used, too.
	w.rested(t)
	f.flip(t, "a", toService("a"), 100)
	w.rested(t)
	f.flip(t, "b", toService("b"), 100)
	eventually(t, time.Minute, "10 000 requests are through", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.total >= wanted
	})
	stop()
	f.report(t)
	t.Logf("%d requests over %d flips, 0 wrong", f.total, times+2)
	for _, p := range w.fleet.Proxies() {
		if n := w.served(t, p); n < wanted/10 {
			t.Errorf("%s served %d requests only: the load was not spread", p.Name, n)
		}
	}
}

// served counts the requests that a proxy has answered on the listeners of the view.
func (w *world) served(t *testing.T, p *local.Proxy) int {
	t.Helper()
	text, err := p.AdminRequest(t.Context(), http.MethodGet, `/stats?filter=^http\.http.*downstream_rq_completed$`)
	if err != nil {
		t.Fatal(err)
	}
	_, value, _ := strings.Cut(strings.TrimSpace(text), ": ")
	n, err := strconv.Atoi(value)
	if err != nil {
		t.Fatalf("reading %q: %v", text, err)
	}
	return n
}

func TestFlipsBetweenServiceAndPools(t *testing.T) {
	const wanted, times = 2000, 18
	manifests := gateway
	for i, app := range []string{"s", "p", "q"} {
		manifests += simPods(app, 1+2*i, 2, instant...)
	}
	w := newWorld(t, manifests+service("s", 1, 2)+pool("p", "p")+pool("q", "q"), worldOptions{proxies: 2})
	flipTo := map[string]string{
		"s": route("flip", "\n  - backendRefs: [{name: s, port: 80}]"),
		"p": strings.Replace(poolRoute("p"), "to-p", "flip", 1),
		"q": strings.Replace(poolRoute("q"), "to-q", "flip", 1),
	}
	w.apply("flip.yaml", flipTo["q"])
	f := &flips{w: w, allowed: map[string]bool{"s": true, "p": true, "q": true}, request: func(c *http.Client) (reply, error) {
		return send(c, http.MethodPost, w.url("/v1/chat/completions"), chat("flip", false, 1))
	}}
	stop := f.start(8)
	defer stop()
	for i := range times {
		backend := []string{"s", "p", "q"}[i%3]
		f.flip(t, backend, flipTo[backend], wanted/times/2)
	}
	eventually(t, time.Minute, "the requests are through", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.total >= wanted
	})
	stop()
	f.report(t)
	t.Logf("%d requests over %d flips, 0 wrong", f.total, times)
}
