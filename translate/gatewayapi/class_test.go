package gatewayapi

import (
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/gateway-api/pkg/features"
)

// TestFeaturesAreThoseOfTheInstallation holds that addresses and infrastructure are claimed only where proxies
// are run by us, and that every name but one is Gateway API's.
func TestFeaturesAreThoseOfTheInstallation(t *testing.T) {
	names := func(o Options) (out []string) {
		for _, f := range o.supportedFeatures() {
			out = append(out, string(f.Name))
		}
		return out
	}
	file, cluster := names(Options{}), names(Options{Fleets: true})
	var more []string
	for _, n := range cluster {
		if !slices.Contains(file, n) {
			more = append(more, n)
		}
	}
	if got := strings.Join(more, " "); got != "GatewayAddressEmpty GatewayInfrastructure GatewayStaticAddresses" {
		t.Errorf("on a cluster also %s", got)
	}
	if len(cluster) != len(file)+len(more) || !slices.IsSorted(cluster) || !slices.IsSorted(file) {
		t.Errorf("features %v and %v", file, cluster)
	}
	for _, n := range cluster {
		known := false
		for f := range features.AllFeatures {
			known = known || string(f.Name) == n
		}
		if !known && n != string(supportInferencePool) {
			t.Errorf("%s is no feature of Gateway API", n)
		}
	}
}

// TestMessagesAreBounded keeps a condition within what the API takes, whatever a user wrote.
func TestMessagesAreBounded(t *testing.T) {
	var c conditions
	c.addUnless(invalidParameters("%s", strings.Repeat("\u00e9", 40_000)), "Accepted", "", "")
	if got := c.list[0].Message; len(got) > maxMessage+3 || !strings.HasSuffix(got, "\u00e9...") {
		t.Errorf("%d bytes, ending in %q", len(got), got[len(got)-8:])
	}
}
