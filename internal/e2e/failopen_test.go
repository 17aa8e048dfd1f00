package e2e

import (
	"net/http"
	"testing"
)

// TestFailOpen takes the picker away in every way there is: a FailOpen pool serves, and no request waits for
// longer than promised.
func TestFailOpen(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			w, fail := o.openOutage(t, failOpen)
			for _, r := range o.suffer(t, w, fail) {
				if r.status != http.StatusOK {
					t.Fatalf("%s after the outage: status %d %s", r.began, r.status, r.body)
				}
				l := w.access.line(t, r.headers.Get("x-request-id"))
				if l.FailOpen != "true" || l.Picked != "" || l.Served == "" || l.Pool != "default/llm" {
					t.Fatalf("access log: %+v", l)
				}
			}
		})
	}
}
