package datalayer

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(pageServerEnv) != "" {
		servePages()
		return
	}
	goleak.VerifyTestMain(m)
}

// modelServer is a metrics page behind a real listener.
type modelServer struct {
	*httptest.Server
	page atomic.Pointer[string]
	hits atomic.Int64
}

func newModelServer(t *testing.T, page string) *modelServer {
	s := &modelServer{}
	s.page.Store(&page)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		_, _ = io.WriteString(w, *s.page.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *modelServer) address() string { return s.Listener.Addr().String() }

// quick are options under which a test need not wait.
func quick() Options {
	return Options{Interval: 2 * time.Millisecond, IdleInterval: 5 * time.Millisecond, Timeout: 5 * time.Second, Logger: slog.New(slog.DiscardHandler)}
}

// start runs a registry with one pool until the test ends.
func start(t *testing.T, o Options, specs ...Spec) (*Pools, *Pool) {
	t.Helper()
	p := New(o)
	p.Set("ns/pool", specs)
	pool, _ := p.Get("ns/pool")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p, pool
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
		<-tick.C
	}
}

func vllm(running, waiting int, kv float64) string {
	return fmt.Sprintf("vllm:num_requests_running{m=\"x\"} %d\nvllm:num_requests_waiting %d\nvllm:kv_cache_usage_perc %g\n", running, waiting, kv)
}

func TestScrape(t *testing.T) {
	a := newModelServer(t, vllm(1, 2, 0.5))
	b := newModelServer(t, "sglang:num_queue_reqs 9\n")
	sb := spec("b", b.address())
	sb.Labels = map[string]string{LegacyEngineLabel: "sglang"}
	p, pool := start(t, quick(), spec("a", a.address()), sb)
	ea, eb := endpointNamed(t, pool, "a"), endpointNamed(t, pool, "b")
	eventually(t, "numbers of both", func() bool { return ea.Metrics().Running == 1 && eb.Metrics().Waiting == 9 })
	if m := ea.Metrics(); m.Waiting != 2 || m.KVUsage != 0.5 || m.Err != nil || m.Stale(time.Now()) || m.Known != HasRunning|HasWaiting|HasKVUsage {
		t.Errorf("metrics %+v", *m)
	}

	held := ea.Metrics()
	page := vllm(8, 0, 1)
	a.page.Store(&page)
	eventually(t, "the new numbers", func() bool { return ea.Metrics().Running == 8 })
	if held.Running != 1 {
		t.Error("a snapshot has changed")
	}

	c := newModelServer(t, vllm(4, 0, 0))
	p.Set("ns/pool", []Spec{spec("a", a.address()), spec("c", c.address())})
	ec := endpointNamed(t, pool, "c")
	eventually(t, "numbers of the endpoint that came", func() bool { return ec.Metrics().Running == 4 })
	before := c.hits.Load()
	gone := b.hits.Load()
	eventually(t, "further scrapes", func() bool { return c.hits.Load() > before+10 })
	if n := b.hits.Load(); n > gone+1 {
		t.Errorf("%d scrapes of the endpoint that went", n-gone)
	}
}

// TestEngineFollowsLabels changes the engine of an endpoint that stays.
func TestEngineFollowsLabels(t *testing.T) {
	s := newModelServer(t, "vllm:num_requests_running 1\nsglang:num_running_reqs 2\n")
	p, pool := start(t, quick(), spec("a", s.address()))
	eventually(t, "numbers as of vllm", func() bool { return pool.Endpoints()[0].Metrics().Running == 1 })
	sg := spec("a", s.address())
	sg.Labels = map[string]string{EngineLabel: "sglang"}
	p.Set("ns/pool", []Spec{sg})
	eventually(t, "numbers as of sglang", func() bool { return pool.Endpoints()[0].Metrics().Running == 2 })
}

