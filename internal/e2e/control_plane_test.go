package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// downFor is how long the control plane is away in TestTrafficOutlivesTheControlPlane.
const downFor = 30 * time.Second

// TestTrafficOutlivesTheControlPlane kills the control plane under load, keeps it away, starts it again, and
// demands that no request failed and that the proxies were sent nothing when it came back.
func TestTrafficOutlivesTheControlPlane(t *testing.T) {
	w := newManifests(t, gateway+
		route("api", "\n  - matches: [{path: {value: /svc}}]\n    backendRefs: [{name: api, port: 80}]\n")+service("api", 1)+
		poolRoute("llm")+pool("llm", "llm")+simPods("llm", 2, 2, "--inter-token", "1ms", "--echo")+
		simPods("api", 1, 1, "--echo"))
	w.startSimulators()
	xds, admin, picker := freePort(t), freePort(t), freePort(t)
	// The picker is a process of its own: only the control plane goes away.
	startProcess(t, "epp", "-f", w.dir, "--secure-serving=false", "--grpc-port", fmt.Sprint(picker), "--grpc-health-port", "0", "--metrics-port", "0")
	serve := func() *process {
		return startProcess(t, "serve", "-f", w.dir,
			"--xds-address", onLoopback(xds), "--admin-address", onLoopback(admin), "--picker-address", "",
			"--picker", onLoopback(picker), "--bind-address", "127.0.0.1")
	}
	controlPlane := serve()
	w.startFleet(netip.MustParseAddrPort(onLoopback(xds)), 2, 1)

	load := startLoad(t, 4, func(client *http.Client, i int) error {
		path, body := "/svc", ""
		if i%2 == 0 {
			path, body = "/v1/chat/completions", chat(fmt.Sprintf("prompt %d", i), false, 4)
		}
		r, err := send(client, http.MethodPost, w.url(path), body)
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", r.status, r.body)
		}
		return err
	})
	load.waitFor(200)
	before := receivedResources(t, w)
	controlPlane.kill()
	downSince := time.Now()
	load.waitUntil(func() bool { return time.Since(downSince) > downFor })
	serve()
	eventually(t, 30*time.Second, "both proxies are back and have nothing to acknowledge", func() bool {
		return syncedProxies(admin) == 2
	})
	load.waitFor(load.count() + 200)
	load.stop()
	t.Logf("%d requests, control plane away for %s", load.count(), downFor)
	if after := receivedResources(t, w); after != before {
		t.Errorf("proxies applied updates after the restart:\nbefore %s\nafter  %s", before, after)
	}
	if sent := pushedResources(t, admin); sent != "" {
		t.Errorf("the restarted control plane sent resources:\n%s", sent)
	}
}

// TestAddedProxyServesOnlyWhenReady adds a proxy to a fleet under load: no request may go wrong, and the first
// that it answers must come after it was ready.
func TestAddedProxyServesOnlyWhenReady(t *testing.T) {
	w := newWorld(t, gateway+poolRoute("llm")+pool("llm", "llm")+simPods("llm", 1, 2, "--inter-token", "1ms"),
		worldOptions{proxies: 1})
	load := startLoad(t, 4, func(_ *http.Client, i int) error {
		r, err := send(newClient(), http.MethodPost, w.url("/v1/chat/completions"), chat(fmt.Sprintf("p%d", i), false, 2))
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", r.status, r.body)
		}
		return err
	})
	load.waitFor(100)
	added, err := w.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the new proxy answers requests", func() bool { return w.access.served(added.Name) > 20 })
	load.stop()
	if !added.Ready(t.Context()) {
		t.Error("the new proxy answered requests and is not ready")
	}
}

