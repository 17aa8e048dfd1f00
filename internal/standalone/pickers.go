package standalone

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/switchyard/switchyard/internal/source"
)

// pickerService is the name of the Service that is made for the pickers.
const pickerService = "pickers"

func (p *PickerPods) service() source.Key {
	return source.Key{Namespace: p.Namespace, Name: pickerService}
}

// add makes the Service of the pickers, with those behind it that are ready, and those that end: they serve for a while, and the next leader takes a
// moment. Who is the oldest is seen from their pods.
func (p *PickerPods) add(in, out *source.Objects) {
	service := p.service()
	meta := metav1.ObjectMeta{Namespace: service.Namespace, Name: service.Name}
	port := int32(p.Port)
	out.Services = source.NewSet(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}})
	name := ""
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: service.Name}
	for _, pod := range p.asked(in) {
		ready := source.PodReady(pod)
		ending := !ready
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIP},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Terminating: &ending}})
		if _, there := out.Pods.Get(pod.Namespace, pod.Name); !there {
			out.Pods = out.Pods.With(pod)
		}
	}
	out.EndpointSlices = source.NewSet(slice)
}

// asked are the pickers that are ready, and those that end.
func (p *PickerPods) asked(in *source.Objects) (out []*corev1.Pod) {
	for pod := range in.Pods.InNamespace(p.Namespace) {
		if _, err := netip.ParseAddr(pod.Status.PodIP); err != nil || !p.Labels.Matches(labels.Set(pod.Labels)) {
			continue
		}
		if source.PodReady(pod) || pod.DeletionTimestamp != nil && pod.Status.Phase == corev1.PodRunning {
			out = append(out, pod)
		}
	}
	return out
}

// besides tells whether a pod of another name than self is ready.
func (p *PickerPods) besides(self string, in *source.Objects) bool {
	return in != nil && slices.ContainsFunc(p.asked(in), func(pod *corev1.Pod) bool { return pod.Name != self && source.PodReady(pod) })
}
