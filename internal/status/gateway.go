package status

import (
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Condition types that the controller of a class is responsible for. Any other type on the same object is
// somebody else's and stays.
var (
	classTypes = []string{
		string(gwv1.GatewayClassConditionStatusAccepted),
		string(gwv1.GatewayClassConditionStatusSupportedVersion),
	}
	gatewayTypes = []string{
		string(gwv1.GatewayConditionAccepted),
		string(gwv1.GatewayConditionProgrammed),
		string(gwv1.GatewayConditionResolvedRefs),
		string(gwv1.GatewayConditionInsecureFrontendValidationMode),
	}
	listenerTypes = []string{
		string(gwv1.ListenerConditionAccepted),
		string(gwv1.ListenerConditionProgrammed),
		string(gwv1.ListenerConditionResolvedRefs),
		string(gwv1.ListenerConditionConflicted),
		string(gwv1.ListenerConditionOverlappingTLSConfig),
	}
)

func mergeGatewayClass(m *merger, have, want *gwv1.GatewayClassStatus) gwv1.GatewayClassStatus {
	return gwv1.GatewayClassStatus{
		Conditions: m.conditions(have.Conditions, want.Conditions, classTypes),
		SupportedFeatures: replace(m, have.SupportedFeatures, want.SupportedFeatures,
			func(a, b gwv1.SupportedFeature) bool { return a == b }),
	}
}

func mergeGateway(m *merger, have, want *gwv1.GatewayStatus) gwv1.GatewayStatus {
	out := gwv1.GatewayStatus{
		Addresses:            replace(m, have.Addresses, want.Addresses, sameAddress),
		Conditions:           m.conditions(have.Conditions, want.Conditions, gatewayTypes),
		Listeners:            m.listeners(have.Listeners, want.Listeners),
		AttachedListenerSets: want.AttachedListenerSets,
	}
	if !sameNumber(have.AttachedListenerSets, want.AttachedListenerSets) {
		m.changed = true
	}
	return out
}

// listeners gives the wanted listeners in their order; only conditions of other types live on from what is
// there.
func (m *merger) listeners(have, want []gwv1.ListenerStatus) []gwv1.ListenerStatus {
	if len(have) != len(want) {
		m.changed = true
	}
	out := make([]gwv1.ListenerStatus, len(want))
	for i := range want {
		if i >= len(have) || have[i].Name != want[i].Name {
			m.changed = true
		}
		out[i] = m.listener(findListener(have, want[i].Name), &want[i])
	}
	return out
}

func (m *merger) listener(have, want *gwv1.ListenerStatus) gwv1.ListenerStatus {
	if have == nil {
		have = &gwv1.ListenerStatus{}
	}
	if have.AttachedRoutes != want.AttachedRoutes {
		m.changed = true
	}
	return gwv1.ListenerStatus{
		Name:           want.Name,
		SupportedKinds: replace(m, have.SupportedKinds, want.SupportedKinds, sameRouteKind),
		AttachedRoutes: want.AttachedRoutes,
		Conditions:     m.conditions(have.Conditions, want.Conditions, listenerTypes),
	}
}

func findListener(list []gwv1.ListenerStatus, name gwv1.SectionName) *gwv1.ListenerStatus {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

func sameAddress(a, b gwv1.GatewayStatusAddress) bool {
	return a.Value == b.Value && valueOr(a.Type, gwv1.IPAddressType) == valueOr(b.Type, gwv1.IPAddressType)
}

func sameRouteKind(a, b gwv1.RouteGroupKind) bool {
	return a.Kind == b.Kind && valueOr(a.Group, gwv1.GroupName) == valueOr(b.Group, gwv1.GroupName)
}

func sameNumber(a, b *int32) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}
