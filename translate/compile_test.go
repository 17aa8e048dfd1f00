package translate

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/envoy"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/resource"
)

var options = Options{Envoy: envoy.Options{Pickers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:9002")}}}

// manyRoutes is one Gateway with n routes, each with a hostname of its own, to ten Services.
func manyRoutes(n int) *source.Objects {
	o := &source.Objects{
		GatewayClasses: source.NewSet(&gwv1.GatewayClass{
			ObjectMeta: metav1.ObjectMeta{Name: "switchyard"},
			Spec:       gwv1.GatewayClassSpec{ControllerName: gatewayapi.ControllerName},
		}),
		Gateways: source.NewSet(&gwv1.Gateway{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "gw"},
			Spec: gwv1.GatewaySpec{
				GatewayClassName: "switchyard",
				Listeners:        []gwv1.Listener{{Name: "http", Protocol: gwv1.HTTPProtocolType, Port: 80}},
			},
		}),
	}
	var services []*corev1.Service
	for i := range 10 {
		services = append(services, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("api-%d", i)},
			Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		})
	}
	o.Services = source.NewSet(services...)
	var routes []*gwv1.HTTPRoute
	for i := range n {
		routes = append(routes, hostRoute(i, "/"))
	}
	o.HTTPRoutes = source.NewSet(routes...)
	return o
}

func hostRoute(i int, path string) *gwv1.HTTPRoute {
	port := gwv1.PortNumber(80)
	prefix := gwv1.PathMatchPathPrefix
	return &gwv1.HTTPRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("route-%d", i)},
		Spec: gwv1.HTTPRouteSpec{
			CommonRouteSpec: gwv1.CommonRouteSpec{ParentRefs: []gwv1.ParentReference{{Name: "gw"}}},
			Hostnames:       []gwv1.Hostname{gwv1.Hostname(fmt.Sprintf("host-%d.example.com", i))},
			Rules: []gwv1.HTTPRouteRule{{
				Matches: []gwv1.HTTPRouteMatch{{Path: &gwv1.HTTPPathMatch{Type: &prefix, Value: &path}}},
				BackendRefs: []gwv1.HTTPBackendRef{{BackendRef: gwv1.BackendRef{
					BackendObjectReference: gwv1.BackendObjectReference{
						Name: gwv1.ObjectName(fmt.Sprintf("api-%d", i%10)), Port: &port,
					},
				}}},
			}},
		},
	}
}

func TestOneChangedRouteChangesOneResource(t *testing.T) {
	objects := manyRoutes(50)
	before := compile(t, objects)
	changed := *objects
	changed.HTTPRoutes = changed.HTTPRoutes.With(hostRoute(7, "/other"))
	after := compile(t, &changed)
	for id, r := range after.Views["default/gw"].Resources {
		same := before.Views["default/gw"].Resources[id].Version == r.Version
		if want := id.Type != resource.RouteType; same != want {
			t.Errorf("%s %s: unchanged is %t, want %t", id.Type, id.Name, same, want)
		}
	}
}

// onCluster has the embedded picker behind a Service.
var onCluster = Options{Objects: gatewayapi.Options{
	Fleets: true,
	Picker: gatewayapi.ServicePort{Service: source.Key{Namespace: "system", Name: "switchyard"}, Port: 9002},
}}

// withPickers adds the picker's Service and its ready endpoints.
func withPickers(o *source.Objects, addresses ...string) *source.Objects {
	out := *o
	out.Services = out.Services.With(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "switchyard"},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "epp", Port: 9002}}},
	})
	name, port := "epp", int32(9002)
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "switchyard-1",
			Labels: map[string]string{discoveryv1.LabelServiceName: "switchyard"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for _, a := range addresses {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	out.EndpointSlices = out.EndpointSlices.With(slice)
	return &out
}

func TestPickersComeAndGoByEndpointsAlone(t *testing.T) {
	objects := manyRoutes(1)
	objects.InferencePools = source.NewSet(&infv1.InferencePool{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "llm"}})
	objects.HTTPRoutes = objects.HTTPRoutes.With(poolRoute())
	picker := resource.ID{Type: resource.EndpointType, Name: "epp"}
	states := [][]string{nil, {"10.0.0.1"}, {"10.0.0.2", "10.0.0.1"}, {"10.0.0.3"}}
	seen := map[string]bool{}
	var first map[resource.ID]*resource.Resource
	for _, addresses := range states {
		out, err := Compile(withPickers(objects, addresses...), onCluster)
		if err != nil {
			t.Fatal(err)
		}
		resources := out.Views["default/gw"].Resources
		if first == nil {
			first = resources
		}
		if len(resources) != len(first) || resources[picker] == nil {
			t.Fatalf("%v: %d resources, picker %v; at first %d", addresses, len(resources), resources[picker], len(first))
		}
		for id, r := range resources {
			if id != picker && r.Version != first[id].Version {
				t.Errorf("%v: %s %s changed", addresses, id.Type, id.Name)
			}
		}
		seen[resources[picker].Version] = true
		if got := pickerAddresses(t, resources[picker]); !slices.Equal(got, slices.Sorted(slices.Values(addresses))) {
			t.Errorf("pickers %v, want %v", got, addresses)
		}
	}
	if len(seen) != len(states) {
		t.Errorf("%d versions of the picker's endpoints, want %d", len(seen), len(states))
	}
}

