package e2e

import (
	"fmt"
	"strings"
)

// gateway is a class and the Gateway default/gw with one HTTP listener on $PORT.
const gateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: switchyard}
spec: {controllerName: switchyard.dev/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: switchyard
  listeners:
  - {name: http, protocol: HTTP, port: $PORT}
`

// poolRoute sends everything to the pool.
func poolRoute(pool string) string {
	return route("to-"+pool, fmt.Sprintf(`
  - backendRefs:
    - {group: inference.networking.k8s.io, kind: InferencePool, name: %s}
`, pool))
}

// route is an HTTPRoute of default/gw with the rules given.
func route(name, rules string) string {
	return fmt.Sprintf(`
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s, namespace: default}
spec:
  parentRefs: [{name: gw}]
  rules:%s`, name, rules)
}

// pool is an InferencePool that selects pods with the label app, with extra lines of its spec.
func pool(name, app string, spec ...string) string {
	extra := ""
	for _, s := range spec {
		extra += "\n  " + s
	}
	return fmt.Sprintf(`
---
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: %s, namespace: default}
spec:
  selector: {matchLabels: {app: %s}}
  targetPorts: [{number: 8000}]%s
`, name, app, extra)
}

// simPods are n pods labelled app, named <app>-1 and so on, at $NET.<first>, $NET.<first+1>..., that run the
// simulator with the arguments given.
func simPods(app string, first, n int, args ...string) string {
	var b strings.Builder
	for i := range n {
		quoted := `"sim", "--model", "sim-model", "--port", "8000"`
		for _, a := range args {
			quoted += fmt.Sprintf(", %q", a)
		}
		fmt.Fprintf(&b, `
---
apiVersion: v1
kind: Pod
metadata: {name: %s-%d, namespace: default, labels: {app: %s}}
spec:
  containers: [{name: server, image: switchyard/controlplane, args: [%s]}]
status:
  podIP: $NET.%d
  conditions: [{type: Ready, status: "True"}]
`, app, i+1, app, quoted, first+i)
	}
	return b.String()
}

// service is a Service on port 80 with an EndpointSlice that lists addresses ($NET.<n>) on port 8000.
func service(name string, addresses ...int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `
---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default}
spec:
  ports: [{name: http, port: 80, targetPort: 8000}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %s-1, namespace: default, labels: {kubernetes.io/service-name: %s}}
addressType: IPv4
ports: [{name: http, port: 8000}]
endpoints:
`, name, name, name)
	for _, a := range addresses {
		fmt.Fprintf(&b, "- {addresses: [\"$NET.%d\"], conditions: {ready: true}}\n", a)
	}
	if len(addresses) == 0 {
		b.WriteString("  []\n")
	}
	return b.String()
}
