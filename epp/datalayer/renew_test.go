package datalayer

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestReconfigure changes engine, interval and index size of a running registry.
func TestReconfigure(t *testing.T) {
	s := newModelServer(t, "vllm:num_requests_running 1\nmine_running 2\nmine_heat 3\nvllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"40\"} 1\n")
	o := quick()
	o.BlocksPerServer = 50
	p, pool := start(t, o, spec("a", s.address()))
	e := pool.Endpoints()[0]
	eventually(t, "numbers as of vllm", func() bool { return e.Metrics().Running == 1 })
	flight := e.Begin(9)
	defer flight.End()
	keys := make([]uint64, 100)
	for i := range keys {
		keys[i] = uint64(i+1) << 50
	}
	pool.Index().Add(e.Server, keys)
	if got := pool.Index().Len(); got != 50 {
		t.Fatalf("%d blocks, want 50", got)
	}
	held := e.Metrics()

	o.Engines = []Engine{{Name: "mine", Running: Series{Name: "mine_running"}, CacheInfo: Engines[0].CacheInfo, BlockSizeLabel: "block_size",
		NumBlocksLabel: "num_gpu_blocks", Custom: []Custom{{"heat", Series{Name: "mine_heat"}}}}}
	o.DefaultEngine, o.BlocksPerServer, o.BlockTokens, o.Interval = "mine", 70, 32, 3*time.Millisecond
	if err := p.Reconfigure(o); err != nil {
		t.Fatal(err)
	}
	eventually(t, "numbers as of the own engine", func() bool { heat, known := e.Custom("heat"); return e.Metrics().Running == 2 && heat == 3 && known })
	if held.Running != 1 || pool.Endpoints()[0] != e || e.Requests() != 1 || e.Tokens() != 9 {
		t.Errorf("the endpoint is another: %d requests, %d tokens", e.Requests(), e.Tokens())
	}
	if got := pool.Index().Len(); got != 20 { // 40 blocks of 16 tokens are 20 of 32
		t.Errorf("%d blocks are left, want 20", got)
	}
	o.BlockTokens = 0
	if err := p.Reconfigure(o); err != nil {
		t.Fatal(err)
	}
	if pool.Index().Add(e.Server, keys); pool.Index().Len() != 70 {
		t.Errorf("%d blocks, want 70", pool.Index().Len())
	}
	before := s.hits.Load()
	eventually(t, "further scrapes", func() bool { return s.hits.Load() > before+20 })
	if got := p.Options(); got.BlocksPerServer != 70 || got.DefaultEngine != "mine" {
		t.Errorf("options %+v", got)
	}

	broken := o
	broken.Scheme, broken.TLS = "https", TLS{Verify: true, CA: t.TempDir() + "/none.pem"}
	if err := p.Reconfigure(broken); err == nil || !strings.Contains(err.Error(), "none.pem") {
		t.Errorf("error %v", err)
	}
	if p.Options().Scheme != "" {
		t.Error("options that cannot work are in force")
	}
	before = s.hits.Load()
	eventually(t, "further scrapes", func() bool { return s.hits.Load() > before+20 })
}

// TestCustomNumbersAreFreshAsTheOthers reads a page that has nothing else, and loses its server.
func TestCustomNumbersAreFreshAsTheOthers(t *testing.T) {
	s := newModelServer(t, "heat 3\n")
	o := quick()
	o.Engines = []Engine{{Name: "vllm", Custom: []Custom{{"heat", Series{Name: "heat"}}}}}
	o.StaleAfter = 30 * time.Millisecond
	_, pool := start(t, o, spec("a", s.address()))
	e := pool.Endpoints()[0]
	eventually(t, "the number", func() bool { heat, known := e.Custom("heat"); return heat == 3 && known })
	if _, known := e.Custom("cold"); known {
		t.Error("a number that nobody asked for is known")
	}
	s.Close()
	eventually(t, "the number is too old", func() bool { _, known := e.Custom("heat"); return !known })
	if heat, known := e.Metrics().Custom("heat"); heat != 3 || !known {
		t.Errorf("the last number is %v, %v", heat, known)
	}
}

// recorder is a log that may be read while it is written.
type recorder struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *recorder) count(what string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Count(r.text.String(), what)
}

// TestAPageThatNeverEnds checks that it costs a bounded time and memory, and one line of the log, also across a change of options.
func TestAPageThatNeverEnds(t *testing.T) {
	flood := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for line := []byte(strings.Repeat("x 1\n", 1024)); ; {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
	}))
	defer flood.Close()
	drip := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, vllm(1, 0, 0))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer drip.Close()
	var log recorder
	o := quick()
	o.Timeout = 200 * time.Millisecond
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	p, pool := start(t, o, spec("drip", drip.Listener.Addr().String()), spec("flood", flood.Listener.Addr().String()))
	failed := func() bool {
		return !slices.ContainsFunc(pool.Endpoints(), func(e *Endpoint) bool { return e.Metrics().Err == nil })
	}
	eventually(t, "both fail", failed)
	eventually(t, "several times", func() bool { return p.Stats()[0].PollErrors >= 6 })
	if err := p.Reconfigure(o); err != nil {
		t.Fatal(err)
	}
	before := p.Stats()[0].PollErrors
	eventually(t, "and again", func() bool { return p.Stats()[0].PollErrors >= before+6 })
	if got := log.count("cannot be read"); got != 2 {
		t.Errorf("%d lines in the log, want one for each server", got)
	}
	if stats := p.Stats()[0]; stats.ExtractErrors != 0 {
		t.Errorf("stats %+v", stats)
	}
}

// TestReconfigureWhileScraping changes options again and again under load; the race detector looks on.
func TestReconfigureWhileScraping(t *testing.T) {
	s := newModelServer(t, vllm(1, 0, 0))
	o := quick()
	var specs []Spec
	for i := range 40 {
		specs = append(specs, spec(fmt.Sprint("e", i), s.address()))
	}
	p, pool := start(t, o, specs...)
	for i := range 50 {
		o.Interval = time.Duration(i+1) * time.Millisecond
		o.Timeout = time.Duration(i%3+1) * time.Second
		o.Models.Interval = time.Duration(i%2) * time.Millisecond
		if err := p.Reconfigure(o); err != nil {
			t.Fatal(err)
		}
		before := s.hits.Load()
		eventually(t, "a scrape", func() bool { return s.hits.Load() > before })
	}
	eventually(t, "numbers of all", func() bool {
		return !slices.ContainsFunc(pool.Endpoints(), func(e *Endpoint) bool { return e.Metrics().Running != 1 })
	})
}
