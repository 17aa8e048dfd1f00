package scheduling

import (
	"testing"

	"github.com/switchyard/switchyard/epp/datalayer"
)

func TestUnknownLoadsAreTakenToBeAverage(t *testing.T) {
	all := datalayer.HasWaiting | datalayer.HasRunning | datalayer.HasKVUsage
	loads := []Load{
		{Known: all, Waiting: 2, Running: 10, KVUsage: 0.2},
		{Requests: 3},
		{Known: all, Waiting: 6, Running: 20, KVUsage: 0.6},
		{Known: datalayer.HasWaiting, Waiting: 4},
	}
	estimateUnknown(loads)
	for i, want := range []Load{
		{Waiting: 2, Running: 10, KVUsage: 0.2}, {Waiting: 4, Running: 15, KVUsage: 0.4}, {Waiting: 6, Running: 20, KVUsage: 0.6},
		{Waiting: 4, Running: 15, KVUsage: 0.4},
	} {
		got := loads[i]
		if got.Waiting != want.Waiting || got.Running != want.Running || !near(got.KVUsage, want.KVUsage) {
			t.Errorf("load %d is %+v, want %+v", i, got, want)
		}
	}
	// 3 requests in flight where the average runs 15 are no queue.
	if got := loads[1].Queue(); got != 4 {
		t.Errorf("unknown endpoint has a queue of %g, want 4", got)
	}
}

func near(a, b float32) bool { return a-b < 1e-6 && b-a < 1e-6 }

func TestNothingKnownLeavesOwnRequests(t *testing.T) {
	loads := []Load{{Requests: 4}, {Requests: 0}}
	estimateUnknown(loads)
	if loads[0].Queue() != 4-BurstSlack || loads[1].Queue() != 0 {
		t.Fatalf("queues are %g and %g", loads[0].Queue(), loads[1].Queue())
	}
}
