package resilience

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/switchyard/switchyard/conformance/resilience/load"
)

// TestGatewayPool installs the chart of the control plane once more, for a pool alone: its picker, its InferencePool and its route to a
// Gateway that there is. Requests come by the Gateway's address. The picker is replaced under load by another configuration of it, and then a leader by
// one of those that stand by, where nothing is served without a pick.
func TestGatewayPool(t *testing.T) {
	t.Parallel()
	in := connect(t)
	r := in.newHome(t, "routed", flags.chart)
	w := &world{installation: in, t: t, namespace: r.namespace}
	w.create(newFleetParameters(r.namespace, 2), newGateway(r.namespace, ""))
	w.waitProgrammed()
	w.waitFleet(2)
	r.install("controlPlane: {enabled: false}\n", fmt.Sprintf("httpRoute: {create: true, inferenceGatewayName: %s}\n", gatewayName))
	w.waitAccepted(r.name)
	w.waitReachable(r.name)
	access := w.followAccess()
	w.waitPicked(access, r.name, time.Now())
	for i := range 5 {
		s := load.Ask(w.options(r.name), chat, fmt.Sprintf("who picks for %d?", i))
		if l := access.logged(t, s); !s.Is(http.StatusOK) || l.Picked == "" || l.Served != l.Picked || s.Server != l.Picked || l.Pool != r.namespace+"/"+r.name {
			t.Errorf("%s, answered by %s, access log %+v", s, s.Server, l)
		}
	}

	epp := r.name + "-epp"
	run := startLoad(t, w.options(r.name, chartLoad...))
	pickers := uids(r.podsIn(epp))
	r.upgrade("resources of the picker", "router: {epp: {resources: {requests: {memory: 80Mi}}}}\n")
	r.expectReplaced(epp, pickers)
	began := time.Now()
	if took := w.waitPicked(access, r.name, began); took > pickerBack {
		t.Errorf("picks came only after %s", took)
	}
	more(t, run, 1)
	expectNoErrors(t, run)

	r.addValues("router: {epp: {replicas: 3}, inferencePool: {failureMode: FailClose}}\n")
	r.helm("upgrade")
	leader := r.waitLeader(epp, "", settled)
	w.waitPicked(access, r.name, time.Now())
	run = startLoad(t, w.options(r.name, chartLoad...))
	began = time.Now()
	if err := r.Delete(t.Context(), leader); err != nil {
		t.Fatal(err)
	}
	r.waitLeader(epp, leader.Name, handedOver)
	t.Logf("another picker leads %s after the leader was deleted", time.Since(began).Round(time.Millisecond))
	more(t, run, 1)
	expectNoErrors(t, run)
	r.expectCleanLogs(epp)
	r.uninstall(2)
	for _, pod := range w.proxies() {
		if !isReady(&pod) {
			t.Errorf("proxy %s of the Gateway is not ready after a pool's release was uninstalled", pod.Name)
		}
	}
}
