package kube

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

// trimmed is what a watch of the kind keeps of an object; trimming that again must change nothing.
func trimmed[T object](t *testing.T, kindName string, o T) T {
	t.Helper()
	i := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == kindName })
	w := &watch{kind: kinds[i], version: kinds[i].versions[0]}
	once := w.trim(o).(T)
	was := once.DeepCopyObject()
	if twice := w.trim(once); !reflect.DeepEqual(twice, was) {
		t.Errorf("trimming twice gives %+v, once %+v", twice, was)
	}
	return once
}

func realPod(t testing.TB) *corev1.Pod {
	t.Helper()
	text, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := json.Unmarshal(text, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

func size(t *testing.T, o any) int {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return len(text)
}

func TestWhatIsKeptOfAPod(t *testing.T) {
	pod := realPod(t)
	before := size(t, pod)
	kept := trimmed(t, "Pod", pod)
	want := &corev1.Pod{}
	if err := json.Unmarshal([]byte(`{
		"metadata": {
			"name": "llama-70b-decode-6f5d8c9b7c-x2k9q", "namespace": "inference", "uid": "0b1d9c5e-6f0e-4a52-9a0d-3f3f7d1d9e11",
			"resourceVersion": "8839201", "generation": 1, "creationTimestamp": "2026-03-01T10:00:00Z",
			"labels": {"app": "llama-70b", "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/name": "modelservice",
				"llm-d.ai/model": "llama-70b-instruct", "llm-d.ai/role": "decode", "pod-template-hash": "6f5d8c9b7c"},
			"annotations": {"llm-d.ai/active-ports": "8000,8001", "prometheus.io/port": "8000", "prometheus.io/scrape": "true"}
		},
		"status": {"phase": "Running", "hostIP": "10.1.0.17", "podIP": "10.244.17.23", "podIPs": [{"ip": "10.244.17.23"}, {"ip": "fd00:10:244:11::17"}],
			"conditions": [{"type": "Ready", "status": "True"}]}}`), want); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(kept, want) {
		t.Errorf("kept is\n%+v\nwant\n%+v", kept, want)
	}
	after := size(t, kept)
	t.Logf("%d bytes of JSON are kept of %d", after, before)
	if after*5 > before {
		t.Errorf("%d bytes are kept of %d, want a fifth at most", after, before)
	}
	gone := realPod(t)
	gone.DeletionTimestamp = &metav1.Time{Time: gone.CreationTimestamp.Time}
	gone.Status.Conditions[2].Status = corev1.ConditionFalse
	kept = trimmed(t, "Pod", gone)
	if kept.DeletionTimestamp == nil || kept.Status.Conditions[0].Status != corev1.ConditionFalse {
		t.Errorf("a pod that ends is kept as %+v", kept)
	}
}

func TestWhatIsKeptOfSecretsAndConfigMaps(t *testing.T) {
	bytes := func(keys ...string) map[string][]byte {
		out := map[string][]byte{}
		for _, k := range keys {
			out[k] = []byte("value of " + k)
		}
		return out
	}
	annotated := metav1.ObjectMeta{Annotations: map[string]string{"control-plane.alpha.kubernetes.io/leader": "{}"}}
	for _, kind := range []corev1.SecretType{corev1.SecretTypeTLS, corev1.SecretTypeOpaque} {
		s := trimmed(t, "Secret", &corev1.Secret{ObjectMeta: annotated, Type: kind, Data: bytes("tls.crt", "tls.key", "ca.crt", "password", "keystore.jks")})
		if s.Type != kind || s.Annotations != nil || !reflect.DeepEqual(s.Data, bytes("tls.crt", "tls.key", "ca.crt")) {
			t.Errorf("of a Secret of type %s is kept %v, type %s", kind, s.Data, s.Type)
		}
	}
	if s := trimmed(t, "Secret", &corev1.Secret{Type: "helm.sh/release.v1", Data: bytes("release")}); s.Data != nil || s.Type == "" {
		t.Errorf("of a release is kept %v, type %q", s.Data, s.Type)
	}
	m := trimmed(t, "ConfigMap", &corev1.ConfigMap{
		ObjectMeta: annotated,
		Data:       map[string]string{"ca.crt": "a", "fleet.yaml": "b", "other": "c"},
		BinaryData: bytes("big"),
	})
	if !reflect.DeepEqual(m.Data, map[string]string{"ca.crt": "a", "fleet.yaml": "b"}) || m.BinaryData != nil || m.Annotations != nil {
		t.Errorf("of a ConfigMap is kept %v, %v", m.Data, m.BinaryData)
	}
}

func TestWhatIsKeptOfTheRest(t *testing.T) {
	meta := func() metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Name: "o", Namespace: "ns", UID: "u", ResourceVersion: "7", Generation: 3, Labels: map[string]string{"a": "b"},
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: "{}"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "x"}},
		}
	}
	kept := meta()
	kept.Annotations, kept.ManagedFields = nil, nil
	annotated := meta()
	annotated.Annotations["x"] = "y"

	lb := corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "10.0.0.1"}}}
	service := trimmed(t, "Service", &corev1.Service{ObjectMeta: meta(), Spec: corev1.ServiceSpec{ClusterIP: "10.9.9.9"},
		Status: corev1.ServiceStatus{LoadBalancer: lb, Conditions: []metav1.Condition{{Type: "X"}}}})
	if want := (&corev1.Service{ObjectMeta: kept, Spec: corev1.ServiceSpec{ClusterIP: "10.9.9.9"}, Status: corev1.ServiceStatus{LoadBalancer: lb}}); !reflect.DeepEqual(service, want) {
		t.Errorf("of a Service is kept %+v", service)
	}

	ready, gone, node, port := true, false, "node", int32(80)
	slice := trimmed(t, "EndpointSlice", &discoveryv1.EndpointSlice{ObjectMeta: meta(), AddressType: "IPv4",
		Ports: []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, NodeName: &node, Zone: &node, TargetRef: &corev1.ObjectReference{Name: "p"},
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Terminating: &gone}}}})
	if want := (&discoveryv1.EndpointSlice{ObjectMeta: kept, AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Port: &port}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready, Terminating: &gone}}}}); !reflect.DeepEqual(slice, want) {
		t.Errorf("of an EndpointSlice is kept %+v", slice)
	}

	ns := trimmed(t, "Namespace", &corev1.Namespace{ObjectMeta: annotated, Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"f"}}, Status: corev1.NamespaceStatus{Phase: "Active"}})
	if want := (&corev1.Namespace{ObjectMeta: kept}); !reflect.DeepEqual(ns, want) {
		t.Errorf("of a Namespace is kept %+v", ns)
	}

	// The status of a Gateway is what a writer of statuses compares with.
	gw := &gwv1.Gateway{TypeMeta: metav1.TypeMeta{APIVersion: "gateway.networking.k8s.io/v1", Kind: "Gateway"}, ObjectMeta: meta(),
		Spec:   gwv1.GatewaySpec{GatewayClassName: "c"},
		Status: gwv1.GatewayStatus{Conditions: []metav1.Condition{{Type: "Programmed"}}}}
	want := gw.DeepCopy()
	want.TypeMeta, want.ObjectMeta = metav1.TypeMeta{}, kept
	if got := trimmed(t, "Gateway", gw); !reflect.DeepEqual(got, want) {
		t.Errorf("of a Gateway is kept %+v", got)
	}
}

