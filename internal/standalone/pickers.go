package standalone

import (
	"net/netip"

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

// add makes the Service of the pickers, with the ready ones behind it; who is the oldest is seen from their pods.
func (p *PickerPods) add(in, out *source.Objects) {
	service := p.service()
	meta := metav1.ObjectMeta{Namespace: service.Namespace, Name: service.Name}
	port := int32(p.Port)
	out.Services = source.NewSet(&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: port}}}})
	name := ""
	slice := &discoveryv1.EndpointSlice{ObjectMeta: meta, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}}}
	slice.Labels = map[string]string{discoveryv1.LabelServiceName: service.Name}
	for pod := range in.Pods.InNamespace(p.Namespace) {
		if !p.answers(pod) {
			continue
		}
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{pod.Status.PodIP}})
		if _, there := out.Pods.Get(pod.Namespace, pod.Name); !there {
			out.Pods = out.Pods.With(pod)
		}
	}
	out.EndpointSlices = source.NewSet(slice)
}

// answers tells whether a pod is a picker that may be asked.
func (p *PickerPods) answers(pod *corev1.Pod) bool {
	_, err := netip.ParseAddr(pod.Status.PodIP)
	return err == nil && p.Labels.Matches(labels.Set(pod.Labels)) && source.PodReady(pod)
}

// besides tells whether a pod of another name than self may be asked.
func (p *PickerPods) besides(self string, in *source.Objects) bool {
	if in == nil {
		return false
	}
	for pod := range in.Pods.InNamespace(p.Namespace) {
		if pod.Name != self && p.answers(pod) {
			return true
		}
	}
	return false
}
