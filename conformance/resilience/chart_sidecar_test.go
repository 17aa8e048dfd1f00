package resilience

import (
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// TestStandaloneSidecar is the life of a release whose proxies are in the pickers' pods. Whatever is done in order loses no request, also
// where there is one replica; a pod that vanishes takes its proxy along, and so what is under way there.
func TestStandaloneSidecar(t *testing.T) {
	t.Parallel()
	in := connect(t)
	r := in.newRelease(t, "beside", flags.standaloneChart, smallProxies("sidecar"), withoutPool)
	epp := r.name + "-epp"
	r.waitServed(epp)
	r.expectPicked(epp)
	run := startLoad(t, r.options(epp, longStreams...))

	pods := uids(r.podsIn(epp))
	r.upgrade("flags, and a configuration of its own", ownConfig, "router: {epp: {flags: {v: 2}}}\n")
	r.expectReplaced(epp, pods)
	r.expectSteered(epp, false)
	pods = uids(r.podsIn(epp))
	r.upgrade("two replicas that both answer", "router: {epp: {replicas: 2, flags: {ha-enable-leader-election: false}}}\n")
	r.expectReplaced(epp, pods)
	r.expectPicked(epp)

	pods = uids(r.podsIn(epp))
	r.upgrade("the configuration", steeredConfig)
	r.poke(epp)
	r.expectSteered(epp, true)
	r.expectKept(epp, pods)

	r.scaleTo(epp, 3)
	r.expectPicked(epp)
	r.scaleTo(epp, 2)
	r.killPicker(epp, epp)
	more(t, run, 1)
	expectNoErrors(t, run)

	run = startLoad(t, r.options(epp, chartLoad...))
	victim, killed := r.podsIn(epp)[0], time.Now()
	if err := r.Delete(t.Context(), &victim, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
	r.waitReplaced(epp, victim.UID)
	t.Logf("there are two pods again %s after one was deleted with no time to end", time.Since(killed).Round(time.Millisecond))
	r.expectPicked(epp)
	more(t, run, 1)
	expectLostWith(t, run.Stop(), killed)
	r.expectCleanLogs(epp)
	r.uninstall(2)
}
