// Package translate turns API objects into what proxies are to be given and what the objects' statuses ought
// to be. It is pure: no clock, no network, no Kubernetes client. The work is done in the rooms below it:
//
//	source.Objects -> gatewayapi -> model -> envoy -> resource.View
//	                            \-> statuses
package translate

import (
	"github.com/switchyard/switchyard/internal/source"
	"github.com/switchyard/switchyard/translate/envoy"
	"github.com/switchyard/switchyard/translate/gatewayapi"
	"github.com/switchyard/switchyard/translate/model"
	"github.com/switchyard/switchyard/translate/resource"
)

// Output is what a set of objects comes to.
type Output struct {
	Gateways []*model.Gateway
	// Views are by name, namespace/name of the Gateway.
	Views    map[string]*resource.View
	Statuses gatewayapi.Statuses
}

// Compile translates a whole set of objects. Equal objects give equal bytes, in whatever order they came.
// An error is a defect of the translation, not of the objects.
func Compile(in *source.Objects, opts Options) (*Output, error) {
	result := gatewayapi.Build(in, opts.Objects)
	out := &Output{
		Gateways: result.Gateways,
		Views:    make(map[string]*resource.View, len(result.Gateways)),
		Statuses: result.Statuses,
	}
	if opts.Objects.Picker != (gatewayapi.ServicePort{}) {
		opts.Envoy.Pickers, opts.Envoy.EndingPickers = result.Pickers, result.EndingPickers
	}
	for _, gw := range result.Gateways {
		view, err := envoy.Build(gw, opts.Envoy)
		if err != nil {
			return nil, err
		}
		out.Views[view.Name] = view
	}
	return out, nil
}
