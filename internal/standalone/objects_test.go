package standalone

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"

	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

var (
	view = source.Key{Namespace: "models", Name: "llama"}
	llm  = source.Key{Namespace: "models", Name: "llm"}
)

func intentOf(change func(*Intent)) Intent {
	i := Intent{View: view, Listen: netip.MustParseAddrPort("0.0.0.0:8081"), FailOpen: true, Pool: llm,
		Pickers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9002")}}
	change(&i)
	return i
}

// newPod is a ready pod of a namespace that is so many hours old.
func newPod(name, ip string, hours int, set labels.Set) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: name, Labels: set,
			CreationTimestamp: metav1.NewTime(time.Unix(1_000_000, 0).Add(-time.Duration(hours) * time.Hour))},
		Status: corev1.PodStatus{PodIP: ip, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	}
}

func unready(p *corev1.Pod) *corev1.Pod {
	p.Status.Conditions[0].Status = corev1.ConditionFalse
	return p
}

func newPool(app string) *infv1.InferencePool {
	return &infv1.InferencePool{
		ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: "llm"},
		Spec: infv1.InferencePoolSpec{
			Selector:    infv1.LabelSelector{MatchLabels: map[infv1.LabelKey]infv1.LabelValue{"app": infv1.LabelValue(app)}},
			TargetPorts: []infv1.Port{{Number: 8000}, {Number: 8001}},
			// As a chart writes it: for gateways of others.
			EndpointPickerRef: &infv1.EndpointPickerRef{Name: "llm-epp", Port: &infv1.Port{Number: 9002}, FailureMode: infv1.EndpointPickerFailClose},
		},
	}
}

// compiled is what an intent comes to.
type compiled struct {
	t       *testing.T
	output  *translate.Output
	backend model.Backend
}

// compile translates and expects one view with one backend, to which a single rule sends everything.
func compile(t *testing.T, i Intent, objects *source.Objects) *compiled {
	t.Helper()
	output, err := translate.Compile(objects, i.translation())
	if err != nil {
		t.Fatal(err)
	}
	if len(output.Views) != 1 || output.Views[i.View.String()] == nil {
		t.Fatalf("views %v, want %s alone", output.Views, i.View)
	}
	gateway := output.Gateways[0]
	rules := gateway.Ports[0].Chains[0].Hosts[0].Rules
	if len(gateway.Ports) != 1 || len(gateway.Ports[0].Chains[0].Hosts) != 1 || len(rules) != 1 || rules[0].Action.Forward == nil {
		t.Fatalf("ports %+v", gateway.Ports)
	}
	match, forward := rules[0].Match, rules[0].Action.Forward
	if match.Path.Kind != model.PathPrefix || match.Path.Value != "/" || len(forward.Targets) != 1 ||
		forward.Timeout.Kind == model.LimitedTimeout || forward.BackendTimeout.Kind == model.LimitedTimeout {
		t.Fatalf("rule %+v to %+v", match, forward)
	}
	return &compiled{t, output, gateway.Backends[forward.Targets[0].Backend]}
}

// pickers are in the order in which they are asked.
func (c *compiled) pickers() []string {
	c.t.Helper()
	var assignment endpointv3.ClusterLoadAssignment
	c.read(resource.EndpointType, "epp", &assignment)
	out := make([]string, len(assignment.Endpoints))
	for n, locality := range assignment.Endpoints {
		address := locality.LbEndpoints[0].GetEndpoint().GetAddress().GetSocketAddress()
		if len(locality.LbEndpoints) != 1 || int(locality.Priority) != n {
			c.t.Errorf("priority %d of %d has %d endpoints", locality.Priority, n, len(locality.LbEndpoints))
		}
		out[n] = fmt.Sprintf("%s:%d", address.GetAddress(), address.GetPortValue())
	}
	return out
}

