package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

	"go.uber.org/goleak"
)

const view = "default/gw"

// asControlPlane makes the test binary a program that starts a fleet and waits to be killed.
const asControlPlane = "FLEET_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(asControlPlane); dir != "" {
		runUntilKilled(dir)
	}
	goleak.VerifyTestMain(m)
}

func TestKilledProxyIsStartedAgain(t *testing.T) {
	b := newBed(t, 2, time.Second)
	victim, other := b.fleet.Proxies()[0], b.fleet.Proxies()[1]
	for round := range 2 {
		pid, otherPID := victim.PID(), other.PID()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		eventually(t, 10*time.Second, "the proxy is started again", func() bool {
			return victim.Restarts() == round+1 && victim.PID() != 0 && victim.PID() != pid
		})
		b.waitReady()
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
		if other.PID() != otherPID || other.Restarts() != 0 {
			t.Error("the other proxy was started again, too")
		}
	}
	// It serves again: requests over new connections reach both.
	b.mu.Lock()
	clear(b.lines)
	b.mu.Unlock()
	eventually(t, 10*time.Second, "both proxies have answered", func() bool {
		if !b.works() {
			t.Error("a request failed")
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.lines[victim.Name] > 0 && b.lines[other.Name] > 0
	})
}

// stream is an answer that stays open until it is told to end.
type stream struct {
	end  func()
	done chan string // the whole body, or what went wrong
}

// open sends a request and returns when its answer has begun.
func (b *bed) open(t *testing.T) *stream {
	t.Helper()
	end := make(chan struct{})
	s := &stream{end: sync.OnceFunc(func() { close(end) }), done: make(chan string, 1)}
	t.Cleanup(s.end)
	b.answer(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "first,")
		_ = http.NewResponseController(w).Flush() // a client that left shows below
		select {
		case <-end:
			fmt.Fprint(w, "last")
		case <-r.Context().Done():
		}
	})
	resp, err := b.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("first,"))
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer resp.Body.Close()
		rest, err := io.ReadAll(resp.Body)
		if err != nil {
			s.done <- err.Error()
			return
		}
		s.done <- string(first) + string(rest)
	}()
	b.answer(nil)
	return s
}

func TestStopLetsRequestsEnd(t *testing.T) {
	b := newBed(t, 1, time.Minute)
	p := b.fleet.Proxies()[0]
	pid := p.PID()
	s := b.open(t)
	stopped := make(chan struct{})
	go func() { b.fleet.Stop(); close(stopped) }()
	eventually(t, 5*time.Second, "the proxy is not ready any more", func() bool { return !p.Ready(t.Context()) })
	if requests, connections, err := p.openWork(t.Context()); err != nil || requests != 1 || connections != 1 {
		t.Errorf("%d requests are open on %d connections (%v), want one", requests, connections, err)
	}
	eventually(t, 5*time.Second, "nobody can connect any more", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", b.port))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	select {
	case <-stopped:
		t.Fatal("the fleet stopped before its request had ended")
	case got := <-s.done:
		t.Fatalf("the request ended with: %s", got)
	default:
	}
	if _, err := b.fleet.Add(); !errors.Is(err, ErrClosed) {
		t.Errorf("a proxy was added to a fleet that stops: %v", err)
	}
	s.end()
	if got := <-s.done; got != "first,last" {
		t.Errorf("the client got %q", got)
	}
	select {
	case <-stopped:
	case <-time.After(10 * time.Second):
		t.Fatal("the fleet has not stopped 10 s after its last request")
	}
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// A request that never ends holds the end up for DrainTimeout, and not longer.
func TestStopIsBounded(t *testing.T) {
	const drain = 500 * time.Millisecond
	b := newBed(t, 1, drain)
	pid := b.fleet.Proxies()[0].PID()
	s := b.open(t)
	began := time.Now()
	b.fleet.Stop()
	if took := time.Since(began); took < drain || took > drain+5*time.Second {
		t.Errorf("stopping took %s, want %s and a little", took, drain)
	}
	if got := <-s.done; got == "first,last" {
		t.Error("the request came to its end")
	}
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
}

// While one proxy goes, the others take over: requests on connections that are kept do not fail.
func TestRemoveUnderLoad(t *testing.T) {
	b := newBed(t, 2, 5*time.Second)
	var mu sync.Mutex
	answered, failures := 0, []string(nil)
	done := make(chan struct{})
	var wg sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); wg.Wait() })
	defer stop()
	for range 8 {
		transport := &http.Transport{MaxConnsPerHost: 1}
		client := &http.Client{Transport: transport, Timeout: 5 * time.Second}
		wg.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				// A POST is not tried again by the client itself.
				resp, err := client.Post(fmt.Sprintf("http://127.0.0.1:%d/", b.port), "text/plain", strings.NewReader("x"))
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body) // an answer without a body
					resp.Body.Close()
				}
				mu.Lock()
				answered++
				if err != nil || resp.StatusCode != http.StatusOK {
					failures = append(failures, fmt.Sprintf("%v", err))
				}
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return answered }
	for _, p := range b.fleet.Proxies() {
		before := count()
		eventually(t, 10*time.Second, "load flows", func() bool { return count() > before+200 })
		b.fleet.Remove(p)
		if _, err := b.fleet.Add(); err != nil {
			t.Fatal(err)
		}
		b.waitReady()
	}
	stop()
	if len(failures) > 0 {
		t.Errorf("%d of %d requests failed: %q", len(failures), answered, failures[:min(3, len(failures))])
	}
}

