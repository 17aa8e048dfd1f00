package resilience

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// follow gives every line that a container writes from now on to line, until the test ends or the container does.
func (in *installation) follow(t *testing.T, pod *corev1.Pod, container string, line func([]byte)) {
	t.Helper()
	stream, err := in.pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
		Container: container, Follow: true, SinceSeconds: ptr(int64(1)),
	}).Stream(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatalf("reading the log of %s: %v", pod.Name, err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		lines := bufio.NewScanner(stream)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line(lines.Bytes())
		}
	})
	t.Cleanup(func() {
		_ = stream.Close()
		reader.Wait()
	})
}

// accessLog keeps what the proxies of a fleet wrote about requests.
type accessLog struct {
	mu    sync.Mutex
	lines map[string]accessLine
}

type accessLine struct {
	Proxy     string
	RequestID string `json:"request_id"`
	Pool      string `json:"pool"`
	Picked    string `json:"picked"`
	Served    string `json:"served"`
	FailOpen  string `json:"fail_open"`
}

// followAccess reads the logs of the proxies that there are now.
func (w *world) followAccess() *accessLog {
	w.t.Helper()
	return w.followProxies(w.t, w.proxies(), "envoy")
}

// followProxies reads the logs of these pods' proxies.
func (in *installation) followProxies(t *testing.T, pods []corev1.Pod, container string) *accessLog {
	t.Helper()
	a := &accessLog{lines: map[string]accessLine{}}
	for _, pod := range pods {
		in.follow(t, &pod, container, func(text []byte) {
			l := accessLine{Proxy: pod.Name}
			if json.Unmarshal(text, &l) != nil || l.RequestID == "" {
				return
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			a.lines[l.RequestID] = l
		})
	}
	return a
}

func (a *accessLog) line(requestID string) (accessLine, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, ok := a.lines[requestID]
	return l, ok
}

// logged waits for the line of a request. Proxies write their logs in blocks.
func (a *accessLog) logged(t *testing.T, s load.Sample) accessLine {
	t.Helper()
	var out accessLine
	eventually(t, 30*time.Second, "the access log has request "+s.RequestID, func(context.Context) error {
		var ok bool
		if out, ok = a.line(s.RequestID); !ok {
			return errors.New(s.String())
		}
		return nil
	})
	return out
}

// waitPicked asks through every proxy until each has had a request picked for, and gives the time from began to the first pick of the
// proxy that was last. Proxies write their logs late, so that it asks on for a while after the pick that it then finds.
func (w *world) waitPicked(a *accessLog, pool string, began time.Time) time.Duration {
	w.t.Helper()
	return a.waitPicked(w.t, w.proxies(), began, func(pod *corev1.Pod) load.Options { return at(w.options(pool), pod) })
}

// waitPicked asks through these proxies, each with options of its own.
func (a *accessLog) waitPicked(t *testing.T, proxies []corev1.Pod, began time.Time, through func(*corev1.Pod) load.Options) time.Duration {
	t.Helper()
	asked, first := map[string][]load.Sample{}, map[string]time.Time{}
	eventually(t, settled, "every proxy has requests picked for", func(context.Context) error {
		for _, pod := range proxies {
			if !first[pod.Name].IsZero() {
				continue
			}
			s := load.Ask(through(&pod), chat, fmt.Sprintf("is anybody picking? %d", len(asked[pod.Name])))
			asked[pod.Name] = append(asked[pod.Name], s)
			if when, picked := a.firstPick(asked[pod.Name]); picked {
				first[pod.Name] = when
			}
		}
		if len(first) < len(proxies) {
			return fmt.Errorf("%d of %d proxies do", len(first), len(proxies))
		}
		return nil
	})
	last := began
	for _, when := range first {
		if when.After(last) {
			last = when
		}
	}
	return last.Sub(began)
}

// firstPick is when the first request began that a picker picked for.
func (a *accessLog) firstPick(asked []load.Sample) (time.Time, bool) {
	for _, s := range asked {
		if l, ok := a.line(s.RequestID); ok && l.Picked != "" && s.Is(http.StatusOK) {
			return s.Began, true
		}
	}
	return time.Time{}, false
}

// errorLine is a line at level ERROR, as the control plane writes it, in text or JSON, or as the libraries do that it is made of.
var errorLine = regexp.MustCompile(`level=ERROR|"level":"(?i:error)"|^E\d{4} `)

// errorLines are the lines at level ERROR that the pods of the control plane have written since a time.
func (in *installation) errorLines(t *testing.T, since time.Time) (out []string) {
	t.Helper()
	d, err := in.deployment(t.Context(), in.namespace, in.name)
	if err != nil {
		t.Fatal(err)
	}
	pods, err := in.podsOf(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		text, err := in.pods.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{
			SinceTime: ptr(metav1.NewTime(since)),
		}).DoRaw(t.Context())
		if err != nil {
			t.Fatalf("reading the log of %s: %v", pod.Name, err)
		}
		for line := range strings.Lines(string(text)) {
			if errorLine.MatchString(line) {
				out = append(out, pod.Name+": "+strings.TrimSpace(line))
			}
		}
	}
	return out
}