// priorities are those of the pickers.
func (c *compiled) priorities() []uint32 {
	c.t.Helper()
	var assignment endpointv3.ClusterLoadAssignment
	c.read(resource.EndpointType, "epp", &assignment)
	var out []uint32
	for _, locality := range assignment.Endpoints {
		for range locality.LbEndpoints {
			out = append(out, locality.Priority)
		}
	}
	return out
}

func (c *compiled) endpoints() []string {
	out := make([]string, len(c.backend.Endpoints))
	for n, e := range c.backend.Endpoints {
		out[n] = e.String()
	}
	return out
}

func (c *compiled) expectEndpoints(want ...string) {
	c.t.Helper()
	if got := c.endpoints(); !slices.Equal(got, want) {
		c.t.Errorf("endpoints %q, want %q", got, want)
	}
}

func TestAPoolThatIsFollowed(t *testing.T) {
	in := &source.Objects{
		InferencePools: source.NewSet(newPool("llama")),
		Pods: source.NewSet(newPod("a", "10.0.0.1", 1, labels.Set{"app": "llama"}), newPod("b", "10.0.0.2", 1, labels.Set{"app": "other"}),
			unready(newPod("c", "10.0.0.3", 1, labels.Set{"app": "llama"}))),
	}
	for _, failOpen := range []bool{true, false} {
		intent := intentOf(func(i *Intent) { i.FailOpen = failOpen })
		c := compile(t, intent, intent.objects(in))
		c.expectEndpoints("10.0.0.1:8000", "10.0.0.1:8001")
		pool := c.backend.Pool
		if pool.Key != llm || pool.FailClose == failOpen || pool.Picker != nil || pool.Rewritten || c.backend.Protocol != model.HTTP1 {
			t.Errorf("failing open is %t: %+v", failOpen, c.backend)
		}
		if got := c.pickers(); !slices.Equal(got, []string{"127.0.0.1:9002"}) {
			t.Errorf("pickers %q", got)
		}
	}
	if in.InferencePools.Len() != 1 || newPool("llama").Spec.EndpointPickerRef.FailureMode != "FailClose" {
		t.Error("the followed objects were changed")
	}
	if pool, _ := in.InferencePools.Get("models", "llm"); pool.Spec.EndpointPickerRef == nil || pool.Spec.EndpointPickerRef.Name != "llm-epp" {
		t.Errorf("the followed pool has become %+v", pool.Spec)
	}
}

func TestWhatAClusterSaysOfAPool(t *testing.T) {
	pool := newPool("llama")
	pool.Spec.AppProtocol = infv1.AppProtocolH2C
	rewrite := &llmd.InferenceModelRewrite{ObjectMeta: metav1.ObjectMeta{Namespace: "models", Name: "r"}}
	rewrite.Spec.PoolRef = llmd.PoolRef{Name: "llm"}
	intent := intentOf(func(*Intent) {})
	older := &llmd.OlderInferenceModelRewrite{InferenceModelRewrite: *rewrite}
	for name, in := range map[string]*source.Objects{
		"current": {InferencePools: source.NewSet(pool), InferenceModelRewrites: source.NewSet(rewrite)},
		"older":   {InferencePools: source.NewSet(pool), OlderInferenceModelRewrites: source.NewSet(older)},
	} {
		if c := compile(t, intent, intent.objects(in)); !c.backend.Pool.Rewritten || c.backend.Protocol != model.H2C {
			t.Errorf("%s: %+v", name, c.backend)
		}
	}
}

func TestAPoolInAnotherNamespace(t *testing.T) {
	intent := intentOf(func(i *Intent) { i.View = source.Key{Namespace: "edge", Name: "proxies"} })
	in := &source.Objects{InferencePools: source.NewSet(newPool("llama")), Pods: source.NewSet(newPod("a", "10.0.0.1", 1, labels.Set{"app": "llama"}))}
	compile(t, intent, intent.objects(in)).expectEndpoints("10.0.0.1:8000", "10.0.0.1:8001")
}

