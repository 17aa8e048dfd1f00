package standalone

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// className is the name of the class that is made; nobody sees it.
const className = "switchyard"

// knows tells whether the pool is there.
func (i *Intent) knows(in *source.Objects) bool {
	if i.Made != nil {
		return true
	}
	_, ok := in.InferencePools.Get(i.Pool.Namespace, i.Pool.Name)
	return ok
}

// objects are the class, Gateway, route and pool, with the pods behind it and the pickers, and what the cluster says about the
// pool's models. A pool that is not there is not among them: the route then answers as one without a backend does.
func (i *Intent) objects(in *source.Objects) *source.Objects {
	out := i.frame()
	if i.Made != nil {
		i.makePool(in, out)
	} else {
		i.takePool(in, out)
	}
	out.InferenceModelRewrites, out.OlderInferenceModelRewrites = in.InferenceModelRewrites, in.OlderInferenceModelRewrites
	if i.PickerPods != nil {
		i.PickerPods.add(in, out)
	}
	return out
}

// frame is what leads to the pool.
func (i *Intent) frame() *source.Objects {
	return &source.Objects{
		GatewayClasses: source.NewSet(&gwv1.GatewayClass{
			ObjectMeta: metav1.ObjectMeta{Name: className},
			Spec:       gwv1.GatewayClassSpec{ControllerName: gatewayapi.ControllerName},
		}),
		Gateways:   source.NewSet(i.gateway()),
		HTTPRoutes: source.NewSet(i.route()),
	}
}

// gateway has one listener, open for the route in the pool's namespace.
func (i *Intent) gateway() *gwv1.Gateway {
	everywhere := gwv1.NamespacesFromAll
	return &gwv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Namespace: i.View.Namespace, Name: i.View.Name},
		Spec: gwv1.GatewaySpec{
			GatewayClassName: className,
			Listeners: []gwv1.Listener{{
				Name: "http", Port: gwv1.PortNumber(i.Listen.Port()), Protocol: gwv1.HTTPProtocolType,
				AllowedRoutes: &gwv1.AllowedRoutes{Namespaces: &gwv1.RouteNamespaces{From: &everywhere}},
			}},
		},
	}
}

// route sends everything to the pool and sets no timeout. It stands beside the pool, so that nobody has to grant it anything.
func (i *Intent) route() *gwv1.HTTPRoute {
	gateway := gwv1.Namespace(i.View.Namespace)
	group, kind := gwv1.Group(poolGroup), gwv1.Kind("InferencePool")
	prefix, all := gwv1.PathMatchPathPrefix, "/"
	return &gwv1.HTTPRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: i.Pool.Namespace, Name: i.Pool.Name},
		Spec: gwv1.HTTPRouteSpec{
			CommonRouteSpec: gwv1.CommonRouteSpec{ParentRefs: []gwv1.ParentReference{{
				Namespace: &gateway, Name: gwv1.ObjectName(i.View.Name),
			}}},
			Rules: []gwv1.HTTPRouteRule{{
				Matches: []gwv1.HTTPRouteMatch{{Path: &gwv1.HTTPPathMatch{Type: &prefix, Value: &all}}},
				BackendRefs: []gwv1.HTTPBackendRef{{BackendRef: gwv1.BackendRef{BackendObjectReference: gwv1.BackendObjectReference{
					Group: &group, Kind: &kind, Name: gwv1.ObjectName(i.Pool.Name),
				}}}},
			}},
		},
	}
}
