package flowcontrol_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/flowcontrol/fairness"
	"github.com/switchyard/switchyard/epp/flowcontrol/ordering"
)

// TestConfigure: what waits goes on by the new options, in their order and with their bounds.
func TestConfigure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		o := options(t, s)
		registry := prometheus.NewRegistry()
		o.Registerer = registry
		c := newController(t, o)
		var calls []*call
		for _, name := range []string{"a1", "a2", "a3", "b1", "b2"} {
			calls = append(calls, admit(c, name, flowcontrol.Request{Fairness: name[:1]}))
			time.Sleep(time.Second)
		}
		programs, err := fairness.NewProgramAware(nil)
		if err != nil {
			t.Fatal(err)
		}
		next := options(t, s)
		next.Default = flowcontrol.Band{Fairness: fairness.RoundRobin{}, Ordering: ordering.FCFS{}, MaxRequests: 2}
		next.Bands = map[int]flowcontrol.Band{5: {Fairness: programs, Ordering: ordering.FCFS{}}}
		next.TTL, next.NoEndpointTTL = 20*time.Second, 20*time.Second
		for range 2 { // the second time the policy's metrics are there already
			if err := c.Configure(next); err != nil {
				t.Fatal(err)
			}
		}
		if c.Waiting() != 5 {
			t.Fatalf("%d wait", c.Waiting())
		}
		if got := admit(c, "late", flowcontrol.Request{}).refusal(t); got.Outcome != flowcontrol.RejectedCapacity {
			t.Errorf("beyond the new bound: %+v", got)
		}
		if !slices.ContainsFunc(families(t, registry), func(name string) bool { return strings.HasPrefix(name, "llm_d_epp_program_aware") }) {
			t.Error("the new policy's metrics are missing")
		}
		// the first came 5 s ago
		time.Sleep(15*time.Second + time.Millisecond)
		synctest.Wait()
		if got := calls[0].refusal(t); got.Outcome != flowcontrol.EvictedTTL {
			t.Errorf("after the new bound of the wait: %+v", got)
		}
		if got := fmt.Sprint(serveOneByOne(t, c, s, calls[1:])); got != "[a2 b1 a3 b2]" {
			t.Errorf("dispatched %s, want the flows in turn", got)
		}
		next.Bands = nil
		if err := c.Configure(next); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(families(t, registry), func(name string) bool { return strings.HasPrefix(name, "llm_d_epp_program_aware") }) {
			t.Error("the metrics of a policy that is gone are there")
		}
		next.TTL = -1
		if err := c.Configure(next); err == nil || !strings.Contains(err.Error(), "defaultRequestTTL") {
			t.Errorf("error %v", err)
		}
	})
}

// TestConfigureEviction: it begins with what is placed afterwards, and ends at once.
func TestConfigureEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{room: 100}
		on, _ := evicting(t, s, time.Millisecond)
		off := on
		off.Eviction = nil
		c := newController(t, off)
		var f fleet
		f.send(t, c, s, "before", -1, true)
		if err := c.Configure(on); err != nil {
			t.Fatal(err)
		}
		f.send(t, c, s, "after", -1, true)
		f.send(t, c, s, "after2", -1, true)
		if err := c.Configure(on); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *server) { s.room = 3 })
		admit(c, "waits", flowcontrol.Request{})
		if got := f.names(); got != "after2 evicted-priority" {
			t.Errorf("revoked %q", got)
		}
		if err := c.Configure(off); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *server) { s.room = 1 })
		admit(c, "waits", flowcontrol.Request{})
		time.Sleep(time.Second)
		if got := f.names(); got != "" {
			t.Errorf("turned off, it revoked %q", got)
		}
	})
}

func families(t *testing.T, registry *prometheus.Registry) (names []string) {
	t.Helper()
	found, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range found {
		names = append(names, family.GetName())
	}
	return names
}