func TestAPoolOfSelectedPods(t *testing.T) {
	selector, err := labels.Parse("app in (llama,qwen),!canary")
	if err != nil {
		t.Fatal(err)
	}
	intent := intentOf(func(i *Intent) {
		i.FailOpen = false
		i.Made = &MadePool{Pods: selector, Ports: []int{8001, 8000}, AppProtocol: infv1.AppProtocolH2C}
	})
	elsewhere := newPod("e", "10.0.0.5", 1, labels.Set{"app": "llama"})
	elsewhere.Namespace = "other"
	active := newPod("b", "10.0.0.2", 1, labels.Set{"app": "qwen"})
	active.Annotations = map[string]string{source.ActivePortsAnnotation: "8000"}
	in := &source.Objects{Pods: source.NewSet(elsewhere, active, newPod("a", "10.0.0.1", 1, labels.Set{"app": "llama"}),
		newPod("c", "10.0.0.3", 1, labels.Set{"app": "llama", "canary": ""}), unready(newPod("d", "10.0.0.4", 1, labels.Set{"app": "llama"})))}
	c := compile(t, intent, intent.objects(in))
	c.expectEndpoints("10.0.0.1:8000", "10.0.0.1:8001", "10.0.0.2:8000")
	if pool := c.backend.Pool; pool.Key != llm || !pool.FailClose || pool.Picker != nil || c.backend.Protocol != model.H2C {
		t.Errorf("%+v", c.backend)
	}
	if pod, _ := in.Pods.Get("models", "a"); len(pod.Labels) != 1 {
		t.Errorf("the followed pod has become %v", pod.Labels)
	}
}

func TestEndpointsThatAreDiscovered(t *testing.T) {
	intent := intentOf(func(i *Intent) { i.Made = &MadePool{} })
	var specs []datalayer.Spec
	for n := range 12 { // more ports than an InferencePool may have
		specs = append(specs, datalayer.Spec{Name: fmt.Sprint(n), Namespace: "default", Address: fmt.Sprintf("10.0.0.%d:%d", n+10, 9000+n)})
	}
	specs = append(specs, datalayer.Spec{Name: "six", Address: "[fd00::1]:9000"}, datalayer.Spec{Name: "again", Address: "10.0.0.10:9001"})
	c := compile(t, intent, intent.discovered(specs))
	want := []string{"10.0.0.10:9000", "10.0.0.10:9001"}
	for n := 1; n < 12; n++ {
		want = append(want, specs[n].Address)
	}
	c.expectEndpoints(append(want, "[fd00::1]:9000")...)
	if c.backend.Pool.FailClose || c.backend.Protocol != model.HTTP1 {
		t.Errorf("%+v", c.backend)
	}
	compile(t, intent, intent.discovered(nil)).expectEndpoints()
}

func TestPickersBySelector(t *testing.T) {
	selector := labels.SelectorFromSet(labels.Set{"role": "picker"})
	role := labels.Set{"role": "picker"}
	gone := newPod("gone", "10.1.0.9", 9, role)
	gone.DeletionTimestamp = &metav1.Time{}
	pods := source.NewSet(gone, newPod("a", "10.1.0.1", 1, role), newPod("b", "10.1.0.2", 5, role), newPod("c", "10.1.0.3", 3, role),
		unready(newPod("d", "10.1.0.4", 8, role)), newPod("e", "", 9, role), newPod("server", "10.0.0.1", 20, labels.Set{"app": "llama"}))
	followed := intentOf(func(i *Intent) {
		i.Pickers, i.PickerPods = nil, &PickerPods{Namespace: "models", Labels: selector, Port: 9005}
	})
	selected := followed
	selected.Made = &MadePool{Pods: labels.SelectorFromSet(labels.Set{"app": "llama"}), Ports: []int{8000, 8001}}
	in := &source.Objects{InferencePools: source.NewSet(newPool("llama")), Pods: pods}
	for name, intent := range map[string]Intent{"followed": followed, "selected": selected} {
		c := compile(t, intent, intent.objects(in))
		if got := strings.Join(c.pickers(), " "); got != "10.1.0.2:9005 10.1.0.3:9005 10.1.0.1:9005" {
			t.Errorf("%s: pickers %q", name, got)
		}
		c.expectEndpoints("10.0.0.1:8000", "10.0.0.1:8001")
	}
	if got := compile(t, followed, followed.objects(in)).priorities(); !slices.Equal(got, []uint32{0, 1, 2}) {
		t.Errorf("the oldest is not asked alone: priorities %v", got)
	}
	spread := followed
	spread.SpreadPickers = true
	if got := compile(t, spread, spread.objects(in)).priorities(); !slices.Equal(got, []uint32{0, 0, 0}) {
		t.Errorf("they do not spread: priorities %v", got)
	}
	none := compile(t, followed, followed.objects(&source.Objects{InferencePools: in.InferencePools}))
	if got := none.pickers(); len(got) != 0 {
		t.Errorf("without pods there are pickers %q", got)
	}
}

