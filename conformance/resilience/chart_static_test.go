package resilience

import (
	"testing"
	"time"
)

// foundByDNS is how long after a picker is ready proxies that know it by its name alone may do without: the cluster's DNS gives old
// addresses for up to five seconds, asks for new ones, and the proxy asks every second or two.
const foundByDNS = 15 * time.Second

// TestStandaloneStatic has proxies that read a plain file: they find pickers and model servers by DNS alone.
func TestStandaloneStatic(t *testing.T) {
	t.Parallel()
	in := connect(t)
	r := in.newRelease(t, "plain", flags.standaloneChart, smallProxies("service"), withoutPool, "router: {proxy: {config: static}}\n")
	r.found = foundByDNS
	epp, proxy := r.name+"-epp", r.name+"-proxy"
	r.waitServed(proxy)
	r.expectPicked(proxy)
	run := startLoad(t, r.options(proxy, chartLoad...))
	pickers, proxies := uids(r.podsIn(epp)), uids(r.podsIn(proxy))
	r.upgrade("resources of both", "router: {epp: {resources: {requests: {memory: 80Mi}}}, proxy: {resources: {requests: {memory: 80Mi}}}}\n")
	r.expectReplaced(epp, pickers)
	r.expectReplaced(proxy, proxies)
	r.expectPicked(proxy)
	r.killPicker(epp, proxy)
	r.deletePicker(epp, proxy)
	more(t, run, 1)
	expectNoErrors(t, run)
	r.expectCleanLogs(epp)
	r.uninstall(2)
}
