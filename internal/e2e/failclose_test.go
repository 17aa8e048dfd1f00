package e2e

import (
	"net/http"
	"testing"
)

// TestFailClose takes the picker away in every way there is: a FailClose pool answers 503, and does so within
// the time promised. When the picker is back it serves again.
func TestFailClose(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			w, p := o.openOutage(t, failClose)
			for _, r := range o.suffer(t, w, p.fail) {
				if r.status != http.StatusServiceUnavailable {
					t.Fatalf("%s after the outage: status %d %s", r.began, r.status, r.body)
				}
			}
			for name, s := range w.sims {
				if p.fail == nil && s.Stats().Requests > 0 {
					t.Errorf("simulator %s got requests that nobody picked for", name)
				}
			}
			p.recover(t, w)
		})
	}
}

// TestFailCloseUnderLoad kills the picker under load and brings it back: requests are served or refused with
// 503 in the time promised, nothing else, and are served again afterwards.
func TestFailCloseUnderLoad(t *testing.T) {
	w, p := pickerUnderTest(t, failClose, instantSim...)
	refused := 0
	for _, r := range killUnderLoad(t, w, p) {
		switch {
		case r.status == http.StatusServiceUnavailable && r.began+r.took > 0:
			refused++
		case r.status != http.StatusOK || r.whileDead:
			t.Fatalf("a request that began %s after the kill: status %d %s", r.began, r.status, r.body)
		}
		if r.took > pickerConnects+pickerAnswers+pickerSlack {
			t.Errorf("a request that began %s after the kill took %s", r.began, r.took)
		}
	}
	if refused == 0 {
		t.Error("no request was refused, so that nothing was tried")
	}
	expectAffinity(t, w)
}

// TestFailCloseStreamOutlivesPicker loses the picker between the pick and the end of the answer: what was
// picked for is served to its end.
func TestFailCloseStreamOutlivesPicker(t *testing.T) { streamOutlivesPicker(t, failClose) }

// TestFailClosePickOutsideThePool has a picker that names addresses where nobody is.
func TestFailClosePickOutsideThePool(t *testing.T) {
	w, p := misledWorld(t, failClose)
	for _, c := range misleadings {
		t.Run(c.name, func(t *testing.T) {
			r := askMisled(t, w, p, c.picks)
			if c.serves == "" {
				if r.status != http.StatusServiceUnavailable {
					t.Fatalf("status %d %s, served by %q", r.status, r.body, r.server())
				}
				return
			}
			if l := w.access.line(t, r.headers.Get("x-request-id")); r.status != http.StatusOK || l.Served != w.fill(c.serves) {
				t.Fatalf("status %d %s, access log %+v", r.status, r.body, l)
			}
		})
	}
}
