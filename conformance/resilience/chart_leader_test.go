package resilience

import (
	"context"
	"fmt"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// handedOver is how long after the leader was told to end another may lead: it gives the lead up by itself.
	handedOver = 10 * time.Second
	// takenOver is the same for a leader that says nothing any more: the Lease has to run out, after 15 s.
	takenOver = 25 * time.Second
)

// TestStandaloneLeader takes the leader of three pickers away under load, once in order and once without a word. Requests are served meanwhile, and
// then picked for again. In order nothing is refused where nothing is served without a pick: a leader that ends is asked until there is another.
func TestStandaloneLeader(t *testing.T) {
	t.Parallel()
	in := connect(t)
	for _, c := range []struct {
		name, how string
		failOpen  bool
		bound     time.Duration
		end       func(*release, *corev1.Pod) error
	}{
		{"relieved", "was deleted", false, handedOver, func(r *release, p *corev1.Pod) error { return r.Delete(r.t.Context(), p) }},
		{"lost", "was killed, and its pod deleted with no time to end", true, takenOver, func(r *release, p *corev1.Pod) error {
			r.kill(r.t, p, "epp")
			return client.IgnoreNotFound(r.Delete(r.t.Context(), p, client.GracePeriodSeconds(0)))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := in.newRelease(t, c.name, flags.standaloneChart, smallProxies("service"), withoutPool,
				fmt.Sprintf("router: {epp: {replicas: 3}, proxy: {failOpen: %t}}\n", c.failOpen))
			epp, proxy := r.name+"-epp", r.name+"-proxy"
			leader := r.waitLeader(epp, "", settled)
			r.waitServed(proxy)
			r.expectPicked(proxy)
			run := startLoad(t, r.options(proxy, chartLoad...))
			began := time.Now()
			if err := c.end(r, leader); err != nil {
				t.Fatal(err)
			}
			r.waitLeader(epp, leader.Name, c.bound)
			t.Logf("another picker leads %s after the leader %s", time.Since(began).Round(time.Millisecond), c.how)
			r.expectPicked(proxy)
			more(t, run, 1)
			expectNoErrors(t, run)
			r.expectCleanLogs(epp)
			r.uninstall(2)
		})
	}
}

// waitLeader waits until a picker other than this one holds the Lease of the release and is the only one that is ready, while two
// stand by.
func (r *release) waitLeader(epp, other string, within time.Duration) (leader *corev1.Pod) {
	r.t.Helper()
	eventually(r.t, within, "a new picker leads", func(ctx context.Context) error {
		var leases coordinationv1.LeaseList
		if err := r.List(ctx, &leases, client.InNamespace(r.namespace)); err != nil {
			return err
		}
		if len(leases.Items) != 1 || leases.Items[0].Spec.HolderIdentity == nil {
			return fmt.Errorf("%d Leases", len(leases.Items))
		}
		holder := *leases.Items[0].Spec.HolderIdentity
		if holder == "" || holder == other {
			return fmt.Errorf("%q leads", holder)
		}
		leader = nil
		ready := 0
		for _, pod := range r.podsIn(epp) {
			if !isReady(&pod) {
				continue
			}
			if ready++; pod.Name == holder {
				leader = &pod
			}
		}
		if leader == nil || ready != 1 {
			return fmt.Errorf("%d pickers are ready, and %s leads", ready, holder)
		}
		return nil
	})
	return leader
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
