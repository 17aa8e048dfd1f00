package source

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
)

// Pod annotations that restrict which target ports of a pool a pod serves: a comma list of port numbers.
// The second is the older name; the first wins.
const (
	ActivePortsAnnotation       = "llm-d.ai/active-ports"
	LegacyActivePortsAnnotation = "inference.networking.k8s.io/active-ports"
)

// PoolEndpoint is one model server process: a ready pod of the pool on one of the pool's target ports.
type PoolEndpoint struct {
	Pod     Key
	Rank    int // index of the port in the pool's targetPorts
	Address netip.AddrPort
	Labels  map[string]string // the pod's labels; shared, not to be changed
}

// Name is the endpoint's id: <pod>-rank-<index>.
func (e PoolEndpoint) Name() string { return e.Pod.Name + "-rank-" + strconv.Itoa(e.Rank) }

// PoolEndpoints lists the ready endpoints of a pool, ordered by address. A pod counts when it matches the
// selector, has an IP, is Ready and is not being deleted.
func (o *Objects) PoolEndpoints(pool *infv1.InferencePool) []PoolEndpoint {
	ports := make([]uint16, len(pool.Spec.TargetPorts))
	for rank, port := range pool.Spec.TargetPorts {
		ports[rank] = uint16(port.Number)
	}
	out := o.PodEndpoints(pool.Namespace, ports, func(labels map[string]string) bool { return selects(pool.Spec.Selector, labels) })
	slices.SortFunc(out, func(a, b PoolEndpoint) int { return a.Address.Compare(b.Address) })
	return slices.CompactFunc(out, func(a, b PoolEndpoint) bool { return a.Address == b.Address })
}

// PodEndpoints lists the ready endpoints, on these ports, of the namespace's pods with labels that chosen takes; ordered by
// pod and rank, also where two pods have one address.
func (o *Objects) PodEndpoints(namespace string, ports []uint16, chosen func(labels map[string]string) bool) []PoolEndpoint {
	var out []PoolEndpoint
	for pod := range o.Pods.InNamespace(namespace) {
		if !PodReady(pod) || !chosen(pod.Labels) {
			continue
		}
		ip, err := netip.ParseAddr(pod.Status.PodIP)
		if err != nil {
			continue
		}
		active := activePorts(pod)
		for rank, n := range ports {
			if active != nil && !slices.Contains(active, n) {
				continue
			}
			out = append(out, PoolEndpoint{
				Pod:     KeyOf(pod),
				Rank:    rank,
				Address: netip.AddrPortFrom(ip, n),
				Labels:  pod.Labels,
			})
		}
	}
	return out
}

// PodReady tells whether a pod is Ready and not being deleted.
func PodReady(pod *corev1.Pod) bool {
	if pod.DeletionTimestamp != nil {
		return false
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// selects tells whether every label of the selector is on the pod. An empty selector selects nothing: a
// pool that took in every pod of its namespace would be a mistake that costs traffic.
func selects(sel infv1.LabelSelector, labels map[string]string) bool {
	for k, v := range sel.MatchLabels {
		if labels[string(k)] != string(v) {
			return false
		}
	}
	return len(sel.MatchLabels) > 0
}

// activePorts gives the ports named by the pod's annotation, nil when there is none.
func activePorts(pod *corev1.Pod) []uint16 {
	text, ok := pod.Annotations[ActivePortsAnnotation]
	if !ok {
		if text, ok = pod.Annotations[LegacyActivePortsAnnotation]; !ok {
			return nil
		}
	}
	ports := []uint16{}
	for part := range strings.SplitSeq(text, ",") {
		if n, err := strconv.ParseUint(strings.TrimSpace(part), 10, 16); err == nil && n > 0 {
			ports = append(ports, uint16(n))
		}
	}
	return ports
}
