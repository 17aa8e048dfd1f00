package gatewayapi

import (
	"net/netip"

	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/internal/source/llmd"
	"github.com/switchyard/switchyard/translate/model"
	infv1 "sigs.k8s.io/gateway-api-inference-extension/api/v1"
	gwv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// ControllerName is what a GatewayClass names in spec.controllerName to be ours.
const ControllerName = "switchyard.dev/gateway-controller"

// Result is what a set of objects means.
type Result struct {
	// Gateways are those of our classes that are accepted, ordered by namespace and name.
	// A Gateway that is not accepted has an entry in Statuses and none here: nothing is to be made for it, and
	// what already runs for it is to stay as it is until it is accepted again or gone.
	Gateways []*model.Gateway
	// Pickers are the ready endpoints of Options.Picker, in order of preference, and EndingPickers those whose pods end; nil where that is not
	// set.
	Pickers, EndingPickers []netip.AddrPort

	Statuses Statuses
}

// Statuses are the wanted statuses of every object that is ours to report on. Conditions carry no
// transition time: whoever writes them knows the clock. Entries of other controllers are not in here.
type Statuses struct {
	GatewayClasses map[source.Key]*gwv1.GatewayClassStatus
	Gateways       map[source.Key]*gwv1.GatewayStatus
	HTTPRoutes     map[source.Key]*gwv1.HTTPRouteStatus
	InferencePools map[source.Key]*infv1.InferencePoolStatus

	InferenceObjectives         map[source.Key]*llmd.InferenceObjectiveStatus
	InferenceModelRewrites      map[source.Key]*llmd.InferenceModelRewriteStatus
	OlderInferenceObjectives    map[source.Key]*llmd.InferenceObjectiveStatus
	OlderInferenceModelRewrites map[source.Key]*llmd.InferenceModelRewriteStatus
}