func TestScrapeFailures(t *testing.T) {
	elsewhere := newModelServer(t, vllm(1, 0, 0))
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"status": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusTeapot) }, "status 418"},
		"garbage": {func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write([]byte(strings.Repeat("\x00\xff{,=\"", 1<<16)))
		},
			"none of the metrics of engine vllm"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) }, "status 302"},
		"no such metrics": {func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "up 1") },
			"none of the metrics of engine vllm"},
		"too large": {func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, vllm(1, 0, 0), strings.Repeat("x 1\n", MaxPageBytes/4))
		}, "larger than 4 MiB"},
		"larger than it says": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(100<<20))
			fmt.Fprint(w, vllm(1, 0, 0))
		}, "larger than 4 MiB"},
		"broken off": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, vllm(1, 0, 0))
		}, "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(tc.answer)
			defer s.Close()
			_, pool := start(t, quick(), spec("a", s.Listener.Addr().String()))
			e := pool.Endpoints()[0]
			eventually(t, "an error", func() bool { return e.Metrics().Err != nil })
			if m := e.Metrics(); !strings.Contains(m.Err.Error(), tc.want) || !m.Stale(time.Now()) || m.Running != 0 {
				t.Errorf("metrics %+v, want an error with %q", *m, tc.want)
			}
		})
	}
	if n := elsewhere.hits.Load(); n != 0 {
		t.Errorf("a redirect was followed %d times", n)
	}
}

func TestPageOfTheLargestSize(t *testing.T) {
	page := vllm(3, 0, 0)
	page += strings.Repeat("#", MaxPageBytes-len(page))
	s := newModelServer(t, page)
	_, pool := start(t, quick(), spec("a", s.address()))
	eventually(t, "its numbers", func() bool { return pool.Endpoints()[0].Metrics().Running == 3 })
}

// TestServerGoneAndBack checks that a server that went away keeps its last numbers with their age, and recovers.
func TestServerGoneAndBack(t *testing.T) {
	s := newModelServer(t, vllm(3, 0, 0))
	address := s.address()
	_, pool := start(t, quick(), spec("a", address))
	e := pool.Endpoints()[0]
	eventually(t, "numbers", func() bool { return e.Metrics().Running == 3 })
	s.Close()
	eventually(t, "an error", func() bool { return e.Metrics().Err != nil })
	m := e.Metrics()
	if m.Running != 3 || m.At.IsZero() || len(pool.Endpoints()) != 1 {
		t.Errorf("metrics %+v", *m)
	}
	if m.Stale(m.At) || !m.Stale(m.At.Add(time.Hour)) {
		t.Error("the age of the numbers is not that of the last good scrape")
	}
	back := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, vllm(4, 0, 0)) })}
	var l net.Listener
	eventually(t, "its address free again", func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", address)
		return err == nil
	})
	served := make(chan struct{})
	go func() { _ = back.Serve(l); close(served) }()
	defer func() { back.Close(); <-served }()
	eventually(t, "numbers again", func() bool { m := e.Metrics(); return m.Running == 4 && m.Err == nil && !m.Stale(time.Now()) })
}

// TestHungServersDoNotHoldUpOthers has more servers that accept and say nothing than there is room for at once.
func TestHungServersDoNotHoldUpOthers(t *testing.T) {
	good := newModelServer(t, vllm(1, 0, 0))
	hung := httptest.NewUnstartedServer(nil)
	defer hung.Listener.Close() // never started: the kernel accepts, nobody answers
	o := quick()
	o.Timeout = time.Minute
	p, pool := start(t, o, spec("good", good.address()))
	eventually(t, "numbers", func() bool { return pool.Endpoints()[0].Metrics().Running == 1 })
	specs := []Spec{spec("good", good.address())}
	for i := range 2 * maxScrapes {
		specs = append(specs, spec(fmt.Sprintf("hung-%d", i), hung.Listener.Addr().String()))
	}
	p.Set("ns/pool", specs)
	before := good.hits.Load()
	eventually(t, "further scrapes of the good one", func() bool { return good.hits.Load() > before+20 })
}

// TestTrafficSpeedsUpScrapes uses an idle interval that the test would not see the end of.
func TestTrafficSpeedsUpScrapes(t *testing.T) {
	busy, idle := newModelServer(t, vllm(0, 0, 0)), newModelServer(t, vllm(0, 0, 0))
	o := quick()
	o.IdleInterval = time.Hour
	_, pool := start(t, o, spec("busy", busy.address()), spec("idle", idle.address()))
	e := endpointNamed(t, pool, "busy")
	eventually(t, "first scrapes", func() bool {
		return e.Metrics().Known != 0 && endpointNamed(t, pool, "idle").Metrics().Known != 0
	})
	f := e.Begin(1)
	defer f.End()
	eventually(t, "scrapes of the endpoint with traffic", func() bool { return busy.hits.Load() > 20 })
	if n := idle.hits.Load(); n != 1 {
		t.Errorf("%d scrapes of the idle endpoint, want 1", n)
	}
	if got, want := e.Metrics().Every, o.Interval; got != want {
		t.Errorf("the numbers of the busy one say that it is asked each %s, want %s", got, want)
	}
	if got, want := endpointNamed(t, pool, "idle").Metrics().Every, o.IdleInterval; got != want {
		t.Errorf("the numbers of the idle one say that it is asked each %s, want %s", got, want)
	}
}

