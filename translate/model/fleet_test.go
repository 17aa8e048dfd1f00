package model

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
)

// TestFleetNamesFit holds that names of Services and labels can be made of every Gateway's name, and differ.
func TestFleetNamesFit(t *testing.T) {
	seen := map[string]string{}
	for _, gateway := range []string{
		"gw", "a.b", "a-b", strings.Repeat("a", 35), strings.Repeat("a", 36), strings.Repeat("a", 63), strings.Repeat("a", 64),
		strings.Repeat("a", 253), strings.Repeat("a", 252) + "b", strings.Repeat("a.", 126) + "a",
	} {
		name, label := FleetName(gateway), GatewayLabelValue(gateway)
		if wrong := validation.IsDNS1035Label(name); len(wrong) > 0 || len(name) > maxFleetName {
			t.Errorf("%q is the fleet of %q: %v", name, gateway, wrong)
		}
		if wrong := validation.IsValidLabelValue(label); len(wrong) > 0 || len(gateway) <= 63 && label != gateway {
			t.Errorf("%q is the label of %q: %v", label, gateway, wrong)
		}
		if other := seen[name]; other != "" {
			t.Errorf("%q and %q have the same fleet %q", other, gateway, name)
		}
		seen[name] = gateway
	}
}
