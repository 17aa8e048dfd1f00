package resilience

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// quick are requests with short answers, on new and on kept connections.
var quick = []load.Shape{{Name: "fresh", Workers: 2, Fresh: true, Tokens: 1}, {Name: "kept", Workers: 2, Tokens: 1}}

// TestControlPlaneGone takes every replica of the control plane away, and the embedded picker with them: a FailOpen pool loses
// nothing, no stream either, a FailClose pool is answered 503, and picks come back with the replicas.
func TestControlPlaneGone(t *testing.T) {
	in := connect(t)
	w := newWorld(t, in, setup{sims: 4, simArgs: slowStreams, pools: map[string]*infv1.EndpointPickerRef{
		"open": nil, "closed": embeddedPicker(infv1.EndpointPickerFailClose),
	}})
	access := w.followAccess()
	w.waitPicked(access, "open", time.Now())
	open := startLoad(t, w.options("open", load.Mixed(100)...))
	closed := startLoad(t, w.options("closed", quick...))

	began := time.Now()
	replicas := in.takeAway(t, in.namespace, in.name)
	gone := time.Now()
	t.Logf("no replica is left after %s", gone.Sub(began).Round(time.Millisecond))
	more(t, open, 3)
	for _, pod := range w.proxies() {
		s := load.Ask(at(w.options("open"), &pod), chat, "who serves without a pick?")
		if l := access.logged(t, s); !s.Is(http.StatusOK) || l.FailOpen != "true" || l.Picked != "" {
			t.Errorf("through %s: %s, access log %+v", pod.Name, s, l)
		}
	}
	back := time.Now()
	if _, err := in.scale(t.Context(), in.namespace, in.name, replicas); err != nil {
		t.Fatal(err)
	}
	in.waitReady(t)
	ready := time.Now()
	picked := w.waitPicked(access, "open", ready)
	t.Logf("ready %s after being asked for, every proxy has picks %s later", ready.Sub(back).Round(time.Millisecond), picked.Round(time.Millisecond))
	if picked > pickerBack {
		t.Errorf("picks came back only %s after the replicas were ready", picked)
	}
	w.waitAnswers("closed", http.StatusOK)
	report := expectNoErrors(t, open)
	if longest := report.Longest(); longest.Took > pickerWait {
		t.Errorf("a request took more than %s: %s", pickerWait, longest)
	}
	refusals := closed.Stop()
	expectRefused(t, refusals, began, gone, back)
	if refused := refusals.Since(ready).Not(http.StatusOK); len(refused) > 0 {
		last := refused[len(refused)-1].Began.Sub(ready)
		t.Logf("%d requests were refused after the replicas were ready, the last %s after", len(refused), last.Round(time.Millisecond))
		if last > pickerBack {
			t.Errorf("a FailClose pool is refused for %s after the replicas are ready", last)
		}
	}
}

// takeAway scales a Deployment to nothing, waits until no pod of it is left, and restores it when the test ends.
func (in *installation) takeAway(t *testing.T, namespace, name string) int32 {
	t.Helper()
	replicas, err := in.scale(t.Context(), namespace, name, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), settled)
		defer cancel()
		d, err := in.deployment(ctx, namespace, name)
		if err == nil && *d.Spec.Replicas == 0 {
			_, err = in.scale(ctx, namespace, name, replicas)
		}
		if err != nil {
			t.Errorf("restoring %s/%s: %v", namespace, name, err)
		}
	})
	in.waitRolledOut(t, namespace, name)
	return replicas
}

// expectRefused wants requests served until the picker began to go, refused with 503 from a while after it had gone until it was asked
// back, and nothing but these two in between.
func expectRefused(t *testing.T, report load.Report, began, gone, back time.Time) {
	t.Helper()
	var refused, served int
	var lastServed time.Time
	for _, s := range report.Samples {
		switch {
		case s.Is(http.StatusServiceUnavailable) && s.Ended().After(began):
			refused++
		case !s.Is(http.StatusOK):
			t.Fatalf("a request of the FailClose pool: %s", s)
		case s.Began.After(gone) && s.Ended().Before(back):
			served, lastServed = served+1, s.Began
		}
	}
	t.Logf("FailClose: %s; served without a picker: %d", report, served)
	if refused == 0 {
		t.Error("no request was refused, so that nothing was tried")
	}
	if served > 0 && lastServed.Sub(gone) > pickerGone {
		t.Errorf("still served %s after the last picker had gone", lastServed.Sub(gone))
	}
}

// TestForeignPickerKilled kills the only pod of somebody else's picker and starts it again.
func TestForeignPickerKilled(t *testing.T) {
	t.Parallel()
	in := connect(t)
	namespace := newNamespace(t, in)
	in.newForeignPicker(t, namespace)
	w := newWorld(t, in, setup{namespace: namespace, sims: 4, simArgs: slowStreams, pools: foreignPools("epp")})
	in.waitRolledOut(t, namespace, "epp")
	access := w.followAccess()
	w.waitPicked(access, "open", time.Now())
	w.waitPicked(access, "closed", time.Now())
	open, closed := startLoad(t, w.options("open", quick...)), startLoad(t, w.options("closed", quick...))

	killed := time.Now()
	in.takeAway(t, namespace, "epp")
	t.Logf("its pod is gone after %s", time.Since(killed).Round(time.Millisecond))
	passes(t, pickerGone)
	more(t, open, 20)
	more(t, closed, 20)
	w.waitAnswers("closed", http.StatusServiceUnavailable)
	back := time.Now()
	if _, err := in.scale(t.Context(), namespace, "epp", 1); err != nil {
		t.Fatal(err)
	}
	in.waitRolledOut(t, namespace, "epp")
	ready := time.Now()
	picked := max(w.waitPicked(access, "open", ready), w.waitPicked(access, "closed", ready))
	t.Logf("every proxy has picks %s after the picker is ready", picked.Round(time.Millisecond))
	if picked > pickerBack {
		t.Errorf("picks came back only after %s", picked)
	}
	expectLost(t, "FailOpen", open.Stop(), http.StatusOK, killed, back)
	expectLost(t, "FailClose", closed.Stop(), http.StatusServiceUnavailable, killed, back)
}

