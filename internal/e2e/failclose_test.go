package e2e

import (
	"net/http"
	"testing"
)

// TestFailClose takes the picker away in every way there is: a FailClose pool answers 503, and does so within
// the time promised.
func TestFailClose(t *testing.T) {
	for _, o := range outages {
		t.Run(o.name, func(t *testing.T) {
			w, fail := o.openOutage(t, failClose)
			for _, r := range o.suffer(t, w, fail) {
				if r.status != http.StatusServiceUnavailable {
					t.Fatalf("%s after the outage: status %d %s", r.began, r.status, r.body)
				}
			}
		})
	}
}
