package e2e

import (
	"net/http"
	"testing"
)

// TestFailOpen takes the picker away in every way there is: a FailOpen pool serves, and no request waits for
// longer than promised. When the picker is back it is asked again.
func TestFailOpen(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			w, p := o.openOutage(t, failOpen)
			for _, r := range o.suffer(t, w, p.fail) {
				if r.status != http.StatusOK {
					t.Fatalf("%s after the outage: status %d %s", r.began, r.status, r.body)
				}
				l := w.access.line(t, r.headers.Get("x-request-id"))
				if l.FailOpen != "true" || l.Picked != "" || l.Served == "" || l.Pool != "default/llm" {
					t.Fatalf("access log: %+v", l)
				}
			}
			p.recover(t, w)
		})
	}
}

// TestFailOpenUnderLoad kills the picker under load and brings it back: nobody sees an error, nobody waits for
// longer than promised, and afterwards prompts find back to where they are cached.
func TestFailOpenUnderLoad(t *testing.T) {
	w, p := pickerUnderTest(t, failOpen, instantSim...)
	for _, r := range killUnderLoad(t, w, p) {
		if r.status != http.StatusOK {
			t.Fatalf("a request answered at %s after the kill: status %d %s", r.began, r.status, r.body)
		}
		if r.took > pickerConnects+pickerAnswers+pickerSlack {
			t.Errorf("a request that began %s after the kill took %s", r.began, r.took)
		}
	}
	expectAffinity(t, w)
}

// TestFailOpenStreamOutlivesPicker loses the picker between the pick and the end of the answer.
func TestFailOpenStreamOutlivesPicker(t *testing.T) { streamOutlivesPicker(t, failOpen) }

// TestFailOpenPickOutsideThePool has a picker that names addresses where nobody is.
func TestFailOpenPickOutsideThePool(t *testing.T) {
	w, p := misledWorld(t, failOpen)
	for _, c := range misleadings {
		t.Run(c.name, func(t *testing.T) {
			r := askMisled(t, w, p, c.picks)
			l := w.access.line(t, r.headers.Get("x-request-id"))
			if r.status != http.StatusOK || l.Picked != w.fill(c.picks) {
				t.Fatalf("status %d %s, access log %+v", r.status, r.body, l)
			}
			if want := w.fill(c.serves); want != "" && l.Served != want {
				t.Fatalf("served by %s, want %s", l.Served, want)
			}
			if r.server() != "sim-1" && r.server() != "sim-2" {
				t.Fatalf("served by %q, which is not in the pool", r.server())
			}
		})
	}
}
