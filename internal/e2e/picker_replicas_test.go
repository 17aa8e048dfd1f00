package e2e

import (
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/switchyard/switchyard/internal/stack"
)

// TestPickerReplicas asks the first of two pickers alone, moves to the second when the first is killed, with no
// failed request and picks again within a bound, and returns to the first when it is back.
func TestPickerReplicas(t *testing.T) {
	w, first, second := newTwoPickers(t, failOpen)
	w.startStack(stack.Options{Pickers: []netip.AddrPort{first.address, second.address}})
	w.startFleet(w.stack.XDSAddr, 1, 1)
	w.picked(10 * time.Second)

	before := first.requests()
	for range 20 {
		w.expectPicked()
	}
	if got := first.requests() - before; got != 20 {
		t.Errorf("the first picker was asked %d of 20 times", got)
	}
	if got := second.requests(); got != 0 {
		t.Errorf("the second picker was asked %d times while the first was well", got)
	}

	first.process.kill()
	w.picked(pickerNoticed + pickerSlack)
	for range 20 {
		w.expectPicked()
	}
	if got := second.requests(); got < 20 {
		t.Errorf("the second picker was asked %d times when the first was gone, want 20 at least", got)
	}

	first.start()
	eventually(t, pickerBack+pickerSlack, "the first picker is asked again", func() bool {
		w.expectPicked()
		return first.requests() > 0
	})
}

// newTwoPickers makes a world of a pool that fails as told, with two pickers that are ready and no proxies yet.
func newTwoPickers(t *testing.T, failure string) (w *world, first, second *pickerProcess) {
	t.Helper()
	w = newManifests(t, gateway+poolRoute("llm")+pool("llm", "llm", failure)+simPods("llm", 1, 2, instantSim...))
	w.startSimulators()
	first, second = newPickerProcess(w), newPickerProcess(w)
	first.start()
	second.start()
	return w, first, second
}

// expectPicked sends a request that is to be answered as the picker said.
func (w *world) expectPicked() {
	w.t.Helper()
	r := w.post("/v1/chat/completions", chat("hello", false, 1))
	if r.status != http.StatusOK {
		w.t.Fatalf("status %d: %s", r.status, r.body)
	}
	if w.access.line(w.t, r.headers.Get("x-request-id")).Picked == "" {
		w.t.Error("a request was not picked for")
	}
}

var requestTotal = regexp.MustCompile(`(?m)^[a-z_]*request_total\{[^}]*\} ([0-9.e+]+)$`)

// requests is how many requests the picker counts.
func (p *pickerProcess) requests() int {
	p.w.t.Helper()
	r, err := send(newClient(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", p.metrics), "")
	if err != nil {
		p.w.t.Fatal(err)
	}
	sum := 0.0
	for _, m := range requestTotal.FindAllStringSubmatch(r.body, -1) {
		n, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			p.w.t.Fatal(err)
		}
		sum += n
	}
	return int(sum)
}
