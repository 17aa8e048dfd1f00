package export

import (
	"log/slog"
	"testing"
)

func TestSamplers(t *testing.T) {
	const parents = ",remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler," +
		"localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}"
	for _, test := range []struct{ name, argument, want string }{
		{"", "", "ParentBased{root:TraceIDRatioBased{0.1}" + parents},
		{"", "0.5", "ParentBased{root:TraceIDRatioBased{0.5}" + parents},
		{"parentbased_traceidratio", "0.25", "ParentBased{root:TraceIDRatioBased{0.25}" + parents},
		{"parentbased_traceidratio", "", "ParentBased{root:TraceIDRatioBased{0.1}" + parents},
		{"traceidratio", "0.25", "TraceIDRatioBased{0.25}"},
		{"traceidratio", "much", "TraceIDRatioBased{0.1}"},
		{"parentbased_always_on", "", "ParentBased{root:AlwaysOnSampler" + parents},
		{"parentbased_always_off", "", "ParentBased{root:AlwaysOffSampler" + parents},
		{"always_on", "", "AlwaysOnSampler"},
		{"always_off", "", "AlwaysOffSampler"},
		{"parentbased_jaeger_remote", "", "ParentBased{root:TraceIDRatioBased{0.1}" + parents},
	} {
		t.Setenv("OTEL_TRACES_SAMPLER", test.name)
		t.Setenv("OTEL_TRACES_SAMPLER_ARG", test.argument)
		if got := readSampler(slog.New(slog.DiscardHandler)).Description(); got != test.want {
			t.Errorf("%s %s: %s, want %s", test.name, test.argument, got, test.want)
		}
	}
}
