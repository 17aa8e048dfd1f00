package kube

import (
	"unique"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// keptSecretKeys and keptConfigMapKeys are the only keys whose values are kept, whatever the type: a cluster is full of
// passwords and release archives that are none of our business. fleet.yaml holds parameters of a fleet.
var (
	keptSecretKeys    = []string{corev1.TLSCertKey, corev1.TLSPrivateKeyKey, "ca.crt"}
	keptConfigMapKeys = []string{"ca.crt", "fleet.yaml"}
)

// trim gives what is kept of an object as it came from the API server. It may be called again with its own result, which it
// then leaves as it is.
func (w *watch) trim(o object) object {
	trimMeta(o)
	// The type is known from the place of an object. Only when it is read in another version than the first is it
	// kept, for a status has to be written in that version too.
	var gvk schema.GroupVersionKind
	if w.version != w.kind.versions[0] {
		gvk = w.kind.groupVersion(w.version).WithKind(w.kind.name)
	}
	if o.GetObjectKind().GroupVersionKind() != gvk {
		o.GetObjectKind().SetGroupVersionKind(gvk)
	}
	return w.kind.trim(o)
}

func trimMeta(o metav1.Object) {
	if o.GetManagedFields() != nil {
		o.SetManagedFields(nil)
	}
	annotations := o.GetAnnotations()
	if _, ok := annotations[corev1.LastAppliedConfigAnnotation]; ok {
		delete(annotations, corev1.LastAppliedConfigAnnotation)
		if len(annotations) == 0 {
			o.SetAnnotations(nil)
		}
	}
}

// dropAnnotations is for kinds whose annotations mean nothing here and are written often: leaders are elected in some, and
// every update of an EndpointSlice carries its time.
func dropAnnotations(o metav1.Object) {
	if o.GetAnnotations() != nil {
		o.SetAnnotations(nil)
	}
}

// trimPod keeps what tells which model server a pod is, where it is reached and whether it is ready. It makes a new
// Pod, for the old one's memory comes in one piece with the list that it arrived in.
func trimPod(p *corev1.Pod) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: p.Name, Namespace: intern(p.Namespace), UID: p.UID,
			Generation: p.Generation, ResourceVersion: p.ResourceVersion,
			CreationTimestamp: p.CreationTimestamp, DeletionTimestamp: p.DeletionTimestamp,
			Labels: internMap(p.Labels), Annotations: internMap(p.Annotations),
		},
		Status: corev1.PodStatus{
			Phase: corev1.PodPhase(intern(string(p.Status.Phase))), HostIP: intern(p.Status.HostIP),
			PodIP: p.Status.PodIP, PodIPs: trimPodIPs(p.Status), Conditions: trimConditions(p.Status.Conditions),
		},
	}
}

func trimPodIPs(s corev1.PodStatus) []corev1.PodIP {
	if len(s.PodIPs) == 0 {
		return nil
	}
	out := make([]corev1.PodIP, len(s.PodIPs))
	for i, ip := range s.PodIPs {
		if out[i] = ip; ip.IP == s.PodIP {
			out[i].IP = s.PodIP // one string, not two
		}
	}
	return out
}

// readiness holds the conditions that all pods share: a condition is large, and two words of it are kept.
var readiness = map[corev1.ConditionStatus][]corev1.PodCondition{
	corev1.ConditionTrue:    {{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
	corev1.ConditionFalse:   {{Type: corev1.PodReady, Status: corev1.ConditionFalse}},
	corev1.ConditionUnknown: {{Type: corev1.PodReady, Status: corev1.ConditionUnknown}},
}

func trimConditions(conditions []corev1.PodCondition) []corev1.PodCondition {
	for _, c := range conditions {
		if c.Type == corev1.PodReady {
			return readiness[c.Status]
		}
	}
	return nil
}

func trimSecret(s *corev1.Secret) *corev1.Secret {
	dropAnnotations(s)
	s.Data = keepKeys(s.Data, keptSecretKeys)
	s.StringData = nil
	return s
}

func trimConfigMap(m *corev1.ConfigMap) *corev1.ConfigMap {
	dropAnnotations(m)
	m.Data = keepKeys(m.Data, keptConfigMapKeys)
	if ca, ok := m.Data["ca.crt"]; ok {
		m.Data["ca.crt"] = intern(ca) // every namespace has a copy of the cluster's own
	}
	m.BinaryData = nil
	return m
}

func keepKeys[V any](data map[string]V, keys []string) map[string]V {
	var out map[string]V
	for _, k := range keys {
		if v, ok := data[k]; ok {
			if out == nil {
				out = map[string]V{}
			}
			out[k] = v
		}
	}
	return out
}

func trimService(s *corev1.Service) *corev1.Service {
	s.Status = corev1.ServiceStatus{LoadBalancer: s.Status.LoadBalancer}
	return s
}

func trimNamespace(n *corev1.Namespace) *corev1.Namespace {
	dropAnnotations(n)
	n.Spec, n.Status = corev1.NamespaceSpec{}, corev1.NamespaceStatus{}
	return n
}

// trimEndpointSlice keeps addresses, ports and conditions: nodes, zones, hints and targets are not used.
func trimEndpointSlice(s *discoveryv1.EndpointSlice) *discoveryv1.EndpointSlice {
	endpoints := make([]discoveryv1.Endpoint, len(s.Endpoints))
	for i, e := range s.Endpoints {
		endpoints[i] = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: discoveryv1.EndpointConditions{
			Ready: shareBool(e.Conditions.Ready), Serving: shareBool(e.Conditions.Serving), Terminating: shareBool(e.Conditions.Terminating),
		}}
	}
	dropAnnotations(s)
	if s.Endpoints = endpoints; len(endpoints) == 0 {
		s.Endpoints = nil
	}
	return s
}

var yes, no = true, false

// shareBool points to one of two booleans that all objects share; like everything kept they are not to be changed.
func shareBool(b *bool) *bool {
	switch {
	case b == nil:
		return nil
	case *b:
		return &yes
	}
	return &no
}

// intern gives the one copy of a string that many objects hold.
func intern(s string) string { return unique.Make(s).Value() }

// internMap shares the keys, which repeat from pod to pod, and short values, most of which do.
func internMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	const shortest = 64 // the longest value of a label is 63 bytes
	out := make(map[string]string, len(m))
	for k, v := range m {
		if len(v) < shortest {
			v = intern(v)
		}
		out[intern(k)] = v
	}
	return out
}
