package translate

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
