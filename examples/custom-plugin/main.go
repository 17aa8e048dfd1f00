// Command custom-plugin is an endpoint picker with a plugin of its own, "rack-scorer": it prefers model servers in the rack that a
// request names. Everything else is the picker as it is, with all its flags: the plugin is registered, and configurations may name it.
// With the configuration here, the endpoints and their racks are those of a file; without it, those of an InferencePool.
//
//	cd examples/custom-plugin && go run . --config-file picker.yaml
package main

import (
	"github.com/switchyard/switchyard/epp/command"
	"github.com/switchyard/switchyard/epp/config"
)

func main() {
	config.RegisterScorer("rack-scorer", newRack)
	command.Main()
}
