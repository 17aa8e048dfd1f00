package resilience

import (
	"flag"
	"fmt"
	"time"
)

var flags struct {
	controlPlaneNamespace string
	controlPlane          string
	gatewayClass          string
	image                 string
	chart                 string
	standaloneChart       string
	helm                  string
	fleet                 int
}

func init() {
	flag.StringVar(&flags.controlPlaneNamespace, "control-plane-namespace", "switchyard-system", "namespace of the control plane")
	flag.StringVar(&flags.controlPlane, "control-plane", "",
		"name of the control plane's Deployment; default: the only one there with the label app.kubernetes.io/name that is no fleet")
	flag.StringVar(&flags.gatewayClass, "gateway-class", "switchyard", "GatewayClass of the Gateways that the tests make")
	flag.StringVar(&flags.image, "image", "", "image of the simulated model servers and of the foreign picker; default: the control plane's own")
	flag.StringVar(&flags.chart, "chart", "../../charts/llm-d-router-gateway", "chart of the control plane, a directory")
	flag.StringVar(&flags.standaloneChart, "standalone-chart", "../../charts/llm-d-router-standalone", "chart of pickers with proxies of their own, a directory")
	flag.StringVar(&flags.helm, "helm", "helm", "the program helm")
	flag.IntVar(&flags.fleet, "fleet", 10, "proxies that a Gateway is scaled to")
}

// What is promised, as seen by a client of the cluster. Times for Kubernetes itself to notice and to tell are in them.
const (
	// pickerGone is how long after a picker went away requests may still wait for it, or be answered 503 where they should be served.
	pickerGone = 3 * time.Second
	// pickerBack is how long after a picker is ready again requests may go by it.
	pickerBack = 5 * time.Second
	// pickerWait is the longest that a request may wait because a picker fails: for a connection, an answer, and for a busy machine.
	pickerWait = 2 * time.Second
	// proxyGone is how long after a proxy was killed new connections may still be sent to it.
	proxyGone = 5 * time.Second
	// rotated is how long after a Secret changed a handshake may still be answered with the certificate that it held.
	rotated = 5 * time.Second
	// namespaceGone is how long the deletion of a namespace with a Gateway may take, its proxies' drain included.
	namespaceGone = 90 * time.Second
	// settled bounds everything that has no promise of its own: pods that start, Deployments that roll out.
	settled = 4 * time.Minute
)

// drainSeconds is what the fleets of these tests give their streams to end.
const drainSeconds = 30

func fleetYAML(replicas int) string {
	return fmt.Sprintf("replicas: %d\ndrainSeconds: %d\n", replicas, drainSeconds)
}
