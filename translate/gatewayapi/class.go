package gatewayapi

import (
	"slices"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/features"

	"github.com/switchyard/switchyard/internal/source"
)

// supportedFeatures are the features of Gateway API that are translated, ordered by name as the
// specification of GatewayClass.status asks.
var supportedFeatures = sortFeatures(
	features.SupportGateway,
	features.SupportGatewayHTTPListenerIsolation,
	features.SupportGatewayHTTPSListenerDetectMisdirectedRequests,
	features.SupportGatewayPort8080,
	features.SupportHTTPRoute,
	features.SupportHTTPRoute303RedirectStatusCode,
	features.SupportHTTPRoute307RedirectStatusCode,
	features.SupportHTTPRoute308RedirectStatusCode,
	features.SupportHTTPRouteBackendProtocolH2C,
	features.SupportHTTPRouteBackendProtocolWebSocket,
	features.SupportHTTPRouteBackendRequestHeaderModification,
	features.SupportHTTPRouteBackendTimeout,
	features.SupportHTTPRouteDestinationPortMatching,
	features.SupportHTTPRouteHostRewrite,
	features.SupportHTTPRouteMethodMatching,
	features.SupportHTTPRouteNamedRouteRule,
	features.SupportHTTPRouteParentRefPort,
	features.SupportHTTPRoutePathRedirect,
	features.SupportHTTPRoutePathRewrite,
	features.SupportHTTPRoutePortRedirect,
	features.SupportHTTPRouteQueryParamMatching,
	features.SupportHTTPRouteRequestTimeout,
	features.SupportHTTPRouteResponseHeaderModification,
	features.SupportHTTPRouteSchemeRedirect,
	features.SupportReferenceGrant,
)

func sortFeatures(names ...features.FeatureName) []gwv1.SupportedFeature {
	out := make([]gwv1.SupportedFeature, len(names))
	for i, n := range names {
		out[i].Name = gwv1.FeatureName(n)
	}
	slices.SortFunc(out, func(a, b gwv1.SupportedFeature) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return out
}

// translateClasses reports on the GatewayClasses that name this controller and says what is wrong with
// each, by name; a class that is not ours is not in the answer.
func translateClasses(in *source.Objects, statuses map[source.Key]*gwv1.GatewayClassStatus) map[string]finding {
	ours := map[string]finding{}
	for class := range in.GatewayClasses.All() {
		if class.Spec.ControllerName != ControllerName {
			continue
		}
		var wrong finding
		if p := class.Spec.ParametersRef; p != nil {
			wrong = find(string(gwv1.GatewayClassReasonInvalidParameters),
				"parameters of kind %s are not supported; remove the field", p.Kind).in("spec.parametersRef")
		}
		ours[class.Name] = wrong
		c := conditions{generation: class.Generation}
		c.addUnless(wrong, string(gwv1.GatewayClassConditionStatusAccepted),
			string(gwv1.GatewayClassReasonAccepted), "Gateways of this class are served by Switchyard")
		statuses[source.KeyOf(class)] = &gwv1.GatewayClassStatus{
			Conditions:        c.list,
			SupportedFeatures: slices.Clone(supportedFeatures),
		}
	}
	return ours
}
