// Package resilience holds no code but tests: what an installation on a real cluster keeps doing while something is taken away from
// it. The upstream conformance suites ask whether objects mean what they should; here a control plane, a picker, a proxy, a certificate
// or a whole namespace goes, under load, and the answers are counted.
//
// The files named chart_* are about what users install: the charts, by helm, in namespaces that allow the pod security level restricted
// alone, with model servers beside them. A release is upgraded, scaled and bereft of its pickers under load, and uninstalled; then
// everything that the API server can list is compared with what was there before.
//
// The tests need a control plane that is installed already, and they disturb it: it is restarted and scaled to nothing. Nobody else may
// use it meanwhile. What they make lies in namespaces of their own and is gone afterwards. They must run where pod, Service and
// LoadBalancer addresses can be reached, and helm be found, such as
//
//	go test -c -o /tmp/resilience.test .
//	cluster exec -- /tmp/resilience.test -test.v -chart DIR -standalone-chart DIR [-test.run TestGatewayScaled]
//
// Those that need the control plane for themselves, or a node that has time to notice what died, come one by one, then the others, three at a time when conformance/run starts them.
//
//	KUBECONFIG -> Gateways, pools, simulated model servers -> load -> counts, each with a bound
package resilience
