package e2e

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestSoak keeps 200 streams open for half a minute. Afterwards everything is as before: no goroutine, no
// stream to the picker, nothing in flight, no open file is left over.
func TestSoak(t *testing.T) {
	const (
		streams    = 200
		interToken = 100 * time.Millisecond
		long       = 300 // tokens: 30 s
		short      = 3
	)
	// Over HTTP/2 the proxy has one connection to each model server whatever the load was, so that files can be
	// counted exactly.
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "sim", "appProtocol: kubernetes.io/h2c")+
		simPods("sim", 1, 4, "--first-token", "50ms", "--inter-token", interToken.String(), "--max-running", "256",
			"--prefill-tokens-per-second", "1e9"), worldOptions{proxies: 2})
	soak(t, w, streams, short, interToken) // connections and pools are made once
	idle := w.idleState(t, nil)

	began := time.Now()
	soak(t, w, streams, long, interToken)
	if took := time.Since(began); took < 30*time.Second {
		t.Errorf("the streams lasted for %s only", took)
	}
	after := w.idleState(t, &idle)
	t.Logf("idle before: %+v, after: %+v", idle, after)
	for name, s := range w.sims {
		stats := s.Stats()
		if stats.Running+stats.Waiting+stats.UsedBlocks > 0 || stats.Disconnects > 0 || stats.Succeeded != stats.Requests {
			t.Errorf("simulator %s: %+v", name, stats)
		}
	}
}

// soak opens streams at the same time and reads all of them to their ends.
func soak(t *testing.T, w *world, streams, tokens int, interToken time.Duration) {
	t.Helper()
	var readers sync.WaitGroup
	var mu sync.Mutex
	var slowest time.Duration
	for n := range streams {
		readers.Go(func() {
			s := openStream(t, w, chat(longPrompt(fmt.Sprintf("stream %d", n), 100), true, tokens))
			defer s.leave()
			var gap time.Duration
			for s.next() {
				if n := len(s.arrived); n > 1 {
					gap = max(gap, s.arrived[n-1].Sub(s.arrived[n-2]))
				}
			}
			if s.status != http.StatusOK || !s.done || s.words() != tokens {
				t.Errorf("stream %d: status %d, %d of %d words, done %t", n, s.status, s.words(), tokens, s.done)
			}
			mu.Lock()
			slowest = max(slowest, gap)
			mu.Unlock()
		})
	}
	eventually(t, 10*time.Second, "all streams are open", func() bool { return tokens < 100 || w.inFlight() == int64(streams) })
	readers.Wait()
	t.Logf("%d streams of %d tokens: the longest wait for an event %s, written every %s", streams, tokens, slowest, interToken)
}

// usage is what an idle installation holds.
type usage struct {
	goroutines, files int // of this process: control plane, picker, simulators, clients
	envoyFiles        int
}

// idleState waits until nothing is under way, and no more is held than in the state before, if that is given.
// The numbers go up and down with health checks, scrapes and this test's own questions: the least count.
func (w *world) idleState(t *testing.T, before *usage) usage {
	t.Helper()
	least := usage{goroutines: 1 << 20, files: 1 << 20, envoyFiles: 1 << 20}
	looked, busy := 0, ""
	defer func() {
		if t.Failed() {
			t.Logf("held: %+v, before: %+v; under way: %s", least, before, busy)
		}
	}()
	eventually(t, 10*time.Second, "everything is idle and nothing left over", func() bool {
		if busy = w.busy(); busy != "" {
			return false
		}
		now := w.held(t)
		least.goroutines = min(least.goroutines, now.goroutines)
		least.files = min(least.files, now.files)
		least.envoyFiles = min(least.envoyFiles, now.envoyFiles)
		looked++
		if before == nil {
			return looked >= 50
		}
		return least.goroutines <= before.goroutines && least.files <= before.files && least.envoyFiles <= before.envoyFiles
	})
	return least
}

func (w *world) held(t *testing.T) usage {
	t.Helper()
	now := usage{goroutines: runtime.NumGoroutine(), files: openFiles(t, "self")}
	for _, p := range w.fleet.Proxies() {
		now.envoyFiles += openFiles(t, fmt.Sprint(p.PID()))
	}
	return now
}

// busy names something that is still under way, nothing when everything is idle.
func (w *world) busy() string {
	for n := range w.fleet.Proxies() {
		for _, stat := range []string{
			fmt.Sprintf("http.http/%d.downstream_rq_active", w.port), "cluster.epp.upstream_rq_active",
			"cluster.pool/default/llm.upstream_rq_active",
		} {
			if active := w.envoyStat(n, stat); active > 0 {
				return fmt.Sprintf("%d %s", active, stat)
			}
		}
	}
	switch streams := w.pickerStreams(); {
	case streams != `"streams": 0,`:
		return streams
	case w.inFlight() > 0 || w.inFlightTokens() > 0:
		return fmt.Sprintf("%d requests and %d tokens in flight", w.inFlight(), w.inFlightTokens())
	case w.running() > 0:
		return fmt.Sprintf("%d requests at model servers", w.running())
	}
	return ""
}

// pickerStreams is the line of the embedded picker's debug page that tells how many streams are open.
func (w *world) pickerStreams() string {
	w.t.Helper()
	r, err := send(newClient(), http.MethodGet, "http://"+w.stack.AdminAddr.String()+"/debug/epp", "")
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(r.body) {
		if strings.Contains(line, `"streams"`) {
			return strings.TrimSpace(line)
		}
	}
	return r.body
}

// openFiles counts the open files of a process.
func openFiles(t *testing.T, pid string) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/" + pid + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