// TestForeignPickerNeverThere has pools whose picker is a Service that nothing stands behind.
func TestForeignPickerNeverThere(t *testing.T) {
	t.Parallel()
	in := connect(t)
	namespace := newNamespace(t, in)
	if err := in.Create(t.Context(), newPickerService(namespace, "epp", map[string]string{"app": "nobody"})); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, in, setup{namespace: namespace, sims: 2, simArgs: slowStreams, pools: foreignPools("epp")})
	w.waitAnswers("open", http.StatusOK)
	w.waitAnswers("closed", http.StatusServiceUnavailable)
	open, closed := startLoad(t, w.options("open", load.Mixed(20)...)), startLoad(t, w.options("closed", quick...))
	more(t, open, 5)
	more(t, closed, 20)
	expectNoErrors(t, open)
	report := closed.Stop()
	t.Logf("FailClose: %s; the longest %s", report, report.Longest())
	if wrong := report.Not(http.StatusServiceUnavailable); len(wrong) > 0 {
		t.Errorf("%d requests were not answered 503, the first: %s", len(wrong), wrong[0])
	}
}

// TestForeignPickerHangs cuts somebody else's picker off from its proxies: connections are accepted and stay open, and nothing is
// ever said on them.
func TestForeignPickerHangs(t *testing.T) {
	t.Parallel()
	in := connect(t)
	namespace := newNamespace(t, in)
	in.newForeignPicker(t, namespace)
	wire := in.newWire(t, namespace, "epp")
	w := newWorld(t, in, setup{namespace: namespace, sims: 4, simArgs: slowStreams, pools: foreignPools(wire.service)})
	in.waitRolledOut(t, namespace, "epp")
	access := w.followAccess()
	w.waitPicked(access, "open", time.Now())
	w.waitPicked(access, "closed", time.Now())
	patience := func(o load.Options) load.Options { o.Timeout = time.Second; return o } // what hangs is given up
	open, closed := startLoad(t, patience(w.options("open", quick...))), startLoad(t, patience(w.options("closed", quick...)))

	cut := time.Now()
	wire.cut()
	passes(t, pickerGone)
	more(t, open, 20)
	more(t, closed, 20)
	w.waitAnswers("closed", http.StatusServiceUnavailable)
	mended := time.Now()
	wire.mend()
	picked := max(w.waitPicked(access, "open", mended), w.waitPicked(access, "closed", mended))
	t.Logf("every proxy has picks %s after the picker answers again", picked.Round(time.Millisecond))
	if picked > pickerBack {
		t.Errorf("picks came back only after %s", picked)
	}
	expectLost(t, "FailOpen", open.Stop(), http.StatusOK, cut, mended)
	expectLost(t, "FailClose", closed.Stop(), http.StatusServiceUnavailable, cut, mended)
}

// foreignPools are one pool of each failure mode, with the picker behind a Service.
func foreignPools(service string) map[string]*infv1.EndpointPickerRef {
	return map[string]*infv1.EndpointPickerRef{
		"open":   foreignPicker(service, infv1.EndpointPickerFailOpen),
		"closed": foreignPicker(service, infv1.EndpointPickerFailClose),
	}
}

// expectLost looks at a load during which a foreign picker failed. A request that was given to the picker cannot be taken back, so some
// are lost at first. From pickerGone after the failure on until it was mended every one must be answered with want; before the
// failure every one must be served, and none
// may fail in another way while the picker comes back.
func expectLost(t *testing.T, mode string, report load.Report, want int, failed, mended time.Time) {
	t.Helper()
	lost, last := 0, failed
	var wrong []error
	for _, s := range report.Samples {
		switch {
		case s.Ended().Before(failed):
			if !s.Is(http.StatusOK) {
				wrong = append(wrong, fmt.Errorf("before the failure: %s", s))
			}
		case s.Began.Before(mended):
			if s.Is(want) || (s.Ended().After(mended) && s.Is(http.StatusOK)) {
				continue
			}
			lost++
			if s.Began.After(last) {
				last = s.Began
			}
		case mode == "FailOpen" && !s.Is(http.StatusOK):
			wrong = append(wrong, fmt.Errorf("while the picker comes back: %s", s))
		case !s.Is(http.StatusOK) && !s.Is(want):
			wrong = append(wrong, fmt.Errorf("while the picker comes back: %s", s))
		}
	}
	t.Logf("%s: %s\n  %d not answered %d while the picker was away, the last began %s after it failed", mode, report, lost, want, last.Sub(failed).Round(time.Millisecond))
	if last.Sub(failed) > pickerGone {
		t.Errorf("%s: a request that began %s after the picker failed was not answered %d", mode, last.Sub(failed), want)
	}
	for _, err := range wrong[:min(len(wrong), 5)] {
		t.Errorf("%s: %v", mode, err)
	}
}