// BenchmarkPodMemory tells what a pod costs in memory: in the form in which it comes and in the one that is kept, 5 000 at once.
func BenchmarkPodMemory(b *testing.B) {
	const pods = 5000
	text, err := os.ReadFile("testdata/pod.json")
	if err != nil {
		b.Fatal(err)
	}
	i := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == "Pod" })
	w := &watch{kind: kinds[i], version: "v1"}
	arrive := func(i int) *corev1.Pod {
		pod := &corev1.Pod{}
		one := strings.NewReplacer("x2k9q", fmt.Sprintf("x%05d", i), "10.244.17.23", fmt.Sprintf("10.%d.%d.7", i/250, i%250),
			"0b1d9c5e", fmt.Sprintf("%08x", i), "8839201", fmt.Sprint(8839201+i)).Replace(string(text))
		if err := json.Unmarshal([]byte(one), pod); err != nil {
			b.Fatal(err)
		}
		return pod
	}
	for name, keep := range map[string]func(*corev1.Pod) *corev1.Pod{
		"original": func(p *corev1.Pod) *corev1.Pod { return p },
		"kept":     func(p *corev1.Pod) *corev1.Pod { return w.trim(p).(*corev1.Pod) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before := heap()
				var objects source.Objects
				all := changes{}
				for i := range pods {
					pod := keep(arrive(i))
					all[source.KeyOf(pod)] = pod
				}
				w.kind.merge(&objects, all)
				all = nil
				b.ReportMetric(float64(heap()-before)/pods, "B/pod")
				runtime.KeepAlive(objects)
			}
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
