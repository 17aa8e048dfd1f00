package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// standalone is a picker without a cluster that gives its proxies all their configuration.
type standalone struct {
	w                          *world
	process                    *process
	xds, picker, health, pages int
	args                       []string
}

// newStandalone makes a world of simulated servers that a file names; nothing but these runs yet.
func newStandalone(t *testing.T, args ...string) *standalone {
	t.Helper()
	w := newManifests(t, simPods("llm", 1, 3, instantSim...))
	w.startSimulators()
	s := &standalone{w: w, xds: freePort(t), picker: freePort(t), health: freePort(t), pages: freePort(t), args: args}
	var endpoints strings.Builder
	endpoints.WriteString("endpoints:\n")
	for n := 1; n <= len(w.sims); n++ {
		fmt.Fprintf(&endpoints, "- {name: llm-%d, address: %s.%d, port: 8000}\n", n, w.net, n)
	}
	w.write("endpoints.txt", endpoints.String())
	w.write("config.txt", fmt.Sprintf(`apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: file-discovery, parameters: {path: %q, watchFile: true}}
- {type: queue-scorer}
- {type: prefix-cache-scorer}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: queue-scorer}, {pluginRef: prefix-cache-scorer}]}
dataLayer: {discovery: {pluginRef: file-discovery}}
`, filepath.Join(w.dir, "endpoints.txt")))
	return s
}

// start runs the picker and waits until it would pick.
func (s *standalone) start() {
	s.w.t.Helper()
	s.process = startProcess(s.w.t, append([]string{"epp", "--config-file", filepath.Join(s.w.dir, "config.txt"), "--pool-name", "llm", "--pool-namespace", "default",
		"--bind-address", "127.0.0.1", "--grpc-port", strconv.Itoa(s.picker), "--grpc-health-port", strconv.Itoa(s.health),
		"--metrics-port", strconv.Itoa(s.pages), "--proxy-xds-address", onLoopback(s.xds), "--proxy-view", "default/gw",
		"--proxy-listen", onLoopback(s.w.port), "--proxy-picker", onLoopback(s.picker)}, s.args...)...)
	eventually(s.w.t, 20*time.Second, "the picker is ready", func() bool {
		r, err := send(newClient(), http.MethodGet, "http://"+onLoopback(s.pages)+"/debug/epp", "")
		return err == nil && strings.Contains(r.body, `"ready": true`)
	})
}

// picked waits until both proxies have picks: each finds by itself that the picker is there, and a new connection goes to either.
func (s *standalone) picked(within time.Duration) {
	s.w.t.Helper()
	eventually(s.w.t, within, "requests are picked for, whichever proxy has them", func() bool {
		for range 12 {
			r := s.w.post("/v1/chat/completions", chat("hello", false, 1))
			if r.status != http.StatusOK || s.w.access.line(s.w.t, r.headers.Get("x-request-id")).Picked == "" {
				return false
			}
		}
		return true
	})
}

// expectPicks sends requests that are to be served where the picker said.
func (s *standalone) expectPicks() {
	s.w.t.Helper()
	served := map[string]int{}
	for n := range 20 {
		r := s.w.post("/v1/chat/completions", chat(strings.Repeat(fmt.Sprintf("prompt %d ", n%4), 200), n%2 == 0, 2))
		if r.status != http.StatusOK {
			s.w.t.Fatalf("status %d: %s", r.status, r.body)
		}
		l := s.w.access.line(s.w.t, r.headers.Get("x-request-id"))
		if l.Picked == "" || l.Picked != s.w.simAddress(r.server()) || l.Served != l.Picked || l.FailOpen != "false" || l.Pool != "default/llm" {
			s.w.t.Fatalf("served by %q: %+v", r.server(), l)
		}
		served[r.server()]++
	}
	s.w.t.Logf("picked: %v", served)
}

// TestStandalone has one process give proxies their configuration and their picks, both without a cluster: it is killed, and
// requests go on or are refused as it was told; started again, it picks again, and follows its file.
func TestStandalone(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		dead int // status of requests while the picker is gone
	}{
		{"fails open", nil, http.StatusOK},
		{"fails closed, with TLS 1.3 alone", []string{"--proxy-fail-open=false", "--tls-min-version", "VersionTLS13"}, http.StatusServiceUnavailable},
		{"in plaintext", []string{"--secure-serving=false"}, http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStandalone(t, c.args...)
			w := s.w
			s.start()
			w.startFleet(netip.MustParseAddrPort(onLoopback(s.xds)), 2, 1)
			s.picked(10 * time.Second)
			s.expectPicks()

			s.process.kill()
			for until := time.Now().Add(pickerNoticed + pickerSlack); time.Now().Before(until); {
				r := w.post("/v1/chat/completions", chat("hello", false, 1))
				l := w.access.line(t, r.headers.Get("x-request-id"))
				if r.status != c.dead || l.Picked != "" || r.status == http.StatusOK && l.FailOpen != "true" {
					t.Fatalf("without a picker: status %d %s, %+v", r.status, r.body, l)
				}
			}

			s.start()
			s.picked(pickerBack + pickerSlack)
			s.expectPicks()
			eventually(t, 20*time.Second, "both proxies are back", func() bool { return syncedProxies(s.pages) == 2 })

			w.write("endpoints.txt", fmt.Sprintf("endpoints: [{name: llm-3, address: %s.3, port: 8000}]\n", w.net))
			eventually(t, 10*time.Second, "only what the file names is picked", func() bool {
				for range 5 {
					if r := w.post("/v1/chat/completions", chat("hello", false, 1)); r.status != http.StatusOK || r.server() != "llm-3" {
						return false
					}
				}
				return true
			})
		})
	}
}
