package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/sim"
	"github.com/switchyard/switchyard/internal/source/file"
	"github.com/switchyard/switchyard/internal/stack"
	"github.com/switchyard/switchyard/proxyfleet"
	"github.com/switchyard/switchyard/proxyfleet/local"
)

// Paths that TestMain finds or makes.
var (
	envoyPath  string
	binaryPath string // the controlplane binary
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		panic(err)
	}
	code := func() int {
		defer os.RemoveAll(dir)
		if envoyPath, err = proxyfleet.FindEnvoy(context.Background(), os.Getenv("ENVOY")); err != nil {
			fmt.Fprintln(os.Stderr, "these tests need an Envoy:", err)
			return 1
		}
		binaryPath = filepath.Join(dir, "controlplane")
		build := exec.Command("go", "build", "-o", binaryPath, "../../cmd/controlplane")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building the control plane:", err)
			return 1
		}
		return m.Run()
	}()
	os.Exit(code)
}

// world is one control plane with one fleet and its model servers.
type world struct {
	t      *testing.T
	dir    string // manifests
	port   int    // of the HTTP listener: $PORT in manifests
	net    string // first three bytes of the pods' addresses: $NET in manifests
	envoy  string // path of the proxies' binary; empty for the usual one
	stack  *stack.Stack
	fleet  *local.Fleet
	access *accessLog
	sims   map[string]*sim.Server // by pod name
}

type worldOptions struct {
	stack   stack.Options
	proxies int
	threads int
	envoy   string
}

// newWorld writes the manifests, starts a simulator for each pod that asks for one, an in-process control
// plane and the fleet of the Gateway default/gw, and waits until the fleet serves. In manifests $PORT stands
// for a free port and $NET for three bytes of a loopback network, as in $NET.1.
func newWorld(t *testing.T, manifests string, opts worldOptions) *world {
	t.Helper()
	w := newManifests(t, manifests)
	w.envoy = opts.envoy
	w.startSimulators()
	w.startStack(opts.stack)
	w.startFleet(w.stack.XDSAddr, max(opts.proxies, 1), opts.threads)
	return w
}

// newManifests makes a world of which nothing runs yet.
func newManifests(t *testing.T, manifests string) *world {
	t.Helper()
	w := &world{
		t: t, dir: t.TempDir(), port: freePort(t), access: newAccessLog(), sims: map[string]*sim.Server{},
		net: fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), 1+rand.IntN(250)),
	}
	w.write("main.yaml", manifests)
	return w
}

// fill replaces $PORT and $NET.
func (w *world) fill(text string) string {
	return strings.NewReplacer("$PORT", strconv.Itoa(w.port), "$NET", w.net).Replace(text)
}

// write puts a manifest file in place at once, as an editor or a ConfigMap mount would.
func (w *world) write(name, text string) {
	w.t.Helper()
	tmp := filepath.Join(w.dir, "."+name+".tmp")
	if err := os.WriteFile(tmp, []byte(w.fill(text)), 0o644); err != nil {
		w.t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(w.dir, name)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) startStack(opts stack.Options) {
	w.t.Helper()
	opts.Log = testLog(w.t)
	opts.Source = file.New(w.dir, opts.Log)
	opts.XDS, opts.Admin = "127.0.0.1:0", "127.0.0.1:0"
	if opts.Picker == "" && opts.Pickers == nil {
		opts.Picker = "127.0.0.1:0"
	}
	opts.Translate.Envoy.BindAddress = "127.0.0.1"
	opts.Drain = cmp.Or(opts.Drain, 200*time.Millisecond)
	s, err := stack.Start(opts)
	if err != nil {
		w.t.Fatal(err)
	}
	w.stack = s
	w.t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			w.t.Errorf("the control plane ended with: %v", err)
		}
	})
}

// startSimulators starts the simulated model servers of the manifests.
func (w *world) startSimulators() {
	w.t.Helper()
	update := loadManifests(w.t, w.dir)
	sims, err := stack.OpenSimulators(update)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for _, s := range sims {
		w.sims[strings.TrimPrefix(s.Pod, "default/")] = s.Server
		wg.Go(func() {
			if err := s.Serve(ctx); err != nil {
				w.t.Errorf("simulator %s: %v", s.Pod, err)
			}
		})
	}
	w.t.Cleanup(func() { stop(); wg.Wait() })
}

// startFleet starts proxies for the Gateway default/gw and waits until they serve.
func (w *world) startFleet(xds netip.AddrPort, proxies, threads int) {
	w.t.Helper()
	w.openFleet(xds, threads)
	for range proxies {
		if _, err := w.fleet.Add(); err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := w.fleet.WaitReady(ctx); err != nil {
		w.t.Fatal(err)
	}
}

// openFleet makes the fleet without proxies.
func (w *world) openFleet(xds netip.AddrPort, threads int) {
	w.t.Helper()
	// A short path: Unix sockets live there.
	dir, err := os.MkdirTemp("", "fleet-")
	if err != nil {
		w.t.Fatal(err)
	}
	fleet, err := local.New(local.Options{
		Envoy: cmp.Or(w.envoy, envoyPath), View: "default/gw", XDS: xds, Dir: dir, Threads: threads,
		DrainTimeout: time.Second, AccessLog: w.access.write, Log: testLog(w.t),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.fleet = fleet
	w.t.Cleanup(func() {
		fleet.Stop()
		if err := os.RemoveAll(dir); err != nil {
			w.t.Error(err)
		}
	})
}

// url gives an address on the fleet's HTTP listener.
func (w *world) url(path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", w.port, path) }

// synced waits until every proxy has acknowledged what the manifests now come to.
func (w *world) synced() {
	w.t.Helper()
	eventually(w.t, 10*time.Second, "all proxies have the newest view", func() bool {
		for _, p := range w.fleet.Proxies() {
			if !w.stack.Views.Synced("default/gw", p.Name) {
				return false
			}
		}
		return true
	})
}

// process is a subprocess of the controlplane binary.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	done chan struct{}
}

// startProcess runs the controlplane binary. It is killed at the end of the test, if it still runs.
func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binaryPath, args...), done: make(chan struct{})}
	p.cmd.Stderr = testWriter{t}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is told by exited and signals
		close(p.done)
	}()
	t.Cleanup(p.kill)
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("signalling the process: %v", err)
	}
}

// kill ends the process as a crash would, and waits for it.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.done
}

// freePort gives a TCP port that is free on loopback now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// eventually polls a condition until it holds.
func eventually(t *testing.T, within time.Duration, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", within, what)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// testWriter sends lines to the test's log as long as the test runs.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) {
	if w.t.Context().Err() == nil {
		w.t.Log(strings.TrimRight(string(b), "\n"))
	}
	return len(b), nil
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
}
