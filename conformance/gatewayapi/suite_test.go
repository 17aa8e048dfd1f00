// Package gatewayapi runs the Gateway API conformance suite, as published, against a GatewayClass of the cluster that KUBECONFIG names.
//
// It changes nothing in the suite: the tests, their manifests and their time-outs are those of the module pinned in go.mod. It only
// says whose report this is and fills in defaults for flags that were not given. The suite reads the supported features from the
// GatewayClass's status, so what is tested is what the control plane claims there.
//
//	KUBECONFIG -> suite -> Gateways, routes and requests -> report (-report-output)
package gatewayapi

import (
	"flag"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
)

// TestConformance takes the suite's own flags. -version is needed together with -report-output: the suite refuses a report without it.
func TestConformance(t *testing.T) {
	opts := conformance.DefaultOptions(t)
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })

	if !given["gateway-class"] {
		opts.GatewayClassName = "switchyard"
	}
	if !given["conformance-profiles"] {
		opts.ConformanceProfiles = []suite.ConformanceProfileName{suite.GatewayHTTPConformanceProfileName}
	}
	opts.Implementation = implementation(opts.Implementation)
	conformance.RunConformanceWithOptions(t, opts)
}

// implementation is Switchyard, except where flags say that another implementation is measured.
func implementation(given confv1.Implementation) confv1.Implementation {
	if given.Organization == "" {
		given.Organization = "switchyard"
	}
	if given.Project == "" {
		given.Project = "switchyard"
	}
	if given.URL == "" {
		given.URL = "https://github.com/switchyard/switchyard"
	}
	if len(given.Contact) == 0 {
		given.Contact = []string{"https://github.com/switchyard/switchyard/issues"}
	}
	return given
}