// TestOlderPickersArePreferred gives each replica of the picker a priority, the oldest pod the highest.
func TestOlderPickersArePreferred(t *testing.T) {
	objects := withPickers(manyRoutes(1), "10.0.0.1", "10.0.0.2", "10.0.0.3")
	for i, ip := range []string{"10.0.0.3", "10.0.0.1", "10.0.0.2"} {
		objects.Pods = objects.Pods.With(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "system", Name: "switchyard-" + ip, CreationTimestamp: metav1.Unix(int64(1000+i), 0)},
			Status:     corev1.PodStatus{PodIP: ip},
		})
	}
	out, err := Compile(objects, onCluster)
	if err != nil {
		t.Fatal(err)
	}
	var assignment endpointv3.ClusterLoadAssignment
	if err := out.Views["default/gw"].Resources[resource.ID{Type: resource.EndpointType, Name: "epp"}].Body.UnmarshalTo(&assignment); err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, locality := range assignment.Endpoints {
		if locality.Priority != uint32(i) || len(locality.LbEndpoints) != 1 {
			t.Errorf("locality %d has priority %d and %d endpoints, want one endpoint of priority %d", i, locality.Priority, len(locality.LbEndpoints), i)
		}
		got = append(got, locality.LbEndpoints[0].GetEndpoint().GetAddress().GetSocketAddress().GetAddress())
	}
	if want := []string{"10.0.0.3", "10.0.0.1", "10.0.0.2"}; !slices.Equal(got, want) {
		t.Errorf("pickers are asked in the order %v, want %v", got, want)
	}
}

func pickerAddresses(t *testing.T, r *resource.Resource) (out []string) {
	t.Helper()
	var assignment endpointv3.ClusterLoadAssignment
	if err := r.Body.UnmarshalTo(&assignment); err != nil {
		t.Fatal(err)
	}
	for _, locality := range assignment.Endpoints {
		for _, e := range locality.LbEndpoints {
			out = append(out, e.GetEndpoint().GetAddress().GetSocketAddress().GetAddress())
		}
	}
	return out
}

func poolRoute() *gwv1.HTTPRoute {
	route := hostRoute(1000, "/")
	group, kind := gwv1.Group("inference.networking.k8s.io"), gwv1.Kind("InferencePool")
	route.Spec.Rules[0].BackendRefs[0].BackendObjectReference = gwv1.BackendObjectReference{Group: &group, Kind: &kind, Name: "llm"}
	return route
}

// TestGivenPickersHoldWithoutService keeps the addresses that file mode is given.
func TestGivenPickersHoldWithoutService(t *testing.T) {
	out := compile(t, withPickers(manyRoutes(1), "10.0.0.1"))
	id := resource.ID{Type: resource.EndpointType, Name: "epp"}
	if got := pickerAddresses(t, out.Views["default/gw"].Resources[id]); !slices.Equal(got, []string{"127.0.0.1"}) {
		t.Errorf("pickers %v", got)
	}
}

func compile(tb testing.TB, objects *source.Objects) *Output {
	tb.Helper()
	out, err := Compile(objects, options)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// BenchmarkOneRouteChanged is what one changed route costs in the translation.
func BenchmarkOneRouteChanged(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("of-%d", n), func(b *testing.B) {
			objects := manyRoutes(n)
			compile(b, objects)
			for i := 0; b.Loop(); i++ {
				objects.HTTPRoutes = objects.HTTPRoutes.With(hostRoute(7, fmt.Sprintf("/p%d", i)))
				compile(b, objects)
			}
		})
	}
}
