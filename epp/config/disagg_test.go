package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/datalayer"
	"github.com/switchyard/switchyard/epp/scheduling"
	"github.com/switchyard/switchyard/epp/scheduling/filter"
)

// disaggregated is a configuration with profiles for all stages; plugins refer to others before these are declared.
const disaggregated = `
plugins:
- {name: split, type: disagg-profile-handler, parameters: {deciders: {prefill: long, encode: media}}}
- {name: long, type: prefix-based-pd-decider, parameters: {nonCachedTokens: 500, prefixMatchInfoProducerName: prefixes}}
- {name: media, type: always-disagg-multimodal-decider}
- {type: decode-filter}
- {type: prefill-filter}
- {type: encode-filter}
- {type: prefix-cache-scorer, parameters: {prefixMatchInfoProducerName: prefixes}}
- {type: active-request-scorer}
- {name: prefixes, type: approx-prefix-cache-producer}
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encode-filter}, {pluginRef: active-request-scorer}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: active-request-scorer}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: prefix-cache-scorer, weight: 3}, {pluginRef: active-request-scorer}]}
`

// rolesPool has an endpoint for each role given; its name is the role, and its address has the index as port.
func rolesPool(roles ...string) *datalayer.Pool {
	var specs []datalayer.Spec
	for i, role := range roles {
		spec := datalayer.Spec{Name: role, Namespace: "ns", Pod: role, Address: fmt.Sprintf("10.0.0.1:%d", 8000+i)}
		if role != "" {
			spec.Labels = map[string]string{filter.RoleLabel: role}
		}
		specs = append(specs, spec)
	}
	pools := datalayer.New(datalayer.Options{})
	pools.Set("ns/pool", specs)
	pool, _ := pools.Get("ns/pool")
	return pool
}

// split is what a request came to, by the names of endpoints.
type split struct{ decode, prefill, encode string }

// place has a request of so many tokens decided and accounts for it as the picker does: in the index and in flight.
func place(t *testing.T, c *Config, pool *datalayer.Pool, conversation uint64, tokens int, media bool) split {
	t.Helper()
	cycle := scheduling.NewCycle(&body.Request{Model: "m", PromptBytes: 4 * tokens, Multimodal: media}, pool.Endpoints(), time.Now())
	defer cycle.Release()
	cycle.BlockTokens = 64
	for i := range tokens / 64 {
		cycle.Keys = append(cycle.Keys, conversation<<32+uint64(i+1))
	}
	cycle.Match(pool.Index())
	chosen, err := c.Handler.Schedule(cycle)
	if err != nil {
		t.Fatal(err)
	}
	at := cycle.Candidates[chosen[0]]
	got := split{decode: at.Name}
	pool.Index().Add(at.Server, cycle.Keys)
	headers := map[string]string{}
	for _, stage := range cycle.Stages() {
		endpoint := cycle.Candidates[stage.Candidate]
		switch stage.Name {
		case scheduling.StagePrefill:
			got.prefill = endpoint.Name
			pool.Index().Add(endpoint.Server, cycle.Keys)
			headers["x-prefiller-host-port"] = endpoint.Address
		case scheduling.StageEncode:
			got.encode = endpoint.Name
			headers["x-encoder-hosts-ports"] = endpoint.Address
		}
	}
	for _, header := range cycle.OutgoingHeaders() {
		if headers[header.Name] != header.Value {
			t.Errorf("header %s is %q, but the stages say %q", header.Name, header.Value, headers[header.Name])
		}
	}
	return got
}

func TestDisaggregation(t *testing.T) {
	c := load(t, disaggregated)
	pool := rolesPool("encode", "prefill", "decode")
	for i, step := range []struct {
		conversation uint64
		tokens       int
		media        bool
		want         split
	}{
		{1, 400, false, split{decode: "decode"}},                                       // short
		{2, 1024, false, split{decode: "decode", prefill: "prefill"}},                  // long and new
		{2, 1024, false, split{decode: "decode"}},                                      // the same again: the decode server holds it
		{2, 1400, false, split{decode: "decode"}},                                      // 376 more
		{2, 2048, false, split{decode: "decode", prefill: "prefill"}},                  // 704 more than 1344 held
		{3, 128, true, split{decode: "decode", encode: "encode"}},                      // media
		{4, 1024, true, split{decode: "decode", prefill: "prefill", encode: "encode"}}, // media and long
		{4, 1024, true, split{decode: "decode", encode: "encode"}},                     // now held
	} {
		if got := place(t, c, pool, step.conversation, step.tokens, step.media); got != step.want {
			t.Errorf("step %d: %+v, want %+v", i, got, step.want)
		}
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c.Collectors()...)
	families, err := registry.Gather()
	if err != nil || len(families) != 2 {
		t.Fatalf("%d series of plugins, error %v", len(families), err)
	}
	counted := map[string]float64{}
	for _, series := range families[0].GetMetric() {
		labels := series.GetLabel() // in the order of their names
		counted[labels[0].GetValue()+" "+labels[1].GetValue()+" "+labels[2].GetValue()] = series.GetCounter().GetValue()
	}
	want := map[string]float64{"decode-only m split": 3, "encode-decode m split": 2, "encode-prefill-decode m split": 1, "prefill-decode m split": 2}
	if families[0].GetName() != "llm_d_epp_disagg_decision_total" || !maps.Equal(counted, want) {
		t.Errorf("%s: %v, want %v", families[0].GetName(), counted, want)
	}
}

