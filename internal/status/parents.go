package status

import (
	"cmp"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/switchyard/switchyard/internal/source"
)

var routeParents = entries[gwv1.RouteParentStatus, gwv1.GatewayController]{
	limit: 32,
	types: []string{
		string(gwv1.RouteConditionAccepted),
		string(gwv1.RouteConditionResolvedRefs),
		string(gwv1.RouteConditionPartiallyInvalid),
	},
	controller: func(e *gwv1.RouteParentStatus) *gwv1.GatewayController { return &e.ControllerName },
	conditions: func(e *gwv1.RouteParentStatus) *[]metav1.Condition { return &e.Conditions },
	same:       func(a, b *gwv1.RouteParentStatus) bool { return sameParentRef(&a.ParentRef, &b.ParentRef) },
}

// mergeRoute serves every kind of route: their statuses are the same.
func mergeRoute(m *merger, have, want *gwv1.RouteStatus) gwv1.RouteStatus {
	out := gwv1.RouteStatus{Parents: routeParents.merge(m, have.Parents, want.Parents)}
	if out.Parents == nil {
		out.Parents = []gwv1.RouteParentStatus{} // the API takes no null
	}
	return out
}

// sameParentRef compares all that a parentRef says: two references of a route to the same Gateway differ in
// section or port, and each has an entry.
func sameParentRef(a, b *gwv1.ParentReference) bool {
	return a.Name == b.Name &&
		valueOr(a.Group, gwv1.GroupName) == valueOr(b.Group, gwv1.GroupName) &&
		valueOr(a.Kind, "Gateway") == valueOr(b.Kind, "Gateway") &&
		valueOr(a.Namespace, "") == valueOr(b.Namespace, "") &&
		valueOr(a.SectionName, "") == valueOr(b.SectionName, "") &&
		valueOr(a.Port, 0) == valueOr(b.Port, 0)
}

var poolParents = entries[infv1.ParentStatus, infv1.ControllerName]{
	limit: 32,
	types: []string{
		string(infv1.InferencePoolConditionAccepted),
		string(infv1.InferencePoolConditionResolvedRefs),
	},
	controller: func(e *infv1.ParentStatus) *infv1.ControllerName { return &e.ControllerName },
	conditions: func(e *infv1.ParentStatus) *[]metav1.Condition { return &e.Conditions },
	same:       func(a, b *infv1.ParentStatus) bool { return samePoolParent(&a.ParentRef, &b.ParentRef) },
	adopted:    poolParentIsOurs,
}

func mergePool(m *merger, have, want *infv1.InferencePoolStatus) infv1.InferencePoolStatus {
	return infv1.InferencePoolStatus{Parents: poolParents.merge(m, have.Parents, want.Parents)}
}

// poolParentIsOurs decides about an entry that names no controller, which the API allows. One about a
// Gateway of our classes can only be what was left by whoever served that Gateway before. The placeholder
// that older versions of the API put into new pools goes when a first real parent comes; a pool that is
// nothing to us keeps it.
func poolParentIsOurs(m *merger, e *infv1.ParentStatus, want []infv1.ParentStatus) bool {
	ref := &e.ParentRef
	if ref.Kind == "Status" && ref.Name == "default" {
		return len(want) > 0
	}
	return poolParentIsGateway(ref) && m.gatewayIsOurs(source.Key{Namespace: string(ref.Namespace), Name: string(ref.Name)})
}

func poolParentIsGateway(ref *infv1.ParentReference) bool {
	return valueOr(ref.Group, gwv1.GroupName) == gwv1.GroupName && cmp.Or(ref.Kind, "Gateway") == "Gateway"
}

func samePoolParent(a, b *infv1.ParentReference) bool {
	return a.Name == b.Name && a.Namespace == b.Namespace &&
		valueOr(a.Group, gwv1.GroupName) == valueOr(b.Group, gwv1.GroupName) &&
		cmp.Or(a.Kind, "Gateway") == cmp.Or(b.Kind, "Gateway")
}
