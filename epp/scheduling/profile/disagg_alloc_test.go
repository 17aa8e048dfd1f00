//go:build !race

package profile_test

import (
	"slices"
	"testing"
	"time"

	"github.com/switchyard/switchyard/epp/body"
	"github.com/switchyard/switchyard/epp/config"
	"github.com/switchyard/switchyard/epp/scheduling"
)

// threeProfiles runs a profile for each stage, all of plugins that write into the cycle's memory.
const threeProfiles = `
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: disagg-profile-handler, parameters: {deciders: {prefill: always-disagg-pd-decider, encode: always-disagg-multimodal-decider}}}
- {type: always-disagg-pd-decider}
- {type: always-disagg-multimodal-decider}
- {type: utilization-filter, parameters: {conditions: [{metric: active-requests, maxValue: 0}], fallbackOnEmpty: true}}
- {type: queue-scorer}
- {type: prefix-cache-scorer}
- {name: three, type: max-score-picker, parameters: {maxNumOfEndpoints: 3}}
- {type: random-picker}
schedulingProfiles:
- {name: decode, plugins: [{pluginRef: utilization-filter}, {pluginRef: prefix-cache-scorer}, {pluginRef: three}]}
- {name: prefill, plugins: [{pluginRef: utilization-filter}, {pluginRef: queue-scorer}, {pluginRef: random-picker}]}
- {name: encode, plugins: [{pluginRef: utilization-filter}, {pluginRef: queue-scorer}, {pluginRef: random-picker}]}
`

// The race detector has sync.Pool drop things at random, so this holds only without it.
func TestSplittingAllocatesNothingAndKeepsTheFirstResult(t *testing.T) {
	loaded, err := config.Load([]byte(threeProfiles))
	if err != nil {
		t.Fatal(err)
	}
	pool, keys := warmPool(100)
	for _, endpoint := range pool.Endpoints() {
		defer endpoint.Begin(0).End() // so that the filter removes all and takes them back
	}
	request := &body.Request{Model: "m", Multimodal: true}
	want := []int{90, 80, 70} // those that hold most of the prompt
	split := func() {
		c := scheduling.NewCycle(request, pool.Endpoints(), time.Now())
		c.Keys, c.BlockTokens = append(c.Keys, keys...), 64
		c.Match(pool.Index())
		chosen, err := loaded.Handler.Schedule(c)
		if err != nil || !slices.Equal(chosen, want) {
			t.Fatalf("chosen %v, error %v, want %v", chosen, err, want)
		}
		for _, stage := range c.Stages() {
			if stage.Name == scheduling.StagePrefill && stage.Candidate == want[0] {
				t.Fatal("prefill at the endpoint that decodes")
			}
		}
		c.Release()
	}
	if allocs := testing.AllocsPerRun(300, split); allocs > 0 {
		t.Fatalf("%g allocations per request", allocs)
	}
}