// TestAddedProxyWaitsForTheControlPlane adds a proxy while the control plane is away: it is not ready and gets no
// request until it has its whole configuration.
func TestAddedProxyWaitsForTheControlPlane(t *testing.T) {
	w := newManifests(t, gateway+poolRoute("llm")+pool("llm", "llm")+simPods("llm", 1, 2, "--inter-token", "1ms"))
	w.startSimulators()
	xds, picker := freePort(t), freePort(t)
	startProcess(t, "epp", "-f", w.dir, "--secure-serving=false", "--grpc-port", fmt.Sprint(picker), "--grpc-health-port", "0", "--metrics-port", "0")
	serve := func() *process {
		return startProcess(t, "serve", "-f", w.dir, "--xds-address", onLoopback(xds), "--admin-address", "127.0.0.1:0",
			"--picker-address", "", "--picker", onLoopback(picker), "--bind-address", "127.0.0.1")
	}
	controlPlane := serve()
	w.startFleet(netip.MustParseAddrPort(onLoopback(xds)), 1, 1)
	load := startLoad(t, 4, func(_ *http.Client, i int) error {
		r, err := send(newClient(), http.MethodPost, w.url("/v1/chat/completions"), chat(fmt.Sprintf("p%d", i), false, 2))
		if err == nil && r.status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", r.status, r.body)
		}
		return err
	})
	controlPlane.kill()
	added, err := w.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 20*time.Second, "the new proxy runs and has asked for its configuration", func() bool {
		text, err := added.AdminRequest(t.Context(), http.MethodGet, "/stats?filter=cluster_manager.cds.update_attempt")
		return err == nil && strings.Contains(text, "update_attempt") && !strings.Contains(text, ": 0")
	})
	load.waitFor(load.count() + 200)
	if added.Ready(t.Context()) {
		t.Error("the new proxy is ready without a configuration")
	}
	if n := w.access.served(added.Name); n > 0 {
		t.Errorf("the new proxy answered %d requests without a configuration", n)
	}
	serve()
	eventually(t, 20*time.Second, "the new proxy answers requests", func() bool { return w.access.served(added.Name) > 20 })
	if !added.Ready(t.Context()) {
		t.Error("the new proxy answers requests and is not ready")
	}
	load.stop()
}

func onLoopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// served counts the requests that a proxy has logged.
func (a *accessLog) served(proxy string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, l := range a.lines {
		if l.Proxy == proxy {
			n++
		}
	}
	return n
}

// load sends requests from several goroutines until it is stopped; every error fails the test.
type load struct {
	t    *testing.T
	sent atomic.Int64
	bad  atomic.Int64
	quit chan struct{}
	wg   sync.WaitGroup
	once sync.Once
}

func startLoad(t *testing.T, workers int, request func(client *http.Client, i int) error) *load {
	l := &load{t: t, quit: make(chan struct{})}
	var next atomic.Int64
	for range workers {
		l.wg.Go(func() {
			client := newKeepAliveClient(t)
			for {
				select {
				case <-l.quit:
					return
				default:
				}
				if err := request(client, int(next.Add(1))); err != nil && l.bad.Add(1) <= 5 {
					t.Errorf("a request failed: %v", err)
				}
				l.sent.Add(1)
			}
		})
	}
	t.Cleanup(l.stop)
	return l
}

func (l *load) count() int64 { return l.sent.Load() }

// waitFor waits until so many requests have been answered.
func (l *load) waitFor(n int64) {
	l.t.Helper()
	eventually(l.t, 60*time.Second, fmt.Sprintf("%d requests were answered", n), func() bool { return l.count() >= n })
}

func (l *load) waitUntil(holds func() bool) {
	l.t.Helper()
	eventually(l.t, 2*time.Minute, "the time is over", holds)
}

func (l *load) stop() {
	l.once.Do(func() { close(l.quit) })
	l.wg.Wait()
	if bad := l.bad.Load(); bad > 0 {
		l.t.Errorf("%d of %d requests failed", bad, l.count())
	}
}

// receivedResources gives, per proxy, what its own counters say of the configuration it has applied.
func receivedResources(t *testing.T, w *world) string {
	t.Helper()
	var b strings.Builder
	for _, p := range w.fleet.Proxies() {
		text, err := p.AdminRequest(t.Context(), http.MethodGet,
			`/stats?filter=(cds|lds|rds|eds|cluster_manager\.cds|listener_manager\.lds).*(version|update_success|config_reload|cluster_added|cluster_modified|listener_added|listener_modified)$|assignment_update`)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n%s", p.Name, text)
	}
	return b.String()
}

// xdsState is what these tests look at of /debug/xds.
type xdsState struct {
	Proxies []struct {
		Node   string `json:"node"`
		Synced bool   `json:"synced"`
	} `json:"proxies"`
}

// syncedProxies asks a control plane how many proxies have all that they are to have.
func syncedProxies(admin int) int {
	resp, err := http.Get("http://" + onLoopback(admin) + "/debug/xds")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	var state xdsState
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil {
		return 0
	}
	n := 0
	for _, p := range state.Proxies {
		if p.Synced {
			n++
		}
	}
	return n
}

// pushedResources gives the control plane's own counters of responses sent that are not zero.
func pushedResources(t *testing.T, admin int) string {
	t.Helper()
	resp, err := http.Get("http://" + onLoopback(admin) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "switchyard_xds_pushes_total") && !strings.HasSuffix(line, " 0\n") {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}
