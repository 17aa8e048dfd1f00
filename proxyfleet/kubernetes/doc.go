// Package kubernetes runs the proxies of each Gateway as objects of a Kubernetes cluster, in the Gateway's own
// namespace. It builds those objects, applies them, and takes them away again. It decides nothing about what a
// proxy serves, and never touches an object that it has not made.
//
//	model.Gateway, UID -> Objects -> Reconciler -> API server
//
// # The objects of a fleet
//
// All are named model.FleetName(gateway), are owned by the Gateway (so that they go with it), and are applied
// server-side by the field manager "switchyard":
//
//	ServiceAccount           no permissions, its token is not mounted
//	ConfigMap                bootstrap.json of Envoy and the files that name its certificates
//	Secret                   tls.crt, tls.key, ca.crt: the fleet's identity toward the control plane
//	Service                  one TCP port p-<number> per port of the Gateway. A Service must have a port: none is
//	                         made before the Gateway has one, and one that is there stays as it is, with its
//	                         address, when the Gateway has lost its last
//	PodDisruptionBudget      minAvailable 1; with a single replica maxUnavailable 1, or no node could be drained
//	Deployment               the proxies
//	HorizontalPodAutoscaler  only when asked for
//
// # Labels and annotations
//
//	gateway.networking.k8s.io/gateway-name  the Gateway's name, or the fleet's where that does not fit into a label
//	                                        (Gateway API, "Resources Managed by a Gateway", GEP-1762)
//	app.kubernetes.io/name                  switchyard-proxy  (Kubernetes, "Recommended Labels"; so are the next two)
//	app.kubernetes.io/instance              the fleet's name
//	app.kubernetes.io/managed-by            switchyard
//	switchyard.dev/template-hash            annotation of the pod template: what its pods depend on
//
// name and instance select the pods and must never change: a Deployment's selector is immutable. Labels and
// annotations of spec.infrastructure are on every object and on the pods; ours win over them.
//
// # The pod
//
// Envoy is a restartable init container, the drainer (`controlplane drain`) the only ordinary one. Kubernetes ends
// ordinary containers first and only then, as soon as they have ended, the restartable init containers: that is
// how Envoy lives exactly as long as the drainer waits for its streams. A preStop sleep in Envoy's container would
// not do: the kubelet sleeps to the end even when the container has ended (tried with 1.35).
//
// Readiness is asked on port 19001, which Envoy opens once it has its whole first configuration and which answers
// 503 while it drains. There is no liveness and no startup probe: a proxy that lacks only its control plane must
// not be restarted, for it may be serving, and would find no control plane afterwards either; an Envoy that
// crashes is restarted without being probed.
//
// Units: replicas and threads are counts, durations of the pod are in seconds, the CPU target is percent of the
// request.
//
// # What makes proxies restart
//
// The annotation switchyard.dev/template-hash covers the pod template and the bootstrap, but not the drainer's
// image. While the hash of the live Deployment is the wanted one, its drainer image stays: an upgrade of the
// control plane alone restarts no proxy. (Keep images of past control planes in the registry: a pod that is made
// later still pulls it.) Listeners and routes are in no object here; only the numbers of ports are, in the Service.
package kubernetes