// TestRolesOfStages has one endpoint of each role beside one that does what the others cannot.
func TestRolesOfStages(t *testing.T) {
	c := load(t, disaggregated)
	for role, want := range map[string]struct{ decode, prefill, encode bool }{
		"decode": {decode: true}, "prefill": {prefill: true}, "encode": {encode: true}, "encode-prefill": {encode: true, prefill: true},
		"prefill-decode": {decode: true, prefill: true}, "both": {decode: true, prefill: true},
		"encode-prefill-decode": {decode: true, prefill: true, encode: true}, "": {decode: true}, "other": {},
	} {
		for stage, wanted := range map[string]bool{"decode": want.decode, "prefill": want.prefill, "encode": want.encode} {
			var profileOf []int
			for _, p := range c.Profiles {
				if p.Name == stage {
					cycle := scheduling.NewCycle(&body.Request{}, rolesPool(role).Endpoints(), time.Now())
					profileOf, _ = p.Run(cycle)
					profileOf = slices.Clone(profileOf)
					cycle.Release()
				}
			}
			if got := len(profileOf) == 1; got != wanted {
				t.Errorf("role %q: does %s: %v, want %v", role, stage, got, wanted)
			}
		}
	}
}

// TestAServerOfAllRolesWorksAlone has no reason to send a stage elsewhere.
func TestAServerOfAllRolesWorksAlone(t *testing.T) {
	c := load(t, disaggregated)
	if got := place(t, c, rolesPool("encode-prefill-decode"), 1, 4096, true); got != (split{decode: "encode-prefill-decode"}) {
		t.Errorf("%+v", got)
	}
}

func TestNobodyToPrefillIsNoRefusal(t *testing.T) {
	c := load(t, disaggregated)
	if got := place(t, c, rolesPool("decode", "other"), 1, 4096, true); got != (split{decode: "decode"}) {
		t.Errorf("%+v", got)
	}
}

// TestOlderDisaggregation is a file as it was written for the older plugins.
func TestOlderDisaggregation(t *testing.T) {
	c := load(t, `
plugins:
- {type: prefill-header-handler}
- {type: disagg-headers-handler, parameters: {prefillProfile: prefill}}
- {type: pd-profile-handler, parameters: {primaryPort: 0}}
- {type: prefix-based-pd-decider, parameters: {nonCachedTokens: 16}}
- {type: prefill-filter}
- {type: decode-filter}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
- {name: decode, plugins: [{pluginRef: decode-filter}]}
`)
	if got := place(t, c, rolesPool("prefill", "decode"), 1, 640, false); got != (split{decode: "decode", prefill: "prefill"}) {
		t.Errorf("%+v", got)
	}
	if len(c.Warnings) != 3 || !strings.Contains(c.Warnings[0], "use disagg-profile-handler, which sets these headers itself") ||
		!strings.Contains(c.Warnings[2], "use disagg-profile-handler") {
		t.Errorf("warnings %q", c.Warnings)
	}
}

// byHeader is a decider of somebody else's, which reads a header.
type byHeader struct{}

func newByHeader(parameters []byte) (byHeader, error) {
	return byHeader{}, scheduling.DecodeParameters(parameters, &struct{}{})
}

func (byHeader) RequestHeaders() []string { return []string{"x-split"} }

func (byHeader) Disaggregate(c *scheduling.Cycle, _ int) bool {
	return c.Headers.Get("x-split") == "yes"
}

func TestDecidersOfOthers(t *testing.T) {
	t.Cleanup(func() { Unregister("test-by-header") })
	RegisterDecider("test-by-header", newByHeader)
	const text = `
plugins:
- {type: disagg-profile-handler, parameters: {deciders: {%s}}}
- {name: mine, type: test-by-header}
- {type: prefill-filter}
- {type: decode-filter}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
- {name: decode, plugins: [{pluginRef: decode-filter}]}
`
	if c := load(t, fmt.Sprintf(text, "")); len(c.RequestHeaders) > 0 {
		t.Errorf("reads %v for a decider that nobody asks", c.RequestHeaders)
	}
	c := load(t, fmt.Sprintf(text, "prefill: mine"))
	if !slices.Equal(c.RequestHeaders, []string{"x-split"}) {
		t.Errorf("reads %v", c.RequestHeaders)
	}
	for value, want := range map[string]int{"yes": 1, "no": 0} {
		cycle := scheduling.NewCycle(&body.Request{}, rolesPool("prefill", "decode").Endpoints(), time.Now())
		cycle.Headers = scheduling.Headers{{Name: "x-split", Value: value}}
		if _, err := c.Handler.Schedule(cycle); err != nil || len(cycle.Stages()) != want {
			t.Errorf("%s: stages %v, error %v", value, cycle.Stages(), err)
		}
		cycle.Release()
	}
}