// TestIndexFollowsCacheSize checks that the prefix index holds what the server's cache can.
func TestIndexFollowsCacheSize(t *testing.T) {
	s := newModelServer(t, vllm(0, 0, 0)+`vllm:cache_config_info{block_size="16",num_gpu_blocks="40"} 1`)
	o := quick()
	o.BlockTokens = 64
	_, pool := start(t, o, spec("a", s.address()))
	e := pool.Endpoints()[0]
	keys := make([]uint64, 100)
	for i := range keys {
		keys[i] = uint64(i+1) << 50
	}
	eventually(t, "10 blocks of 64 tokens for 40 of 16", func() bool {
		pool.Index().Add(e.Server, keys)
		return pool.Index().Len() == 10
	})
}

func TestMetricsPortAndPath(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/prom", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, vllm(5, 0, 0)) })
	s := httptest.NewTLSServer(mux)
	defer s.Close()
	o := quick()
	o.Scheme, o.Path, o.Port = "https", "/prom", s.Listener.Addr().(*net.TCPAddr).Port
	_, pool := start(t, o, spec("a", "127.0.0.1:1"))
	eventually(t, "numbers", func() bool { return pool.Endpoints()[0].Metrics().Running == 5 })
}

// TestManyEndpoints has more new endpoints than may be suspects at once, twice.
func TestManyEndpoints(t *testing.T) {
	s := newModelServer(t, vllm(1, 0, 0))
	p, pool := start(t, quick())
	for round := range 2 {
		var specs []Spec
		for i := range 3 * maxSuspect {
			specs = append(specs, spec(fmt.Sprintf("e-%d-%d", round, i), s.address()))
		}
		p.Set("ns/pool", specs)
		eventually(t, "numbers of all", func() bool {
			for _, e := range pool.Endpoints() {
				if e.Metrics().Running != 1 {
					return false
				}
			}
			return true
		})
	}
}

func TestSyncForgetsEndpointsThatWent(t *testing.T) {
	p := New(quick())
	p.Set("a", []Spec{spec("x", "10.0.0.1:80"), spec("y", "10.0.0.2:80")})
	p.Set("b", []Spec{spec("x", "10.0.0.1:80")})
	s := newScraper(p)
	s.sync()
	if len(s.targets) != 3 || s.waiting.Len() != 3 {
		t.Fatalf("%d targets, %d waiting, want 3", len(s.targets), s.waiting.Len())
	}
	p.Set("a", []Spec{spec("y", "10.0.0.2:80")})
	p.Delete("b")
	s.sync()
	if len(s.targets) != 1 || s.waiting.Len() != 1 {
		t.Errorf("%d targets, %d waiting, want 1", len(s.targets), s.waiting.Len())
	}
}

// slowToStop is a transport whose requests end a while after their context.
type slowToStop struct{ started, under atomic.Int64 }

func (s *slowToStop) RoundTrip(r *http.Request) (*http.Response, error) {
	s.under.Add(1)
	defer s.under.Add(-1)
	s.started.Add(1)
	<-r.Context().Done()
	for range 10_000 {
		runtime.Gosched()
	}
	return nil, r.Context().Err()
}

func TestRunWaitsForItsScrapes(t *testing.T) {
	transport := &slowToStop{}
	o := quick()
	o.Client = &http.Client{Transport: transport}
	o.Timeout = time.Minute
	p := New(o)
	p.Set("ns/pool", []Spec{spec("a", "10.0.0.1:80")})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	eventually(t, "a scrape under way", func() bool { return transport.started.Load() > 0 })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := transport.under.Load(); n != 0 {
		t.Errorf("%d scrapes under way after the end", n)
	}
	pool, _ := p.Get("ns/pool")
	if err := pool.Endpoints()[0].Metrics().Err; err != nil {
		t.Errorf("the end of Run is put down to the server: %v", err)
	}
}
