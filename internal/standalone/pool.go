package standalone

import (
	"net/netip"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
)

// poolGroup is the API group of InferencePool.
const poolGroup = "inference.networking.k8s.io"

// chosen is the label of the pods of a pool that is made: its selector can say less than the one that chose them.
const chosen = "switchyard.dev/chosen"

// takePool takes over the InferencePool and the pods of its namespace.
func (i *Intent) takePool(in, out *source.Objects) {
	pool, ok := in.InferencePools.Get(i.Pool.Namespace, i.Pool.Name)
	if !ok {
		return
	}
	taken := *pool
	taken.Spec.EndpointPickerRef = i.picker()
	out.InferencePools, out.Pods = source.NewSet(&taken), in.Pods
}

// picker is a reference to the picker beside us. It is there for its failure mode: without one a pool fails open.
func (i *Intent) picker() *infv1.EndpointPickerRef {
	if i.FailOpen {
		return nil
	}
	group := infv1.Group("switchyard.dev")
	return &infv1.EndpointPickerRef{Group: &group, Kind: "EndpointPicker", Name: "embedded", FailureMode: infv1.EndpointPickerFailClose}
}

// makePool makes a pool of the pods that the selector names.
func (i *Intent) makePool(in, out *source.Objects) {
	var pods []*corev1.Pod
	if i.Made.Pods != nil {
		for pod := range in.Pods.InNamespace(i.Pool.Namespace) {
			if !i.Made.Pods.Matches(labels.Set(pod.Labels)) {
				continue
			}
			marked := *pod
			marked.Labels = map[string]string{chosen: "true"}
			pods = append(pods, &marked)
		}
	}
	out.InferencePools, out.Pods = source.NewSet(i.madePool(i.Made.Ports)), source.NewSet(pods...)
}

func (i *Intent) madePool(ports []int) *infv1.InferencePool {
	pool := &infv1.InferencePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: i.Pool.Namespace, Name: i.Pool.Name},
		Spec: infv1.InferencePoolSpec{
			Selector:          infv1.LabelSelector{MatchLabels: map[infv1.LabelKey]infv1.LabelValue{chosen: "true"}},
			AppProtocol:       i.Made.AppProtocol,
			EndpointPickerRef: i.picker(),
		},
	}
	for _, port := range ports {
		pool.Spec.TargetPorts = append(pool.Spec.TargetPorts, infv1.Port{Number: infv1.PortNumber(port)})
	}
	return pool
}

// discovered are the objects for endpoints that no cluster tells of: each is a pod that serves one of the pool's ports. An
// address that is none is left out, as that of a pod would be.
func (i *Intent) discovered(endpoints []datalayer.Spec) *source.Objects {
	var ports []int
	var pods []*corev1.Pod
	for n, e := range endpoints {
		address, err := netip.ParseAddrPort(e.Address)
		if err != nil {
			continue
		}
		ports = append(ports, int(address.Port()))
		pods = append(pods, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: i.Pool.Namespace, Name: "endpoint-" + strconv.Itoa(n), Labels: map[string]string{chosen: "true"},
				Annotations: map[string]string{source.ActivePortsAnnotation: strconv.Itoa(int(address.Port()))},
			},
			Status: corev1.PodStatus{PodIP: address.Addr().String(), Conditions: []corev1.PodCondition{{
				Type: corev1.PodReady, Status: corev1.ConditionTrue,
			}}},
		})
	}
	slices.Sort(ports)
	out := i.frame()
	out.InferencePools, out.Pods = source.NewSet(i.madePool(slices.Compact(ports))), source.NewSet(pods...)
	return out
}