// TestPickersThatEnd: the leader that ends is asked when no other is; a pod that has ended, or never was ready, is not.
func TestPickersThatEnd(t *testing.T) {
	role := labels.Set{"role": "picker"}
	ending := func(name, ip string, phase corev1.PodPhase) *corev1.Pod {
		p := newPod(name, ip, 9, role)
		p.DeletionTimestamp, p.Status.Phase = &metav1.Time{}, phase
		return p
	}
	intent := intentOf(func(i *Intent) {
		i.Pickers, i.PickerPods = nil, &PickerPods{Namespace: "models", Labels: labels.SelectorFromSet(role), Port: 9005}
	})
	pods := source.NewSet(ending("leader", "10.1.0.1", corev1.PodRunning), ending("ended", "10.1.0.2", corev1.PodSucceeded), ending("unborn", "", corev1.PodRunning),
		unready(newPod("next", "10.1.0.3", 1, role)), newPod("server", "10.0.0.1", 20, labels.Set{"app": "llama"}))
	in := &source.Objects{InferencePools: source.NewSet(newPool("llama")), Pods: pods}
	if got := strings.Join(compile(t, intent, intent.objects(in)).pickers(), " "); got != "10.1.0.1:9005" {
		t.Errorf("while none is ready, pickers %q", got)
	}
	in.Pods = in.Pods.With(newPod("next", "10.1.0.3", 1, role))
	if got := strings.Join(compile(t, intent, intent.objects(in)).pickers(), " "); got != "10.1.0.3:9005 10.1.0.1:9005" {
		t.Errorf("with one that is ready, pickers %q", got)
	}
	in.Pods, intent.SpreadPickers = in.Pods.With(newPod("other", "10.1.0.4", 1, role)), true
	if got := compile(t, intent, intent.objects(in)).priorities(); !slices.Equal(got, []uint32{0, 0, 1}) {
		t.Errorf("the one that ends is not the last of three: priorities %v", got)
	}
}

func TestWhereProxiesListen(t *testing.T) {
	for listen, want := range map[string]string{"127.0.0.1:8081": "127.0.0.1:8081 false", "0.0.0.0:80": "0.0.0.0:80 false", "[::]:8081": ":::8081 true"} {
		intent := intentOf(func(i *Intent) { i.Listen = netip.MustParseAddrPort(listen) })
		c := compile(t, intent, intent.objects(&source.Objects{InferencePools: source.NewSet(newPool("llama"))}))
		var listener listenerv3.Listener
		c.read(resource.ListenerType, fmt.Sprintf("http/%d", intent.Listen.Port()), &listener)
		address := listener.GetAddress().GetSocketAddress()
		if got := fmt.Sprintf("%s:%d %t", address.GetAddress(), address.GetPortValue(), address.GetIpv4Compat()); got != want {
			t.Errorf("%s became %s, want %s", listen, got, want)
		}
	}
}
