package gatewayapi

import "github.com/switchyard/switchyard/internal/source"

// Options are the facts about the installation that decide what objects mean. The zero value is an
// installation in which proxies are run by somebody else (file mode).
type Options struct {
	// Fleets tells that this installation runs the proxies of each Gateway on the cluster, behind a Service
	// named model.FleetName in the Gateway's namespace. Addresses of a Gateway and whether it is programmed
	// are then read from that Service and its endpoints.
	Fleets bool
	// Picker is the Service of the embedded endpoint picker. A pool whose endpointPickerRef names it, or that
	// has none, is picked for by the embedded picker, whose addresses are then the Service's ready endpoints.
	// The zero value: the addresses are given by envoy.Options.
	Picker ServicePort
}

// ServicePort is one port of a Service.
type ServicePort struct {
	Service source.Key
	Port    int32
}
