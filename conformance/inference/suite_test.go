// Package inference runs the conformance suite of the Gateway API Inference Extension, as published, against a GatewayClass of the
// cluster that KUBECONFIG names.
//
// It is a module of its own because this suite pins gateway-api/conformance v1.6.1 and asks for its report while the parent test
// still runs, which later versions of that module refuse. go.mod must keep that pin.
//
//	KUBECONFIG -> suite -> Gateways, routes, pools and requests -> report (-report-output)
package inference

import (
	"flag"
	"testing"

	"sigs.k8s.io/gateway-api-inference-extension/conformance"
	confv1 "sigs.k8s.io/gateway-api/conformance/apis/v1"
)

// TestConformance takes the suite's own flags. -version is needed together with -report-output: a report without it names no release.
func TestConformance(t *testing.T) {
	opts := conformance.DefaultOptions(t)
	given := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { given[f.Name] = true })

	if !given["gateway-class"] {
		opts.GatewayClassName = "switchyard"
	}
	opts.Implementation = implementation(opts.Implementation)
	if err := opts.Implementation.Validate(); err != nil && opts.ReportOutputPath != "" {
		t.Fatalf("the report needs to know whose it is: %v (flag -version)", err)
	}
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