func TestRemoveTakesOneProxyAway(t *testing.T) {
	b := newBed(t, 2, time.Second)
	first, second := b.fleet.Proxies()[0], b.fleet.Proxies()[1]
	pid := first.PID()
	b.fleet.Remove(first)
	if !gone(pid) {
		t.Errorf("process %d is still there", pid)
	}
	if left := b.fleet.Proxies(); len(left) != 1 || left[0] != second {
		t.Errorf("left are %v", left)
	}
	for range 10 {
		if !b.works() {
			t.Error("a request failed")
		}
	}
	third, err := b.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	if third.Name == first.Name || third.Name == second.Name {
		t.Errorf("a new proxy has the name %s of another one", third.Name)
	}
}

// A binary that ends at once is tried again, at growing intervals, and what it said is told.
func TestProxyThatCannotStartIsExplained(t *testing.T) {
	b := &bed{t: t, lines: map[string]int{}}
	path := filepath.Join(t.TempDir(), "envoy")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho 'cannot open the moon' >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b.fleet = b.newFleet(path, netip.MustParseAddrPort("127.0.0.1:1"), time.Second)
	p, err := b.fleet.Add()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "it is tried again", func() bool { return p.Restarts() >= 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.fleet.WaitReady(ctx); err == nil || !strings.Contains(err.Error(), "cannot open the moon") {
		t.Errorf("the reason is not told: %v", err)
	}
	if n := p.Restarts(); n > 6 {
		t.Errorf("it was started %d times already", n)
	}
}

// No proxy outlives a control plane that was killed.
func TestProxiesEndWithTheirControlPlane(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asControlPlane+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // an error means that it has ended
		_ = cmd.Wait()         // it is killed, which is an error to Wait
	})
	defer ended()
	pid := 0
	eventually(t, 10*time.Second, "the proxy runs", func() bool {
		text, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			pid, err = strconv.Atoi(strings.TrimSpace(string(text)))
		}
		return err == nil
	})
	if gone(pid) {
		t.Fatal("the proxy does not run")
	}
	ended()
	eventually(t, 5*time.Second, "the proxy ends with its control plane", func() bool { return gone(pid) })
}

// runUntilKilled starts a proxy that only tells its process id.
func runUntilKilled(dir string) {
	path := filepath.Join(dir, "envoy")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %[1]s/pid.tmp && mv %[1]s/pid.tmp %[1]s/pid\nexec sleep 600\n", dir)
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		panic(err)
	}
	fleet, err := New(Options{Envoy: path, View: view, XDS: netip.MustParseAddrPort("127.0.0.1:1"), Dir: filepath.Join(dir, "fleet")})
	if err != nil {
		panic(err)
	}
	if _, err := fleet.Add(); err != nil {
		panic(err)
	}
	select {}
}
