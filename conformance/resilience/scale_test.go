package resilience

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// longStreams has streams of ten seconds in it: longer than a proxy that is told to end serves on by any means, so that only a drain that
// waits for them keeps them whole.
var longStreams = load.Mixed(200)

// TestGatewayScaled scales a Gateway up and back by its parameters, under load from the outside.
func TestGatewayScaled(t *testing.T) {
	t.Parallel()
	in := connect(t)
	w := newWorld(t, in, setup{proxies: 2, sims: 4, simArgs: slowStreams, pools: openPool})
	w.waitAnswers("open", http.StatusOK)
	run := startLoad(t, w.options("open", longStreams...))
	w.scaleFleet(flags.fleet)
	t.Logf("%d proxies are ready after %s", flags.fleet, w.waitFleet(flags.fleet).Round(time.Millisecond))
	for _, pod := range w.proxies() {
		if s := load.Ask(at(w.options("open"), &pod), chat, "do you serve?"); !s.Is(http.StatusOK) {
			t.Errorf("proxy %s, which is ready: %s", pod.Name, s)
		}
	}
	w.expectAllUsed(run)
	w.scaleFleet(2)
	t.Logf("2 proxies are left after %s", w.waitFleet(2).Round(time.Millisecond))
	more(t, run, 1)
	expectNoErrors(t, run)
}

func (w *world) scaleFleet(replicas int) {
	w.t.Helper()
	fleet := newFleetParameters(w.namespace, replicas)
	if err := w.Update(w.t.Context(), fleet); err != nil {
		w.t.Fatalf("scaling the fleet: %v", err)
	}
}

// expectAllUsed waits until every proxy of the fleet has served a request of the load.
func (w *world) expectAllUsed(run *load.Run) {
	w.t.Helper()
	access, since, proxies := w.followAccess(), time.Now(), len(w.proxies())
	took := eventually(w.t, settled, "every proxy serves some of the load", func(context.Context) error {
		used := map[string]bool{}
		for _, s := range run.Report().Since(since).Samples {
			if l, ok := access.line(s.RequestID); ok {
				used[l.Proxy] = true
			}
		}
		if len(used) < proxies {
			return fmt.Errorf("%d of %d do", len(used), proxies)
		}
		return nil
	})
	w.t.Logf("all %d proxies serve some of the load after %s", proxies, took.Round(time.Millisecond))
}

// TestControlPlaneRestarted replaces every replica of the control plane, one after the other, under load on pools that its picker
// picks for. No proxy is restarted by it.
func TestControlPlaneRestarted(t *testing.T) {
	in := connect(t)
	w := newWorld(t, in, setup{sims: 4, simArgs: slowStreams, pools: map[string]*infv1.EndpointPickerRef{
		"open": nil, "closed": embeddedPicker(infv1.EndpointPickerFailClose),
	}})
	w.waitAnswers("open", http.StatusOK)
	w.waitAnswers("closed", http.StatusOK)
	before := uids(w.proxies())
	open, closed := startLoad(t, w.options("open", load.Mixed(100)...)), startLoad(t, w.options("closed", quick...))
	began := time.Now()
	in.restart(t, in.namespace, in.name)
	in.waitReady(t)
	t.Logf("every replica is replaced after %s", time.Since(began).Round(time.Millisecond))
	more(t, open, 2)
	report := expectNoErrors(t, open)
	expectNoErrors(t, closed)
	if longest := report.Longest(); longest.Took > pickerWait {
		t.Errorf("a request took more than %s: %s", pickerWait, longest)
	}
	if after := uids(w.proxies()); !slices.Equal(before, after) {
		t.Errorf("the proxies were %v and are %v", before, after)
	}
}

func uids(pods []corev1.Pod) (out []types.UID) {
	for _, p := range pods {
		out = append(out, p.UID)
	}
	slices.Sort(out)
	return out
}
