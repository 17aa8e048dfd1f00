package gatewayapi

import (
	"slices"
	"strings"

	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/features"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/model"
)

// supportInferencePool is the name that the Inference Extension has for its own feature.
const supportInferencePool = features.FeatureName("SupportInferencePool")

// fleetFeatures need proxies that are run by us.
var fleetFeatures = namedFeatures(
	features.SupportGatewayAddressEmpty,
	features.SupportGatewayInfrastructure,
	features.SupportGatewayStaticAddresses,
)

// commonFeatures are the features that every installation has.
var commonFeatures = namedFeatures(
	supportInferencePool,
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

func namedFeatures(names ...features.FeatureName) []gwv1.SupportedFeature {
	out := make([]gwv1.SupportedFeature, len(names))
	for i, n := range names {
		out[i].Name = gwv1.FeatureName(n)
	}
	return out
}

// supportedFeatures lists the features of an installation, ordered by name as the specification of
// GatewayClass.status asks.
func (o Options) supportedFeatures() []gwv1.SupportedFeature {
	list := slices.Clone(commonFeatures)
	if o.Fleets {
		list = append(list, fleetFeatures...)
	}
	slices.SortFunc(list, func(a, b gwv1.SupportedFeature) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return list
}

// gatewayClass is a GatewayClass of ours.
type gatewayClass struct {
	refused    finding
	parameters model.FleetParameters
}

// translateClasses reports on the GatewayClasses that name this controller and gives them by name; a class
// that is not ours is not in the answer.
func (x *index) translateClasses(statuses map[source.Key]*gwv1.GatewayClassStatus) map[string]gatewayClass {
	ours := map[string]gatewayClass{}
	for object := range x.objects.GatewayClasses.All() {
		if object.Spec.ControllerName != ControllerName {
			continue
		}
		var class gatewayClass
		class.parameters, class.refused = x.classParameters(object)
		ours[object.Name] = class
		c := conditions{generation: object.Generation}
		c.addUnless(class.refused, string(gwv1.GatewayClassConditionStatusAccepted),
			string(gwv1.GatewayClassReasonAccepted), "Gateways of this class are served by Switchyard")
		statuses[source.KeyOf(object)] = &gwv1.GatewayClassStatus{
			Conditions:        c.list,
			SupportedFeatures: x.opts.supportedFeatures(),
		}
	}
	return ours
}
