package resilience

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// TestProxyKilled ends one proxy of three without warning. Whoever is on its connections loses what is under way; new connections are
// refused until Kubernetes has noticed; nobody on another proxy sees anything. It has the node for itself: one that starts a dozen other
// pods at the time notices after 16 s.
func TestProxyKilled(t *testing.T) {
	in := connect(t)
	w := newWorld(t, in, setup{proxies: 3, sims: 4, simArgs: slowStreams, pools: openPool})
	w.waitAnswers("open", http.StatusOK)
	pods := w.proxies()
	victim, others := pods[0], pods[1:]
	var spared []*load.Run
	for _, pod := range others {
		spared = append(spared, startLoad(t, at(w.options("open", load.Mixed(100)...), &pod)))
	}
	run := startLoad(t, w.options("open", load.Mixed(100)...))

	killed := time.Now()
	t.Logf("killed by %s", in.kill(t, &victim, "envoy"))
	passes(t, proxyGone)
	more(t, run, 2)
	t.Logf("three proxies are ready again %s after the kill", w.waitFleet(3).Round(time.Millisecond)+proxyGone)
	more(t, run, 2)
	for _, s := range spared {
		expectNoErrors(t, s)
	}
	expectLostWith(t, run.Stop(), killed)
}

// expectLostWith bounds what the clients of the Gateway's address see of the kill: nothing before, on kept connections at most the one
// request of each worker and what it tries anew while connections are refused, and nothing that begins after proxyGone.
func expectLostWith(t *testing.T, report load.Report, killed time.Time) {
	t.Helper()
	var underWay, refused int
	last := killed
	for _, s := range report.Failed() {
		switch {
		case s.Ended().Before(killed):
			t.Errorf("before the kill: %s", s)
		case s.Began.Before(killed):
			underWay++
		default:
			refused++
			if s.Began.After(last) {
				last = s.Began
			}
		}
	}
	t.Logf("%s\n  lost: %d requests that were under way, %d that began afterwards, the last of them %s after the kill", report, underWay,
		refused, last.Sub(killed).Round(time.Millisecond))
	workers := 0
	for _, shape := range load.Mixed(1) {
		workers += shape.Workers
	}
	if underWay >= workers {
		t.Errorf("all %d workers lost a request, though two proxies of three live", workers)
	}
	if last.Sub(killed) > proxyGone {
		t.Errorf("a request failed that began %s after the kill, more than %s", last.Sub(killed), proxyGone)
	}
}

// kill ends a process of a pod at once, by SIGKILL where it can be seen from here, else by deleting the pod with no time to end. It says
// which. The process is the one with this word in its command line.
func (in *installation) kill(t *testing.T, pod *corev1.Pod, word string) string {
	t.Helper()
	if pid := processOf(pod, word); pid != 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatalf("killing process %d of pod %s: %v", pid, pod.Name, err)
		}
		return "SIGKILL of its process"
	}
	if err := in.Delete(context.WithoutCancel(t.Context()), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	return "deletion of its pod, with no time to end"
}

// processOf finds a process of a pod by its control group and its command line, which has this word in it as an argument or as the
// program's name; 0 where it cannot be seen.
func processOf(pod *corev1.Pod, word string) int {
	dashed, underscored := string(pod.UID), strings.ReplaceAll(string(pod.UID), "-", "_")
	groups, _ := filepath.Glob("/proc/[0-9]*/cgroup")
	for _, file := range groups {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(text, []byte(dashed)) && !bytes.Contains(text, []byte(underscored)) {
			continue
		}
		dir := filepath.Dir(file)
		if line, err := os.ReadFile(filepath.Join(dir, "cmdline")); err != nil || !isCommand(line, word) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			return pid
		}
	}
	return 0
}

// isCommand looks for a word in a command line, whose words end with zeros.
func isCommand(line []byte, word string) bool {
	for i, arg := range strings.Split(string(line), "\x00") {
		if arg == word || i == 0 && filepath.Base(arg) == word {
			return true
		}
	}
	return false
}
