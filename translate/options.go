package translate

import (
	"github.com/switchyard/switchyard/translate/envoy"
	"github.com/switchyard/switchyard/translate/gatewayapi"
)

// Options are the facts about the installation that the objects do not hold. They must be equal on every
// replica, or replicas would disagree on bytes.
type Options struct {
	Objects gatewayapi.Options
	Envoy   envoy.Options
}
