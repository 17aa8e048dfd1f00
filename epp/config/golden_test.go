package config

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/flowcontrol"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

var update = flag.Bool("update", false, "rewrite the results in testdata")

// separator stands between the configuration and what becomes of it.
const separator = "=== result ===\n"

// TestGolden loads each configuration under testdata and compares what it compiles to, or the error, with what stands below
// it in the same file.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 30 {
		t.Fatalf("%d golden files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), separator)
			compiled, err := Load([]byte(input))
			got := describe(compiled, err)
			if *update {
				if err := os.WriteFile(file, []byte(input+separator+got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
			// An error file is named so, that none turns into a success unnoticed.
			if strings.HasPrefix(filepath.Base(file), "error-") != (err != nil) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// describe writes a configuration as text.
func describe(c *Config, err error) string {
	var b strings.Builder
	if err != nil {
		return "error: " + err.Error() + "\n"
	}
	fmt.Fprintf(&b, "handler: %s\n", typeName(c.Handler))
	for _, p := range c.Profiles {
		fmt.Fprintf(&b, "profile %s:\n", p.Name)
		for _, f := range p.Filters {
			fmt.Fprintf(&b, "  filter %s\n", typeName(f))
		}
		for _, s := range p.Scorers {
			fmt.Fprintf(&b, "  scorer %s x %g\n", typeName(s.Scorer), s.Weight)
		}
		fmt.Fprintf(&b, "  picker %s %+v\n", typeName(p.Picker), p.Picker)
	}
	fmt.Fprintf(&b, "prefix: %+v\n", c.Prefix)
	fmt.Fprintf(&b, "parsers:")
	for api := body.ChatCompletions; api < body.Detect; api++ {
		if resolved, ok := c.Parsers.Resolve(api); ok && resolved == api {
			fmt.Fprintf(&b, " %s,", api)
		}
	}
	_, passthrough := c.Parsers.Resolve(body.Unknown)
	fmt.Fprintf(&b, " passthrough %v\n", passthrough)
	var options datalayer.Options
	c.Apply(&options)
	fmt.Fprintf(&b, "metrics: scheme %q path %q port %d interval %s check %v engine %q label %q blocks %d x %d\n", options.Scheme, options.Path, options.Port,
		options.Interval, options.TLS.Verify, options.DefaultEngine, options.EngineLabel, options.BlocksPerServer, options.BlockTokens)
	if options.TLS.CA != "" || options.TLS.Cert != "" {
		fmt.Fprintf(&b, "certificates: %+v\n", options.TLS)
	}
	if options.Models.Interval > 0 {
		fmt.Fprintf(&b, "models: %+v\n", options.Models)
	}
	if c.Discovery != nil {
		fmt.Fprintf(&b, "discovery: %q %+v\n", c.DiscoveryName, *c.Discovery)
	}
	if len(c.Responses) > 0 || len(c.RequestHeaders) > 0 {
		fmt.Fprintf(&b, "request headers: %q, subset overridden by %d plugins\n", c.RequestHeaders, len(c.overriders))
		for _, plugin := range c.Responses {
			fmt.Fprintf(&b, "response plugin %s\n", typeName(plugin))
		}
	}
	describeFlowControl(&b, c)
	for _, engine := range options.Engines {
		fmt.Fprintf(&b, "engine: %+v\n", engine)
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	return b.String()
}

// describeFlowControl writes what differs from a configuration that does not speak of flow control.
func describeFlowControl(b *strings.Builder, c *Config) {
	if !reflect.DeepEqual(c.Detector, Default().Detector) {
		detector := c.Detector.(*filter.Detector).Detector
		fmt.Fprintf(b, "detector: %s %+v\n", typeName(detector), reflect.ValueOf(detector).Elem())
	}
	if c.FlowControl == nil {
		return
	}
	o := c.FlowControl.options
	fmt.Fprintf(b, "flow control: requests %d bytes %d wait %s without endpoints %s usage limit %s %+v detector %q\n",
		o.MaxRequests, o.MaxBytes, o.TTL, o.NoEndpointTTL, typeName(o.UsageLimit), reflect.ValueOf(o.UsageLimit).Elem(), o.Detector)
	band := func(name string, band flowcontrol.Band) {
		fmt.Fprintf(b, "  band %s: requests %d bytes %d %s %s\n", name, band.MaxRequests, band.MaxBytes, typeName(band.Fairness), typeName(band.Ordering))
	}
	band("default", o.Default)
	if o.Negative != nil {
		band("negative", *o.Negative)
	}
	for _, priority := range slices.Sorted(maps.Keys(o.Bands)) {
		band(fmt.Sprint(priority), o.Bands[priority])
	}
	if o.Eviction != nil {
		fmt.Fprintf(b, "  eviction: %s %s lag %s\n", typeName(o.Eviction.Filter), typeName(o.Eviction.Ordering), o.Eviction.Lag)
	}
}

func typeName(plugin any) string {
	_, name, _ := strings.Cut(fmt.Sprintf("%T", plugin), ".")
	return name
}
