package resilience

import "testing"

// TestStandaloneService is the life of a release of the standalone chart whose proxies are a Deployment of their own: upgraded, scaled and
// bereft of its picker under load, and uninstalled. No request is lost in any of it.
func TestStandaloneService(t *testing.T) {
	t.Parallel()
	in := connect(t)
	r := in.newRelease(t, "served", flags.standaloneChart, smallProxies("service"), withoutPool)
	epp, proxy := r.name+"-epp", r.name+"-proxy"
	r.waitServed(proxy)
	r.expectPicked(proxy)
	run := startLoad(t, r.options(proxy, longStreams...))

	pickers := uids(r.podsIn(epp))
	r.upgrade("flags, and a configuration of its own", ownConfig, "router: {epp: {flags: {v: 2}}}\n")
	r.expectReplaced(epp, pickers)
	r.expectSteered(proxy, false)

	pickers, proxies := uids(r.podsIn(epp)), uids(r.podsIn(proxy))
	r.upgrade("that configuration", steeredConfig)
	r.poke(epp)
	r.expectSteered(proxy, true)
	r.expectKept(epp, pickers)
	r.expectKept(proxy, proxies)

	r.upgrade("resources of both, one proxy more", `router:
  epp: {resources: {requests: {memory: 80Mi}}}
  proxy: {replicas: 3, resources: {requests: {memory: 80Mi}}}
`)
	r.expectReplaced(epp, pickers)
	r.expectReplaced(proxy, proxies)
	r.expectPicked(proxy)

	r.scaleTo(proxy, 5)
	r.expectPicked(proxy)
	r.scaleTo(proxy, 2)
	r.killPicker(epp, proxy)
	r.deletePicker(epp, proxy)
	more(t, run, 1)
	expectNoErrors(t, run)
	r.expectCleanLogs(epp)
	r.uninstall(2)
}
